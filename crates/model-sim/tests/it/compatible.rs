//! OpenAI-compatible servers.

use model_sim::Options;
use serde_json::{Value, json};

use crate::support::Sim;

fn chat(script: &str) -> Value {
    json!({"model": "sim-large", "messages": [{"role": "user", "content": script}]})
}

async fn stream(sim: &Sim, path: &str, script: &str) -> String {
    let mut body = chat(script);
    body["stream"] = true.into();
    body["stream_options"] = json!({"include_usage": true});
    let response = sim.post(path, &body).await;
    String::from_utf8(response.bytes().await.unwrap().into()).unwrap()
}

#[tokio::test]
async fn a_key_is_wanted_and_recorded_by_its_digest() {
    let options = Options { api_key: Some("secret".to_owned()), ..Options::default() };
    let sim = Sim::start_with(options).await;
    let ask = async |header: &str, value: &str| {
        let request = sim.http.post(format!("{}/v1/chat/completions", sim.url));
        let request = request.header(header, value).body(chat("hi").to_string());
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask("authorization", "Bearer wrong").await, 401);
    assert_eq!(ask("x-other", "secret").await, 401);
    assert_eq!(ask("authorization", "Bearer secret").await, 200);
    let calls = sim.get("/_sim/calls").await;
    assert_eq!(calls["calls"][2]["headers"]["authorization"], "Bearer sha256:2bb80d537b1d");
    assert!(!calls.to_string().contains("Bearer secret"));
}

#[tokio::test]
async fn a_key_may_stand_in_a_header_of_its_own() {
    let options = Options {
        api_key: Some("secret".to_owned()),
        api_key_header: Some("X-Token".to_owned()),
        ..Options::default()
    };
    let sim = Sim::start_with(options).await;
    let request = sim.http.get(format!("{}/v1/models", sim.url));
    assert_eq!(request.send().await.unwrap().status(), 401);
    let request = sim.http.get(format!("{}/v1/models", sim.url)).header("x-token", "secret");
    assert_eq!(request.send().await.unwrap().status(), 200);
    let request =
        sim.http.post(format!("{}/v1/chat/completions", sim.url)).header("x-token", "secret");
    assert_eq!(request.body(chat("hi").to_string()).send().await.unwrap().status(), 200);
    assert_eq!(sim.call().await["headers"]["x-token"], "sha256:2bb80d537b1d");
}

#[tokio::test]
async fn a_path_may_want_a_key_of_its_own() {
    let sim = Sim::start().await;
    let ask = async |path: &str, header: &str, value: &str| {
        let request = sim.http.post(format!("{}{path}/v1/chat/completions", sim.url));
        let request = request.header(header, value).body(chat("hi").to_string());
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask("/v1", "x-none", "").await, 200);
    assert_eq!(ask("/quirk/key=k1", "authorization", "Bearer k2").await, 401);
    assert_eq!(ask("/quirk/key=k1", "authorization", "Bearer k1").await, 200);
    assert_eq!(ask("/quirk/key=k1,key-header=X-Key/openai", "x-key", "k1").await, 200);
}

#[tokio::test]
async fn quirks_are_chosen_by_the_path() {
    let sim = Sim::start().await;
    let script = r#"[sim {"reasoning":"so","tools":[{"name":"f","input":{"city":"Berlin"}}]}]"#;
    let plain = stream(&sim, "/v1/chat/completions", script).await;
    assert!(plain.contains("reasoning_content") && plain.contains(r#""prompt_tokens""#));
    assert!(plain.ends_with("[DONE]\n\n"));
    let silent = stream(&sim, "/quirk/no-usage,no-done/v1/chat/completions", script).await;
    assert!(!silent.contains("usage") && !silent.contains("[DONE]"), "{silent}");
    let ollama = stream(&sim, "/quirk/ollama/api/v1/chat/completions", script).await;
    assert!(ollama.contains(r#""reasoning":"so""#), "{ollama}");
    assert!(ollama.contains(r#""arguments":"{\"city\":\"Berlin\"}""#), "{ollama}");
    let failing = chat(r#"[sim {"error":{"status":503,"message":"busy"}}]"#);
    let (_, vllm) = sim.ask("/quirk/vllm-errors/v1/chat/completions", &failing).await;
    assert_eq!((&vllm["error"]["message"], &vllm["error"]["code"]), (&json!("busy"), &json!(503)));
    let (_, tgi) = sim.ask("/quirk/tgi-errors/v1/chat/completions", &failing).await;
    assert_eq!(tgi, json!({"error": "busy", "error_type": "generation"}));
    let (status, _) = sim.ask("/quirk/unheard-of/v1/chat/completions", &chat("hi")).await;
    assert_eq!(status, 400);
    let (_, whole) = sim.ask("/quirk/no-usage/v1/chat/completions", &chat("hi")).await;
    assert!(whole.get("usage").is_none());
}

#[tokio::test]
async fn embeddings_come_as_floats_or_base64() {
    let sim = Sim::start().await;
    let request = |format: &str| json!({"model": "e", "input": ["a", "b"], "dimensions": 8, "encoding_format": format});
    let (_, floats) = sim.ask("/v1/embeddings", &request("float")).await;
    assert_eq!(floats["data"][1]["embedding"].as_array().unwrap().len(), 8);
    assert_eq!(floats["usage"], json!({"prompt_tokens": 1, "total_tokens": 1}));
    let (_, base64) = sim.ask("/v1/embeddings", &request("base64")).await;
    assert_eq!(base64["data"][0]["embedding"].as_str().unwrap().len(), 44);
    let (status, _) = sim.ask("/v1/embeddings", &json!({"model": "e", "input": []})).await;
    assert_eq!(status, 400);
    let failing = json!({"model": "e", "input": r#"[sim {"error":{"status":503}}]"#});
    assert_eq!(sim.ask("/v1/embeddings", &failing).await.0, 503);
}

#[tokio::test]
async fn documents_are_ranked_and_responses_given() {
    let sim = Sim::start().await;
    let request = json!({"model": "r", "query": "red", "documents": ["blue", "red"], "top_n": 1, "return_documents": true});
    let (_, ranked) = sim.ask("/v1/rerank", &request).await;
    assert_eq!(
        ranked["results"],
        json!([{"index": 1, "relevance_score": 1.0, "document": {"text": "red"}}])
    );
    let (_, answer) =
        sim.ask("/v1/responses", &json!({"model": "m", "input": r#"[sim {"text":"a"}]"#})).await;
    assert_eq!(answer["output"][0]["content"][0]["text"], "a");
}

//! Scripted faults, on every kind of surface.

use serde_json::{Value, json};

use crate::support::Sim;

/// Each streaming path, and a body that says `script`.
fn surfaces(script: &str) -> Vec<(&'static str, Value)> {
    let said = json!([{"role": "user", "content": script}]);
    let blocks = json!([{"role": "user", "content": [{"text": script}]}]);
    vec![
        ("/model/m/converse-stream", json!({"messages": blocks})),
        (
            "/model/anthropic.m/invoke-with-response-stream",
            json!({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": said}),
        ),
        ("/openai/v1/chat/completions", json!({"model": "m", "stream": true, "messages": said})),
        ("/openai/v1/responses", json!({"model": "m", "stream": true, "input": script})),
        (
            "/anthropic/v1/messages",
            json!({"model": "m", "max_tokens": 9, "stream": true, "messages": said}),
        ),
        (
            "/endpoints/m-chat/invocations-response-stream",
            json!({"stream": true, "messages": said}),
        ),
        ("/v1/chat/completions", json!({"model": "m", "stream": true, "messages": said})),
    ]
}

#[tokio::test]
async fn a_connection_is_dropped_before_the_head() {
    let sim = Sim::start().await;
    for (path, body) in surfaces(r#"[sim {"cut_before_head":true}]"#) {
        let request =
            sim.http.post(format!("{}{path}", sim.url)).header("anthropic-version", "2023-06-01");
        assert!(request.body(body.to_string()).send().await.is_err(), "{path}");
    }
    for call in sim.get("/_sim/calls").await["calls"].as_array().unwrap() {
        assert_eq!(
            (&call["outcome"], &call["status"], &call["usage"]["input"]),
            (&json!("cut"), &Value::Null, &json!(0))
        );
    }
}

#[tokio::test]
async fn an_error_comes_right_after_the_head() {
    let sim = Sim::start().await;
    for (path, body) in surfaces(
        r#"[sim {"error_after_chunks":0,"skip_opening":true,"error":{"message":"oh no"}}]"#,
    ) {
        let response = sim.post(path, &body).await;
        assert_eq!(response.status(), 200, "{path}");
        let bytes = response.bytes().await.unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let opens = ["assistant", "response.created"].iter().any(|word| text.contains(word));
        assert!(text.contains("oh no") && !opens, "{path}: {text}");
    }
}

#[tokio::test]
async fn nonsense_is_refused_and_never_breaks_the_server() {
    let sim = Sim::start().await;
    let others = [
        "/model/m/converse",
        "/model/anthropic.m/invoke",
        "/model/amazon.titan-embed/invoke",
        "/model/cohere.embed/invoke",
        "/model/amazon.nova-canvas/invoke",
        "/model/amazon.nova-2-multimodal-embeddings/invoke",
        "/model/meta.llama/invoke",
        "/model/m/count-tokens",
        "/guardrail/g/version/1/apply",
        "/rerank",
        "/anthropic/v1/messages/count_tokens",
        "/endpoints/m-json/invocations",
        "/v1/embeddings",
        "/v1/rerank",
    ];
    let paths = surfaces("").into_iter().map(|(path, _)| path).chain(others);
    let wrong = [json!(null), json!([]), json!("text"), json!(7), json!({}), json!([null, {}])];
    for path in paths {
        let mut bodies: Vec<_> = wrong.to_vec();
        for key in [
            "messages",
            "input",
            "inputs",
            "system",
            "tools",
            "toolConfig",
            "texts",
            "documents",
            "queries",
            "text",
        ] {
            let model = json!({"model": "m", "max_tokens": 1, "anthropic_version": "bedrock-2023-05-31", "inputText": 1});
            for value in &wrong {
                let mut body = model.clone();
                body[key] = value.clone();
                bodies.push(body);
                let mut body = model.clone();
                body["messages"] =
                    json!([{"role": "user", "content": [{key: value, "type": value}]}]);
                bodies.push(body);
            }
        }
        for body in bodies {
            let status = sim.post(path, &body).await.status().as_u16();
            assert!(status == 200 || (400..500).contains(&status), "{path} {body}: {status}");
        }
    }
}

#[tokio::test]
async fn garbage_ends_a_stream() {
    let sim = Sim::start().await;
    for (path, body) in surfaces(r#"[sim {"chunks":["a","b"],"garbage_after_chunks":1}]"#) {
        let bytes = sim.post(path, &body).await.bytes().await.unwrap();
        assert!(String::from_utf8_lossy(&bytes).contains("garbage"), "{path}");
    }
    for call in sim.get("/_sim/calls").await["calls"].as_array().unwrap() {
        assert_eq!(
            (&call["outcome"], &call["chunks_sent"]),
            (&json!("failed"), &json!(1)),
            "{}",
            call["path"]
        );
    }
}

#[tokio::test]
async fn a_stalled_stream_goes_on_when_released() {
    let sim = Sim::start().await;
    for (path, body) in surfaces(r#"[sim {"chunks":["a","b"],"stall_after_chunks":1}]"#) {
        let since = sim.get("/_sim/health").await["last_seq"].as_u64().unwrap();
        let mut response = sim.post(path, &body).await;
        while sim.get(&format!("/_sim/calls?since={since}")).await["calls"][0]["chunks_sent"] != 1 {
            response.chunk().await.unwrap().unwrap();
        }
        let release = sim.http.post(format!("{}/_sim/release", sim.url)).send().await.unwrap();
        assert_eq!(release.status(), 204);
        while response.chunk().await.unwrap().is_some() {}
        let call = &sim.get(&format!("/_sim/calls?since={since}")).await["calls"][0];
        assert_eq!(
            (&call["outcome"], &call["chunks_sent"]),
            (&json!("completed"), &json!(2)),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_fault_strikes_one_model_for_some_attempts() {
    let sim = Sim::start().await;
    let script = r#"[sim {"text":"fine","faults":{"a":{"error":{"status":503},"times":2}}}]"#;
    let ask = async |model: &str| {
        let body = json!({"model": model, "messages": [{"role": "user", "content": script}]});
        sim.ask("/openai/v1/chat/completions", &body).await.0
    };
    assert_eq!(
        [ask("a").await, ask("b").await, ask("a").await, ask("a").await],
        [503, 200, 503, 200]
    );
}

#[tokio::test]
async fn faults_may_be_put_for_prompts_that_nobody_controls() {
    let sim = Sim::start().await;
    let ask = async |model: &str| {
        let body = json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
        sim.ask("/openai/v1/chat/completions", &body).await.0
    };
    let table =
        json!({"a": [{"times": 1}, {"error": {"status": 429, "retry_after": 2}, "times": 1}]});
    assert_eq!(sim.put("/_sim/faults", &table).await, 204);
    assert_eq!(
        [ask("a").await, ask("b").await, ask("a").await, ask("a").await],
        [200, 200, 429, 200]
    );
    assert_eq!(sim.put("/_sim/faults", &json!({"a": {"err": 1}})).await, 400);
    assert_eq!(sim.put("/_sim/faults", &json!({"*": {"error": {"status": 500}}})).await, 204);
    assert_eq!(ask("b").await, 500);
    assert_eq!(sim.put("/_sim/faults", &json!({})).await, 204);
    assert_eq!(ask("b").await, 200);
}

#[tokio::test]
async fn nobody_listens_at_the_closed_url() {
    let sim = Sim::start().await;
    let health = sim.get("/_sim/health").await;
    let error = sim.http.get(health["closed_url"].as_str().unwrap()).send().await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
}

//! The `SageMaker` runtime over plain HTTP.

use aws_smithy_eventstream::frame::read_message_from;
use serde_json::{Value, json};

use crate::support::Sim;

fn chat(script: &str, is_streamed: bool) -> Value {
    json!({"messages": [{"role": "user", "content": script}], "stream": is_streamed})
}

/// The type and payload of each message.
async fn parts(sim: &Sim, endpoint: &str, body: &Value) -> Vec<(String, String)> {
    let response =
        sim.post(&format!("/endpoints/{endpoint}/invocations-response-stream"), body).await;
    assert_eq!(response.headers()["content-type"], "application/vnd.amazon.eventstream");
    let bytes = response.bytes().await.unwrap();
    let mut rest = bytes.as_ref();
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let message = read_message_from(&mut rest).unwrap();
        let is_kind = |name: &str| matches!(name, ":event-type" | ":exception-type");
        let kind = message.headers().iter().find(|header| is_kind(header.name().as_str()));
        let kind = kind.unwrap().value().as_string().unwrap().as_str().to_owned();
        parts.push((kind, String::from_utf8(message.payload().to_vec()).unwrap()));
    }
    parts
}

#[tokio::test]
async fn a_containers_stream_arrives_in_arbitrary_parts() {
    let sim = Sim::start().await;
    let parts = parts(&sim, "llama-chat", &chat(r#"[sim {"chunks":["a","b"]}]"#, true)).await;
    assert!(parts.iter().all(|(kind, _)| kind == "PayloadPart"));
    assert!(parts.iter().any(|(_, part)| !part.ends_with("\n\n")));
    let whole: String = parts.iter().map(|(_, part)| part.as_str()).collect();
    assert!(whole.ends_with("data: [DONE]\n\n"));
    assert!(whole.contains(r#""content":"a""#) && whole.contains(r#""content":"b""#));
    let call = sim.call().await;
    assert_eq!(
        (&call["api"], &call["model"], &call["chunks_sent"]),
        (&json!("invoke-endpoint-stream"), &json!("llama-chat"), &json!(2))
    );
}

#[tokio::test]
async fn both_kinds_of_containers_answer() {
    let sim = Sim::start().await;
    let (_, answer) =
        sim.ask("/endpoints/llama-chat/invocations", &chat(r#"[sim {"text":"a b"}]"#, false)).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "a b");
    let inputs = json!({"inputs": r#"[sim {"text":"a b"}]"#, "parameters": {"max_new_tokens": 1}});
    let (_, answer) = sim.ask("/endpoints/flan-json/invocations", &inputs).await;
    assert_eq!(answer, json!([{"generated_text": "a "}]));
}

#[tokio::test]
async fn errors_are_those_of_the_runtime() {
    let sim = Sim::start().await;
    let path = "/endpoints/llama-chat/invocations";
    let response = sim.post(path, &json!({"messages": []})).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-amzn-errortype"]),
        (424, &"ModelError".parse().unwrap())
    );
    let error: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(error["OriginalStatusCode"], 400);
    let response = sim.post(path, &chat(r#"[sim {"error":{"status":503}}]"#, false)).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-amzn-errortype"]),
        (503, &"ServiceUnavailable".parse().unwrap())
    );
    let script = r#"[sim {"chunks":["a","b"],"error_after_chunks":1}]"#;
    let parts = parts(&sim, "llama-chat", &chat(script, true)).await;
    assert_eq!(parts.last().unwrap().0, "ModelStreamError");
}

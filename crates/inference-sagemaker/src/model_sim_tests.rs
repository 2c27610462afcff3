//! The adapter against the simulator, over real connections.

use std::time::Duration;

use aws_transport::testing::aws_at;
use inference::{ProviderAdapter as _, ProviderError, ProviderErrorKind, ProviderResponse};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::Sagemaker;
use crate::sagemaker::tests::{caller, collected, request};

async fn send(script: &Value, is_streaming: bool) -> Result<ProviderResponse, ProviderError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(model_sim::serve(listener, model_sim::Options::default()));
    let messages = json!([{"role": "user", "content": format!("Hi [sim {script}]")}]);
    let mut request = request(is_streaming);
    request.body = json!({"messages": messages, "stream": is_streaming}).to_string().into();
    Sagemaker::new(aws_at(&url, Duration::from_millis(300))).send(&caller().call(0), request).await
}

#[tokio::test]
async fn a_containers_stream_comes_back_whole() {
    let response = send(&json!({"chunks": ["Hel", "lo"]}), true).await.unwrap();
    assert!(
        response
            .headers
            .iter()
            .any(|(name, value)| name == "content-type" && value.starts_with("text/event-stream"))
    );
    let (bytes, error) = collected(response).await;
    assert_eq!(error, None);
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.starts_with("data: {") && text.ends_with("data: [DONE]\n\n"), "{text}");
    assert!(text.contains(r#""content":"Hel""#), "{text}");
}

#[tokio::test]
async fn an_answer_comes_back_whole() {
    let (bytes, error) = collected(send(&json!({"text": "Hi"}), false).await.unwrap()).await;
    assert_eq!(error, None);
    let answer: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "Hi");
}

#[tokio::test]
async fn faults_before_the_answer() {
    for (script, kind, may_have_run) in [
        (json!({"error": {"status": 503}}), ProviderErrorKind::Unavailable, true),
        (json!({"error": {"status": 429}}), ProviderErrorKind::Throttled, false),
        (json!({"error": {"status": 500}}), ProviderErrorKind::Internal, true),
        (json!({"cut_before_head": true}), ProviderErrorKind::Interrupted, true),
    ] {
        let error = send(&script, true).await.err().unwrap();
        assert_eq!((error.kind, error.may_have_run), (kind, may_have_run), "{script} {error}");
    }
}

#[tokio::test]
async fn faults_within_the_answer() {
    let chunks = json!(["a", "b", "c"]);
    for (script, kind) in [
        (json!({"chunks": chunks, "error_after_chunks": 1}), ProviderErrorKind::ModelError),
        (json!({"chunks": chunks, "cut_after_chunks": 1}), ProviderErrorKind::Interrupted),
        (json!({"chunks": chunks, "garbage_after_chunks": 1}), ProviderErrorKind::Interrupted),
        (json!({"chunks": chunks, "stall_after_chunks": 1}), ProviderErrorKind::Timeout),
    ] {
        let (_, error) = collected(send(&script, true).await.unwrap()).await;
        let error = error.unwrap();
        assert_eq!((error.kind, error.may_have_run), (kind, true), "{script} {error}");
    }
}

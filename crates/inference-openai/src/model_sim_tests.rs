//! The adapter against the simulator, over real connections.

use std::time::Duration;

use aws_transport::testing::aws_at;
use futures::StreamExt as _;
use inference::{
    Protocol, ProviderAdapter as _, ProviderError, ProviderErrorKind, ProviderResponse,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::OpenaiCompatible;
use crate::openai::tests::{caller, request};

async fn send(script: &Value) -> Result<ProviderResponse, ProviderError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(model_sim::serve(listener, model_sim::Options::default()));
    let mut caller = caller(&format!("{url}/v1"));
    caller.provider.auth = None;
    let messages = json!([{"role": "user", "content": format!("Hi [sim {script}]")}]);
    let mut request = request(Protocol::OpenaiChat, true);
    request.body = json!({"model": "m", "messages": messages, "stream": true}).to_string().into();
    let adapter = OpenaiCompatible::new(aws_at(&url, Duration::from_millis(300)));
    adapter.send(&caller.call(0), request).await
}

async fn collected(mut response: ProviderResponse) -> (String, Option<ProviderError>) {
    let mut text = String::new();
    while let Some(piece) = response.body.next().await {
        match piece {
            Ok(bytes) => text.push_str(std::str::from_utf8(&bytes).unwrap()),
            Err(error) => return (text, Some(error)),
        }
    }
    (text, None)
}

#[tokio::test]
async fn a_stream_passes_through() {
    let (text, error) = collected(send(&json!({"chunks": ["Hel", "lo"]})).await.unwrap()).await;
    assert_eq!(error, None);
    assert!(text.contains("Hel") && text.ends_with("data: [DONE]\n\n"), "{text}");
}

#[tokio::test]
async fn faults_before_the_answer() {
    let second = Some(Duration::from_secs(1));
    for (script, kind, may_have_run, wait) in [
        (
            json!({"error": {"status": 429, "retry_after": 1}}),
            ProviderErrorKind::Throttled,
            false,
            second,
        ),
        (json!({"error": {"status": 400}}), ProviderErrorKind::InvalidRequest, false, None),
        (json!({"error": {"status": 500}}), ProviderErrorKind::Internal, true, None),
        (json!({"cut_before_head": true}), ProviderErrorKind::Interrupted, true, None),
    ] {
        let error = send(&script).await.err().unwrap();
        assert_eq!((error.kind, error.may_have_run), (kind, may_have_run), "{script} {error}");
        assert_eq!(error.retry_after, wait, "{script}");
    }
}

#[tokio::test]
async fn faults_within_the_answer() {
    let chunks = json!(["a", "b", "c"]);
    for (script, kind) in [
        (json!({"chunks": chunks, "cut_after_chunks": 1}), ProviderErrorKind::Interrupted),
        (json!({"chunks": chunks, "stall_after_chunks": 1}), ProviderErrorKind::Timeout),
    ] {
        let (text, error) = collected(send(&script).await.unwrap()).await;
        let error = error.unwrap();
        assert!(text.contains(r#""content":"a""#), "{text}");
        assert_eq!((error.kind, error.may_have_run), (kind, true), "{script} {error}");
    }
}

//! The adapter against the simulator, over real connections.

use std::time::Duration;

use aws_transport::testing::{Caller, acme, aws_at};
use bytes::Bytes;
use futures::StreamExt as _;
use inference::{
    Event, Model, Operation, Protocol, ProviderAdapter as _, ProviderAnswer, ProviderError,
    ProviderErrorKind, ProviderRequest, ProviderResponse, StopReason,
};
use metering::TokenUsage;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::Bedrock;

const MODEL: &str = "us.anthropic.claude-sonnet-5";

struct Simulated {
    bedrock: Bedrock,
    url: String,
}

impl Simulated {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(model_sim::serve(listener, model_sim::Options::default()));
        Self { bedrock: Bedrock::new(aws_at(&url, Duration::from_secs(5))), url }
    }

    async fn calls(&self) -> Vec<Value> {
        let body = reqwest::get(format!("{}/_sim/calls", self.url)).await.unwrap().bytes().await;
        let mut answer: Value = serde_json::from_slice(&body.unwrap()).unwrap();
        serde_json::from_value(answer["calls"].take()).unwrap()
    }

    async fn send(&self, request: ProviderRequest) -> Result<ProviderResponse, ProviderError> {
        self.bedrock.send(&acme().call(0), request).await
    }

    /// The canonical events of a streamed Converse answer, and the error that ended it.
    async fn stream(&self, directive: &Value) -> (Vec<Event>, Option<ProviderError>) {
        let mut body = self.send(converse(directive, true)).await.unwrap().body;
        let codec = Protocol::Converse.codec().unwrap();
        let mut reader = codec.stream(&model());
        let mut events = Vec::new();
        let mut error = None;
        while let Some(piece) = body.next().await {
            let frames = match piece {
                Ok(bytes) => reader.push(&bytes),
                Err(cut) => {
                    error = Some(cut);
                    break;
                }
            };
            for frame in frames {
                events.extend(frame.events);
                error = error.or(frame.error);
            }
        }
        for frame in reader.finish() {
            events.extend(frame.events);
            error = error.or(frame.error);
        }
        (events, error)
    }
}

fn model() -> Model {
    acme().models[0].as_ref().clone()
}

fn request(protocol: Protocol, body: &Value, is_streaming: bool) -> ProviderRequest {
    let body = Bytes::from(body.to_string());
    ProviderRequest {
        protocol,
        operation: Operation::Invoke,
        is_streaming,
        headers: Vec::new(),
        body,
    }
}

fn converse(directive: &Value, is_streaming: bool) -> ProviderRequest {
    let messages =
        json!([{"role": "user", "content": [{"text": format!("Hi [sim {directive}]")}]}]);
    let body = json!({"messages": messages, "inferenceConfig": {"maxTokens": 100}});
    request(Protocol::Converse, &body, is_streaming)
}

fn chat(directive: &Value) -> ProviderRequest {
    let messages = json!([{"role": "user", "content": format!("Hi [sim {directive}]")}]);
    let body = json!({"model": MODEL, "stream": true, "max_tokens": 100, "messages": messages});
    request(Protocol::OpenaiChat, &body, true)
}

async fn whole(response: ProviderResponse) -> Vec<u8> {
    let pieces: Vec<_> = response.body.map(Result::unwrap).collect().await;
    pieces.concat()
}

const USAGE: TokenUsage = TokenUsage {
    input: 10,
    output: 2,
    cache_read: 3,
    cache_write_5m: 4,
    cache_write_1h: 5,
    input_audio: 0,
    output_audio: 0,
    images: 0,
    search_units: 0,
    guardrail_units: 0,
};

/// The same, as the simulator reads it.
fn usage() -> Value {
    json!({"input": 10, "output": 2, "cache_read": 3, "cache_write_5m": 4, "cache_write_1h": 5})
}

#[tokio::test]
async fn an_answer_and_its_usage_come_back_whole() {
    let simulated = Simulated::start().await;
    let script = json!({"chunks": ["Hel", "lo"], "usage": usage()});
    let response = simulated.send(converse(&script, false)).await.unwrap();
    assert!(response.provider_request_id.is_some());
    let body = whole(response).await.into();
    let answer = ProviderAnswer { body, ..ProviderAnswer::default() };
    let answer = Protocol::Converse.codec().unwrap().read(&model(), &answer).unwrap();
    assert_eq!((answer.usage, answer.stop_reason), (USAGE, StopReason::EndTurn));
}

#[tokio::test]
async fn a_stream_comes_back_in_its_chunks_with_its_usage() {
    let simulated = Simulated::start().await;
    let (events, error) =
        simulated.stream(&json!({"chunks": ["Hel", "lo"], "usage": usage()})).await;
    assert_eq!(error, None);
    let text: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::TextDelta { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(text, ["Hel", "lo"]);
    assert!(events.contains(&Event::Usage(USAGE)), "{events:?}");
}

#[tokio::test]
async fn a_stream_that_fails_or_is_cut_ends_in_one_error() {
    let simulated = Simulated::start().await;
    let chunks = json!(["a", "b", "c"]);
    for (script, kind) in [
        (
            json!({"chunks": chunks, "error_after_chunks": 2, "error": {"exception": "ThrottlingException"}}),
            ProviderErrorKind::Throttled,
        ),
        (json!({"chunks": chunks, "cut_after_chunks": 2}), ProviderErrorKind::Interrupted),
    ] {
        let (events, error) = simulated.stream(&script).await;
        let error = error.unwrap();
        assert_eq!((error.kind, error.may_have_run), (kind, true), "{error}");
        let texts = events.iter().filter(|event| matches!(event, Event::TextDelta { .. }));
        assert_eq!(texts.count(), 2);
    }
}

#[tokio::test]
async fn a_throttled_call_is_one_call() {
    let simulated = Simulated::start().await;
    let script = json!({"error": {"status": 429}});
    for request in [converse(&script, false), converse(&script, true), chat(&script)] {
        let error = simulated.send(request).await.err().unwrap();
        assert_eq!((error.kind, error.may_have_run), (ProviderErrorKind::Throttled, false));
    }
    assert_eq!(simulated.calls().await.len(), 3);
}

#[tokio::test]
async fn a_forwarded_stream_passes_through() {
    let simulated = Simulated::start().await;
    let request = chat(&json!({"chunks": ["Hel", "lo"]}));
    let response = simulated.send(request.clone()).await.unwrap();
    let content_type = response.headers.iter().find(|(name, _)| name == "content-type").unwrap();
    assert!(content_type.1.starts_with("text/event-stream"));
    assert!(whole(response).await.ends_with(b"data: [DONE]\n\n"));
    let calls = simulated.calls().await;
    assert_eq!(calls[0]["request_body"], serde_json::from_slice::<Value>(&request.body).unwrap());
}

#[tokio::test]
async fn every_call_carries_its_tenant_and_its_session() {
    let simulated = Simulated::start().await;
    let script = json!({"chunks": ["Hi"]});
    let (acme, globex) = (Caller::new("acme", &[MODEL]), Caller::new("globex", &[MODEL]));
    for (caller, request) in [
        (&acme, converse(&script, false)),
        (&globex, converse(&script, true)),
        (&acme, chat(&script)),
    ] {
        whole(simulated.bedrock.send(&caller.call(0), request).await.unwrap()).await;
    }
    let calls = simulated.calls().await;
    let seen: Vec<_> = calls
        .iter()
        .map(|call| [&call["api"], &call["tenant_id"], &call["model"], &call["access_key_id"]])
        .collect();
    let expected = [
        ["converse", "acme", MODEL, "SESSION0"],
        ["converse-stream", "globex", MODEL, "SESSION1"],
        ["chat-completions", "acme", MODEL, "SESSION0"],
    ];
    assert_eq!(seen, expected);
    assert!(calls.iter().all(|call| call["call_id"] == "0199c0de-0000-7000-8000-000000000001"));
}

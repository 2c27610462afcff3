//! The adapter against the simulator, over real connections.

use bytes::Bytes;
use futures::StreamExt as _;
use inference::{
    ContentBlock, Event, InferenceParameters, Message, ModelRequest, Provider as _, ProviderError,
    ProviderErrorKind, Role, StopReason,
};
use metering::TokenUsage;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::testing::{Caller, Clock, ROLE_ARN, acme, sdk_config, sts};
use crate::{Bedrock, Settings};

struct Simulated {
    bedrock: Bedrock,
    url: String,
}

impl Simulated {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(model_sim::serve(listener, model_sim::Options::default()));
        let clock = Clock::new();
        let settings = Settings { role_arn: ROLE_ARN.to_owned(), endpoint_url: Some(url.clone()) };
        let bedrock = Bedrock::new(&sdk_config(&sts(&clock), &clock), settings).await.unwrap();
        Self { bedrock, url }
    }

    async fn calls(&self) -> Vec<Value> {
        let body = reqwest::get(format!("{}/_sim/calls", self.url)).await.unwrap().bytes().await;
        let mut answer: Value = serde_json::from_slice(&body.unwrap()).unwrap();
        serde_json::from_value(answer["calls"].take()).unwrap()
    }

    async fn stream(&self, directive: &Value) -> Vec<Result<Event, ProviderError>> {
        let acme = acme();
        let events = self.bedrock.stream(&acme.call(0), scripted(directive)).await.unwrap();
        events.collect().await
    }
}

fn scripted(directive: &Value) -> ModelRequest {
    ModelRequest {
        messages: vec![Message {
            role: Role::User,
            content: vec![ContentBlock::Text(format!("Hi [sim {directive}]"))],
        }],
        inference: InferenceParameters { max_tokens: Some(100), ..InferenceParameters::default() },
        ..ModelRequest::default()
    }
}

fn chat_body(directive: &Value) -> Bytes {
    let messages = json!([{"role": "user", "content": format!("Hi [sim {directive}]")}]);
    let model = "us.anthropic.claude-sonnet-5";
    json!({"model": model, "stream": true, "max_tokens": 100, "messages": messages})
        .to_string()
        .into()
}

const USAGE: TokenUsage = TokenUsage {
    input: 10,
    output: 2,
    cache_read: 3,
    cache_write_5m: 4,
    cache_write_1h: 5,
    images: 0,
    search_units: 0,
};

#[tokio::test]
async fn an_answer_and_its_usage_come_back_whole() {
    let simulated = Simulated::start().await;
    let script = json!({"chunks": ["Hel", "lo"], "usage": USAGE,
        "tool_calls": [{"name": "get_weather", "arguments": {"days": 3}}]});
    let answer = simulated.bedrock.respond(&acme().call(0), scripted(&script)).await.unwrap();
    assert_eq!(answer.usage, USAGE);
    assert_eq!(answer.stop_reason, StopReason::ToolUse);
    let [ContentBlock::Text(text), ContentBlock::ToolUse { name, input, .. }] =
        answer.content.as_slice()
    else {
        panic!("{answer:?}")
    };
    assert_eq!(
        (text.as_str(), name.as_str(), input),
        ("Hello", "get_weather", &json!({"days": 3}))
    );
}

#[tokio::test]
async fn a_stream_comes_back_in_its_chunks_with_usage_last() {
    let simulated = Simulated::start().await;
    let events = simulated.stream(&json!({"chunks": ["Hel", "lo"], "usage": USAGE})).await;
    let expected = [
        Event::TextDelta { block: 0, text: "Hel".to_owned() },
        Event::TextDelta { block: 0, text: "lo".to_owned() },
        Event::BlockStop { block: 0 },
        Event::Stop { reason: StopReason::EndTurn, stop_sequence: None },
        Event::Usage(USAGE),
    ];
    assert_eq!(events, expected.map(Ok));
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
        let events = simulated.stream(&script).await;
        let (last, before) = events.split_last().unwrap();
        let error = last.as_ref().unwrap_err();
        assert_eq!((error.kind, error.may_have_run), (kind, true), "{error}");
        let texts = before.iter().filter(|event| matches!(event, Ok(Event::TextDelta { .. })));
        assert_eq!(texts.count(), 2);
    }
}

#[tokio::test]
async fn a_throttled_call_is_one_call() {
    let simulated = Simulated::start().await;
    let script = json!({"error": {"status": 429}});
    let acme = acme();
    let bedrock = &simulated.bedrock;
    for error in [
        bedrock.respond(&acme.call(0), scripted(&script)).await.unwrap_err(),
        bedrock.stream(&acme.call(0), scripted(&script)).await.err().unwrap(),
        bedrock.forward(&acme.call(0), chat_body(&script)).await.err().unwrap(),
    ] {
        assert_eq!((error.kind, error.may_have_run), (ProviderErrorKind::Throttled, false));
    }
    assert_eq!(simulated.calls().await.len(), 3);
}

#[tokio::test]
async fn a_forwarded_stream_passes_through() {
    let simulated = Simulated::start().await;
    let body = chat_body(&json!({"chunks": ["Hel", "lo"]}));
    let response = simulated.bedrock.forward(&acme().call(0), body.clone()).await.unwrap();
    assert!(response.content_type.unwrap().starts_with("text/event-stream"));
    let answer: Vec<_> = response.body.map(Result::unwrap).collect().await;
    assert!(answer.concat().ends_with(b"data: [DONE]\n\n"));
    let calls = simulated.calls().await;
    assert_eq!(calls[0]["request_body"], serde_json::from_slice::<Value>(&body).unwrap());
}

#[tokio::test]
async fn every_call_carries_its_tenant_and_its_session() {
    let simulated = Simulated::start().await;
    let script = json!({"chunks": ["Hi"]});
    let model = ["us.anthropic.claude-sonnet-5"];
    let (acme, globex) = (Caller::new("acme", &model), Caller::new("globex", &model));
    simulated.bedrock.respond(&acme.call(0), scripted(&script)).await.unwrap();
    drop(simulated.bedrock.stream(&globex.call(0), scripted(&script)).await.unwrap());
    drop(simulated.bedrock.forward(&acme.call(0), chat_body(&script)).await.unwrap());
    let calls = simulated.calls().await;
    let seen: Vec<_> = calls
        .iter()
        .map(|call| [&call["api"], &call["tenant_id"], &call["model"], &call["access_key_id"]])
        .collect();
    let expected = [
        ["converse", "acme", model[0], "SESSION0"],
        ["converse-stream", "globex", model[0], "SESSION1"],
        ["chat-completions", "acme", model[0], "SESSION0"],
    ];
    assert_eq!(seen, expected);
    assert!(calls.iter().all(|call| call["call_id"] == "0199c0de-0000-7000-8000-000000000001"));
}

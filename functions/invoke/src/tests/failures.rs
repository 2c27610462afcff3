//! What callers get and what is recorded when providers, clients or the ledger fail.

use std::time::Duration;

use admission::fakes::hard;
use admission::{Metric, Period};
use http::StatusCode;
use http_body_util::BodyExt as _;
use inference::{Event, ProviderErrorKind};
use metering::{NanoUsd, Outcome, TokenUsage};

use serde_json::json;

use super::support::{
    Gateway, Script, USAGE, body, chat, provider_error, streamed, text, text_events, whole,
};

#[tokio::test]
async fn a_refusal_by_the_provider_has_a_status_and_costs_nothing() {
    for (request, kind, status) in [
        (chat("converse-a"), ProviderErrorKind::QuotaExceeded, StatusCode::TOO_MANY_REQUESTS),
        (streamed("converse-a"), ProviderErrorKind::InvalidRequest, StatusCode::BAD_REQUEST),
        (streamed("native-b"), ProviderErrorKind::AccessDenied, StatusCode::FORBIDDEN),
    ] {
        let gateway = Gateway::new(vec![], vec![Script::Refuse(provider_error(kind, false))]);
        let response = gateway.send("acme", &request).await;
        assert_eq!(response.status(), status);
        assert!(body(response).await["error"]["message"].is_string());
        let record = gateway.record();
        assert_eq!(
            (record.outcome, record.cost_nanousd, record.is_estimated),
            (Outcome::Refused, NanoUsd::ZERO, false)
        );
    }
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_event_and_is_billed_for_what_was_seen() {
    let mut events = text_events(&["Hel", "lo"]);
    events.truncate(2);
    events.push(Err(provider_error(ProviderErrorKind::ModelError, true)));
    let gateway = Gateway::new(vec![], vec![Script::Events(events)]);
    let answer = text(gateway.send("acme", &streamed("converse-a")).await).await;
    assert!(answer.contains(r#""error":{"#) && !answer.contains("[DONE]"), "{answer}");
    let record = gateway.record();
    assert_eq!(
        (record.outcome, record.is_estimated, record.usage.output),
        (Outcome::Failed, true, 2)
    );
    assert!(record.cost_nanousd > NanoUsd::ZERO && record.cost_nanousd <= record.reserved_nanousd);
}

#[tokio::test]
async fn a_broken_connection_is_billed_what_was_reserved() {
    let script = Script::Refuse(provider_error(ProviderErrorKind::Interrupted, true));
    let gateway = Gateway::new(vec![], vec![script]);
    assert_eq!(gateway.send("acme", &chat("converse-a")).await.status(), StatusCode::BAD_GATEWAY);
    let record = gateway.record();
    assert_eq!((record.cost_nanousd, record.is_estimated), (record.reserved_nanousd, true));
}

#[tokio::test]
async fn an_answer_without_usage_is_billed_by_an_estimate() {
    let mut answer = whole("Hello there");
    answer.usage = TokenUsage::default();
    let gateway = Gateway::new(vec![], vec![Script::Whole(answer)]);
    assert_eq!(gateway.send("acme", &chat("converse-a")).await.status(), StatusCode::OK);
    let record = gateway.record();
    assert!(
        record.is_estimated
            && record.usage.output > 0
            && record.cost_nanousd <= record.reserved_nanousd
    );
}

#[tokio::test]
async fn a_client_that_hangs_up_is_billed_what_the_provider_produces() {
    let messages = json!([{"role": "user", "content": "Hello"}]);
    let converse = json!({"messages": [{"role": "user", "content": [{"text": "Hello"}]}]});
    let anthropic =
        json!({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100, "messages": messages});
    for (path, request) in [
        ("/v1/chat/completions", streamed("converse-a")),
        ("/v1/responses", json!({"model": "converse-a", "input": "Hello", "stream": true})),
        (
            "/v1/messages",
            json!({"model": "converse-a", "max_tokens": 100, "messages": messages, "stream": true}),
        ),
        ("/bedrock/model/converse-a/converse-stream", converse),
        ("/bedrock/model/converse-a/invoke-with-response-stream", anthropic),
    ] {
        let (sender, events) = futures::channel::mpsc::unbounded();
        let gateway = Gateway::new(vec![], vec![Script::Live(events)]);
        sender.unbounded_send(Ok(Event::TextDelta { block: 0, text: "one".into() })).unwrap();
        let mut body = gateway.post("acme", path, &[], &request).await.into_body();
        body.frame().await.unwrap().unwrap();
        drop(body);
        for event in text_events(&["two", "three"]) {
            sender.unbounded_send(event).unwrap();
        }
        drop(sender);
        while gateway.records().is_empty() {
            tokio::task::yield_now().await;
        }
        let record = gateway.record();
        assert_eq!((record.usage, record.outcome), (USAGE, Outcome::Completed), "{path}");
    }
}

/// Every generating route is held to the same budget, those of Bedrock's own API as well.
#[tokio::test]
async fn a_spent_budget_refuses_every_dialect() {
    let limits = vec![hard(Metric::Cost, Period::Month, 1)];
    let messages = json!([{"role": "user", "content": "Hello"}]);
    let converse = json!({"messages": [{"role": "user", "content": [{"text": "Hello"}]}]});
    for (path, request) in [
        ("/v1/responses", json!({"model": "converse-a", "input": "Hello"})),
        ("/v1/messages", json!({"model": "converse-a", "max_tokens": 9, "messages": messages})),
        ("/bedrock/model/converse-a/converse", converse.clone()),
        ("/bedrock/model/converse-a/converse-stream", converse),
    ] {
        let gateway = Gateway::new(limits.clone(), vec![]);
        let response = gateway.post("acme", path, &[], &request).await;
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS, "{path}");
        assert_eq!(gateway.provider_calls(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_thinking_model_keeps_its_caller_waiting_with_signs_of_life() {
    let think =
        |kind: Vec<_>| Gateway::new(vec![], vec![Script::Think(Duration::from_secs(25), kind)]);
    let gateway = think(text_events(&["Hi"]));
    let answer = text(gateway.send("acme", &streamed("converse-a")).await).await;
    assert!(answer.starts_with(": keep-alive\n\n: keep-alive\n\ndata: "), "{answer}");

    let gateway = think(vec![Err(provider_error(ProviderErrorKind::QuotaExceeded, false))]);
    let response = gateway.send("acme", &streamed("converse-a")).await;
    assert_eq!(response.status(), 200, "the first sign of life decided that");
    let answer = text(response).await;
    assert!(answer.contains("rate_limit_exceeded") && !answer.contains("[DONE]"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_never_answers_is_given_up_before_the_function_ends() {
    let (sender, events) = futures::channel::mpsc::unbounded();
    let gateway = Gateway::new(vec![], vec![Script::Live(events)]);
    let answer = text(gateway.send("acme", &streamed("converse-a")).await).await;
    assert!(answer.contains("provider_timeout"), "{answer}");
    assert_eq!(gateway.record().outcome, Outcome::Failed);
    drop(sender);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_not_withheld_because_its_record_is_left_to_the_sweep() {
    let gateway = Gateway::new(vec![], vec![Script::Events(text_events(&["Hi"]))]);
    gateway.state.ledger.fail("put_record");
    let answer = text(gateway.send("acme", &streamed("converse-a")).await).await;
    assert!(answer.ends_with("data: [DONE]\n\n"), "{answer}");
    assert!(
        gateway.committed("acme") > NanoUsd::ZERO,
        "the reservation stays open until the sweep"
    );
}

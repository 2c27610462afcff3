//! Requests that take several provider calls: each is reserved for, made and recorded by itself.

use admission::fakes::hard;
use admission::{Metric, Period};
use bytes::Bytes;
use http::StatusCode;
use inference::{BodyFormat, Model, Protocol, ProviderErrorKind, fixtures};
use metering::{NanoUsd, Outcome};
use serde_json::{Value, json};

use super::support::{Gateway, Script, body, provider_error};

/// A model that takes one text a call.
fn titan() -> Model {
    let model = fixtures::model("titan", Protocol::InvokeModel);
    Model { body: Some(BodyFormat::TitanEmbed), max_output_tokens: 0, ..model }
}

fn vector(number: f32) -> Script {
    let answer = json!({"embedding": [number], "inputTextTokenCount": 1});
    Script::Bytes(vec![Ok(Bytes::from(answer.to_string()))])
}

async fn embed(gateway: &Gateway, texts: &[&str]) -> (StatusCode, Value) {
    let request = json!({"model": "titan", "input": texts, "encoding_format": "float"});
    let response = gateway.post("acme", "/v1/embeddings", &[], &request).await;
    (response.status(), body(response).await)
}

#[tokio::test]
async fn a_target_that_is_tried_again_is_asked_for_what_is_missing_only() {
    let refused = Script::Refuse(provider_error(ProviderErrorKind::Throttled, false));
    let scripts = vec![vector(1.0), refused, vector(3.0), vector(2.0)];
    let gateway = Gateway::with_models(vec![], scripts, &[titan()]);
    let (status, answer) = embed(&gateway, &["a", "b", "c"]).await;
    assert_eq!(status, 200, "{answer}");
    let asked: Vec<Value> = gateway.state.providers.calls.lock().unwrap()[..]
        .iter()
        .map(|(_, _, body)| serde_json::from_slice::<Value>(body).unwrap()["inputText"].clone())
        .collect();
    assert_eq!(asked, ["a", "b", "c", "b"], "what was answered is not asked for again");
    assert_eq!(answer["data"].as_array().unwrap().len(), 3);
    assert_eq!(gateway.records().len(), gateway.provider_calls(), "a record for each call");
}

#[tokio::test]
async fn calls_that_are_reserved_and_not_made_cost_nothing() {
    // A call reserves some 0.5 milli-USD: three fit, the fourth does not.
    let limits = vec![hard(Metric::Cost, Period::Month, 1_600_000)];
    let gateway = Gateway::with_models(limits, vec![vector(1.0)], &[titan()]);
    let (status, error) = embed(&gateway, &["a", "b", "c", "d"]).await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!("insufficient_quota"))
    );
    assert_eq!(gateway.provider_calls(), 1);
    let attempts = gateway.attempts();
    let outcomes: Vec<_> = attempts.iter().map(|(_, _, outcome)| *outcome).collect();
    assert_eq!(outcomes, [Outcome::Completed, Outcome::Refused, Outcome::Refused]);
    let costs: Vec<_> = gateway.records().iter().map(|record| record.cost_nanousd).collect();
    assert_eq!(costs.iter().filter(|cost| **cost > NanoUsd::ZERO).count(), 1, "{costs:?}");
}

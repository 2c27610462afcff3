//! Who answers when a target fails, what the client sees of it, and that each attempt is recorded once.

use admission::fakes::hard;
use admission::{Metric, Period};
use bytes::Bytes;
use http::StatusCode;
use inference::{Event, ProviderErrorKind};
use metering::{NanoUsd, Outcome};

use super::support::{
    Gateway, Script, body, chat, provider_error, streamed, text, text_events, whole,
};

fn refused(kind: ProviderErrorKind) -> Script {
    Script::Refuse(provider_error(kind, false))
}

fn recorded(attempts: &[(u32, &str, Outcome)]) -> Vec<(u32, String, Outcome)> {
    attempts.iter().map(|(number, model, outcome)| (*number, (*model).into(), *outcome)).collect()
}

#[tokio::test]
async fn the_next_target_answers_and_every_attempt_is_recorded_once() {
    for request in [chat("resilient"), streamed("resilient")] {
        let limits = vec![hard(Metric::Requests, Period::Minute, 1)];
        let answer = if request["stream"] == true {
            Script::Events(text_events(&["Hi"]))
        } else {
            Script::Whole(whole("Hi"))
        };
        let scripts = vec![
            refused(ProviderErrorKind::Throttled),
            refused(ProviderErrorKind::Unavailable),
            answer,
        ];
        let gateway = Gateway::new(limits, scripts);
        let response = gateway.send("acme", &request).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-weir-model"], "native-b");
        assert_eq!(response.headers()["x-weir-attempts"], "3");
        assert!(text(response).await.contains("Hi"));
        let expected = [
            (1, "converse-a", Outcome::Refused),
            (2, "converse-a", Outcome::Refused),
            (3, "native-b", Outcome::Completed),
        ];
        assert_eq!(gateway.attempts(), recorded(&expected));
        let record = gateway.records().into_iter().find(|record| record.id.attempt == 3).unwrap();
        assert_eq!(record.choice.requested_model, "resilient");
        assert_eq!(record.choice.route.as_deref(), Some("resilient"));
    }
}

#[tokio::test]
async fn a_stream_that_fails_before_its_first_content_is_taken_over() {
    let broken = vec![
        Ok(Event::TextDelta { block: 0, text: String::new() }),
        Err(provider_error(ProviderErrorKind::ModelError, true)),
    ];
    let scripts = vec![Script::Events(broken), Script::Events(text_events(&["Hi"]))];
    let gateway = Gateway::new(vec![], scripts);
    let response = gateway.send("acme", &streamed("resilient")).await;
    assert_eq!(response.headers()["x-weir-attempts"], "2");
    let answer = text(response).await;
    assert!(answer.contains("Hi") && !answer.contains("error"), "{answer}");
    assert_eq!(answer.matches(r#""role":"assistant""#).count(), 1, "one answer, one beginning");
    let expected = [(1, "converse-a", Outcome::Failed), (2, "native-b", Outcome::Completed)];
    assert_eq!(gateway.attempts(), recorded(&expected));
}

#[tokio::test]
async fn a_stream_that_fails_after_its_first_content_is_not() {
    let mut events = text_events(&["Hel"]);
    events.truncate(1);
    events.push(Err(provider_error(ProviderErrorKind::Unavailable, true)));
    let gateway = Gateway::new(vec![], vec![Script::Events(events)]);
    let answer = text(gateway.send("acme", &streamed("resilient")).await).await;
    assert!(answer.contains("Hel") && answer.contains(r#""error":{"#), "{answer}");
    assert_eq!(gateway.attempts(), recorded(&[(1, "converse-a", Outcome::Failed)]));
}

#[tokio::test]
async fn a_wrong_request_is_asked_once() {
    let gateway = Gateway::new(vec![], vec![refused(ProviderErrorKind::InvalidRequest)]);
    let response = gateway.send("acme", &chat("resilient")).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(gateway.provider_calls(), 1);
}

#[tokio::test]
async fn the_last_target_s_error_is_the_client_s() {
    let scripts =
        vec![refused(ProviderErrorKind::ModelNotFound), refused(ProviderErrorKind::AccessDenied)];
    let gateway = Gateway::new(vec![], scripts);
    let response = gateway.send("acme", &streamed("resilient")).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(body(response).await["error"]["code"], "model_access_denied");
}

#[tokio::test]
async fn a_target_that_is_not_allowed_is_passed_over() {
    let gateway = Gateway::new(vec![], vec![Script::Whole(whole("Hi"))]);
    let response = gateway.send("globex", &chat("resilient")).await;
    assert_eq!(response.headers()["x-weir-model"], "native-b");
    assert_eq!(response.headers()["x-weir-attempts"], "1");
}

#[tokio::test]
async fn a_fallback_is_held_to_the_budget_as_well() {
    // One call reserves some 1.1 milli-USD; the first attempt keeps all of it, since it may have run.
    let limits = vec![hard(Metric::Cost, Period::Month, 1_500_000)];
    let lost = Script::Refuse(provider_error(ProviderErrorKind::Interrupted, true));
    let gateway = Gateway::new(limits, vec![lost]);
    let response = gateway.send("acme", &chat("resilient")).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(body(response).await["error"]["code"], "insufficient_quota");
    assert!(gateway.committed("acme") <= NanoUsd(1_500_000));
}

#[tokio::test]
async fn a_model_by_its_own_name_is_asked_again_only_if_nothing_can_have_run() {
    let scripts = vec![refused(ProviderErrorKind::Throttled), Script::Whole(whole("Hi"))];
    let gateway = Gateway::new(vec![], scripts);
    assert_eq!(gateway.send("acme", &chat("converse-a")).await.status(), 200);
    let lost = Script::Refuse(provider_error(ProviderErrorKind::Interrupted, true));
    let gateway = Gateway::new(vec![], vec![lost]);
    assert_eq!(gateway.send("acme", &chat("converse-a")).await.status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn garbage_in_place_of_an_answer_is_a_failure() {
    let garbage = || Script::Bytes(vec![Ok(Bytes::from_static(b"<html>"))]);
    let gateway = Gateway::new(vec![], vec![garbage(), garbage(), Script::Whole(whole("Hi"))]);
    let response = gateway.send("acme", &chat("resilient")).await;
    assert_eq!(response.headers()["x-weir-model"], "native-b");
}

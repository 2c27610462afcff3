use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message as Frame};
use inference::{ModelRequest, Provider as _, ProviderErrorKind, StopReason};
use metering::TokenUsage;
use proptest::prelude::*;

use super::*;
use crate::testing::{FakeService, acme, bedrock};

fn frame(headers: &[(&'static str, &str)], payload: &str) -> Vec<u8> {
    let frame =
        headers.iter().fold(Frame::new(payload.as_bytes().to_vec()), |frame, (name, value)| {
            frame.add_header(Header::new(*name, HeaderValue::String((*value).to_owned().into())))
        });
    let mut bytes = Vec::new();
    write_message_to(&frame, &mut bytes).unwrap();
    bytes
}

fn event_frame(kind: &str, payload: &str) -> Vec<u8> {
    frame(
        &[(":message-type", "event"), (":event-type", kind), (":content-type", "application/json")],
        payload,
    )
}

fn exception_frame(kind: &str) -> Vec<u8> {
    let headers = [
        (":message-type", "exception"),
        (":exception-type", kind),
        (":content-type", "application/json"),
    ];
    frame(&headers, r#"{"message":"over"}"#)
}

fn text_frame(text: &str) -> Vec<u8> {
    event_frame(
        "contentBlockDelta",
        &format!(r#"{{"contentBlockIndex":0,"delta":{{"text":"{text}"}}}}"#),
    )
}

fn stop_frame() -> Vec<u8> {
    event_frame("messageStop", r#"{"stopReason":"end_turn"}"#)
}

/// What the adapter makes of a streamed body.
async fn events(body: SdkBody) -> Vec<Result<Event, ProviderError>> {
    let body = std::sync::Mutex::new(Some(body));
    let service = FakeService::new(move |_| {
        http::Response::builder()
            .header("content-type", "application/vnd.amazon.eventstream")
            .header("x-amzn-requestid", "request-1")
            .body(body.lock().unwrap().take().unwrap())
            .unwrap()
    });
    let acme = acme();
    let mut bedrock = bedrock(&service).await;
    bedrock.max_silence = Duration::from_millis(50);
    match bedrock.stream(&acme.call(0), ModelRequest::default()).await {
        Ok(events) => events.collect().await,
        Err(error) => vec![Err(error)],
    }
}

async fn events_of(frames: &[Vec<u8>]) -> Vec<Result<Event, ProviderError>> {
    events(SdkBody::from(frames.concat())).await
}

#[tokio::test]
async fn every_known_event_has_its_canonical_form() {
    let frames = [
        event_frame("messageStart", r#"{"role":"assistant"}"#),
        event_frame(
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"Hm."}}}"#,
        ),
        event_frame(
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"c2ln"}}}"#,
        ),
        event_frame("contentBlockStop", r#"{"contentBlockIndex":0}"#),
        event_frame("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"text":"Hello"}}"#),
        event_frame("contentBlockStop", r#"{"contentBlockIndex":1}"#),
        event_frame(
            "contentBlockStart",
            r#"{"contentBlockIndex":2,"start":{"toolUse":{"toolUseId":"t1","name":"get_weather"}}}"#,
        ),
        event_frame(
            "contentBlockDelta",
            r#"{"contentBlockIndex":2,"delta":{"toolUse":{"input":"{\"city\":"}}}"#,
        ),
        event_frame("contentBlockStop", r#"{"contentBlockIndex":2}"#),
        event_frame("messageStop", r#"{"stopReason":"tool_use"}"#),
        event_frame(
            "metadata",
            r#"{"usage":{"inputTokens":10,"outputTokens":5,"totalTokens":137,"cacheReadInputTokens":22,
            "cacheWriteInputTokens":100,"cacheDetails":[{"ttl":"1h","inputTokens":70},{"ttl":"5m","inputTokens":30}]},
            "metrics":{"latencyMs":5}}"#,
        ),
    ];
    let events: Vec<_> = events_of(&frames).await.into_iter().map(Result::unwrap).collect();
    insta::assert_json_snapshot!(events);
}

#[tokio::test]
async fn what_is_not_known_is_skipped() {
    let frames = [
        event_frame("somethingNew", r#"{"a":1}"#),
        event_frame("contentBlockStart", r#"{"contentBlockIndex":0,"start":{"hologram":{}}}"#),
        event_frame("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"hologram":{}}}"#),
        event_frame(
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"redactedContent":"AA=="}}}"#,
        ),
        event_frame("messageStop", r#"{"stopReason":"bored"}"#),
    ];
    assert_eq!(
        events_of(&frames).await,
        [Ok(Event::Stop { reason: StopReason::Other("bored".to_owned()), stop_sequence: None })]
    );
}

#[tokio::test]
async fn a_stream_without_usage_just_ends() {
    let events = events_of(&[text_frame("Hi"), stop_frame()]).await;
    let expected = [
        Event::TextDelta { block: 0, text: "Hi".to_owned() },
        Event::Stop { reason: StopReason::EndTurn, stop_sequence: None },
    ];
    assert_eq!(events, expected.map(Ok));
}

#[tokio::test]
async fn an_exception_ends_the_stream_and_may_have_cost_something() {
    for (exception, kind) in [
        ("internalServerException", ProviderErrorKind::Internal),
        ("modelStreamErrorException", ProviderErrorKind::ModelError),
        ("serviceUnavailableException", ProviderErrorKind::Unavailable),
        ("throttlingException", ProviderErrorKind::Throttled),
        ("validationException", ProviderErrorKind::InvalidRequest),
        ("unheardOfException", ProviderErrorKind::Internal),
    ] {
        let events =
            events_of(&[text_frame("Hi"), exception_frame(exception), text_frame("unreachable")])
                .await;
        let [Ok(Event::TextDelta { .. }), Err(error)] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert_eq!((error.kind, error.may_have_run), (kind, true), "{exception}");
        assert_eq!(error.provider_request_id.as_deref(), Some("request-1"));
    }
}

#[tokio::test]
async fn a_stream_that_ends_before_the_answer_is_interrupted() {
    let mut cut_off = stop_frame();
    cut_off.pop();
    for frames in [vec![], vec![text_frame("Hi")], vec![text_frame("Hi"), cut_off]] {
        let events = events_of(&frames).await;
        let error = events.last().unwrap().as_ref().unwrap_err();
        assert_eq!(
            (error.kind, error.may_have_run),
            (ProviderErrorKind::Interrupted, true),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_given_up() {
    let chunks = futures::stream::iter([Ok::<_, std::io::Error>(http_body::Frame::data(
        text_frame("Hi").into(),
    ))]);
    let body = http_body_util::StreamBody::new(chunks.chain(futures::stream::pending()));
    let events = events(SdkBody::from_body_1_x(body)).await;
    let [Ok(Event::TextDelta { .. }), Err(error)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((error.kind, error.may_have_run), (ProviderErrorKind::Timeout, true));
}

#[tokio::test]
async fn usage_is_the_last_event() {
    let usage =
        event_frame("metadata", r#"{"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3}}"#);
    let events = events_of(&[text_frame("Hi"), stop_frame(), usage]).await;
    let expected = TokenUsage { input: 1, output: 2, ..TokenUsage::default() };
    assert_eq!(events.last(), Some(&Ok(Event::Usage(expected))));
}

fn run(body: Vec<u8>) -> Vec<Result<Event, ProviderError>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(events(SdkBody::from(body)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn garbage_ends_in_one_error(body in prop::collection::vec(any::<u8>(), 0..256)) {
        let events = run(body);
        prop_assert!(matches!(events.as_slice(), [Err(_)]), "{events:?}");
    }

    #[test]
    fn a_well_framed_event_of_any_content_does_not_panic(
        kind in prop::sample::select(vec![
            "messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata",
        ]),
        payload in "[{}\\[\\]\":,a-z0-9-]{0,64}",
    ) {
        let events = run(event_frame(kind, &payload));
        prop_assert!(events.iter().rev().skip(1).all(Result::is_ok));
    }
}

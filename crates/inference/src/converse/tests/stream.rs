use bytes::Bytes;
use metering::TokenUsage;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::able_model;
use crate::converse::ConverseCodec;
use crate::wire::eventstream::{event, exception};
use crate::{Codec as _, Event, Frame, ProviderErrorKind, StopReason};

/// The frames of a stream that comes in pieces of that size.
fn read(bytes: &[u8], chunk: usize) -> Vec<Frame> {
    let mut reader = ConverseCodec.stream(&able_model());
    let mut frames: Vec<_> = bytes.chunks(chunk).flat_map(|chunk| reader.push(chunk)).collect();
    frames.extend(reader.finish());
    frames
}

fn events(frames: &[Frame]) -> Vec<Event> {
    frames.iter().flat_map(|frame| frame.events.clone()).collect()
}

fn text() -> Bytes {
    event("contentBlockDelta", &json!({"contentBlockIndex": 0, "delta": {"text": "Hi"}}))
}

fn stop() -> Bytes {
    event("messageStop", &json!({"stopReason": "end_turn"}))
}

fn full() -> Vec<u8> {
    let delta = |index: u32, delta: Value| {
        event("contentBlockDelta", &json!({"contentBlockIndex": index, "delta": delta}))
    };
    let block_stop = |index: u32| event("contentBlockStop", &json!({"contentBlockIndex": index}));
    [
        event("messageStart", &json!({"role": "assistant"})),
        delta(0, json!({"reasoningContent": {"text": "Hm."}})),
        delta(0, json!({"reasoningContent": {"signature": "c2ln"}})),
        block_stop(0),
        delta(1, json!({"reasoningContent": {"redactedContent": "cmVk"}})),
        block_stop(1),
        delta(2, json!({"text": "Hello"})),
        block_stop(2),
        event(
            "contentBlockStart",
            &json!({"contentBlockIndex": 3, "start": {"toolUse": {"toolUseId": "t1", "name": "get_weather"}}}),
        ),
        delta(3, json!({"toolUse": {"input": "{\"city\":"}})),
        block_stop(3),
        event(
            "messageStop",
            &json!({"stopReason": "stop_sequence", "additionalModelResponseFields": {"stop_sequence": "END"}}),
        ),
        event(
            "metadata",
            &json!({
                "usage": {
                    "inputTokens": 10, "outputTokens": 5, "totalTokens": 137, "cacheReadInputTokens": 22,
                    "cacheWriteInputTokens": 100,
                    "cacheDetails": [{"ttl": "1h", "inputTokens": 70}, {"ttl": "5m", "inputTokens": 30}],
                },
                "metrics": {"latencyMs": 5},
            }),
        ),
    ]
    .concat()
}

#[test]
fn every_known_event_has_its_canonical_form() {
    let frames = read(&full(), usize::MAX);
    assert_eq!(frames.len(), 13);
    insta::assert_json_snapshot!(events(&frames));
}

#[test]
fn what_is_not_known_is_skipped() {
    let bytes = [
        event("somethingNew", &json!({"a": 1})),
        event("contentBlockStart", &json!({"contentBlockIndex": 0, "start": {"hologram": {}}})),
        event("contentBlockDelta", &json!({"contentBlockIndex": 0, "delta": {"hologram": {}}})),
        event("messageStop", &json!({"stopReason": "bored"})),
    ]
    .concat();
    let frames = read(&bytes, usize::MAX);
    let reason = StopReason::Other("bored".to_owned());
    assert_eq!(events(&frames), [Event::Stop { reason, stop_sequence: None }]);
    assert_eq!(frames.len(), 4);
}

#[test]
fn an_exception_ends_the_stream_and_may_have_cost_something() {
    for (name, kind) in [
        ("internalServerException", ProviderErrorKind::Internal),
        ("modelStreamErrorException", ProviderErrorKind::ModelError),
        ("serviceUnavailableException", ProviderErrorKind::Unavailable),
        ("throttlingException", ProviderErrorKind::Throttled),
        ("validationException", ProviderErrorKind::InvalidRequest),
        ("unheardOfException", ProviderErrorKind::Internal),
    ] {
        let bytes = [text(), exception(name, &json!({"message": "over"})), text()].concat();
        let frames = read(&bytes, usize::MAX);
        let errors: Vec<_> = frames.iter().filter_map(|frame| frame.error.as_ref()).collect();
        let [error] = errors.as_slice() else { panic!("{frames:?}") };
        assert_eq!((error.kind, error.may_have_run), (kind, true), "{name}");
        assert_eq!(error.message, "over");
        assert_eq!(events(&frames).len(), 1, "nothing follows an error");
    }
}

#[test]
fn a_stream_that_ends_before_the_answer_is_interrupted() {
    let cut = stop().slice(..20);
    for bytes in [Bytes::new(), text(), [text(), cut].concat().into()] {
        let frames = read(&bytes, usize::MAX);
        let error = frames.last().and_then(|frame| frame.error.as_ref()).unwrap();
        assert_eq!((error.kind, error.may_have_run), (ProviderErrorKind::Interrupted, true));
    }
}

#[test]
fn a_stream_without_usage_just_ends() {
    let frames = read(&[text(), stop()].concat(), usize::MAX);
    assert!(frames.iter().all(|frame| frame.error.is_none()));
    let usage = event(
        "metadata",
        &json!({"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}}),
    );
    let frames = read(&[text(), stop(), usage].concat(), usize::MAX);
    let expected = TokenUsage { input: 1, output: 2, ..TokenUsage::default() };
    assert_eq!(events(&frames).last(), Some(&Event::Usage(expected)));
}

proptest! {
    #[test]
    fn cutting_changes_nothing(chunk in 1_usize..200) {
        prop_assert_eq!(read(&full(), chunk), read(&full(), usize::MAX));
    }

    #[test]
    fn any_bytes_are_read_without_loss_and_with_one_error_at_most(
        bytes in prop::collection::vec(any::<u8>(), 0..256),
        place in 0_usize..2_000,
        chunk in 1_usize..300,
    ) {
        let mut stream = full();
        let place = place.min(stream.len());
        stream.splice(place..place, bytes);
        let frames = read(&stream, chunk);
        let read: Vec<u8> = frames.iter().flat_map(|frame| frame.bytes.clone()).collect();
        prop_assert_eq!(read, stream);
        prop_assert!(frames.iter().filter(|frame| frame.error.is_some()).count() <= 1);
    }

    #[test]
    fn a_well_framed_event_of_any_content_does_not_panic(
        name in prop::sample::select(vec![
            "messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata",
        ]),
        payload in "[{}\\[\\]\":,a-z0-9-]{0,64}",
    ) {
        let payload = serde_json::from_str(&payload).unwrap_or(Value::String(payload));
        let frames = read(&event(name, &payload), usize::MAX);
        prop_assert!(frames.len() <= 2);
    }
}

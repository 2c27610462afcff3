use metering::TokenUsage;

use super::golden::read_stream;
use super::native_model;
use crate::anthropic_messages::MessagesCodec;
use crate::{Codec as _, Event, Frame, ProviderErrorKind, StopReason};

fn frames(stream: &str) -> Vec<Frame> {
    let mut reader = MessagesCodec.stream(&native_model());
    let mut frames = reader.push(stream.as_bytes());
    frames.extend(reader.finish());
    frames
}

fn sse(events: &[&str]) -> String {
    let event = |data: &&str| {
        let name = data.split('"').nth(3).unwrap_or_default();
        format!("event: {name}\ndata: {data}\n\n")
    };
    events.iter().map(event).collect::<Vec<_>>().concat()
}

const START: &str = r#"{"type":"message_start","message":{"id":"msg_1","content":[],"usage":{"input_tokens":9,"cache_creation_input_tokens":300,"cache_read_input_tokens":20,"cache_creation":{"ephemeral_5m_input_tokens":100,"ephemeral_1h_input_tokens":200},"output_tokens":2}}}"#;
const STOP: &str = r#"{"type":"message_stop"}"#;

fn delta(usage: &str) -> String {
    format!(
        r#"{{"type":"message_delta","delta":{{"stop_reason":"end_turn","stop_sequence":null}},"usage":{usage}}}"#
    )
}

/// Updates are cumulative: the last one counts, and keeps what it does not repeat.
#[test]
fn usage_counts_once_and_by_kind() {
    let expected = TokenUsage {
        input: 9,
        output: 50,
        cache_read: 20,
        cache_write_5m: 100,
        cache_write_1h: 200,
        ..TokenUsage::default()
    };
    for usage in [
        r#"{"output_tokens":50}"#,
        r#"{"output_tokens":50,"input_tokens":9,"cache_creation_input_tokens":300,"cache_read_input_tokens":20}"#,
        r#"{"output_tokens":50,"input_tokens":null,"cache_creation_input_tokens":null}"#,
    ] {
        let events = read_stream(sse(&[START, &delta(usage), STOP]).as_bytes());
        assert_eq!(events.last(), Some(&Event::Usage(expected)), "{usage}");
    }
}

#[test]
fn usage_comes_last_even_where_only_the_start_says_it() {
    let delta =
        r#"{"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"END"}}"#;
    let events = read_stream(sse(&[START, delta, STOP]).as_bytes());
    let stop =
        Event::Stop { reason: StopReason::StopSequence, stop_sequence: Some("END".to_owned()) };
    assert_eq!(events[1], stop);
    assert!(matches!(events[2], Event::Usage(_)) && events.len() == 3);
}

#[test]
fn blocks_without_a_canonical_form_pass_unread() {
    let stream = sse(&[
        START,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"s","name":"web_search","input":{}}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{}"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"brand_new"}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":"a"}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"citations_delta","citation":{}}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"b"}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        &delta(r#"{"output_tokens":5}"#),
        STOP,
    ]);
    let frames = frames(&stream);
    let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.bytes.to_vec()).collect();
    assert_eq!(bytes, stream.as_bytes());
    let events: Vec<_> = frames.into_iter().flat_map(|frame| frame.events).collect();
    let text = |text: &str| Event::TextDelta { block: 1, text: text.to_owned() };
    assert_eq!(events[1..4], [text("a"), text("b"), Event::BlockStop { block: 1 }]);
}

#[test]
fn errors_in_the_stream_are_told_apart() {
    for (name, kind) in [
        ("overloaded_error", ProviderErrorKind::Unavailable),
        ("rate_limit_error", ProviderErrorKind::Throttled),
        ("timeout_error", ProviderErrorKind::Timeout),
        ("invalid_request_error", ProviderErrorKind::InvalidRequest),
        ("api_error", ProviderErrorKind::Internal),
        ("new_error", ProviderErrorKind::Internal),
    ] {
        let error = format!(r#"{{"type":"error","error":{{"type":"{name}","message":"m"}}}}"#);
        let frames = frames(&sse(&[START, &error, STOP]));
        let errors: Vec<_> = frames.iter().filter_map(|frame| frame.error.as_ref()).collect();
        assert_eq!(errors.len(), 1, "and nothing of the answer follows");
        assert_eq!((errors[0].kind, errors[0].message.as_str()), (kind, "m"));
        assert!(errors[0].may_have_run);
        assert!(frames[2].events.is_empty());
    }
}

#[test]
fn a_stream_that_breaks_off_is_no_answer() {
    for stream in [
        String::new(),
        sse(&[START]),
        sse(&[START]) + "event: message_delta\ndata: {\"type\":\"mess",
    ] {
        let frames = frames(&stream);
        let last = frames.last().unwrap();
        assert_eq!(last.error.as_ref().unwrap().kind, ProviderErrorKind::Interrupted);
        assert!(last.bytes.is_empty(), "half an event is of no use to anybody");
    }
    let garbage = frames("data: no json\n\n");
    assert_eq!(garbage[0].error.as_ref().unwrap().kind, ProviderErrorKind::Interrupted);
    assert_eq!(garbage.len(), 1);
}

#[test]
fn a_stream_without_its_last_event_is_an_answer_if_it_gave_a_reason() {
    let frames = frames(sse(&[START, &delta(r#"{"output_tokens":5}"#)]).trim_end());
    assert!(frames.iter().all(|frame| frame.error.is_none()));
}

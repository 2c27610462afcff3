use metering::TokenUsage;
use serde_json::Value;

use crate::OutputMeter;
use crate::openai_chat::StreamRenderer;
use crate::{Event, StopReason};

fn text(text: &str) -> Event {
    Event::TextDelta { block: 0, text: text.to_owned() }
}

fn stop(reason: StopReason) -> Event {
    Event::Stop { reason, stop_sequence: None }
}

fn usage() -> Event {
    Event::Usage(TokenUsage {
        input: 10,
        output: 5,
        cache_read: 3,
        cache_write_5m: 2,
        cache_write_1h: 1,
        ..TokenUsage::default()
    })
}

/// The data of each event.
fn stream(includes_usage: bool, events: &[Event]) -> Vec<String> {
    let mut renderer = StreamRenderer::new("chatcmpl-1", 7, "m", includes_usage);
    let mut bytes: Vec<u8> = events.iter().flat_map(|event| renderer.render(event)).collect();
    bytes.extend_from_slice(&renderer.finish());
    let text = String::from_utf8(bytes).unwrap();
    text.split_terminator("\n\n")
        .map(|event| event.strip_prefix("data: ").unwrap().to_owned())
        .collect()
}

fn json(data: &str) -> Value {
    serde_json::from_str(data).unwrap()
}

#[test]
fn the_role_comes_first_and_done_comes_last() {
    let events = stream(false, &[text("a"), text(""), stop(StopReason::EndTurn), usage()]);
    assert_eq!(events.len(), 4);
    assert_eq!(json(&events[0])["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(json(&events[1])["choices"][0]["delta"]["content"], "a");
    assert_eq!(json(&events[2])["choices"][0]["finish_reason"], "stop");
    assert_eq!(events[3], "[DONE]");
    assert!(events.iter().all(|event| !event.contains("usage")));
}

#[test]
fn usage_comes_only_when_asked_for() {
    let events = stream(true, &[text("a"), stop(StopReason::MaxTokens), usage()]);
    assert!(events[..3].iter().all(|event| json(event).get("usage") == Some(&Value::Null)));
    let last = json(&events[3]);
    assert_eq!(last["choices"], serde_json::json!([]));
    assert_eq!(last["usage"]["prompt_tokens"], 16);
    assert_eq!(last["usage"]["total_tokens"], 21);
    assert_eq!(
        last["usage"]["prompt_tokens_details"],
        serde_json::json!({"cached_tokens": 3, "cache_write_tokens": 3})
    );
}

#[test]
fn tool_calls_are_counted_from_zero() {
    let start =
        |block, id: &str| Event::ToolUseStart { block, id: id.to_owned(), name: "f".to_owned() };
    let input = |block, json: &str| Event::ToolInputDelta { block, json: json.to_owned() };
    let events = [
        text("let me see"),
        start(1, "a"),
        input(1, "{\"x\""),
        input(1, ":1}"),
        Event::BlockStop { block: 1 },
        start(3, "b"),
        Event::BlockStop { block: 3 },
        input(9, "nobody's"),
        stop(StopReason::ToolUse),
    ];
    let deltas: Vec<_> = stream(false, &events)
        .iter()
        .filter(|event| *event != "[DONE]")
        .filter_map(|event| json(event).pointer("/choices/0/delta/tool_calls/0").cloned())
        .map(|call| {
            (
                call["index"].as_u64().unwrap(),
                call["function"]["arguments"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let expected = [(0, ""), (0, "{\"x\""), (0, ":1}"), (1, ""), (1, "{}")];
    assert_eq!(deltas, expected.map(|(index, arguments)| (index, arguments.to_owned())));
}

#[test]
fn a_stream_without_an_end_does_not_look_whole() {
    let events = stream(false, &[text("a")]);
    assert_eq!(events.len(), 2);
    assert_eq!(json(&events[1])["choices"][0]["delta"]["content"], "a");
}

#[test]
fn output_is_estimated_by_pieces_and_by_bytes() {
    let mut meter = OutputMeter::default();
    assert_eq!(meter.estimate(), 0);
    for _ in 0..10 {
        meter.add("a");
    }
    meter.add("");
    assert_eq!(meter.estimate(), 10);
    meter.add(&"x".repeat(290));
    assert_eq!(meter.estimate(), 100);
}

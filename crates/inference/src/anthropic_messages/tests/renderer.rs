use serde_json::Value;

use super::head;
use crate::anthropic_messages::{Framing, Renderer};
use crate::wire::sse::SseSplitter;
use crate::{AnswerRenderer as _, Event, Fault, FaultKind, Frame, StopReason};

fn text(block: u32, text: &str) -> Event {
    Event::TextDelta { block, text: text.to_owned() }
}

fn stop(reason: StopReason) -> Event {
    Event::Stop { reason, stop_sequence: None }
}

/// Reads a stream as the SDK's helper does, and is stricter about order. Returns the message.
pub(super) fn accumulate(stream: &[u8]) -> Value {
    let mut splitter = SseSplitter::default();
    let events = splitter.push(stream);
    assert_eq!(splitter.finish(), None, "the stream ends with a whole event");
    let mut message = Value::Null;
    let mut open = None::<usize>;
    let mut json = String::new();
    let mut is_delta_seen = false;
    let mut is_done = false;
    for event in events {
        let data: Value = serde_json::from_str(event.data.as_deref().unwrap()).unwrap();
        assert_eq!(data["type"].as_str(), event.name.as_deref());
        assert!(!is_done, "nothing follows message_stop");
        let index = data["index"].as_u64().and_then(|index| usize::try_from(index).ok());
        match data["type"].as_str().unwrap() {
            "message_start" => {
                assert!(message.is_null());
                message = data["message"].clone();
                assert_eq!(
                    (&message["content"], &message["stop_reason"]),
                    (&Value::from([(); 0].map(|()| 0)), &Value::Null)
                );
                assert!(
                    message["usage"]["input_tokens"].is_u64()
                        && message["usage"]["output_tokens"].is_u64()
                );
            }
            "content_block_start" => {
                assert!(!is_delta_seen && open.is_none(), "one block ends before the next begins");
                let content = message["content"].as_array_mut().unwrap();
                assert_eq!(index, Some(content.len()));
                content.push(data["content_block"].clone());
                open = index;
                json.clear();
            }
            "content_block_delta" => {
                assert_eq!(index, open);
                let delta = &data["delta"];
                let block = &mut message["content"][open.unwrap()];
                let (kind, field) = match delta["type"].as_str().unwrap() {
                    "text_delta" => ("text", "text"),
                    "thinking_delta" => ("thinking", "thinking"),
                    "signature_delta" => ("thinking", "signature"),
                    "input_json_delta" => ("tool_use", "partial_json"),
                    other => panic!("unknown delta {other}"),
                };
                assert_eq!(block["type"], kind);
                let piece = delta[field].as_str().unwrap();
                match field {
                    "partial_json" => json.push_str(piece),
                    "signature" => block[field] = piece.into(),
                    _ => block[field] = (block[field].as_str().unwrap().to_owned() + piece).into(),
                }
            }
            "content_block_stop" => {
                assert_eq!(index, open.take());
                let block = &mut message["content"][index.unwrap()];
                if block["type"] == "tool_use" && !json.is_empty() {
                    block["input"] = serde_json::from_str(&json).unwrap_or(Value::Null);
                }
            }
            "message_delta" => {
                assert!(open.is_none() && !is_delta_seen && !message.is_null());
                is_delta_seen = true;
                message["stop_reason"] = data["delta"]["stop_reason"].clone();
                message["stop_sequence"] = data["delta"]["stop_sequence"].clone();
                message["usage"] = data["usage"].clone();
            }
            "message_stop" => {
                assert!(is_delta_seen);
                is_done = true;
            }
            other => panic!("unknown event {other}"),
        }
    }
    assert!(is_done);
    message
}

fn render(events: &[Event]) -> Vec<u8> {
    let mut renderer = Renderer::new(Framing::Sse, head());
    let mut output: Vec<u8> = events.iter().flat_map(|event| renderer.event(event)).collect();
    output.extend_from_slice(&renderer.finish());
    output
}

#[test]
fn blocks_that_were_never_closed_are() {
    let message = accumulate(&render(&[
        text(0, "a"),
        Event::ReasoningDelta { block: 1, text: "b".to_owned() },
        Event::ToolUseStart { block: 2, id: "t".to_owned(), name: "f".to_owned() },
        Event::ToolInputDelta { block: 2, json: "{\"a\":1}".to_owned() },
        text(3, "c"),
        stop(StopReason::EndTurn),
        text(4, "too late"),
    ]));
    let kinds: Vec<_> = message["content"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["text", "thinking", "tool_use", "text"]);
    assert_eq!(message["content"][2]["input"]["a"], 1);
}

#[test]
fn an_answer_without_content_is_whole() {
    let message = accumulate(&render(&[stop(StopReason::MaxTokens)]));
    assert_eq!(
        (&message["stop_reason"], message["content"].as_array().unwrap().len()),
        (&"max_tokens".into(), 0)
    );
    assert_eq!(
        message["usage"]["input_tokens"], 7,
        "what is likely, where the provider says nothing"
    );
}

#[test]
fn a_stream_that_never_stopped_is_not_called_complete() {
    for events in [&[][..], &[text(0, "a")]] {
        let output = String::from_utf8(render(events)).unwrap();
        assert!(output.contains("event: error\n") && !output.contains("message_stop"), "{output}");
    }
}

#[test]
fn a_fault_is_an_error_event() {
    let fault = Fault::new(FaultKind::Unavailable, "c", "Try again.");
    let output = Renderer::new(Framing::Sse, head()).interrupt(&fault);
    assert_eq!(
        str::from_utf8(&output).unwrap(),
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Try again.\"},\"request_id\":\"req_01\"}\n\n"
    );
}

#[test]
fn a_forwarded_stream_gets_the_end_that_is_missing() {
    let frame = |bytes: &'static str, events| Frame { bytes: bytes.into(), events, error: None };
    let ends = |last: &'static str| {
        let mut renderer = Renderer::new(Framing::Sse, head());
        renderer.forwarded(&frame("event: message_delta\n\n", vec![stop(StopReason::EndTurn)]));
        assert_eq!(renderer.forwarded(&frame(last, Vec::new())), last);
        renderer.finish_forwarded()
    };
    assert_eq!(ends("event: message_stop\ndata: {\"type\": \"message_stop\"}\n\n"), "");
    assert_eq!(ends(": c\n\n"), "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    assert_eq!(Renderer::new(Framing::Sse, head()).finish_forwarded(), "");
}

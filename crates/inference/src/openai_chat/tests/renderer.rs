use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{native_model, parse, request};
use crate::openai_chat::ChatCodec;
use crate::{
    AnswerHead, AnswerRenderer, Codec, Event, Fault, FaultKind, GenerateRequest, StopReason,
};

const TEXT: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ab\"},\"finish_reason\":null}]}\n\n";
const STOP: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":5}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn renderer(includes_usage: bool) -> Box<dyn AnswerRenderer> {
    let options = json!({"stream": true, "stream_options": {"include_usage": includes_usage}});
    let head =
        AnswerHead { call_id: "1".to_owned(), created: 7, model: "m".to_owned(), likely_input: 3 };
    parse(&request(options)).unwrap().renderer(head)
}

fn forward(includes_usage: bool, stream: &str) -> (String, Box<dyn AnswerRenderer>) {
    let mut reader = ChatCodec.stream(&native_model());
    let mut renderer = renderer(includes_usage);
    let mut output = Vec::new();
    let frames: Vec<_> =
        reader.push(stream.as_bytes()).into_iter().chain(reader.finish()).collect();
    for frame in frames {
        output.extend_from_slice(&renderer.forwarded(&frame));
    }
    output.extend_from_slice(&renderer.finish_forwarded());
    (String::from_utf8(output).unwrap(), renderer)
}

fn fault() -> Fault {
    Fault::new(FaultKind::Provider, "provider_interrupted", "It broke.")
}

#[test]
fn the_usage_chunk_is_for_those_who_asked() {
    let stream = [TEXT, STOP, USAGE, DONE].concat();
    assert_eq!(forward(true, &stream).0, stream);
    assert_eq!(forward(false, &stream).0, [TEXT, STOP, DONE].concat());
}

#[test]
fn usage_beside_other_things_passes() {
    let role = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":0}}\n\n";
    let stream = [": ping\n\n", role, TEXT, STOP, DONE].concat();
    assert_eq!(forward(false, &stream).0, stream);
}

#[test]
fn an_end_that_is_missing_is_supplied() {
    assert_eq!(forward(false, &[TEXT, STOP].concat()).0, [TEXT, STOP, DONE].concat());
    assert_eq!(
        forward(false, &[TEXT, STOP, "data: [DONE]"].concat()).0,
        [TEXT, STOP, DONE].concat()
    );
    assert_eq!(forward(false, &[STOP, DONE, USAGE.trim_end()].concat()).0, [STOP, DONE].concat());
    assert_eq!(forward(false, TEXT).0, TEXT, "but not to half an answer");
    let error = "data: {\"error\":{\"message\":\"e\"}}\n\n";
    assert_eq!(forward(false, &[STOP, error].concat()).0, [STOP, error].concat());
}

#[test]
fn an_interruption_is_an_event_of_its_own() {
    let error = |bytes: Bytes| -> Value {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        serde_json::from_str(text.trim().strip_prefix("data: ").unwrap()).unwrap()
    };
    let expected = json!({"error": {"message": "It broke.", "type": "server_error", "param": null, "code": "provider_interrupted"}});
    let (_, mut renderer) = forward(false, TEXT);
    let bytes = renderer.interrupt(&fault());
    assert!(bytes.starts_with(b"data: "));
    assert_eq!(error(bytes), expected);
    assert!(renderer.finish_forwarded().is_empty());

    let mut reader = ChatCodec.stream(&native_model());
    let mut renderer = self::renderer(false);
    let giant = format!("data: {}", "y".repeat(1_500_000));
    for frame in reader.push(giant.as_bytes()) {
        assert!(!renderer.forwarded(&frame).is_empty());
    }
    let bytes = renderer.interrupt(&fault());
    assert!(bytes.starts_with(b"\n\ndata: "), "the giant event must end first");
    assert_eq!(error(bytes), expected);
}

#[test]
fn early_usage_is_no_reason_for_a_chunk() {
    let usage = |output| {
        Event::Usage(metering::TokenUsage { input: 4, output, ..metering::TokenUsage::default() })
    };
    let mut renderer = renderer(true);
    assert!(renderer.event(&usage(0)).is_empty());
    let stop = Event::Stop { reason: StopReason::EndTurn, stop_sequence: None };
    renderer.event(&stop);
    renderer.event(&usage(9));
    let end = String::from_utf8(renderer.finish().to_vec()).unwrap();
    assert!(end.contains("\"completion_tokens\":9") && end.ends_with(DONE), "{end}");
    assert_eq!(end.matches("\"usage\":{").count(), 1);
}

#[test]
fn a_conversation_keeps_its_key() {
    let key = |fields: Value| parse(&request(fields)).unwrap().affinity_key().unwrap();
    let first = json!([{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]);
    let mut second = first.clone();
    second.as_array_mut().unwrap().extend([
        json!({"role": "assistant", "content": "a"}),
        json!({"role": "user", "content": "r"}),
    ]);
    assert_eq!(key(json!({"messages": first})), key(json!({"messages": second})));
    assert_ne!(key(json!({"messages": first})), key(json!({})));
    assert_eq!(key(json!({"prompt_cache_key": "k"})), "k");
}

/// A block of an answer, and the events that it comes in.
#[derive(Debug, Clone)]
enum Said {
    Text(Vec<String>),
    Reasoning(Vec<String>, bool),
    Redacted,
    Tool(Vec<String>),
}

fn any_block() -> impl Strategy<Value = Said> {
    let pieces = || prop::collection::vec("[a-zü\"\n]{0,4}", 0..4);
    prop_oneof![
        pieces().prop_map(Said::Text),
        (pieces(), any::<bool>())
            .prop_map(|(pieces, is_signed)| Said::Reasoning(pieces, is_signed)),
        Just(Said::Redacted),
        prop::collection::vec("[a-z]{0,3}", 0..3).prop_map(|words| {
            let json = if words.is_empty() { Vec::new() } else { json_pieces(&words) };
            Said::Tool(json)
        }),
    ]
}

/// `["a","b"]`, cut after each comma.
fn json_pieces(words: &[String]) -> Vec<String> {
    let last = words.len() - 1;
    let piece = |(place, word): (usize, &String)| {
        let (head, tail) =
            (if place == 0 { "[" } else { "" }, if place == last { "]" } else { "," });
        format!("{head}\"{word}\"{tail}")
    };
    words.iter().enumerate().map(piece).collect()
}

fn events_of(blocks: &[Said]) -> Vec<Event> {
    let mut events = Vec::new();
    for (block, said) in (0_u32..).zip(blocks) {
        match said {
            Said::Text(pieces) => {
                events.extend(pieces.iter().cloned().map(|text| Event::TextDelta { block, text }));
            }
            Said::Reasoning(pieces, is_signed) => {
                let deltas = pieces.iter().cloned();
                events.extend(deltas.map(|text| Event::ReasoningDelta { block, text }));
                if *is_signed {
                    let signature = "s".to_owned();
                    events.push(Event::ReasoningSignature { block, signature });
                }
            }
            Said::Redacted => {
                events.push(Event::RedactedReasoning { block, data: "r".to_owned() });
            }
            Said::Tool(pieces) => {
                let (id, name) = (format!("call_{block}"), "f".to_owned());
                events.push(Event::ToolUseStart { block, id, name });
                let deltas = pieces.iter().cloned();
                events.extend(deltas.map(|json| Event::ToolInputDelta { block, json }));
            }
        }
        events.push(Event::BlockStop { block });
    }
    events
}

/// What a client gathers that takes nothing but what the dialect's reference allows.
#[derive(Debug, Default, PartialEq)]
struct Gathered {
    content: String,
    reasoning: String,
    thinking_blocks: Vec<Value>,
    calls: Vec<(String, String)>,
    finish_reason: String,
    has_usage: bool,
}

fn gather(stream: &str, includes_usage: bool) -> Gathered {
    let mut gathered = Gathered::default();
    let mut events: Vec<_> = stream
        .strip_suffix("\n\n")
        .unwrap()
        .split("\n\n")
        .map(|event| event.strip_prefix("data: ").unwrap())
        .collect();
    assert_eq!(events.pop(), Some("[DONE]"));
    for (place, data) in events.iter().enumerate() {
        assert!(!data.contains('\n'));
        let chunk: Value = serde_json::from_str(data).unwrap();
        let head = ["id", "object", "created", "model"].map(|key| chunk[key].clone());
        let expected = [json!("chatcmpl-1"), json!("chat.completion.chunk"), json!(7), json!("m")];
        assert_eq!(head, expected);
        assert_eq!(chunk.get("usage").is_some(), includes_usage);
        assert!(!gathered.has_usage, "usage comes last");
        let choices = chunk["choices"].as_array().unwrap();
        let [choice] = choices.as_slice() else {
            assert!(choices.is_empty() && chunk["usage"]["total_tokens"].is_u64());
            gathered.has_usage = true;
            continue;
        };
        assert!(chunk.get("usage").is_none_or(Value::is_null));
        assert!(gathered.finish_reason.is_empty(), "nothing follows the end");
        let delta = choice["delta"].as_object().unwrap();
        assert_eq!((choice["index"].as_u64(), delta.contains_key("role")), (Some(0), place == 0));
        gathered.finish_reason = choice["finish_reason"].as_str().unwrap_or_default().to_owned();
        for (key, value) in delta {
            match key.as_str() {
                "role" => assert_eq!(value, "assistant"),
                "content" => gathered.content += value.as_str().unwrap(),
                "reasoning_content" => gathered.reasoning += value.as_str().unwrap(),
                "thinking_blocks" => {
                    gathered.thinking_blocks.extend(value.as_array().cloned().unwrap());
                }
                "tool_calls" => {
                    let [call] = value.as_array().unwrap().as_slice() else { panic!("{value}") };
                    let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
                    if let Some(id) = call.get("id") {
                        assert_eq!(index, gathered.calls.len(), "calls begin in order");
                        assert_eq!(
                            (&call["type"], &call["function"]["name"]),
                            (&json!("function"), &json!("f"))
                        );
                        gathered.calls.push((id.as_str().unwrap().to_owned(), String::new()));
                    }
                    assert_eq!(index, gathered.calls.len() - 1, "one call at a time");
                    gathered.calls[index].1 += call["function"]["arguments"].as_str().unwrap();
                }
                other => panic!("unknown delta {other}"),
            }
        }
    }
    gathered
}

proptest! {
    #[test]
    fn any_answer_is_a_stream_that_a_strict_client_takes(
        blocks in prop::collection::vec(any_block(), 0..6),
        includes_usage: bool,
        is_early: bool,
    ) {
        let usage = Event::Usage(metering::TokenUsage { input: 1, ..metering::TokenUsage::default() });
        let mut events = events_of(&blocks);
        if is_early {
            events.insert(0, usage.clone());
        }
        events.push(Event::Stop { reason: StopReason::EndTurn, stop_sequence: None });
        events.push(usage);
        let mut renderer = renderer(includes_usage);
        let mut output: Vec<u8> = events.iter().flat_map(|event| renderer.event(event)).collect();
        output.extend_from_slice(&renderer.finish());
        let gathered = gather(str::from_utf8(&output).unwrap(), includes_usage);

        let mut expected = Gathered { finish_reason: "stop".to_owned(), has_usage: includes_usage, ..Gathered::default() };
        for (block, said) in blocks.iter().enumerate() {
            match said {
                Said::Text(pieces) => expected.content += &pieces.concat(),
                Said::Reasoning(pieces, is_signed) => {
                    let text = pieces.concat();
                    if *is_signed {
                        expected.thinking_blocks.push(json!({"type": "thinking", "thinking": text, "signature": "s"}));
                    }
                    expected.reasoning += &text;
                }
                Said::Redacted => expected.thinking_blocks.push(json!({"type": "redacted_thinking", "data": "r"})),
                Said::Tool(pieces) => {
                    let arguments = if pieces.is_empty() { "{}".to_owned() } else { pieces.concat() };
                    prop_assert!(serde_json::from_str::<Value>(&arguments).is_ok());
                    expected.calls.push((format!("call_{block}"), arguments));
                }
            }
        }
        prop_assert_eq!(gathered, expected);
    }
}

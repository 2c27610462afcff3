use metering::TokenUsage;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{able_model, parse, request};
use crate::converse::ConverseCodec;
use crate::wire::eventstream::{Kind, Splitter};
use crate::{
    AnswerHead, AnswerRenderer, Codec as _, ContentBlock, Event, Fault, FaultKind, Frame,
    GenerateRequest as _, ModelResponse, ProviderAnswer, StopReason,
};

fn renderer(fields: Value) -> Box<dyn AnswerRenderer> {
    let head =
        AnswerHead { call_id: "1".to_owned(), created: 0, model: "m".to_owned(), likely_input: 0 };
    parse(&request(fields)).unwrap().renderer(head)
}

fn usage() -> TokenUsage {
    TokenUsage {
        input: 10,
        output: 5,
        cache_read: 22,
        cache_write_5m: 30,
        cache_write_1h: 70,
        ..TokenUsage::default()
    }
}

fn response() -> ModelResponse {
    ModelResponse {
        content: vec![
            ContentBlock::Reasoning { text: "Hm.".to_owned(), signature: Some("c2ln".to_owned()) },
            ContentBlock::RedactedReasoning { data: "cmVk".to_owned() },
            ContentBlock::Text("Hello".to_owned()),
            ContentBlock::ToolUse {
                id: "t1".to_owned(),
                name: "f".to_owned(),
                input: json!({"a": 1}),
            },
            ContentBlock::ToolUse { id: "t2".to_owned(), name: "f".to_owned(), input: json!({}) },
        ],
        stop_reason: StopReason::StopSequence,
        stop_sequence: Some("END".to_owned()),
        usage: usage(),
        provider_request_id: None,
    }
}

#[test]
fn an_answer_is_what_converse_answers() {
    let wants = json!({"additionalModelResponseFieldPaths": ["/stop_sequence"]});
    let body = renderer(wants).response(&response());
    insta::assert_json_snapshot!(serde_json::from_slice::<Value>(&body).unwrap());
    let answer = ProviderAnswer { body, ..ProviderAnswer::default() };
    assert_eq!(ConverseCodec.read(&able_model(), &answer).unwrap(), response());

    let body = renderer(json!({})).response(&response());
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body.get("additionalModelResponseFields"), None);
}

/// The whole stream of these events.
fn stream(events: &[Event]) -> Vec<u8> {
    let mut renderer = renderer(json!({}));
    let mut bytes: Vec<u8> = events.iter().flat_map(|event| renderer.event(event)).collect();
    bytes.extend(renderer.finish());
    bytes
}

/// Reads a stream as strictly as its rules allow, into the content of a message.
fn read_strictly(bytes: &[u8]) -> (Vec<Value>, Option<String>, Option<Value>) {
    let mut splitter = Splitter::default();
    let messages = splitter.push(bytes);
    assert_eq!(splitter.finish(), None);
    let mut content: Vec<Map<String, Value>> = Vec::new();
    let (mut has_started, mut open, mut stop, mut usage) = (false, None, None, None);
    for message in messages {
        let Kind::Event(name) = &message.kind else { panic!("{message:?}") };
        let payload = message.json();
        assert!(usage.is_none(), "metadata is the last event");
        assert_eq!(
            has_started,
            name != "messageStart",
            "messageStart is the first event, and once"
        );
        let index =
            payload["contentBlockIndex"].as_u64().map(|index| usize::try_from(index).unwrap());
        assert_eq!(index.is_some(), name.starts_with("contentBlock"));
        assert!(stop.is_none() || name == "metadata", "{name} after messageStop");
        if let Some(index) = index.filter(|index| Some(*index) != open) {
            assert_eq!(open, None, "one block ends before the next begins");
            assert_eq!(index, content.len(), "blocks are numbered in order");
            open = Some(index);
            content.push(Map::new());
        }
        match name.as_str() {
            "messageStart" => {
                has_started = true;
                assert_eq!(payload, json!({"role": "assistant"}));
            }
            "contentBlockStart" => {
                let block = content.last_mut().unwrap();
                assert!(block.is_empty(), "a block starts before its deltas");
                let start = &payload["start"]["toolUse"];
                block.insert("toolUse".to_owned(), start.clone());
                block.insert("input".to_owned(), "".into());
            }
            "contentBlockDelta" => {
                let block = content.last_mut().unwrap();
                let delta = &payload["delta"];
                if let Some(input) = delta.pointer("/toolUse/input").and_then(Value::as_str) {
                    assert!(block.contains_key("toolUse"), "a tool's deltas come after its start");
                    let before = block["input"].as_str().unwrap().to_owned();
                    block.insert("input".to_owned(), (before + input).into());
                    continue;
                }
                assert!(!block.contains_key("toolUse"));
                let delta = delta.get("reasoningContent").unwrap_or(delta);
                for (key, value) in delta.as_object().unwrap() {
                    let before =
                        block.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
                    block.insert(key.clone(), (before + value.as_str().unwrap()).into());
                }
            }
            "contentBlockStop" => {
                let block = content.last_mut().unwrap();
                assert!(!block.is_empty());
                if let Some(input) = block.get_mut("input") {
                    *input = serde_json::from_str(input.as_str().unwrap()).unwrap();
                }
                open = None;
            }
            "messageStop" => {
                assert_eq!(open, None, "every block ends");
                stop = Some(payload["stopReason"].as_str().unwrap().to_owned());
            }
            "metadata" => {
                assert!(stop.is_some());
                assert!(payload["metrics"]["latencyMs"].is_u64());
                usage = Some(payload["usage"].clone());
            }
            other => panic!("{other}"),
        }
    }
    (content.into_iter().map(Value::Object).collect(), stop, usage)
}

fn text(block: u32, text: &str) -> Event {
    Event::TextDelta { block, text: text.to_owned() }
}

fn tool(block: u32, id: &str) -> Event {
    Event::ToolUseStart { block, id: id.to_owned(), name: "f".to_owned() }
}

fn stop() -> Event {
    Event::Stop { reason: StopReason::ToolUse, stop_sequence: None }
}

#[test]
fn a_stream_is_what_converse_streams() {
    let events = [
        Event::Usage(TokenUsage { input: 10, ..TokenUsage::default() }),
        Event::ReasoningDelta { block: 3, text: "Hm".to_owned() },
        Event::ReasoningDelta { block: 3, text: ".".to_owned() },
        Event::ReasoningSignature { block: 3, signature: "c2ln".to_owned() },
        Event::BlockStop { block: 3 },
        Event::RedactedReasoning { block: 4, data: "cmVk".to_owned() },
        Event::BlockStop { block: 4 },
        // Not every provider says where a block ends, or counts on.
        text(4, "Oh. "),
        Event::BlockStop { block: 4 },
        text(7, "Hel"),
        text(7, ""),
        text(7, "lo"),
        tool(8, "t1"),
        Event::ToolInputDelta { block: 8, json: "{\"a\":".to_owned() },
        Event::ToolInputDelta { block: 8, json: "1}".to_owned() },
        Event::BlockStop { block: 8 },
        tool(9, "t2"),
        Event::BlockStop { block: 9 },
        stop(),
        Event::Usage(usage()),
    ];
    let (content, stop, usage) = read_strictly(&stream(&events));
    let expected = json!([
        {"text": "Hm.", "signature": "c2ln"},
        {"redactedContent": "cmVk"},
        {"text": "Oh. "},
        {"text": "Hello"},
        {"toolUse": {"toolUseId": "t1", "name": "f"}, "input": {"a": 1}},
        {"toolUse": {"toolUseId": "t2", "name": "f"}, "input": {}},
    ]);
    assert_eq!(Value::from(content), expected);
    assert_eq!(stop.as_deref(), Some("tool_use"));
    let details = json!([{"ttl": "5m", "inputTokens": 30}, {"ttl": "1h", "inputTokens": 70}]);
    let expected = json!({"inputTokens": 10, "outputTokens": 5, "totalTokens": 137,
        "cacheReadInputTokens": 22, "cacheWriteInputTokens": 100, "cacheDetails": details});
    assert_eq!(usage, Some(expected));
}

#[test]
fn an_answer_that_never_stopped_does_not_claim_to_be_complete() {
    let events = [text(0, "Hi"), Event::Usage(usage())];
    assert_eq!(read_strictly(&stream(&events)).2, None);
    let mut renderer = renderer(json!({}));
    let mut bytes = renderer.event(&events[0]).to_vec();
    bytes.extend(renderer.interrupt(&Fault::new(FaultKind::Unavailable, "code", "try later")));
    let messages = Splitter::default().push(&bytes);
    let last = messages.last().unwrap();
    assert_eq!(last.kind, Kind::Exception("serviceUnavailableException".to_owned()));
    assert_eq!(last.json(), json!({"message": "try later"}));
}

#[test]
fn forwarded_bytes_pass_as_they_are() {
    let frame = Frame { bytes: b"abc".as_slice().into(), ..Frame::default() };
    assert_eq!(renderer(json!({})).forwarded(&frame), frame.bytes);
    assert_eq!(renderer(json!({})).forwarded_response("{}".into()), "{}");
}

proptest! {
    /// Blocks as any provider may stream them: whole, in order, with or without their ends.
    #[test]
    fn any_answer_is_a_stream_that_strict_clients_read(
        blocks in prop::collection::vec((0_usize..4, prop::collection::vec("[a-z]{0,3}", 0..4), any::<bool>()), 0..6),
    ) {
        let mut events = Vec::new();
        for (number, (kind, pieces, is_ended)) in blocks.iter().enumerate() {
            let block = u32::try_from(number).unwrap() * 2 + 1;
            match kind {
                0 => events.extend(pieces.iter().map(|piece| text(block, piece))),
                1 => events.extend(pieces.iter().map(|piece| Event::ReasoningDelta { block, text: piece.clone() })),
                2 => events.push(Event::RedactedReasoning { block, data: "cmVk".to_owned() }),
                _ => {
                    events.push(tool(block, "t"));
                    events.push(Event::ToolInputDelta { block, json: String::new() });
                }
            }
            if *is_ended {
                events.push(Event::BlockStop { block });
            }
        }
        events.extend([stop(), Event::Usage(usage())]);
        let (content, stop, usage) = read_strictly(&stream(&events));
        let said: String = content.iter().filter_map(|block| block.get("text")?.as_str()).collect();
        let expected: String =
            blocks.iter().filter(|block| block.0 < 2).flat_map(|block| block.1.clone()).collect();
        prop_assert_eq!(said, expected);
        prop_assert!(stop.is_some() && usage.is_some());
    }
}

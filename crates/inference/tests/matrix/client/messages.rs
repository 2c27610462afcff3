//! Anthropic Messages.

use inference::anthropic_messages::MessagesRequest;
use inference::{BadRequest, GenerateRequest};
use metering::TokenUsage;
use serde_json::{Value, json};

use super::{Client, append, arguments, count, list, push, server_sent, text};
use crate::said::{
    Call, Ended, MAX_TOKENS, MODEL, PDF, PNG, QUESTION, RESULTS, SYSTEM, Said, Scenario,
    THINKING_TOKENS, TOOL, TOOL_DESCRIPTION, answer_schema, tool_schema,
};

pub(super) struct Messages;

impl Client for Messages {
    fn name(&self) -> &'static str {
        "Anthropic Messages"
    }

    fn parse(&self, body: &Value, _: bool) -> Result<Box<dyn GenerateRequest>, BadRequest> {
        let body = body.to_string();
        Ok(Box::new(MessagesRequest::parse(body.as_bytes(), &[])?))
    }

    fn request(&self, scenario: Scenario, is_streaming: bool) -> Value {
        let mut body = json!({ "model": MODEL });
        let rest = conversation(scenario);
        body.as_object_mut().unwrap().extend(rest.as_object().cloned().unwrap());
        if is_streaming {
            body["stream"] = true.into();
        }
        body
    }

    fn next_request(&self, request: Value, answer: &Value) -> Value {
        next_request(request, answer)
    }

    fn read(&self, body: &Value) -> Said {
        answer(body)
    }

    fn read_stream(&self, bytes: &[u8]) -> Said {
        let events = server_sent(bytes).into_iter().map(|(name, data)| {
            let event: Value = serde_json::from_str(&data).unwrap();
            assert_eq!(name.as_deref(), event["type"].as_str());
            event
        });
        stream(events.collect())
    }

    fn read_error(&self, bytes: &[u8]) -> String {
        let (name, data) = server_sent(bytes).pop().unwrap();
        assert_eq!(name.as_deref(), Some("error"));
        let event: Value = serde_json::from_str(&data).unwrap();
        assert_eq!(
            (&event["type"], &event["error"]["type"]),
            (&"error".into(), &"overloaded_error".into())
        );
        text(&event["error"]["message"])
    }
}

/// A body without what says the model and whether to stream.
pub(super) fn conversation(scenario: Scenario) -> Value {
    let mut content = vec![json!({"type": "text", "text": QUESTION})];
    match scenario {
        Scenario::Images => {
            let source = json!({"type": "base64", "media_type": "image/png", "data": PNG});
            content.push(json!({"type": "image", "source": source}));
        }
        Scenario::Documents => {
            let source = json!({"type": "base64", "media_type": "application/pdf", "data": PDF});
            content.push(json!({"type": "document", "source": source, "title": "map"}));
        }
        Scenario::Caching => {
            content[0]["cache_control"] = json!({"type": "ephemeral", "ttl": "1h"});
        }
        _ => {}
    }
    let mut body = json!({
        "max_tokens": MAX_TOKENS,
        "system": SYSTEM,
        "messages": [{"role": "user", "content": content}],
    });
    if scenario.has_tools() {
        let tool =
            json!({"name": TOOL, "description": TOOL_DESCRIPTION, "input_schema": tool_schema()});
        body["tools"] = json!([tool]);
    }
    match scenario {
        Scenario::Thinking => {
            body["thinking"] = json!({"type": "enabled", "budget_tokens": THINKING_TOKENS});
        }
        Scenario::StructuredOutput => {
            let format = json!({"type": "json_schema", "schema": answer_schema()});
            body["output_config"] = json!({ "format": format });
        }
        _ => {}
    }
    body
}

pub(super) fn next_request(mut request: Value, answer: &Value) -> Value {
    let content = &answer["content"];
    push(&mut request["messages"], json!({"role": "assistant", "content": content}));
    let calls = list(content).iter().filter(|block| block["type"] == "tool_use");
    let result = |(call, text): (&Value, &str)| json!({"type": "tool_result", "tool_use_id": call["id"], "content": text});
    let content: Vec<_> = calls.zip(RESULTS).map(result).collect();
    push(&mut request["messages"], json!({"role": "user", "content": content}));
    request
}

fn ended(reason: &Value) -> Ended {
    match text(reason).as_str() {
        "end_turn" => Ended::Done,
        "tool_use" => Ended::Tools,
        other => panic!("{other}"),
    }
}

fn usage(usage: &Value) -> TokenUsage {
    let written = &usage["cache_creation"];
    let read = TokenUsage {
        input: count(&usage["input_tokens"]),
        output: count(&usage["output_tokens"]),
        cache_read: count(&usage["cache_read_input_tokens"]),
        cache_write_5m: count(&written["ephemeral_5m_input_tokens"]),
        cache_write_1h: count(&written["ephemeral_1h_input_tokens"]),
        ..TokenUsage::default()
    };
    assert_eq!(
        count(&usage["cache_creation_input_tokens"]),
        read.cache_write_5m + read.cache_write_1h
    );
    read
}

pub(super) fn answer(body: &Value) -> Said {
    assert_eq!((&body["type"], &body["role"]), (&"message".into(), &"assistant".into()));
    assert!(text(&body["id"]).starts_with("msg_"));
    let mut said = Said {
        thinking: None,
        text: String::new(),
        calls: Vec::new(),
        ended: ended(&body["stop_reason"]),
        usage: usage(&body["usage"]),
    };
    for block in list(&body["content"]) {
        match block["type"].as_str().unwrap() {
            "text" => said.text.push_str(&text(&block["text"])),
            "thinking" => {
                assert!(block["signature"].is_string());
                said.thinking.get_or_insert_default().push_str(&text(&block["thinking"]));
            }
            "tool_use" => said.calls.push(Call {
                id: text(&block["id"]),
                name: text(&block["name"]),
                arguments: block["input"].clone(),
            }),
            other => panic!("{other}"),
        }
    }
    said
}

/// Builds the message that a stream describes, as the SDK does, and reads that.
pub(super) fn stream(events: Vec<Value>) -> Said {
    let mut events = events.into_iter().filter(|event| event["type"] != "ping");
    let start = events.next().unwrap();
    assert_eq!(start["type"], "message_start");
    let mut message = start["message"].clone();
    assert_eq!(message["content"], json!([]));
    let (mut open, mut has_delta, mut is_over) = (None, false, false);
    for event in events {
        assert!(!is_over, "message_stop is the last event");
        let content = message["content"].as_array_mut().unwrap();
        if event["type"].as_str().unwrap().starts_with("content_block") {
            assert!(!has_delta, "blocks come before the end");
            let index = usize::try_from(count(&event["index"])).unwrap();
            assert_eq!(index, open.unwrap_or(content.len()), "one block at a time, in order");
        }
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                assert_eq!(open, None);
                open = Some(content.len());
                let mut block = event["content_block"].clone();
                if block["type"] == "tool_use" {
                    assert_eq!(block["input"], json!({}));
                    block["input"] = "".into();
                }
                content.push(block);
            }
            "content_block_delta" => {
                assert!(open.is_some());
                let block = content.last_mut().unwrap();
                let delta = &event["delta"];
                match delta["type"].as_str().unwrap() {
                    "text_delta" => append(&mut block["text"], &delta["text"]),
                    "thinking_delta" => append(&mut block["thinking"], &delta["thinking"]),
                    "signature_delta" => append(&mut block["signature"], &delta["signature"]),
                    "input_json_delta" => append(&mut block["input"], &delta["partial_json"]),
                    other => panic!("{other}"),
                }
            }
            "content_block_stop" => {
                assert!(open.take().is_some());
                let block = content.last_mut().unwrap();
                if block["type"] == "tool_use" {
                    block["input"] = match block["input"].as_str().unwrap() {
                        "" => json!({}),
                        _ => arguments(&block["input"]),
                    };
                }
            }
            "message_delta" => {
                assert_eq!(open, None);
                has_delta = true;
                message["stop_reason"] = event["delta"]["stop_reason"].clone();
                for (key, value) in event["usage"].as_object().unwrap() {
                    if !value.is_null() {
                        message["usage"][key.as_str()] = value.clone();
                    }
                }
            }
            "message_stop" => is_over = true,
            other => panic!("{other}"),
        }
    }
    assert!(has_delta && is_over);
    answer(&message)
}

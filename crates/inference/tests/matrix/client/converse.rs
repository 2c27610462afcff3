//! Bedrock Converse.

use inference::converse::ConverseRequest;
use inference::{BadRequest, GenerateRequest};
use metering::TokenUsage;
use serde_json::{Value, json};

use super::{Client, append, arguments, count, event_stream, list, push, text};
use crate::said::{
    Call, Ended, MAX_TOKENS, MODEL, PDF, PNG, QUESTION, RESULTS, SYSTEM, Said, Scenario,
    THINKING_TOKENS, TOOL, TOOL_DESCRIPTION, answer_schema, tool_schema,
};

pub(super) struct Converse;

impl Client for Converse {
    fn name(&self) -> &'static str {
        "Bedrock Converse"
    }

    fn parse(
        &self,
        body: &Value,
        is_streaming: bool,
    ) -> Result<Box<dyn GenerateRequest>, BadRequest> {
        let body = body.to_string();
        Ok(Box::new(ConverseRequest::parse(MODEL, is_streaming, body.as_bytes())?))
    }

    fn request(&self, scenario: Scenario, _: bool) -> Value {
        converse_request(scenario)
    }

    fn next_request(&self, mut request: Value, answer: &Value) -> Value {
        let message = &answer["output"]["message"];
        push(&mut request["messages"], message.clone());
        let calls = list(&message["content"]).iter().filter_map(|block| block.get("toolUse"));
        let result = |(call, text): (&Value, &str)| {
            let content = json!([{ "text": text }]);
            json!({"toolResult": {"toolUseId": call["toolUseId"], "content": content, "status": "success"}})
        };
        let content: Vec<_> = calls.zip(RESULTS).map(result).collect();
        push(&mut request["messages"], json!({"role": "user", "content": content}));
        request
    }

    fn read(&self, body: &Value) -> Said {
        converse_answer(body)
    }

    fn read_stream(&self, bytes: &[u8]) -> Said {
        converse_stream(bytes)
    }

    fn read_error(&self, bytes: &[u8]) -> String {
        let (kind, name, payload) = event_stream(bytes).pop().unwrap();
        assert_eq!((kind.as_str(), name.as_str()), ("exception", "serviceUnavailableException"));
        text(&payload["message"])
    }
}

fn converse_request(scenario: Scenario) -> Value {
    let mut content = vec![json!({ "text": QUESTION })];
    match scenario {
        Scenario::Images => {
            content.push(json!({"image": {"format": "png", "source": {"bytes": PNG}}}));
        }
        Scenario::Documents => {
            content.push(
                json!({"document": {"format": "pdf", "name": "map", "source": {"bytes": PDF}}}),
            );
        }
        Scenario::Caching => content.push(json!({"cachePoint": {"type": "default"}})),
        _ => {}
    }
    let mut body = json!({
        "system": [{ "text": SYSTEM }],
        "messages": [{"role": "user", "content": content}],
        "inferenceConfig": {"maxTokens": MAX_TOKENS},
    });
    if scenario.has_tools() {
        body["toolConfig"] = json!({"tools": [{"toolSpec": {
            "name": TOOL, "description": TOOL_DESCRIPTION, "inputSchema": {"json": tool_schema()},
        }}]});
    }
    match scenario {
        Scenario::Thinking => {
            let thinking = json!({"type": "enabled", "budget_tokens": THINKING_TOKENS});
            body["additionalModelRequestFields"] = json!({ "thinking": thinking });
        }
        Scenario::StructuredOutput => {
            let schema = json!({"name": "forecast", "schema": answer_schema().to_string()});
            let format = json!({"type": "json_schema", "structure": {"jsonSchema": schema}});
            body["outputConfig"] = json!({ "textFormat": format });
        }
        _ => {}
    }
    body
}

fn converse_ended(reason: &Value) -> Ended {
    match text(reason).as_str() {
        "end_turn" => Ended::Done,
        "tool_use" => Ended::Tools,
        other => panic!("{other}"),
    }
}

fn converse_usage(usage: &Value) -> TokenUsage {
    let of_ttl = |ttl: &str| -> u64 {
        let details = list(&usage["cacheDetails"]).iter().filter(|detail| detail["ttl"] == ttl);
        details.map(|detail| count(&detail["inputTokens"])).sum()
    };
    let read = TokenUsage {
        input: count(&usage["inputTokens"]),
        output: count(&usage["outputTokens"]),
        cache_read: count(&usage["cacheReadInputTokens"]),
        cache_write_5m: of_ttl("5m"),
        cache_write_1h: of_ttl("1h"),
        ..TokenUsage::default()
    };
    assert_eq!(count(&usage["cacheWriteInputTokens"]), read.cache_write_5m + read.cache_write_1h);
    assert_eq!(count(&usage["totalTokens"]), read.total());
    read
}

fn converse_answer(body: &Value) -> Said {
    assert!(body["metrics"]["latencyMs"].is_u64());
    assert_eq!(body["output"]["message"]["role"], "assistant");
    let mut said = Said {
        thinking: None,
        text: String::new(),
        calls: Vec::new(),
        ended: converse_ended(&body["stopReason"]),
        usage: converse_usage(&body["usage"]),
    };
    for block in list(&body["output"]["message"]["content"]) {
        let (kind, value) = block.as_object().unwrap().iter().next().unwrap();
        match kind.as_str() {
            "text" => said.text.push_str(&text(value)),
            "reasoningContent" => {
                said.thinking
                    .get_or_insert_default()
                    .push_str(&text(&value["reasoningText"]["text"]));
            }
            "toolUse" => said.calls.push(Call {
                id: text(&value["toolUseId"]),
                name: text(&value["name"]),
                arguments: value["input"].clone(),
            }),
            other => panic!("{other}"),
        }
    }
    said
}

/// Builds the message that a stream describes, as clients do, and reads that.
fn converse_stream(bytes: &[u8]) -> Said {
    let mut content: Vec<Value> = Vec::new();
    let mut answer = json!({});
    let mut open = None;
    let messages = event_stream(bytes);
    assert_eq!(
        (messages[0].1.as_str(), &messages[0].2),
        ("messageStart", &json!({"role": "assistant"}))
    );
    for (kind, name, payload) in &messages[1..] {
        assert_eq!(kind, "event");
        assert!(
            answer.get("stopReason").is_none() || name == "metadata",
            "nothing but metadata follows"
        );
        if name.starts_with("contentBlock") {
            let index = usize::try_from(count(&payload["contentBlockIndex"])).unwrap();
            if open.is_none() {
                assert_eq!(index, content.len());
                content.push(json!({}));
                open = Some(index);
            }
            assert_eq!(open, Some(index), "one block at a time");
        }
        match name.as_str() {
            "contentBlockStart" => {
                let mut start = payload["start"].clone();
                start["toolUse"]["input"] = "".into();
                *content.last_mut().unwrap() = start;
            }
            "contentBlockDelta" => {
                let block = content.last_mut().unwrap();
                let delta = &payload["delta"];
                if let Some(piece) = delta.get("text") {
                    append(&mut block["text"], piece);
                } else if let Some(delta) = delta.get("reasoningContent") {
                    for (key, piece) in delta.as_object().unwrap() {
                        append(
                            &mut block["reasoningContent"]["reasoningText"][key.as_str()],
                            piece,
                        );
                    }
                } else {
                    append(&mut block["toolUse"]["input"], &delta["toolUse"]["input"]);
                }
            }
            "contentBlockStop" => {
                if let Some(tool_use) = content.last_mut().unwrap().get_mut("toolUse") {
                    tool_use["input"] = arguments(&tool_use["input"]);
                }
                open = None;
            }
            "messageStop" => {
                assert_eq!(open, None);
                answer["stopReason"] = payload["stopReason"].clone();
            }
            "metadata" => {
                answer["usage"] = payload["usage"].clone();
                answer["metrics"] = payload["metrics"].clone();
            }
            other => panic!("{other}"),
        }
    }
    answer["output"]["message"] = json!({"role": "assistant", "content": content});
    converse_answer(&answer)
}

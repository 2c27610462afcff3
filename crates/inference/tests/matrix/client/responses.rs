//! OpenAI Responses.

use inference::openai_responses::ResponsesRequest;
use inference::{BadRequest, GenerateRequest};
use metering::TokenUsage;
use serde_json::{Value, json};

use super::{Client, append, arguments, count, list, push, server_sent, text};
use crate::said::{
    Call, Ended, MAX_TOKENS, MODEL, PDF, PNG, QUESTION, RESULTS, SYSTEM, Said, Scenario, TOOL,
    TOOL_DESCRIPTION, answer_schema, tool_schema, without_ttl,
};

pub(super) struct Responses;

impl Client for Responses {
    fn name(&self) -> &'static str {
        "OpenAI Responses"
    }

    fn parse(&self, body: &Value, _: bool) -> Result<Box<dyn GenerateRequest>, BadRequest> {
        let body = body.to_string();
        Ok(Box::new(ResponsesRequest::parse(body.as_bytes())?))
    }

    fn told(&self, usage: TokenUsage) -> TokenUsage {
        without_ttl(usage)
    }

    fn request(&self, scenario: Scenario, is_streaming: bool) -> Value {
        let mut content = vec![json!({"type": "input_text", "text": QUESTION})];
        match scenario {
            Scenario::Images => {
                let url = format!("data:image/png;base64,{PNG}");
                content.push(json!({"type": "input_image", "image_url": url, "detail": "auto"}));
            }
            Scenario::Caching => {
                content[0]["prompt_cache_breakpoint"] = json!({"mode": "explicit"});
            }
            Scenario::Documents => {
                let data = format!("data:application/pdf;base64,{PDF}");
                content
                    .push(json!({"type": "input_file", "filename": "map.pdf", "file_data": data}));
            }
            _ => {}
        }
        let mut body = json!({
            "model": MODEL,
            "instructions": SYSTEM,
            "input": [{"type": "message", "role": "user", "content": content}],
            "max_output_tokens": MAX_TOKENS,
            "store": false,
            "include": ["reasoning.encrypted_content"],
        });
        if is_streaming {
            body["stream"] = true.into();
        }
        if scenario.has_tools() {
            body["tools"] = json!([{
                "type": "function", "name": TOOL, "description": TOOL_DESCRIPTION, "parameters": tool_schema(),
                "strict": true,
            }]);
        }
        match scenario {
            Scenario::Thinking => body["reasoning"] = json!({"effort": "high", "summary": "auto"}),
            Scenario::StructuredOutput => {
                let schema = answer_schema();
                let format = json!({"type": "json_schema", "name": "forecast", "schema": schema, "strict": true});
                body["text"] = json!({ "format": format });
            }
            _ => {}
        }
        body
    }

    fn next_request(&self, mut request: Value, answer: &Value) -> Value {
        let output = list(&answer["output"]);
        for item in output {
            push(&mut request["input"], item.clone());
        }
        let calls = output.iter().filter(|item| item["type"] == "function_call");
        for (call, result) in calls.zip(RESULTS) {
            let call_id = &call["call_id"];
            let item =
                json!({"type": "function_call_output", "call_id": call_id, "output": result});
            push(&mut request["input"], item);
        }
        request
    }

    fn read(&self, body: &Value) -> Said {
        answer(body)
    }

    fn read_stream(&self, bytes: &[u8]) -> Said {
        stream(&events(bytes))
    }

    /// Some SDKs know the event `error`, others a response that failed.
    fn read_error(&self, bytes: &[u8]) -> String {
        let events = events(bytes);
        let error = events.iter().find(|event| event["type"] == "error");
        let failed = events.iter().find(|event| event["type"] == "response.failed");
        let message = match (error, failed) {
            (_, Some(failed)) => &failed["response"]["error"]["message"],
            (Some(error), None) => &error["message"],
            (None, None) => panic!("no error in {events:#?}"),
        };
        text(message)
    }
}

/// Numbered events, whose names are their types.
fn events(bytes: &[u8]) -> Vec<Value> {
    let events = server_sent(bytes).into_iter().enumerate();
    events
        .map(|(number, (name, data))| {
            let event: Value = serde_json::from_str(&data).unwrap();
            assert_eq!(name.as_deref(), event["type"].as_str());
            assert_eq!(event["sequence_number"], number);
            event
        })
        .collect()
}

fn usage(usage: &Value) -> TokenUsage {
    let details = &usage["input_tokens_details"];
    let (read, written) = (count(&details["cached_tokens"]), count(&details["cache_write_tokens"]));
    let (input, output) = (count(&usage["input_tokens"]), count(&usage["output_tokens"]));
    assert_eq!(count(&usage["total_tokens"]), input + output);
    count(&usage["output_tokens_details"]["reasoning_tokens"]);
    TokenUsage {
        input: input - read - written,
        output,
        cache_read: read,
        cache_write_5m: written,
        ..TokenUsage::default()
    }
}

fn answer(body: &Value) -> Said {
    assert_eq!((&body["object"], &body["status"]), (&"response".into(), &"completed".into()));
    assert!(text(&body["id"]).starts_with("resp_"));
    let mut said = Said {
        thinking: None,
        text: String::new(),
        calls: Vec::new(),
        ended: Ended::Done,
        usage: usage(&body["usage"]),
    };
    for item in list(&body["output"]) {
        assert!(item["id"].is_string());
        match item["type"].as_str().unwrap() {
            "reasoning" => {
                for part in list(&item["summary"]) {
                    said.thinking.get_or_insert_default().push_str(&text(&part["text"]));
                }
            }
            "message" => {
                for part in list(&item["content"]) {
                    assert_eq!(part["type"], "output_text");
                    assert!(part["annotations"].is_array());
                    said.text.push_str(&text(&part["text"]));
                }
            }
            "function_call" => {
                said.ended = Ended::Tools;
                said.calls.push(Call {
                    id: text(&item["call_id"]),
                    name: text(&item["name"]),
                    arguments: arguments(&item["arguments"]),
                });
            }
            other => panic!("{other}"),
        }
    }
    said
}

/// Builds the response that a stream describes, compares it with the one at its end, and reads that.
fn stream(events: &[Value]) -> Said {
    let (first, last) = (&events[0], events.last().unwrap());
    assert_eq!(
        (&first["type"], &first["response"]["status"]),
        (&"response.created".into(), &"in_progress".into())
    );
    assert_eq!(last["type"], "response.completed");
    assert_eq!(first["response"]["id"], last["response"]["id"]);
    let mut output: Vec<Value> = Vec::new();
    let mut open = None;
    for event in &events[1..events.len() - 1] {
        let kind = event["type"].as_str().unwrap();
        if kind == "response.in_progress" {
            continue;
        }
        let index = usize::try_from(count(&event["output_index"])).unwrap();
        if kind == "response.output_item.added" {
            assert_eq!((open, index), (None, output.len()), "one item at a time, in order");
            open = Some(index);
            output.push(event["item"].clone());
            continue;
        }
        assert_eq!(open, Some(index));
        let item = output.last_mut().unwrap();
        if let Some(id) = event.get("item_id") {
            assert_eq!(id, &item["id"]);
        }
        let part = |key: &str| usize::try_from(count(&event[key])).unwrap();
        match kind {
            "response.content_part.added" => {
                assert_eq!(part("content_index"), list(&item["content"]).len());
                push(&mut item["content"], event["part"].clone());
            }
            "response.output_text.delta" => {
                append(&mut item["content"][part("content_index")]["text"], &event["delta"]);
            }
            "response.output_text.done" => {
                assert_eq!(item["content"][part("content_index")]["text"], event["text"]);
            }
            "response.content_part.done" => {
                assert_eq!(item["content"][part("content_index")]["text"], event["part"]["text"]);
            }
            "response.reasoning_summary_part.added" => {
                assert_eq!(part("summary_index"), list(&item["summary"]).len());
                push(&mut item["summary"], event["part"].clone());
            }
            "response.reasoning_summary_text.delta" => {
                append(&mut item["summary"][part("summary_index")]["text"], &event["delta"]);
            }
            "response.reasoning_summary_text.done" => {
                assert_eq!(item["summary"][part("summary_index")]["text"], event["text"]);
            }
            "response.reasoning_summary_part.done" => {
                assert_eq!(item["summary"][part("summary_index")], event["part"]);
            }
            "response.function_call_arguments.delta" => {
                append(&mut item["arguments"], &event["delta"]);
            }
            "response.function_call_arguments.done" => {
                assert_eq!(item["arguments"], event["arguments"]);
            }
            "response.output_item.done" => {
                for key in ["content", "summary", "arguments", "call_id", "name"] {
                    let texts = |item: &Value| match &item[key] {
                        Value::Array(parts) => {
                            parts.iter().map(|part| part["text"].clone()).collect()
                        }
                        other => other.clone(),
                    };
                    assert_eq!(texts(item), texts(&event["item"]), "{key}");
                }
                *item = event["item"].clone();
                open = None;
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(open, None);
    assert_eq!(Value::from(output), last["response"]["output"]);
    answer(&last["response"])
}

//! Conversations of several turns, in which each side only gets what the other one sent.

use serde_json::{Value, json};

use super::{canonical, converse_model, head, native_model, parse};
use crate::openai_responses::ResponsesCodec;
use crate::{Codec as _, ContentBlock, GenerateRequest as _, ModelResponse, StopReason, Tool};

fn request(items: &[Value]) -> Value {
    json!({
        "model": "m",
        "store": false,
        "input": items,
        "tools": [
            {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}, "strict": false},
            {"type": "custom", "name": "apply_patch"},
            {"type": "namespace", "name": "agents", "tools": [{"type": "function", "name": "close_agent"}]},
        ],
    })
}

/// What a model thinks, says and calls.
fn blocks() -> Vec<ContentBlock> {
    let call = |id: &str, name: &str, input: Value| ContentBlock::ToolUse {
        id: id.to_owned(),
        name: name.to_owned(),
        input,
    };
    vec![
        ContentBlock::Reasoning {
            text: " Hm.\n ü".to_owned(),
            signature: Some("c2ln+/=".to_owned()),
        },
        ContentBlock::RedactedReasoning { data: "cmVk".to_owned() },
        ContentBlock::Text("Let me see.".to_owned()),
        call("t1", "look", json!({"at": [1, {"b": null}]})),
        call("t2", "apply_patch", json!({"input": "*** Begin\n\"x\""})),
        call("t3", "agents__close_agent", json!({})),
    ]
}

fn output(item: &Value) -> Option<Value> {
    let kind = match item["type"].as_str()? {
        "function_call" => "function_call_output",
        "custom_tool_call" => "custom_tool_call_output",
        _ => return None,
    };
    Some(json!({"type": kind, "call_id": item["call_id"], "output": "ok"}))
}

#[test]
fn a_client_that_only_sends_items_back_keeps_thinking_and_calls() {
    let mut items = vec![json!({"role": "user", "content": "q"})];
    let response = ModelResponse {
        content: blocks(),
        stop_reason: StopReason::ToolUse,
        stop_sequence: None,
        usage: metering::TokenUsage::default(),
        provider_request_id: None,
    };
    let mut renderer = parse(&request(&items)).unwrap().renderer(head());
    let answer: Value = serde_json::from_slice(&renderer.response(&response)).unwrap();
    let mut answered = answer["output"].as_array().unwrap().clone();
    let outputs: Vec<_> = answered.iter().filter_map(output).collect();
    assert_eq!(outputs.len(), 3);
    assert_eq!(answered[5]["namespace"], "agents");
    // Some clients restyle what they take for a summary.
    answered[0]["summary"] = json!([]);
    items.append(&mut answered);
    items.extend(outputs);
    let canonical = canonical(&request(&items)).unwrap();
    assert_eq!(canonical.messages[1].content, blocks());
    let results = &canonical.messages[2].content;
    assert!(results.iter().all(|block| matches!(block, ContentBlock::ToolResult { .. })));
}

#[test]
fn a_request_that_was_written_says_the_same() {
    let full = super::golden::full_request();
    let first = full.to_canonical(&converse_model(), 100).unwrap();
    let written = ResponsesCodec.write(&first, &native_model(), true).unwrap();
    let again = super::ResponsesRequest::parse(&written.body).unwrap();
    let second = again.to_canonical(&converse_model(), 100).unwrap();
    // Reasoning that nobody signed, and a cache point of the system prompt, are not written; texts of
    // the system are joined, and files get their ending.
    let tools = |request: &crate::ModelRequest| -> Vec<_> {
        let tools = request.tools.iter().cloned();
        // What is not said is `false`.
        tools.map(|tool| Tool { strict: Some(tool.strict == Some(true)), ..tool }).collect()
    };
    assert_eq!((tools(&second), &second.tool_choice), (tools(&first), &first.tool_choice));
    assert_eq!(
        (&second.inference, &second.output_schema, &second.effort),
        (&first.inference, &first.output_schema, &first.effort)
    );
    let calls = |request: &crate::ModelRequest| -> Vec<ContentBlock> {
        let blocks = request.messages.iter().flat_map(|message| message.content.clone());
        blocks
            .filter(|block| {
                matches!(
                    block,
                    ContentBlock::ToolUse { .. }
                        | ContentBlock::ToolResult { .. }
                        | ContentBlock::Image { .. }
                )
            })
            .collect()
    };
    assert_eq!(calls(&second), calls(&first));
}

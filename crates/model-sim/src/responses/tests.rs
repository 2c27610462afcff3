use serde_json::{Value, json};

use super::request::parse;
use crate::prompt::ToolChoice;
use crate::seal::seal;

fn body(extra: &Value) -> Value {
    let mut body = json!({"model": "m", "input": "hi"});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

#[track_caller]
fn refused(extra: &Value, words: &str) {
    let fault = parse(&body(extra), false).unwrap_err();
    assert!(fault.message.contains(words), "{}", fault.message);
}

#[test]
fn what_needs_a_store_is_refused() {
    parse(&body(&json!({"store": false, "previous_response_id": null})), false).unwrap();
    refused(&json!({"store": true}), "'store'");
    refused(&json!({"previous_response_id": "resp_1"}), "'previous_response_id'");
    refused(&json!({"background": true}), "'background'");
    refused(&json!({"conversation": "conv_1"}), "'conversation'");
}

#[test]
fn a_bad_request_is_refused() {
    refused(&json!({"input": []}), "'input'");
    refused(&json!({"max_tokens": 5}), "Unknown parameter: 'max_tokens'");
    refused(&json!({"max_output_tokens": 5}), ">= 16");
    refused(&json!({"tools": [{"type": "web_search"}]}), "runs no tools");
    refused(&json!({"tool_choice": "required"}), "with 'tools'");
    refused(
        &json!({"text": {"format": {"type": "json_schema", "schema": {}}}}),
        "text.format.name",
    );
    let said = |role: &str, kind: &str| json!({"input": [{"role": role, "content": [{"type": kind, "text": "a"}]}]});
    refused(&said("user", "output_text"), "'input_text'");
    refused(&said("assistant", "input_text"), "'output_text'");
    refused(&json!({"input": [{"type": "item_reference", "id": "x"}]}), "item_reference");
}

#[test]
fn calls_and_outputs_belong_together() {
    let call = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"});
    let output = json!({"type": "function_call_output", "call_id": "c", "output": "21"});
    let reasoning =
        json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": seal("so")});
    let prompt = parse(
        &body(&json!({"input": [{"role": "user", "content": "hi"}, reasoning, call, output],
            "tools": [{"type": "function", "name": "f"}], "tool_choice": {"type": "function", "name": "f"}})),
        false,
    )
    .unwrap();
    assert_eq!(prompt.tool_result().as_deref(), Some("21"));
    assert_eq!((prompt.last_user_text(), prompt.rounds_after("hi")), ("", Some(1)));
    assert_eq!(prompt.tool_choice, ToolChoice::Named("f".to_owned()));
    refused(&json!({"input": [call]}), "No tool output found");
    refused(&json!({"input": [output]}), "No tool call found");
    refused(
        &json!({"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}),
        "not persisted",
    );
    refused(
        &json!({"input": [{"type": "reasoning", "id": "rs_1", "encrypted_content": "x"}]}),
        "could not be verified",
    );
}

use serde_json::{Value, json};

use super::Form;
use super::request::parse;
use crate::prompt::ToolChoice;
use crate::seal::{seal, sign};

fn body(extra: &Value) -> Value {
    let mut body =
        json!({"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

#[track_caller]
fn refused(extra: &Value, words: &str) {
    let fault = parse(Form::Messages, &body(extra)).unwrap_err();
    assert!(fault.message.contains(words), "{}", fault.message);
}

#[track_caller]
fn accepted(extra: &Value) -> crate::prompt::Prompt {
    parse(Form::Messages, &body(extra)).unwrap()
}

fn tool() -> Value {
    json!({"name": "f", "input_schema": {"type": "object"}})
}

fn turns(assistant: &Value, user: &Value) -> Value {
    json!([{"role": "user", "content": "hi"}, {"role": "assistant", "content": [assistant]}, {"role": "user", "content": [user]}])
}

#[test]
fn the_envelope_is_strict() {
    accepted(&json!({}));
    refused(&json!({"max_tokens": 0}), "greater than or equal to 1");
    refused(&json!({"messages": []}), "at least one message");
    refused(&json!({"frequency_penalty": 1}), "frequency_penalty: Extra inputs");
    refused(&json!({"temperature": 1.5}), "temperature");
    refused(&json!({"messages": [{"role": "assistant", "content": "a"}]}), "first message");
    refused(&json!({"messages": [{"role": "tool", "content": "a"}]}), "messages.0.role");
    refused(&json!({"messages": [{"role": "user", "content": ""}]}), "non-empty content");
    let no_max = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    assert!(
        parse(Form::Messages, &no_max).unwrap_err().message.contains("max_tokens: Field required")
    );
    parse(Form::Count, &no_max).unwrap();
    let of_invoke = json!({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]});
    parse(Form::Invoke, &of_invoke).unwrap();
    assert!(parse(Form::Invoke, &body(&json!({}))).is_err());
}

#[test]
fn tool_results_follow_their_tool_use() {
    let used = json!({"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}});
    let result = |id: &str| json!({"type": "tool_result", "tool_use_id": id, "content": [{"type": "text", "text": "21"}]});
    let prompt =
        accepted(&json!({"messages": turns(&used, &result("toolu_1")), "tools": [tool()]}));
    assert_eq!(prompt.tool_result().as_deref(), Some("21"));
    refused(&json!({"messages": turns(&used, &result("toolu_1"))}), "must define tools");
    refused(
        &json!({"messages": turns(&used, &result("other")), "tools": [tool()]}),
        "unexpected `tool_use_id`",
    );
    let text = json!({"type": "text", "text": "never mind"});
    refused(
        &json!({"messages": turns(&used, &text), "tools": [tool()]}),
        "immediately after: toolu_1",
    );
    let odd = json!({"type": "tool_use", "id": "a.b:c", "name": "f", "input": {}});
    refused(&json!({"messages": turns(&odd, &result("a.b:c")), "tools": [tool()]}), "pattern");
}

#[test]
fn instructions_stand_anywhere() {
    let messages =
        json!([{"role": "user", "content": "hi"}, {"role": "system", "content": "Be brief."}]);
    assert_eq!(accepted(&json!({"messages": messages})).last_user_text(), "hi");
}

#[test]
fn thinking_comes_back_signed() {
    let thought =
        |signature: &str| json!({"type": "thinking", "thinking": "so", "signature": signature});
    let text = json!({"type": "text", "text": "and?"});
    accepted(&json!({"messages": turns(&thought(&sign("so")), &text)}));
    refused(&json!({"messages": turns(&thought(&sign("other")), &text)}), "Invalid `signature`");
    let redacted = |data: &str| json!({"type": "redacted_thinking", "data": data});
    accepted(&json!({"messages": turns(&redacted(&seal("so")), &text)}));
    refused(&json!({"messages": turns(&redacted("so"), &text)}), "Invalid `data`");
    let enabled = |budget: u64| json!({"max_tokens": 2048, "thinking": {"type": "enabled", "budget_tokens": budget}});
    assert!(accepted(&enabled(1024)).thinks);
    refused(&enabled(10), "1024");
    refused(&enabled(4096), "must be greater");
}

#[test]
fn media_must_be_what_they_say() {
    let media = |kind: &str, media_type: &str, data: &str| {
        let source = json!({"type": "base64", "media_type": media_type, "data": data});
        json!({"messages": [{"role": "user", "content": [{"type": kind, "source": source}]}]})
    };
    assert_eq!(accepted(&media("image", "image/png", "iVBORw0KGgo=")).tally.images, 1);
    refused(&media("image", "image/jpeg", "iVBORw0KGgo="), "Could not process image");
    refused(&media("image", "image/bmp", "iVBORw0KGgo="), "media_type");
    assert_eq!(
        accepted(&media("document", "application/pdf", "JVBERi0xLjQ=")).tally.document_bytes,
        9
    );
    refused(&media("document", "application/pdf", "aGk="), "not valid");
}

#[test]
fn tools_are_defined_and_chosen_among() {
    let with = |tools: Value, choice: Value| json!({"tools": tools, "tool_choice": choice});
    let prompt = accepted(&with(json!([tool()]), json!({"type": "tool", "name": "f"})));
    assert_eq!(prompt.tool_choice, ToolChoice::Named("f".to_owned()));
    refused(&with(json!([tool()]), json!({"type": "tool", "name": "g"})), "not found");
    refused(&with(json!([tool(), tool()]), json!({"type": "auto"})), "unique");
    refused(&with(json!([{"name": "f"}]), json!({"type": "auto"})), "input_schema");
    refused(&with(json!([]), json!({"type": "any"})), "only be specified");
    refused(&json!({"tools": [{"type": "web_search_20250305", "name": "w"}]}), "Input tag");
}

#[test]
fn cache_marks_are_few_and_in_order() {
    let block = |ttl: &str| json!({"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": ttl}});
    let said = |blocks: Vec<Value>| json!({"messages": [{"role": "user", "content": blocks}]});
    accepted(&said(vec![block("1h"), block("5m")]));
    refused(&said(vec![block("5m"), block("1h")]), "must not come after");
    refused(&said(vec![block("5m"); 5]), "Found 5");
    refused(&said(vec![block("2h")]), "ttl");
}

#[test]
fn unknown_betas_are_refused() {
    super::validate::betas(["", "context-1m-2025-08-07"].into_iter()).unwrap();
    let fault = super::validate::betas(["prompt-caching-9999"].into_iter()).unwrap_err();
    assert_eq!(fault.message, "invalid beta flag");
}

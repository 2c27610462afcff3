use serde_json::{Value, json};

use super::{conversation, parse, request};
use crate::openai_chat::ChatRequest;

#[track_caller]
fn refuses_bytes(body: &[u8], code: &str, param: Option<&str>, words: &str) {
    let error = ChatRequest::parse(body).expect_err("should be refused");
    assert_eq!((error.code, error.param.as_deref()), (code, param), "{error}");
    assert!(error.message.contains(words), "{error}");
}

#[track_caller]
fn refuses(body: &Value, code: &str, param: &str, words: &str) {
    refuses_bytes(body.to_string().as_bytes(), code, Some(param), words);
}

#[test]
fn broken_bodies_are_refused_with_the_place() {
    refuses_bytes(b"", "invalid_json", None, "empty");
    refuses_bytes(b" \n", "invalid_json", None, "empty");
    refuses_bytes(b"{\"model\":\"\xff\"}", "invalid_utf8", None, "byte 10");
    refuses_bytes(b"{\"model\":\n \"m\",}", "invalid_json", None, "line 2, column 6");
    refuses_bytes(
        b"{\"model\":\"m\"",
        "invalid_json",
        None,
        "EOF while parsing an object (line 1, column 12)",
    );
    refuses_bytes(b"{} {}", "invalid_json", None, "trailing characters");
    refuses_bytes(b"{\"n\":1e999}", "invalid_json", None, "number out of range");
    refuses_bytes(b"\"text\"", "invalid_type", None, "must be a JSON object, not a string");
    refuses_bytes(b"[]", "invalid_type", None, "not an array");
    let bomb = format!("{{\"messages\":{}", "[".repeat(1_000_000));
    refuses_bytes(bomb.as_bytes(), "invalid_json", None, "nested deeper than 128 levels");
}

#[test]
fn no_object_says_a_thing_twice() {
    let twice = br#"{"model":"cheap","messages":[{"role":"user","content":"x"}],"model":"dear"}"#;
    refuses_bytes(twice, "duplicate_key", Some("model"), "more than once");
    let escaped =
        br#"{"model":"cheap","messages":[{"role":"user","content":"x"}],"mod\u0065l":"dear"}"#;
    refuses_bytes(escaped, "duplicate_key", Some("model"), "more than once");
    let nested =
        br#"{"model":"m","messages":[{"role":"user","content":"a long text","content":"x"}]}"#;
    refuses_bytes(nested, "duplicate_key", Some("content"), "line 1, column");
}

#[test]
fn a_judged_field_in_other_case_is_refused() {
    refuses(&request(json!({"Model": "dear"})), "unknown_parameter", "Model", "write `model`");
    refuses(
        &request(json!({"MAX_TOKENS": 1_000_000})),
        "unknown_parameter",
        "MAX_TOKENS",
        "write `max_tokens`",
    );
}

#[test]
fn the_model_must_be_named() {
    refuses(
        &json!({"messages": [{"role": "user", "content": "hi"}]}),
        "missing_required_parameter",
        "model",
        "GET /v1/models",
    );
    refuses(&request(json!({"model": null})), "missing_required_parameter", "model", "Missing");
    refuses(&request(json!({"model": " "})), "invalid_value", "model", "empty");
    refuses(
        &request(json!({"model": 4})),
        "invalid_type",
        "model",
        "must be a string, not an integer",
    );
}

#[test]
fn messages_must_look_like_messages() {
    refuses(&json!({"model": "m"}), "missing_required_parameter", "messages", "Missing");
    refuses(&conversation(json!([])), "empty_array", "messages", "at least one");
    refuses(
        &conversation(json!("hi")),
        "invalid_type",
        "messages",
        "must be an array, not a string",
    );
    refuses(&conversation(json!(["hi"])), "invalid_type", "messages[0]", "must be an object");
    refuses(
        &conversation(json!([{"content": "hi"}])),
        "missing_required_parameter",
        "messages[0].role",
        "Missing",
    );
    refuses(
        &conversation(json!([{"role": "robot", "content": "hi"}])),
        "invalid_value",
        "messages[0].role",
        "not `robot`",
    );
    refuses(&conversation(json!([{"role": 1}])), "invalid_type", "messages[0].role", "a string");
    refuses(
        &conversation(json!([{"role": "user", "content": "a"}, {"role": "user", "content": 5}])),
        "invalid_type",
        "messages[1].content",
        "must be a string or an array of content parts, not an integer",
    );
    refuses(
        &conversation(json!([{"role": "user", "content": ["a"]}])),
        "invalid_type",
        "messages[0].content[0]",
        "an object",
    );
    refuses(
        &conversation(json!([{"role": "user", "content": [{"text": "a"}]}])),
        "missing_required_parameter",
        "messages[0].content[0].type",
        "Missing",
    );
    refuses(
        &conversation(json!([{"role": "tool", "content": "a"}])),
        "missing_required_parameter",
        "messages[0].tool_call_id",
        "Missing",
    );
}

#[test]
fn lengths_and_counts_must_be_positive_integers() {
    for field in ["max_tokens", "max_completion_tokens", "n"] {
        refuses(&request(json!({field: 0})), "integer_below_min_value", field, "at least 1, not 0");
        refuses(
            &request(json!({field: -5})),
            "integer_below_min_value",
            field,
            "at least 1, not -5",
        );
        refuses(
            &request(json!({field: 1.5})),
            "invalid_type",
            field,
            "must be an integer, not a decimal number",
        );
        refuses(
            &request(json!({field: "9"})),
            "invalid_type",
            field,
            "must be an integer, not a string",
        );
    }
    refuses(&request(json!({"n": 129})), "integer_above_max_value", "n", "at most 128");
    let both = request(json!({"max_tokens": 5, "max_completion_tokens": 6}));
    refuses(&both, "invalid_value", "max_tokens", "both set");
}

#[test]
fn stream_options_need_a_stream() {
    refuses(&request(json!({"stream": "yes"})), "invalid_type", "stream", "must be a boolean");
    refuses(
        &request(json!({"stream_options": {}})),
        "invalid_value",
        "stream_options",
        "only when `stream` is true",
    );
    refuses(
        &request(json!({"stream": true, "stream_options": 1})),
        "invalid_type",
        "stream_options",
        "an object",
    );
    let body = request(json!({"stream": true, "stream_options": {"include_usage": 1}}));
    refuses(&body, "invalid_type", "stream_options.include_usage", "must be a boolean");
}

#[test]
fn the_accessors_say_what_was_asked_for() {
    let plain = parse(&request(json!({}))).unwrap();
    assert_eq!((plain.model(), plain.is_streaming(), plain.includes_usage()), ("m", false, false));
    assert_eq!((plain.max_output_tokens(), plain.choices()), (None, 1));
    let full =
        json!({"stream": true, "stream_options": {"include_usage": true}, "max_tokens": 7, "n": 2});
    let full = parse(&request(full)).unwrap();
    assert_eq!((full.is_streaming(), full.includes_usage()), (true, true));
    assert_eq!((full.max_output_tokens(), full.choices()), (Some(7), 2));
}

#[test]
fn null_counts_as_absent() {
    let nulls = json!({"stream": null, "stream_options": null, "max_tokens": null, "max_completion_tokens": 3, "n": null});
    assert_eq!(parse(&request(nulls)).unwrap().max_output_tokens(), Some(3));
}

#[test]
fn what_the_gateway_does_not_judge_is_no_reason_to_refuse() {
    parse(&request(json!({"new_field": {"x": [1]}, "temperature": 7, "tools": "later"}))).unwrap();
    parse(&conversation(json!([{"role": "user", "content": [{"type": "hologram", "data": "x"}]}])))
        .unwrap();
}

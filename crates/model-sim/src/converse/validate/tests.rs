use serde_json::{Value, json};

use super::validate;
use crate::seal::{seal, sign};

const MODEL: &str = "us.anthropic.claude-sonnet-4-20250514-v1:0";

#[track_caller]
fn refused(body: &Value, words: &str) {
    let fault = validate(MODEL, body).unwrap_err();
    assert_eq!(fault.exception, "ValidationException");
    assert!(fault.message.contains(words), "{}", fault.message);
}

fn said(role: &str, content: &Value) -> Value {
    json!({"role": role, "content": [content]})
}

fn conversation(messages: &[Value]) -> Value {
    json!({"messages": messages})
}

fn hello(extra: &Value) -> Value {
    let mut body = conversation(&[said("user", &json!({"text": "hi"}))]);
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

#[test]
fn a_conversation_starts_with_the_user_and_alternates() {
    let (user, assistant) =
        (said("user", &json!({"text": "a"})), said("assistant", &json!({"text": "b"})));
    refused(&conversation(&[]), "must start with a user message");
    refused(&conversation(std::slice::from_ref(&assistant)), "must start with a user message");
    refused(&conversation(&[user.clone(), user.clone()]), "must alternate");
    refused(&conversation(&[said("tool", &json!({"text": "a"}))]), "enum value set");
    validate(MODEL, &conversation(&[user.clone(), assistant, user])).unwrap();
}

#[test]
fn content_is_never_empty() {
    refused(&json!({"messages": [{"role": "user", "content": []}]}), "messages.0 is empty");
    refused(&conversation(&[said("user", &json!({"text": " "}))]), "is blank");
    refused(&conversation(&[said("user", &json!({}))]), "must set one of");
    refused(&hello(&json!({"system": [{"text": ""}]})), "system.0 is blank");
}

#[test]
fn pictures_must_be_what_they_say() {
    let picture = |format: &str, bytes: &str| {
        conversation(&[said(
            "user",
            &json!({"image": {"format": format, "source": {"bytes": bytes}}}),
        )])
    };
    validate(MODEL, &picture("png", "iVBORw0KGgo=")).unwrap();
    refused(&picture("jpeg", "iVBORw0KGgo="), "Could not process image");
    refused(&picture("png", "no base64!"), "Could not process image");
    refused(&picture("bmp", "iVBORw0KGgo="), "image.format");
}

#[test]
fn inference_parameters_stay_in_their_range() {
    refused(&hello(&json!({"inferenceConfig": {"maxTokens": 0}})), "greater than or equal to 1");
    refused(&hello(&json!({"inferenceConfig": {"temperature": 1.5}})), "temperature");
    validate(
        MODEL,
        &hello(&json!({"inferenceConfig": {"maxTokens": 1, "temperature": 1, "topP": 0.5}})),
    )
    .unwrap();
}

#[test]
fn tools_are_named_defined_and_answered() {
    let spec = |name: &str| json!({"toolSpec": {"name": name, "inputSchema": {"json": {}}}});
    let config =
        |tools: Value, choice: Value| json!({"toolConfig": {"tools": tools, "toolChoice": choice}});
    refused(&hello(&config(json!([]), json!({"auto": {}}))), "toolConfig.tools");
    refused(&hello(&config(json!([spec("a b")]), json!({"auto": {}}))), "pattern");
    refused(&hello(&config(json!([spec("a"), spec("a")]), json!({"auto": {}}))), "already defined");
    refused(&hello(&config(json!([spec("a")]), json!({"tool": {"name": "b"}}))), "not defined");
    refused(&hello(&config(json!([spec("a")]), json!({"none": {}}))), "unknown key none");
    let used = json!({"toolUse": {"toolUseId": "i", "name": "a", "input": {}}});
    let result = |id: &str| {
        said("user", &json!({"toolResult": {"toolUseId": id, "content": [{"text": "r"}]}}))
    };
    let turns =
        |last: Value| [said("user", &json!({"text": "hi"})), said("assistant", &used), last];
    refused(&conversation(&turns(result("i"))), "toolConfig field must be defined");
    refused(&conversation(&turns(result("other"))), "following Ids: i");
    refused(&conversation(&[result("i")]), "exceeds the number");
    let mut complete = conversation(&turns(result("i")));
    complete["toolConfig"] = json!({"tools": [spec("a")]});
    validate(MODEL, &complete).unwrap();
}

#[test]
fn request_metadata_is_short_and_plain() {
    validate(MODEL, &hello(&json!({"requestMetadata": {"tenant_id": "acme", "a": ""}}))).unwrap();
    refused(&hello(&json!({"requestMetadata": {}})), "1 to 16");
    refused(&hello(&json!({"requestMetadata": {"a": "é"}})), "requestMetadata.a");
}

#[test]
fn documents_have_a_known_format_a_plain_name_and_a_source() {
    let document = |format: &str, name: &str, source: Value| {
        let document = json!({"document": {"format": format, "name": name, "source": source}});
        json!({"messages": [{"role": "user", "content": [{"text": "read"}, document]}]})
    };
    let pdf = || json!({"bytes": "JVBERi0xLjQ="});
    validate(MODEL, &document("pdf", "Report (1)", pdf())).unwrap();
    validate(MODEL, &document("txt", "a", json!({"text": "hello"}))).unwrap();
    validate(MODEL, &document("pdf", "a", json!({"s3Location": {"uri": "s3://bucket/key"}})))
        .unwrap();
    refused(&document("exe", "a", pdf()), "enum value set");
    refused(&document("pdf", "a.pdf", pdf()), "file name");
    refused(&document("pdf", "a", json!({"bytes": "aGk="})), "Could not process document");
    refused(&document("pdf", "a", json!({"s3Location": {"uri": "https://a/b"}})), "s3Location.uri");
}

#[test]
fn reasoning_comes_back_as_it_was_given() {
    let turns = |reasoning: Value| {
        conversation(&[
            said("user", &json!({"text": "a"})),
            said("assistant", &json!({"reasoningContent": reasoning})),
            said("user", &json!({"text": "b"})),
        ])
    };
    let signed = |text: &str, signature: &str| {
        turns(json!({"reasoningText": {"text": text, "signature": signature}}))
    };
    validate(MODEL, &signed("a thought", &sign("a thought"))).unwrap();
    refused(&signed("another thought", &sign("a thought")), "Invalid `signature`");
    refused(&turns(json!({"reasoningText": {"text": "a thought"}})), "Field required");
    validate("openai.gpt-oss", &turns(json!({"reasoningText": {"text": "a thought"}}))).unwrap();
    validate(MODEL, &turns(json!({"redactedContent": seal("secret")}))).unwrap();
    refused(&turns(json!({"redactedContent": "c2VjcmV0"})), "Invalid `data`");
}

use serde_json::{Value, json};

use super::validate;

#[track_caller]
fn refused(body: &Value, words: &str) {
    let fault = validate(body).unwrap_err();
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
    validate(&conversation(&[user.clone(), assistant, user])).unwrap();
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
    validate(&picture("png", "iVBORw0KGgo=")).unwrap();
    refused(&picture("jpeg", "iVBORw0KGgo="), "Could not process image");
    refused(&picture("png", "no base64!"), "Could not process image");
    refused(&picture("bmp", "iVBORw0KGgo="), "image.format");
}

#[test]
fn inference_parameters_stay_in_their_range() {
    refused(&hello(&json!({"inferenceConfig": {"maxTokens": 0}})), "greater than or equal to 1");
    refused(&hello(&json!({"inferenceConfig": {"temperature": 1.5}})), "temperature");
    validate(&hello(&json!({"inferenceConfig": {"maxTokens": 1, "temperature": 1, "topP": 0.5}})))
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
    validate(&complete).unwrap();
}

#[test]
fn request_metadata_is_short_and_plain() {
    validate(&hello(&json!({"requestMetadata": {"tenant_id": "acme", "a": ""}}))).unwrap();
    refused(&hello(&json!({"requestMetadata": {}})), "1 to 16");
    refused(&hello(&json!({"requestMetadata": {"a": "é"}})), "requestMetadata.a");
}

use super::{native_model, parse, request};
use crate::anthropic_messages::MessagesRequest;
use crate::{BadRequest, GenerateRequest as _, Model, Operation, Protocol};
use serde_json::json;

#[track_caller]
fn forwards(model: &Model, body: &str, expected: &str) {
    let request = MessagesRequest::parse(body.as_bytes(), &[]).unwrap();
    let forwarded = request.forward(model, 1).unwrap();
    assert_eq!(str::from_utf8(&forwarded.body).unwrap(), expected);
    assert_eq!(
        (forwarded.protocol, forwarded.operation),
        (Protocol::AnthropicMessages, Operation::Invoke)
    );
}

fn named(provider_model_id: &str) -> Model {
    Model { provider_model_id: provider_model_id.to_owned(), ..native_model() }
}

#[test]
fn nothing_changes_when_nothing_must() {
    let body = "\n{ \"model\" : \"p\" ,\t\"max_tokens\":3 , \"messages\":[ {\"role\":\"user\",\"content\":\"\\u00fc ü\"} ],\"x\":1.50e+3}  \n";
    forwards(&named("p"), body, body);
}

#[test]
fn the_model_is_named_as_the_provider_does_and_dropped_fields_are_gone() {
    let model = Model {
        drop_fields: ["temperature", "x", "model", "messages", "max_tokens"]
            .map(str::to_owned)
            .into(),
        ..named("a\"b")
    };
    forwards(
        &model,
        r#"{"temperature":1,"model":"m", "max_tokens":3,"x":[],"messages":[{"role":"user","content":"\"model\":\"m\""}],"x2":1}"#,
        r#"{"model":"a\"b", "max_tokens":3,"messages":[{"role":"user","content":"\"model\":\"m\""}],"x2":1}"#,
    );
}

#[test]
fn versions_and_beta_flags_are_passed_on_as_the_model_takes_them() {
    let body = request(json!({"stream": true})).to_string();
    let headers = [
        ("anthropic-beta", "a-1, b-2,,"),
        ("anthropic-version", "2026-10-21"),
        ("anthropic-beta", "c-3"),
        ("x-api-key", "secret"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let sent = |model: &Model, headers: &[(String, String)]| {
        let request = MessagesRequest::parse(body.as_bytes(), headers).unwrap();
        let forwarded = request.forward(model, 1).unwrap();
        assert!(forwarded.is_streaming);
        let all = forwarded.headers.iter().map(|(name, value)| format!("{name}: {value}"));
        all.collect::<Vec<_>>()
    };
    let filtered = |flags: &[&str]| Model {
        anthropic_beta: Some(flags.iter().map(|flag| (*flag).to_owned()).collect()),
        ..native_model()
    };
    let version = "anthropic-version: 2026-10-21";
    assert_eq!(sent(&native_model(), &headers), [version, "anthropic-beta: a-1,b-2,c-3"]);
    assert_eq!(sent(&filtered(&["c-3", "a-1"]), &headers), [version, "anthropic-beta: a-1,c-3"]);
    assert_eq!(sent(&filtered(&[]), &headers), [version]);
    assert_eq!(sent(&native_model(), &[]), ["anthropic-version: 2023-06-01"]);
}

/// Another model answered the turn before; one that signs its thinking refuses this one's.
#[test]
fn thinking_that_nobody_signed_is_taken_out() {
    let body = |first: &str, rest: &str| {
        format!(
            r#"{{"model":"p","max_tokens":3,"messages":[{{"role":"user","content":"q"}},{{"role":"assistant","content":[ {first}{{"type":"text","text":"\u00fc", "n":1.50}}{rest} ]}},{{"role":"assistant","content":[{{"type":"thinking","thinking":"alone","signature":""}}]}}]}}"#
        )
    };
    let unsigned = r#"{"type":"thinking","thinking":"a","signature":""}"#;
    let signed = r#"{"type":"thinking","thinking":"","signature":"c2ln"}"#;
    let expected = body("", "");
    forwards(&named("p"), &expected, &expected);
    forwards(&named("p"), &body(&format!("{unsigned} , "), ""), &expected);
    forwards(&named("p"), &body("", &format!(" , {unsigned}")), &expected);
    forwards(
        &named("p"),
        &body(&format!("{unsigned}, {unsigned},"), &format!(",{unsigned}")),
        &expected,
    );
    let mixed = body(&format!("{signed},"), &format!(" ,{signed}"));
    forwards(&named("p"), &mixed, &mixed);
    forwards(&named("p"), &body(&format!("{unsigned},{signed},"), &format!(" ,{signed}")), &mixed);
}

#[track_caller]
fn refuses(body: &serde_json::Value) -> BadRequest {
    parse(body).unwrap_err()
}

#[test]
fn what_the_gateway_relies_on_must_be_there() {
    for (fields, param) in [
        (json!({"model": null}), "model"),
        (json!({"model": " "}), "model"),
        (json!({"model": 1}), "model"),
        (json!({"max_tokens": null}), "max_tokens"),
        (json!({"max_tokens": -1}), "max_tokens"),
        (json!({"max_tokens": 1.5}), "max_tokens"),
        (json!({"messages": null}), "messages"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": "hi"}), "messages"),
        (json!({"messages": [1]}), "messages[0]"),
        (json!({"messages": [{"role": "tool", "content": ""}]}), "messages[0].role"),
        (json!({"messages": [{"role": "user"}]}), "messages[0].content"),
        (json!({"messages": [{"role": "user", "content": 1}]}), "messages[0].content"),
        (json!({"messages": [{"role": "user", "content": [{}]}]}), "messages[0].content[0].type"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"Max_Tokens": 1}), "Max_Tokens"),
        (json!({"STREAM": true}), "STREAM"),
        (json!({"Fallbacks": []}), "Fallbacks"),
    ] {
        let error = refuses(&request(fields.clone()));
        assert_eq!(error.param.as_deref(), Some(param), "{fields}: {error}");
    }
    for body in ["", "[]", "{", "\"x\"", r#"{"model":"m","model":"n"}"#] {
        assert!(MessagesRequest::parse(body.as_bytes(), &[]).is_err(), "{body}");
    }
    assert!(MessagesRequest::parse(b"\xff", &[]).is_err());
}

use serde_json::{Value, json};

use super::native_model;
use crate::Model;
use crate::openai_chat::{ChatRequest, forward_body};

#[track_caller]
fn forwards_with(model: &Model, body: &str, expected: &str) {
    let request = ChatRequest::parse(body.as_bytes()).unwrap();
    let forwarded = forward_body(&request, model, 64);
    assert_eq!(str::from_utf8(&forwarded).unwrap(), expected);
}

#[track_caller]
fn forwards(body: &str, expected: &str) {
    forwards_with(&Model { provider_model_id: "p".to_owned(), ..native_model() }, body, expected);
}

#[test]
fn nothing_changes_when_nothing_must() {
    let body = "\n{ \"model\" : \"p\" ,\t\"max_tokens\":3 , \"messages\":[ {\"role\":\"user\",\"content\":\"\\u00fc ü\"} ],\"x\":1.50e+3}  \n";
    forwards(body, body);
}

#[test]
fn the_model_is_named_as_the_provider_does() {
    forwards(
        r#"{"max_tokens":3,"messages":[{"role":"user","content":"\"model\":\"m\""}], "model": "m" }"#,
        r#"{"max_tokens":3,"messages":[{"role":"user","content":"\"model\":\"m\""}], "model": "p" }"#,
    );
    let quoted = Model { provider_model_id: "a\"b".to_owned(), ..native_model() };
    forwards_with(
        &quoted,
        r#"{"max_tokens":3,"messages":[{"role":"user"}],"model":"m"}"#,
        r#"{"max_tokens":3,"messages":[{"role":"user"}],"model":"a\"b"}"#,
    );
}

#[test]
fn a_missing_maximum_is_added() {
    forwards(
        r#"{"model":"p","messages":[{"role":"user"}] }"#,
        r#"{"model":"p","messages":[{"role":"user"}],"max_completion_tokens":64 }"#,
    );
    forwards(
        r#"{"model":"p","max_completion_tokens": null,"messages":[{"role":"user"}]}"#,
        r#"{"model":"p","max_completion_tokens": 64,"messages":[{"role":"user"}]}"#,
    );
    forwards(
        r#"{"model":"p","max_tokens":null,"messages":[{"role":"user"}]}"#,
        r#"{"model":"p","max_tokens":null,"messages":[{"role":"user"}],"max_completion_tokens":64}"#,
    );
}

#[test]
fn a_stream_reports_its_usage() {
    let cases = [
        ("", r#","stream_options":{"include_usage":true}"#),
        (r#","stream_options":null"#, r#","stream_options":{"include_usage":true}"#),
        (r#","stream_options":{ }"#, r#","stream_options":{"include_usage":true }"#),
        (r#","stream_options":{"x":1}"#, r#","stream_options":{"x":1,"include_usage":true}"#),
        (
            r#","stream_options":{"include_usage":false, "x":1}"#,
            r#","stream_options":{"include_usage":true, "x":1}"#,
        ),
        (
            r#","stream_options":{"include_usage":true}"#,
            r#","stream_options":{"include_usage":true}"#,
        ),
    ];
    for (given, expected) in cases {
        let head = r#"{"model":"p","max_tokens":3,"messages":[{"role":"user"}],"stream":true"#;
        forwards(&format!("{head}{given}}}"), &format!("{head}{expected}}}"));
    }
}

#[test]
fn dropped_fields_are_gone_wherever_they_stand() {
    let mut model = Model { provider_model_id: "p".to_owned(), ..native_model() };
    model.drop_fields = ["a", "b", "model", "messages"].map(str::to_owned).to_vec();
    let kept = r#"{ "model":"p", "max_tokens":3, "messages":[{"role":"user"}] }"#;
    for body in [
        kept,
        r#"{ "a":1 , "model":"p", "max_tokens":3, "messages":[{"role":"user"}] }"#,
        r#"{ "a":1,"b" : {"a":[1]}, "model":"p", "max_tokens":3, "messages":[{"role":"user"}] }"#,
        r#"{ "model":"p", "a":"}{", "max_tokens":3,  "b":null, "messages":[{"role":"user"}] }"#,
        r#"{ "model":"p", "max_tokens":3, "messages":[{"role":"user"}], "b":2 }"#,
        r#"{ "model":"p", "max_tokens":3, "messages":[{"role":"user"}], "b":2,"a":[] }"#,
    ] {
        forwards_with(&model, body, kept);
    }
}

#[test]
fn a_dropped_maximum_comes_back_under_the_other_name() {
    let mut model = Model { provider_model_id: "p".to_owned(), ..native_model() };
    let old = r#"{"model":"p","messages":[{"role":"user"}],"max_tokens":64}"#;
    let new = r#"{"model":"p","messages":[{"role":"user"}],"max_completion_tokens":64}"#;
    model.drop_fields = vec!["max_tokens".to_owned()];
    forwards_with(&model, old, new);
    model.drop_fields = vec!["max_completion_tokens".to_owned()];
    forwards_with(&model, new, old);
    model.drop_fields.push("max_tokens".to_owned());
    forwards_with(&model, new, r#"{"model":"p","messages":[{"role":"user"}]}"#);
}

#[test]
fn a_dropped_usage_option_is_not_added() {
    let mut model = Model { provider_model_id: "p".to_owned(), ..native_model() };
    model.drop_fields = vec!["stream_options".to_owned()];
    let body = r#"{"model":"p","max_tokens":3,"messages":[{"role":"user"}],"stream":true}"#;
    forwards_with(&model, body, body);
}

#[test]
fn unknown_fields_survive() {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "hologram"}]}], "brand_new": {"a": 1}});
    let request = ChatRequest::parse(body.to_string().as_bytes()).unwrap();
    let forwarded: Value =
        serde_json::from_slice(&forward_body(&request, &native_model(), 9)).unwrap();
    assert_eq!(
        (&forwarded["brand_new"], &forwarded["messages"]),
        (&body["brand_new"], &body["messages"])
    );
}

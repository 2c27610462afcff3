use serde_json::{Value, json};

use super::{parse, request, saying};
use crate::converse::ConverseRequest;
use crate::{Dialect, GenerateRequest as _, Protocol};

#[track_caller]
fn refused(body: &Value, param: &str) {
    let error = parse(body).unwrap_err();
    assert_eq!(error.param.as_deref(), Some(param), "{error}");
}

#[test]
fn a_request_says_what_it_is() {
    let body = request(json!({})).to_string();
    let request = ConverseRequest::parse("claude-sonnet-5", true, body.as_bytes()).unwrap();
    assert_eq!(
        (request.model(), request.is_streaming(), request.dialect(), request.native_protocol()),
        ("claude-sonnet-5", true, Dialect::BedrockConverse, Protocol::Converse)
    );
}

#[test]
fn prompts_of_prompt_management_are_refused() {
    let arn = "arn:aws:bedrock:us-east-1:123456789012:prompt/ABCDEFGHIJ:1";
    let error = ConverseRequest::parse(arn, false, b"{}").unwrap_err();
    assert!(error.message.contains("prompt management"), "{error}");
    refused(&request(json!({"promptVariables": {"a": {"text": "b"}}})), "promptVariables");
}

#[test]
fn what_is_no_conversation_is_refused() {
    refused(&json!({}), "messages");
    refused(&json!({"messages": []}), "messages");
    refused(&json!({"messages": "hi"}), "messages");
    refused(&json!({"messages": [{"role": "user"}]}), "messages[0].content");
    refused(&json!({"messages": [{"role": "user", "content": "hi"}]}), "messages[0].content");
    refused(&json!({"messages": [{"content": []}]}), "messages[0].role");
    refused(&saying(json!(["hi"])), "messages[0].content[0]");
    refused(&request(json!({"inferenceConfig": {"maxTokens": 0}})), "inferenceConfig.maxTokens");
    refused(&request(json!({"inferenceConfig": []})), "inferenceConfig");
    for body in ["", "[]", "{", "{\"messages\": 1, \"messages\": 2}", "\u{0}"] {
        ConverseRequest::parse("m", false, body.as_bytes()).unwrap_err();
    }
    ConverseRequest::parse("m", false, b"\xff").unwrap_err();
    ConverseRequest::parse(" ", false, request(json!({})).to_string().as_bytes()).unwrap_err();
}

#[test]
fn keys_that_look_like_judged_ones_are_refused() {
    refused(&request(json!({"inferenceconfig": {}})), "inferenceconfig");
    refused(&request(json!({"Messages": []})), "Messages");
    refused(&request(json!({"inferenceConfig": {"MaxTokens": 1}})), "MaxTokens");
    refused(&request(json!({"serviceTier": {"Type": "priority"}})), "Type");
}

#[test]
fn conversations_that_start_alike_have_one_key() {
    let key = |messages: Value| {
        let body = request(json!({"system": [{"text": "s"}], "messages": messages}));
        parse(&body).unwrap().affinity_key().unwrap()
    };
    let user = json!({"role": "user", "content": [{"text": "a"}]});
    let assistant = json!({"role": "assistant", "content": [{"text": "b"}]});
    let other = json!({"role": "user", "content": [{"text": "c"}]});
    assert_eq!(key(json!([user])), key(json!([user, assistant, other])));
    assert_ne!(key(json!([user])), key(json!([other])));
}

#[test]
fn uploads_are_the_tenants_own() {
    let image =
        |uri: &str| json!({"image": {"format": "png", "source": {"s3Location": {"uri": uri}}}});
    let result =
        json!({"toolResult": {"toolUseId": "t", "content": [image("s3://up/tenant=acme/file-2")]}});
    let ids = |blocks: Value| parse(&saying(blocks)).unwrap().upload_ids("up", "acme");
    let blocks = json!([
        image("s3://up/tenant=acme/file-1"),
        image("s3://other/tenant=globex/file-1"),
        image("s3://upper/file-3"),
        result,
        image("s3://up/tenant=acme/file-1"),
        {"text": "s3://up/tenant=globex/file-9"},
    ]);
    assert_eq!(ids(blocks).unwrap(), ["file-1", "file-2"]);
    for uri in [
        "s3://up/tenant=globex/file-1",
        "s3://up/tenant=acme/../tenant=globex/file-1",
        "s3://up/tenant=acme/",
        "s3://up/tenant=acmes/file-1",
        "s3://up/file-1",
        "s3://up",
    ] {
        ids(json!([image(uri)])).unwrap_err();
    }
}

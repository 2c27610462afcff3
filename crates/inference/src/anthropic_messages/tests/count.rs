use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{converse_model, head, native_model};
use crate::anthropic_messages::CountTokensRequest;
use crate::{
    Capabilities, Model, Operation, Protocol, ProviderAnswer, ProviderRequest, UnaryRequest as _,
};

const BODY: &str =
    r#"{"model": "m", "messages": [{"role": "user", "content": "hello, world"}], "x": 1.50}"#;

fn request() -> CountTokensRequest {
    CountTokensRequest::parse(BODY.as_bytes(), &[("anthropic-beta".to_owned(), "b-1".to_owned())])
        .unwrap()
}

#[track_caller]
fn call(model: &Model) -> ProviderRequest {
    let mut calls = request().calls(model).unwrap();
    assert_eq!(calls.len(), 1);
    let (call, bound) = calls.remove(0);
    assert_eq!((call.operation.clone(), bound.output), (Operation::CountTokens, 0));
    assert!(!call.is_streaming);
    call
}

#[test]
fn a_native_model_gets_the_bytes() {
    let call = call(&native_model());
    assert_eq!(call.body, BODY.replace("\"m\"", "\"us.anthropic.claude-test-v1:0\""));
    assert_eq!(call.headers.len(), 2);
}

#[test]
fn bedrock_counts_for_the_protocol_of_the_model() {
    let converse = call(&converse_model());
    assert_eq!(converse.protocol, Protocol::Converse);
    let body: Value = serde_json::from_slice(&converse.body).unwrap();
    assert_eq!(
        body,
        json!({"input": {"converse": {"messages": [{"role": "user", "content": [{"text": "hello, world"}]}]}}})
    );

    let model =
        Model { protocols: vec![Protocol::Converse, Protocol::InvokeModel], ..converse_model() };
    let invoke = call(&model);
    assert_eq!(invoke.protocol, Protocol::InvokeModel);
    let body: Value = serde_json::from_slice(&invoke.body).unwrap();
    let inner = STANDARD.decode(body["input"]["invokeModel"]["body"].as_str().unwrap()).unwrap();
    assert_eq!(
        str::from_utf8(&inner).unwrap(),
        r#"{"messages": [{"role": "user", "content": "hello, world"}], "x": 1.50,"anthropic_version":"bedrock-2023-05-31","max_tokens":1,"anthropic_beta":["b-1"]}"#
    );
}

#[test]
fn others_are_estimated_without_a_provider() {
    let cannot = Model {
        capabilities: Capabilities { count_tokens: false, ..converse_model().capabilities },
        ..converse_model()
    };
    let other = Model { protocols: vec![Protocol::OpenaiChat], ..converse_model() };
    for model in [cannot, other] {
        assert!(request().calls(&model).unwrap().is_empty());
        let body: Value =
            serde_json::from_slice(&request().render(&model, &head(), &[]).unwrap()).unwrap();
        let count = body["input_tokens"].as_u64().unwrap();
        assert!((4..20).contains(&count), "{count}");
    }
}

#[test]
fn a_providers_count_is_passed_on_in_the_dialect() {
    for body in ["{\"input_tokens\": 14}", "{\"inputTokens\": 14}"] {
        let answer = ProviderAnswer { body: body.into(), ..ProviderAnswer::default() };
        let rendered = request().render(&native_model(), &head(), &[answer]).unwrap();
        assert_eq!(rendered, "{\"input_tokens\":14}");
    }
    let answer = ProviderAnswer { body: "{}".into(), ..ProviderAnswer::default() };
    assert!(request().render(&native_model(), &head(), &[answer]).is_err());
}

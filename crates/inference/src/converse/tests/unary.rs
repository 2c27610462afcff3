use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{able_model, foreign_model};
use crate::converse::{ConverseCountTokensRequest, GuardrailRequest};
use crate::{
    AnswerHead, Dialect, Model, Operation, Protocol, ProviderAnswer, UnaryRequest, fixtures,
};

fn head() -> AnswerHead {
    AnswerHead { call_id: "1".to_owned(), created: 0, model: "m".to_owned(), likely_input: 0 }
}

fn count(input: Value) -> ConverseCountTokensRequest {
    let mut body = json!({});
    body["input"] = input;
    ConverseCountTokensRequest::parse("m", body.to_string().as_bytes()).unwrap()
}

fn conversation() -> Value {
    json!({"converse": {"messages": [{"role": "user", "content": [{"text": "a".repeat(300)}]}]}})
}

fn tokens(request: &impl UnaryRequest, model: &Model, answers: &[ProviderAnswer]) -> Value {
    let body = request.render(model, &head(), answers).unwrap();
    serde_json::from_slice::<Value>(&body).unwrap()["inputTokens"].clone()
}

#[test]
fn bedrock_counts_where_it_can() {
    let request = count(conversation());
    assert_eq!((request.dialect(), request.model()), (Dialect::BedrockCountTokens, Some("m")));
    let calls = request.calls(&able_model()).unwrap();
    let [(call, bound)] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!((&call.operation, bound.input), (&Operation::CountTokens, 0));
    assert_eq!(call.body, json!({"input": conversation()}).to_string());
    let answer =
        ProviderAnswer { body: r#"{"inputTokens":7}"#.into(), ..ProviderAnswer::default() };
    assert_eq!(tokens(&request, &able_model(), &[answer]), 7);
}

#[test]
fn elsewhere_the_count_is_an_estimate() {
    let request = count(conversation());
    assert!(request.calls(&foreign_model()).unwrap().is_empty());
    assert_eq!(tokens(&request, &foreign_model(), &[]), 100);
    let request = count(json!({"invokeModel": {"body": STANDARD.encode("b".repeat(30))}}));
    assert!(request.calls(&able_model()).unwrap().is_empty());
    assert_eq!(tokens(&request, &able_model(), &[]), 10);
}

#[test]
fn models_of_anthropics_own_api_count_in_its_words() {
    let model = fixtures::model("anthropic.claude-test", Protocol::AnthropicMessages);
    let request = count(conversation());
    let calls = request.calls(&model).unwrap();
    let [(call, _)] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(
        (call.protocol, &call.operation),
        (Protocol::AnthropicMessages, &Operation::CountTokens)
    );
    let body: Value = serde_json::from_slice(&call.body).unwrap();
    assert_eq!(body["messages"][0]["content"][0]["text"], "a".repeat(300));
    assert_eq!(body.get("max_tokens"), None);
    let answer =
        ProviderAnswer { body: r#"{"input_tokens":8}"#.into(), ..ProviderAnswer::default() };
    assert_eq!(tokens(&request, &model, &[answer]), 8);
    let senseless = ProviderAnswer { body: "{}".into(), ..ProviderAnswer::default() };
    request.render(&model, &head(), &[senseless]).unwrap_err();
}

#[test]
fn what_cannot_be_counted_is_refused() {
    for input in [
        json!(null),
        json!({}),
        json!({"converse": {}}),
        json!({"converse": {"messages": []}}),
        json!({"invokeModel": {"body": "!"}}),
        json!({"converse": {"messages": [{"role": "user", "content": []}]}, "invokeModel": {"body": ""}}),
    ] {
        let body = json!({ "input": input }).to_string();
        ConverseCountTokensRequest::parse("m", body.as_bytes()).unwrap_err();
    }
}

#[test]
fn guardrails_get_the_bytes() {
    let body = br#"{"source": "INPUT", "content": [{"text": {"text": "x"}}], "new": 1}"#;
    let request = GuardrailRequest::parse("gr1", "DRAFT", body).unwrap();
    assert_eq!((request.dialect(), request.model()), (Dialect::BedrockGuardrail, Some("gr1")));
    request.calls(&able_model()).unwrap_err();
    let guardrail = fixtures::model("guardrail", Protocol::BedrockGuardrail);
    let calls = request.calls(&guardrail).unwrap();
    assert_eq!(calls[0].1.guardrail_units, 5, "one text unit for each policy");
    let operation = Operation::ApplyGuardrail { id: "gr1".to_owned(), version: "DRAFT".to_owned() };
    assert_eq!((&calls[0].0.operation, &calls[0].0.body[..]), (&operation, &body[..]));
    let units = r#"{"usage":{"topicPolicyUnits":1,"contentPolicyUnits":2,"wordPolicyUnits":9,"sensitiveInformationPolicyFreeUnits":9}}"#;
    let answer = ProviderAnswer { body: units.into(), ..ProviderAnswer::default() };
    assert_eq!(request.usage(&guardrail, &answer).unwrap().guardrail_units, 3);
    let answer = ProviderAnswer { body: "{}".into(), ..ProviderAnswer::default() };
    assert_eq!(request.render(&able_model(), &head(), &[answer]).unwrap(), "{}");
    request.render(&able_model(), &head(), &[]).unwrap_err();
}

#[test]
fn what_names_no_guardrail_is_refused() {
    let body = br#"{"source":"INPUT","content":[]}"#;
    GuardrailRequest::parse("arn:aws:bedrock:us-east-1:1:guardrail/gr1", "12", body).unwrap();
    for (id, version) in [("", "1"), ("a/b", "1"), ("gr1", "0"), ("gr1", "latest"), ("gr1", "")] {
        GuardrailRequest::parse(id, version, body).unwrap_err();
    }
    for body in ["{}", r#"{"source":"BOTH","content":[]}"#, r#"{"source":"INPUT","content":{}}"#] {
        GuardrailRequest::parse("gr1", "1", body.as_bytes()).unwrap_err();
    }
}

use metering::ServiceTier;
use serde_json::{Value, json};

use super::{conversation, converse_model, native_model, parse, request};
use crate::TokenBound;
use crate::openai_chat::bound;

#[track_caller]
fn bound_of(body: &Value) -> TokenBound {
    bound(&parse(body).unwrap(), &converse_model(), None).unwrap()
}

#[test]
fn every_byte_of_text_counts_as_a_token() {
    let short = bound_of(&conversation(json!([{"role": "user", "content": "x"}])));
    let long = bound_of(&conversation(json!([{"role": "user", "content": "x".repeat(1_001)}])));
    assert_eq!(long.input - short.input, 1_000);
    let parts = bound_of(&conversation(
        json!([{"role": "user", "content": [{"type": "text", "text": "ü".repeat(500)}]}]),
    ));
    assert!(parts.input > 1_000);
}

#[test]
fn tools_and_schemas_and_tool_calls_count() {
    let plain = bound_of(&request(json!({}))).input;
    let text = "x".repeat(5_000);
    let tool = json!({"type": "function", "function": {"name": "f", "description": text}});
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": text}});
    for fields in [
        json!({"tools": [tool]}),
        json!({"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"description": text}}}}),
        json!({"messages": [{"role": "assistant", "content": null, "tool_calls": [call]}]}),
        json!({"messages": [{"role": "user", "content": "hi", "name": text}]}),
    ] {
        assert!(
            bound_of(&request(fields.clone())).input >= plain + 5_000,
            "{}",
            fields.to_string().len()
        );
    }
}

#[test]
fn an_image_counts_its_tokens_and_not_its_bytes() {
    let url = format!("data:image/png;base64,{}", "A".repeat(400_000));
    let image = json!({"type": "image_url", "image_url": {"url": url}});
    let one = bound_of(&conversation(json!([{"role": "user", "content": [image]}])));
    let two = bound_of(&conversation(json!([{"role": "user", "content": [image, image]}])));
    assert!((1_600..3_000).contains(&one.input), "{one:?}");
    assert!((1_600..1_700).contains(&(two.input - one.input)), "{one:?} {two:?}");
}

#[test]
fn a_schema_that_looks_like_an_image_is_still_text() {
    let image = json!({"type": "image_url", "image_url": {"url": "x".repeat(50_000)}});
    let tool =
        json!({"type": "function", "function": {"name": "f", "parameters": {"default": [image]}}});
    assert!(bound_of(&request(json!({"tools": [tool]}))).input > 50_000);
}

#[test]
fn the_context_window_bounds_what_bytes_cannot() {
    let file = json!({"type": "file", "file": {"file_id": "f"}});
    assert_eq!(
        bound_of(&conversation(json!([{"role": "user", "content": [file]}]))).input,
        200_000
    );
    assert_eq!(
        bound_of(&conversation(json!([{"role": "user", "content": "x".repeat(900_000)}]))).input,
        200_000
    );
}

#[test]
fn the_likely_input_is_below_the_bound() {
    let bound = bound_of(&conversation(json!([{"role": "user", "content": "x".repeat(3_000)}])));
    assert_eq!(bound.likely_input, 1_000 + 2);
    assert!(bound.likely_input < bound.input);
}

#[test]
fn output_is_what_was_asked_for_else_the_default() {
    let request_of = |fields| parse(&request(fields)).unwrap();
    let max = |fields, default| {
        bound(&request_of(fields), &converse_model(), default).unwrap().max_tokens
    };
    assert_eq!(max(json!({"max_tokens": 8_192}), Some(5)), 8_192);
    assert_eq!(max(json!({}), Some(5)), 5);
    assert_eq!(max(json!({}), Some(100_000)), 8_192);
    assert_eq!(max(json!({}), None), 1_024);
}

#[test]
fn each_choice_is_paid_for() {
    let request = parse(&request(json!({"n": 4, "max_tokens": 10}))).unwrap();
    let mut model = native_model();
    assert_eq!(bound(&request, &model, None).unwrap().output, 40);
    model.drop_fields = vec!["n".to_owned()];
    assert_eq!(bound(&request, &model, None).unwrap().output, 10);
}

#[test]
fn more_output_than_the_model_has_is_refused() {
    for (field, value) in [("max_tokens", 8_193_u64), ("max_completion_tokens", u64::MAX)] {
        let error =
            bound(&parse(&request(json!({field: value}))).unwrap(), &converse_model(), None)
                .unwrap_err();
        assert_eq!((error.code, error.param.as_deref()), ("integer_above_max_value", Some(field)));
        assert!(error.message.contains("at most 8192 output tokens"), "{error}");
    }
}

#[test]
fn the_tier_that_decides_the_price_is_the_one_asked_for() {
    let tier_with = |tier: &str, model| {
        let bound = bound(&parse(&request(json!({"service_tier": tier}))).unwrap(), &model, None);
        bound.map(|bound| bound.service_tier)
    };
    for (tier, expected) in [
        ("auto", ServiceTier::Default),
        ("default", ServiceTier::Default),
        ("flex", ServiceTier::Flex),
        ("priority", ServiceTier::Priority),
    ] {
        assert_eq!(tier_with(tier, native_model()).unwrap(), expected, "{tier}");
    }
    for tier in ["scale", "batch", "Priority"] {
        let error = tier_with(tier, native_model()).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("service_tier"), "{tier}");
    }
    let dropping = crate::Model { drop_fields: vec!["service_tier".to_owned()], ..native_model() };
    assert_eq!(tier_with("priority", dropping).unwrap(), ServiceTier::Default);
}

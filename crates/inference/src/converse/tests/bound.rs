use serde_json::{Value, json};

use super::{able_model, parse, request, saying};
use crate::{BadRequest, GenerateRequest as _, Model, TokenBound};

fn bound(body: &Value) -> Result<TokenBound, BadRequest> {
    parse(body).unwrap().bound(&able_model(), None)
}

#[track_caller]
fn refused(body: &Value, param: &str) {
    let error = bound(body).unwrap_err();
    assert_eq!(error.param.as_deref(), Some(param), "{error}");
}

#[test]
fn bytes_bound_tokens() {
    let small = bound(&saying(json!([{"text": "a"}]))).unwrap();
    let large = bound(&saying(json!([{"text": "a".repeat(1_001)}]))).unwrap();
    assert_eq!(large.input - small.input, 1_000);
    assert_eq!(large.likely_input, 334);
    let deep =
        json!([{"toolResult": {"toolUseId": "t", "content": [{"json": {"a": "b".repeat(500)}}]}}]);
    assert!(bound(&saying(deep)).unwrap().input > small.input + 500);
}

#[test]
fn pictures_count_by_themselves_and_documents_fill_the_window() {
    let text = bound(&saying(json!([{"text": "a"}]))).unwrap().input;
    let bytes = "A".repeat(4_000);
    let image = json!({"image": {"format": "png", "source": {"bytes": bytes}}});
    let with_image = bound(&saying(json!([{"text": "a"}, image]))).unwrap();
    assert_eq!(with_image.input, text + 1_600 + 16);
    let result = json!({"toolResult": {"toolUseId": "t", "content": [image]}});
    assert!(bound(&saying(json!([result]))).unwrap().input < 4_000);
    let window = u64::from(able_model().context_window);
    for block in [
        json!({"document": {"format": "pdf", "name": "d", "source": {"bytes": bytes}}}),
        json!({"video": {"format": "mp4", "source": {"bytes": bytes}}}),
        json!({"audio": {"format": "mp3", "source": {"bytes": bytes}}}),
        json!({"somethingNew": {}}),
    ] {
        assert_eq!(bound(&saying(json!([block]))).unwrap().input, window);
    }
    let notes = json!({"document": {"name": "d", "source": {"text": "short"}}});
    assert!(bound(&saying(json!([notes]))).unwrap().input < text + 100);
}

#[test]
fn the_maximum_is_the_clients_else_the_tenants_else_the_models() {
    let named = parse(&request(json!({"inferenceConfig": {"maxTokens": 7}}))).unwrap();
    assert_eq!(named.bound(&able_model(), Some(99)).unwrap().max_tokens, 7);
    let unnamed = parse(&request(json!({}))).unwrap();
    assert_eq!(unnamed.bound(&able_model(), Some(99)).unwrap().output, 99);
    assert_eq!(unnamed.bound(&able_model(), None).unwrap().max_tokens, 1_024);
    refused(
        &request(json!({"inferenceConfig": {"maxTokens": 8_193}})),
        "inferenceConfig.maxTokens",
    );
}

#[test]
fn what_has_no_price_is_refused() {
    for tier in ["batch", "reserved"] {
        refused(&request(json!({"serviceTier": {"type": tier}})), "serviceTier.type");
    }
    refused(
        &request(json!({"performanceConfig": {"latency": "optimized"}})),
        "performanceConfig.latency",
    );
    let tools = json!({"tools": [{"systemTool": {"name": "nova_grounding"}}]});
    refused(&request(json!({ "toolConfig": tools })), "toolConfig.tools[0].systemTool");
    bound(&request(
        json!({"serviceTier": {"type": "flex"}, "performanceConfig": {"latency": "standard"}}),
    ))
    .unwrap();
    let model = Model { drop_fields: vec!["serviceTier".to_owned()], ..able_model() };
    parse(&request(json!({"serviceTier": {"type": "priority"}})))
        .unwrap()
        .bound(&model, None)
        .unwrap();
}

#[test]
fn no_other_field_sets_a_maximum() {
    for (fields, param) in [
        (json!({"max_tokens": 9}), "max_tokens"),
        (json!({"maxTokenCount": 9}), "maxTokenCount"),
        (json!({"max_gen_len": 9}), "max_gen_len"),
        (json!({"inferenceConfig": {"max_new_tokens": 9}}), "inferenceConfig.max_new_tokens"),
        (json!({"num_generations": 2}), "num_generations"),
        (json!({"service_tier": "priority"}), "service_tier"),
    ] {
        refused(
            &request(json!({ "additionalModelRequestFields": fields })),
            &format!("additionalModelRequestFields.{param}"),
        );
    }
    let thinking = json!({"thinking": {"type": "enabled", "budget_tokens": 1_024}, "top_k": 5});
    bound(&request(json!({ "additionalModelRequestFields": thinking }))).unwrap();
}

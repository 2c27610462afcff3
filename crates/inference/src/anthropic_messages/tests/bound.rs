use serde_json::{Value, json};

use super::{converse_model, native_model, parse, request, says};
use crate::{GenerateRequest as _, Model, TokenBound};

#[track_caller]
fn bound(body: &Value, model: &Model) -> TokenBound {
    parse(body).unwrap().bound(model, Some(1)).unwrap()
}

#[test]
fn the_clients_maximum_counts() {
    let model = native_model();
    let of = |max: u64, model: &Model| {
        parse(&request(json!({"max_tokens": max}))).unwrap().bound(model, None)
    };
    assert_eq!(of(9, &model).unwrap().output, 9);
    assert_eq!(of(0, &model).unwrap().max_tokens, 0);
    assert_eq!(of(8_192, &model).unwrap().max_tokens, 8_192);
    let error = of(8_193, &model).unwrap_err();
    assert_eq!(
        error.message,
        "`max_tokens` is 8193, but `anthropic.claude-test` produces at most 8192 output tokens: ask for that many or fewer."
    );
    assert!(of(u64::MAX, &model).is_err());
    assert_eq!(of(u64::MAX, &converse_model()).unwrap().output, 8_192, "a translation lowers it");
}

#[test]
fn bytes_bound_the_input() {
    let model = native_model();
    let small = bound(&request(json!({})), &model);
    assert!(small.input < 600, "{small:?}");
    let text = "x".repeat(3_000);
    for body in [
        says(json!(text)),
        says(json!([{"type": "text", "text": text}])),
        says(json!([{"type": "tool_result", "tool_use_id": "t", "content": text}])),
        says(
            json!([{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": text}]}]),
        ),
        says(json!([{"type": "document", "source": {"type": "text", "data": text}}])),
        says(json!([{"type": "document", "source": {"type": "content", "content": text}}])),
        request(json!({"system": text})),
        request(json!({"system": [{"type": "text", "text": text}]})),
        request(json!({"output_config": {"format": {"schema": {"title": text}}}})),
        request(json!({"brand_new": text})),
    ] {
        let large = bound(&body, &model);
        assert!((3_000..4_000).contains(&large.input), "{body}: {large:?}");
        assert!((1_000..1_600).contains(&large.likely_input), "{body}: {large:?}");
    }
    let tools = bound(
        &request(json!({"tools": [{"name": "f", "input_schema": {"description": text}}]})),
        &model,
    );
    assert!((3_000..5_000).contains(&tools.input), "{tools:?}");
}

#[test]
fn a_picture_counts_as_one_and_not_its_bytes() {
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A".repeat(100_000)}});
    let one = bound(&says(json!([image])), &native_model());
    assert!((1_600..3_000).contains(&one.input), "{one:?}");
    let nested = json!([{"type": "tool_result", "tool_use_id": "t", "content": [image, image]}]);
    let two = bound(&says(nested), &native_model());
    assert!((3_200..5_000).contains(&two.input), "{two:?}");
}

#[test]
fn what_size_says_nothing_of_is_bounded_by_the_window() {
    for body in [
        says(
            json!([{"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AA"}}]),
        ),
        says(
            json!([{"type": "document", "source": {"type": "url", "url": "https://example.com"}}]),
        ),
        says(json!([{"type": "document", "source": {"type": "file", "file_id": "file_1"}}])),
        says(json!([{"type": "container_upload", "file_id": "file_1"}])),
        request(json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]})),
        request(json!({"mcp_servers": []})),
    ] {
        assert_eq!(bound(&body, &native_model()).input, 200_000, "{body}");
    }
    let client = bound(
        &request(json!({"tools": [{"type": "bash_20250124", "name": "bash"}]})),
        &native_model(),
    );
    assert!(client.input < 10_000);
}

#[test]
fn no_call_leaves_its_tenants_limits() {
    for fields in [
        json!({"fallbacks": [{"model": "claude-opus-5-5"}]}),
        json!({"fallbacks": "default"}),
        json!({"fallback_credit_token": "t"}),
        json!({"thread": {"id": "t"}}),
        json!({"workspace_id": "w"}),
        json!({"billing_policy": {"type": "billing_policy", "bill_to": "user_profile"}}),
        json!({"speed": "fast"}),
        json!({"service_tier": "priority"}),
        json!({"tools": [{"type": "advisor_20260301", "name": "advisor", "model": "claude-opus-5-5"}]}),
    ] {
        let request = parse(&request(fields.clone())).unwrap();
        for model in [native_model(), converse_model()] {
            let error = request.bound(&model, None).unwrap_err();
            assert_eq!(error.code, "unsupported_parameter", "{fields}: {error}");
        }
    }
    for fields in
        [json!({"speed": "standard"}), json!({"service_tier": "auto"}), json!({"fallbacks": null})]
    {
        assert!(parse(&request(fields)).unwrap().bound(&native_model(), None).is_ok());
    }
    // What the registry drops never gets to the provider.
    let dropping = Model { drop_fields: vec!["speed".to_owned()], ..native_model() };
    assert!(parse(&request(json!({"speed": "fast"}))).unwrap().bound(&dropping, None).is_ok());
}

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{able_model, foreign_model};
use crate::converse::{
    ConverseCodec, ConverseCountTokensRequest, ConverseRequest, GuardrailRequest,
};
use crate::{Codec as _, GenerateRequest as _, Model};

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "user",
            "assistant",
            "png",
            "pdf",
            "AAAA",
            "s3://b/k",
            "default",
            "1h"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 32, 5, |inner| {
        let key = prop_oneof![
            prop::sample::select(vec![
                "role",
                "content",
                "text",
                "image",
                "document",
                "format",
                "name",
                "source",
                "bytes",
                "s3Location",
                "uri",
                "toolUse",
                "toolResult",
                "toolUseId",
                "input",
                "json",
                "cachePoint",
                "ttl",
                "reasoningContent",
                "reasoningText",
                "signature",
                "toolSpec",
                "inputSchema",
                "tools",
                "toolChoice",
                "auto",
                "maxTokens",
                "type",
                "thinking",
                "budget_tokens",
                "anthropic_beta",
            ])
            .prop_map(str::to_owned),
            ".{0,6}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..4)
                .prop_map(|members| members.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

/// Objects that look like requests: the known keys, with any values.
fn any_body() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        prop::sample::select(vec![
            "system",
            "inferenceConfig",
            "toolConfig",
            "guardrailConfig",
            "additionalModelRequestFields",
            "requestMetadata",
            "serviceTier",
            "outputConfig",
            "performanceConfig",
            "dropped",
        ])
        .prop_map(str::to_owned),
        "[a-zA-Z_\"\\\\ü]{0,8}",
    ];
    let messages = prop_oneof![
        any_json(),
        Just(json!([{"role": "user", "content": [{"text": "hi"}]}])),
        any_json().prop_map(|block| json!([{"role": "user", "content": [block]}])),
        any_json().prop_map(|content| json!([{"role": "user", "content": content}])),
    ];
    (messages, prop::collection::vec((key, any_json()), 0..5)).prop_map(|(messages, members)| {
        let mut body = Map::from_iter([("messages".to_owned(), messages)]);
        body.extend(members);
        Value::Object(body)
    })
}

/// Runs every step on `request`; the point is that none panics.
fn run(request: &ConverseRequest) -> Result<(), TestCaseError> {
    let model = Model { drop_fields: vec!["dropped".to_owned()], ..able_model() };
    let _ = (request.upload_ids("b", "acme"), request.affinity_key());
    let Ok(bound) = request.bound(&model, Some(99)) else {
        return Ok(());
    };
    prop_assert!(
        bound.likely_input <= bound.input && bound.input <= u64::from(model.context_window)
    );
    let sent = request.forward(&model, bound.max_tokens).unwrap();
    let sent: Value = serde_json::from_slice(&sent.body).unwrap();
    prop_assert!(sent["inferenceConfig"]["maxTokens"].is_u64());
    prop_assert!(sent.get("dropped").is_none());
    if let Ok(canonical) = request.to_canonical(&foreign_model(), bound.max_tokens) {
        let _ = ConverseCodec.write(&canonical, &model, false);
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_bytes_make_parsing_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(request) = ConverseRequest::parse("m", false, &body) {
            run(&request)?;
        }
        let _ = ConverseCountTokensRequest::parse("m", &body);
        let _ = GuardrailRequest::parse("g", "1", &body);
    }

    #[test]
    fn no_json_makes_any_step_panic(body in any_body()) {
        if let Ok(request) = ConverseRequest::parse("m", false, body.to_string().as_bytes()) {
            run(&request)?;
        }
        let body = json!({"input": {"converse": body}}).to_string();
        let _ = ConverseCountTokensRequest::parse("m", body.as_bytes());
    }
}

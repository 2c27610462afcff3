//! A request body: parse, bound, translate, forward. Nothing panics, and what is forwarded is JSON
//! that names the provider's model.

#![no_main]

use std::sync::LazyLock;

use inference::Model;
use inference::openai_chat::{ChatRequest, bound, forward_body, to_canonical};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

static MODEL: LazyLock<Model> = LazyLock::new(|| {
    serde_json::from_value(serde_json::json!({
        "id": "vendor.model",
        "provider_model_id": "us.vendor.model-v1:0",
        "protocol": "openai_chat",
        "owned_by": "vendor",
        "created": 0,
        "context_window": 200_000,
        "max_output_tokens": 8_192,
        "default_max_tokens": 1_024,
        "capabilities": {
            "images": true, "tools": true, "forced_tool_choice": true,
            "sampling_parameters": true, "structured_output": true, "reasoning_effort": true,
        },
        "drop_fields": ["seed", "store"],
    }))
    .expect("a valid model")
});

fuzz_target!(|body: &[u8]| {
    let Ok(request) = ChatRequest::parse(body) else {
        return;
    };
    let Ok(bound) = bound(&request, &MODEL, None) else {
        return;
    };
    assert!(bound.likely_input <= bound.input && bound.input <= u64::from(MODEL.context_window));
    assert!(
        bound.output >= u64::from(bound.max_tokens) && bound.max_tokens <= MODEL.max_output_tokens
    );
    if let Ok(canonical) = to_canonical(&request, &MODEL, bound.max_tokens) {
        let roles: Vec<_> = canonical.messages.iter().map(|message| message.role).collect();
        assert!(roles.windows(2).all(|pair| pair[0] != pair[1]), "roles alternate");
        assert!(canonical.messages.iter().all(|message| !message.content.is_empty()));
    }
    let forwarded = forward_body(&request, &MODEL, bound.max_tokens);
    let forwarded: Value = serde_json::from_slice(&forwarded).expect("forwarded bodies are JSON");
    assert_eq!(forwarded["model"], MODEL.provider_model_id.as_str());
    assert!(forwarded["max_completion_tokens"].is_u64() || forwarded["max_tokens"].is_u64());
    assert!(forwarded.get("seed").is_none());
    // What was forwarded is what was judged.
    let forwarded = ChatRequest::parse(&forward_body(&request, &MODEL, bound.max_tokens))
        .expect("still a request");
    assert_eq!(forwarded.max_output_tokens(), Some(u64::from(bound.max_tokens)));
    assert_eq!(forwarded.is_streaming(), request.is_streaming());
    assert_eq!(forwarded.includes_usage(), request.is_streaming());
});

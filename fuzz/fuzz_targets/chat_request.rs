//! A request body: parse, bound, translate for every protocol, forward. Nothing panics, what is written
//! is JSON, and what is forwarded names the provider's model.

#![no_main]

use std::sync::LazyLock;

use inference::openai_chat::ChatRequest;
use inference::{GenerateRequest, Model, Protocol};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

static MODEL: LazyLock<Model> = LazyLock::new(|| {
    serde_json::from_value(serde_json::json!({
        "id": "vendor.model",
        "provider_model_id": "us.vendor.model-v1:0",
        "protocols": ["openai_chat"],
        "owned_by": "vendor",
        "created": 0,
        "context_window": 200_000,
        "max_output_tokens": 8_192,
        "default_max_tokens": 1_024,
        "capabilities": {
            "images": true, "tools": true, "forced_tool_choice": true, "sampling_parameters": true,
            "structured_output": true, "reasoning_effort": true, "documents": true, "thinking": true,
            "prompt_caching": true, "prompt_caching_1h": true, "prefill": true,
        },
        "drop_fields": ["seed", "store"],
        "body": {
            "format": "template", "request": "{\"p\":\"{{prompt}}\",\"s\":\"{{stop}}\"}", "text": "/t",
        },
    }))
    .expect("a valid model")
});

fuzz_target!(|body: &[u8]| {
    let Ok(request) = ChatRequest::parse(body) else {
        return;
    };
    let Ok(bound) = request.bound(&MODEL, None) else {
        return;
    };
    assert!(bound.likely_input <= bound.input && bound.input <= u64::from(MODEL.context_window));
    assert!(
        bound.output >= u64::from(bound.max_tokens) && bound.max_tokens <= MODEL.max_output_tokens
    );
    request.upload_ids();
    request.affinity_key();
    if let Ok(canonical) = request.to_canonical(&MODEL, bound.max_tokens) {
        let roles: Vec<_> = canonical.messages.iter().map(|message| message.role).collect();
        assert!(roles.windows(2).all(|pair| pair[0] != pair[1]), "roles alternate");
        assert!(canonical.messages.iter().all(|message| !message.content.is_empty()));
        for protocol in [
            Protocol::Converse,
            Protocol::OpenaiChat,
            Protocol::OpenaiResponses,
            Protocol::AnthropicMessages,
            Protocol::JsonTemplate,
        ] {
            let codec = protocol.codec().expect("it can be written");
            if let Ok(written) = codec.write(&canonical, &MODEL, request.is_streaming()) {
                serde_json::from_slice::<Value>(&written.body).expect("JSON");
            }
        }
    }
    let forward = || request.forward(&MODEL, bound.max_tokens).expect("what was parsed").body;
    let forwarded: Value = serde_json::from_slice(&forward()).expect("forwarded bodies are JSON");
    assert_eq!(forwarded["model"], MODEL.provider_model_id.as_str());
    assert!(forwarded["max_completion_tokens"].is_u64() || forwarded["max_tokens"].is_u64());
    assert!(forwarded.get("seed").is_none());
    assert_eq!(forwarded["stream_options"]["include_usage"] == true, request.is_streaming());
    // What was forwarded is what was judged.
    let forwarded = ChatRequest::parse(&forward()).expect("still a request");
    let again = forwarded.bound(&MODEL, None).expect("it was bounded");
    assert_eq!(again.max_tokens, bound.max_tokens);
    assert_eq!(forwarded.is_streaming(), request.is_streaming());
});

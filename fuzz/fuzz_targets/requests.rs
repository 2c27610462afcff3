//! A request body of any dialect, at a model behind any protocol: parse, bound, forward, translate, write.
//! Nothing panics, what is forwarded is JSON, and what was forwarded is what was judged.

#![no_main]

use std::sync::LazyLock;

use inference::anthropic_messages::MessagesRequest;
use inference::converse::ConverseRequest;
use inference::invoke_model::InvokeRequest;
use inference::openai_chat::ChatRequest;
use inference::openai_responses::ResponsesRequest;
use inference::{BadRequest, GenerateRequest, Model, Protocol};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

const PROTOCOLS: [Protocol; 5] = [
    Protocol::Converse,
    Protocol::OpenaiChat,
    Protocol::OpenaiResponses,
    Protocol::AnthropicMessages,
    Protocol::InvokeModel,
];

static MODELS: LazyLock<Vec<Model>> = LazyLock::new(|| PROTOCOLS.map(model).to_vec());

/// A model that can do everything.
fn model(protocol: Protocol) -> Model {
    let able = [
        "images",
        "tools",
        "forced_tool_choice",
        "sampling_parameters",
        "structured_output",
        "reasoning_effort",
        "documents",
        "thinking",
        "prompt_caching",
        "prompt_caching_1h",
        "top_k",
        "prefill",
        "s3_sources",
        "count_tokens",
    ];
    let able: serde_json::Map<_, _> =
        able.into_iter().map(|name| (name.to_owned(), Value::Bool(true))).collect();
    serde_json::from_value(json!({
        "id": "vendor.model", "provider_model_id": "us.vendor.model-v1:0", "protocols": [protocol],
        "owned_by": "vendor", "created": 0, "context_window": 200_000, "max_output_tokens": 8_192,
        "default_max_tokens": 1_024, "capabilities": able, "drop_fields": ["dropped"],
    }))
    .expect("a valid model")
}

fn parse(dialect: u8, body: &[u8]) -> Result<Box<dyn GenerateRequest>, BadRequest> {
    let is_streaming = dialect & 8 != 0;
    Ok(match dialect % 5 {
        0 => Box::new(ChatRequest::parse(body)?),
        1 => Box::new(ResponsesRequest::parse(body)?),
        2 => Box::new(MessagesRequest::parse(body, &[])?),
        3 => Box::new(ConverseRequest::parse("m", is_streaming, body)?),
        _ => Box::new(InvokeRequest::parse("m", is_streaming, body, &[])?),
    })
}

fuzz_target!(|input: &[u8]| {
    let Some((dialect, body)) = input.split_first() else { return };
    let Ok(request) = parse(*dialect, body) else { return };
    let _ = request.affinity_key();
    for model in MODELS.iter() {
        let Ok(bound) = request.bound(model, None) else { continue };
        assert!(bound.likely_input <= bound.input);
        assert!(bound.max_tokens <= model.max_output_tokens);
        let native = request.native_protocol();
        if model.speaks(native) {
            let Ok(forwarded) = request.forward(model, bound.max_tokens) else { continue };
            let value: Value = serde_json::from_slice(&forwarded.body).expect("JSON");
            assert!(value.get("dropped").is_none());
            let again = parse(*dialect, &forwarded.body).expect("still a request");
            assert_eq!(again.is_streaming(), request.is_streaming());
            let again = again.bound(model, None).expect("still bounded");
            assert_eq!(again.max_tokens, bound.max_tokens);
        } else if let (Some(codec), Ok(canonical)) =
            (model.protocols[0].codec(), request.to_canonical(model, bound.max_tokens))
            && let Ok(written) = codec.write(&canonical, model, request.is_streaming())
        {
            serde_json::from_slice::<Value>(&written.body).expect("JSON");
        }
    }
});

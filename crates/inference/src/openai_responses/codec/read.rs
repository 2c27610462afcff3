//! Whole answers, and what streams have in common with them.

use metering::TokenUsage;
use serde_json::Value;

use crate::openai_responses::seal::seal_foreign;
use crate::openai_responses::tools::CUSTOM_INPUT;
use crate::protocol::unreadable;
use crate::{
    ContentBlock, ModelResponse, ProviderAnswer, ProviderError, ProviderErrorKind, StopReason,
};

pub(super) fn read(answer: &ProviderAnswer) -> Result<ModelResponse, ProviderError> {
    let with_id = |error: ProviderError| ProviderError {
        provider_request_id: answer.provider_request_id.clone(),
        ..error
    };
    let senseless =
        |what: &str| with_id(unreadable(ProviderErrorKind::Internal, format!("the answer {what}")));
    let response: Value =
        serde_json::from_slice(&answer.body).map_err(|_| senseless("is not JSON"))?;
    if let Some(error) = response.get("error").filter(|error| !error.is_null()) {
        return Err(with_id(error_of(error)));
    }
    let output = response.get("output").and_then(Value::as_array);
    let output = output.ok_or_else(|| senseless("has no `output`"))?;
    let status = response.get("status").and_then(Value::as_str);
    if !matches!(status, None | Some("completed" | "incomplete")) {
        return Err(senseless("did not come to its end"));
    }
    Ok(ModelResponse {
        content: output.iter().flat_map(blocks_of).collect(),
        stop_reason: stop_reason_of(&response, output.iter().any(is_call)),
        stop_sequence: None,
        usage: usage_of(&response).unwrap_or_default(),
        provider_request_id: answer.provider_request_id.clone(),
    })
}

/// What the model says in an output item; nothing for what the provider's own server does.
fn blocks_of(item: &Value) -> Vec<ContentBlock> {
    let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
    match text("type") {
        "message" => {
            let parts = item.get("content").and_then(Value::as_array);
            let text_of = |part: &Value| {
                let text = part.get("text").or_else(|| part.get("refusal"))?.as_str()?.to_owned();
                (!text.is_empty()).then_some(ContentBlock::Text(text))
            };
            parts.into_iter().flatten().filter_map(text_of).collect()
        }
        "function_call" => vec![ContentBlock::ToolUse {
            id: text("call_id").to_owned(),
            name: text("name").to_owned(),
            input: arguments_of(text("arguments")),
        }],
        "custom_tool_call" => vec![ContentBlock::ToolUse {
            id: text("call_id").to_owned(),
            name: text("name").to_owned(),
            input: serde_json::json!({ CUSTOM_INPUT: text("input") }),
        }],
        "reasoning" => reasoning_of(item),
        _ => Vec::new(),
    }
}

fn reasoning_of(item: &Value) -> Vec<ContentBlock> {
    let joined = |key: &str| {
        let parts = item.get(key).and_then(Value::as_array);
        let texts = parts.into_iter().flatten().filter_map(|part| part.get("text")?.as_str());
        texts.collect::<Vec<_>>().join("\n\n")
    };
    let text = Some(joined("summary")).filter(|text| !text.is_empty());
    let text = text.unwrap_or_else(|| joined("content"));
    let sealed = sealed(item);
    match (text.is_empty(), sealed) {
        (false, signature) => vec![ContentBlock::Reasoning { text, signature }],
        (true, Some(data)) => vec![ContentBlock::RedactedReasoning { data }],
        (true, None) => Vec::new(),
    }
}

/// What stands for the encrypted content of a reasoning item, if it has one.
pub(super) fn sealed(item: &Value) -> Option<String> {
    let encrypted = item.get("encrypted_content")?.as_str().filter(|text| !text.is_empty())?;
    let id = item.get("id").and_then(Value::as_str).unwrap_or_default();
    Some(seal_foreign(id, encrypted))
}

/// Arguments as JSON; a model that was cut off in them leaves a text that is none.
fn arguments_of(text: &str) -> Value {
    if text.trim().is_empty() {
        return Value::Object(serde_json::Map::new());
    }
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

pub(super) fn is_call(item: &Value) -> bool {
    let kind = item.get("type").and_then(Value::as_str);
    matches!(kind, Some("function_call" | "custom_tool_call"))
}

/// Why the model stopped, of a response object that came to its end.
pub(super) fn stop_reason_of(response: &Value, has_calls: bool) -> StopReason {
    if response.get("status").and_then(Value::as_str) == Some("incomplete") {
        let reason = response.pointer("/incomplete_details/reason").and_then(Value::as_str);
        return match reason {
            Some("max_output_tokens") => StopReason::MaxTokens,
            Some("content_filter") => StopReason::ContentFiltered,
            other => StopReason::Other(other.unwrap_or("incomplete").to_owned()),
        };
    }
    if has_calls { StopReason::ToolUse } else { StopReason::EndTurn }
}

/// What a response object says was consumed; its input includes what the cache held.
pub(super) fn usage_of(response: &Value) -> Option<TokenUsage> {
    let usage = response.get("usage").filter(|usage| usage.is_object())?;
    let count = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    let cache_read = count("/input_tokens_details/cached_tokens");
    let cache_write = count("/input_tokens_details/cache_write_tokens");
    Some(TokenUsage {
        input: count("/input_tokens").saturating_sub(cache_read).saturating_sub(cache_write),
        output: count("/output_tokens"),
        cache_read,
        cache_write_5m: cache_write,
        ..TokenUsage::default()
    })
}

/// An error object of the protocol, in a response, an event or a body of its own.
pub(super) fn error_of(error: &Value) -> ProviderError {
    use ProviderErrorKind as Kind;

    let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
    let kind = match (text("code"), text("type")) {
        ("rate_limit_exceeded", _) | (_, "requests" | "tokens" | "rate_limit_error") => {
            Kind::Throttled
        }
        ("insufficient_quota", _) | (_, "insufficient_quota") => Kind::QuotaExceeded,
        ("model_not_found", _) => Kind::ModelNotFound,
        ("server_is_overloaded" | "slow_down" | "service_unavailable", _) => Kind::Unavailable,
        ("vector_store_timeout" | "timeout", _) => Kind::Timeout,
        ("invalid_prompt" | "context_length_exceeded" | "invalid_value" | "bio_policy", _)
        | (_, "invalid_request_error") => Kind::InvalidRequest,
        (code, _) if code.contains("image") => Kind::InvalidRequest,
        _ => Kind::ModelError,
    };
    unreadable(kind, text("message"))
}

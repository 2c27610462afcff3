//! Whole answers, written and read, and their usage.

use metering::TokenUsage;
use serde_json::{Map, Value, json};

use crate::protocol::unreadable;
use crate::{
    AnswerHead, ContentBlock, ModelResponse, ProviderError, ProviderErrorKind, StopReason,
};

use super::error::error_of;

/// A message as the answer's body or in `message_start`.
pub(super) fn message(
    head: &AnswerHead,
    content: &[Value],
    stop: Option<(&StopReason, Option<&str>)>,
    mut usage: Value,
) -> Value {
    if let Some(usage) = usage.as_object_mut() {
        usage.insert("service_tier".to_owned(), "standard".into());
    }
    json!({
        "id": format!("msg_{}", head.call_id),
        "type": "message",
        "role": "assistant",
        "model": head.model,
        "content": content,
        "stop_reason": stop.map(|(reason, _)| stop_reason_name(reason)),
        "stop_sequence": stop.and_then(|(_, sequence)| sequence),
        "stop_details": null,
        "usage": usage,
    })
}

/// What the model said, block by block.
pub(super) fn content_of(response: &ModelResponse) -> Vec<Value> {
    let mut content = Vec::with_capacity(response.content.len());
    for block in &response.content {
        content.push(match block {
            ContentBlock::Text(text) => json!({"type": "text", "text": text}),
            ContentBlock::ToolUse { id, name, input } => json!({
                "type": "tool_use",
                "id": id,
                "name": name,
                "input": if input.is_object() { input.clone() } else { json!({}) },
            }),
            // SDKs insist on a signature; what nobody signed has an empty one.
            ContentBlock::Reasoning { text, signature } => json!({
                "type": "thinking",
                "thinking": text,
                "signature": signature.as_deref().unwrap_or_default(),
            }),
            ContentBlock::RedactedReasoning { data } => {
                json!({"type": "redacted_thinking", "data": data})
            }
            // No model says these.
            ContentBlock::Image { .. }
            | ContentBlock::Document { .. }
            | ContentBlock::CachePoint(_)
            | ContentBlock::ToolResult { .. } => continue,
        });
    }
    content
}

/// Why the answer ended, in the dialect's words.
pub(super) fn stop_reason_name(reason: &StopReason) -> &'static str {
    match reason {
        StopReason::EndTurn | StopReason::Other(_) => "end_turn",
        StopReason::ToolUse => "tool_use",
        StopReason::MaxTokens => "max_tokens",
        StopReason::StopSequence => "stop_sequence",
        StopReason::GuardrailIntervened | StopReason::ContentFiltered | StopReason::Refusal => {
            "refusal"
        }
        StopReason::PauseTurn => "pause_turn",
        StopReason::ContextWindowExceeded => "model_context_window_exceeded",
    }
}

/// Why the provider says that the answer ended.
pub(super) fn stop_reason_of(name: &str) -> StopReason {
    match name {
        "end_turn" => StopReason::EndTurn,
        "tool_use" => StopReason::ToolUse,
        "max_tokens" => StopReason::MaxTokens,
        "stop_sequence" => StopReason::StopSequence,
        "refusal" => StopReason::Refusal,
        "pause_turn" => StopReason::PauseTurn,
        "model_context_window_exceeded" => StopReason::ContextWindowExceeded,
        other => StopReason::Other(other.to_owned()),
    }
}

/// Usage in the dialect's count, where the input excludes what the cache held.
pub(super) fn usage_json(usage: &TokenUsage) -> Value {
    json!({
        "input_tokens": usage.input.saturating_add(usage.input_audio),
        "cache_creation_input_tokens": usage.cache_write_5m.saturating_add(usage.cache_write_1h),
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": usage.total_output(),
    })
}

/// What `usage` says, on top of what was said before: counts are cumulative, and those that have not
/// changed may be left out. `None` if it counts nothing.
pub(super) fn usage_of(usage: &Value, before: Option<TokenUsage>) -> Option<TokenUsage> {
    let count = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64);
    let (input, output) = (count("/input_tokens"), count("/output_tokens"));
    if input.is_none() && output.is_none() {
        return before;
    }
    let before = before.unwrap_or_default();
    let one_hour = count("/cache_creation/ephemeral_1h_input_tokens");
    let five_minutes = count("/cache_creation/ephemeral_5m_input_tokens");
    let sum = count("/cache_creation_input_tokens");
    let written = match (five_minutes, one_hour, sum) {
        (Some(five_minutes), Some(one_hour), _) => (five_minutes, one_hour),
        // Without the parts, the sum is split as it was before.
        (_, one_hour, Some(sum)) => {
            let one_hour = one_hour.unwrap_or(before.cache_write_1h).min(sum);
            (sum - one_hour, one_hour)
        }
        (five_minutes, one_hour, None) => (
            five_minutes.unwrap_or(before.cache_write_5m),
            one_hour.unwrap_or(before.cache_write_1h),
        ),
    };
    Some(TokenUsage {
        input: input.unwrap_or(before.input),
        output: output.unwrap_or(before.output),
        cache_read: count("/cache_read_input_tokens").unwrap_or(before.cache_read),
        cache_write_5m: written.0,
        cache_write_1h: written.1,
        ..before
    })
}

/// Reads a whole message. Blocks of tools that the provider ran have no canonical form and are left out;
/// only clients that speak the dialect can ask for them, and they get the provider's own bytes.
pub(crate) fn read_message(
    body: &[u8],
    provider_request_id: Option<String>,
) -> Result<ModelResponse, ProviderError> {
    let senseless = |what: &str| unreadable(ProviderErrorKind::Internal, what);
    let message: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| senseless(&format!("the answer is not a JSON object: {error}")))?;
    if message.get("type").and_then(Value::as_str) == Some("error") {
        return Err(error_of(&Value::Object(message)));
    }
    let Some(blocks) = message.get("content").and_then(Value::as_array) else {
        return Err(senseless("the answer is no message: it has no `content`"));
    };
    let mut content = Vec::with_capacity(blocks.len());
    for block in blocks {
        let text = |name| block.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        content.push(match block.get("type").and_then(Value::as_str) {
            Some("text") => ContentBlock::Text(text("text")),
            Some("tool_use") => ContentBlock::ToolUse {
                id: text("id"),
                name: text("name"),
                input: block.get("input").cloned().unwrap_or_else(|| json!({})),
            },
            Some("thinking") => ContentBlock::Reasoning {
                text: text("thinking"),
                signature: Some(text("signature")).filter(|signature| !signature.is_empty()),
            },
            Some("redacted_thinking") => ContentBlock::RedactedReasoning { data: text("data") },
            _ => continue,
        });
    }
    let member = |name| message.get(name).and_then(Value::as_str);
    Ok(ModelResponse {
        content,
        stop_reason: member("stop_reason").map_or(StopReason::EndTurn, stop_reason_of),
        stop_sequence: member("stop_sequence").map(str::to_owned),
        usage: message.get("usage").and_then(|usage| usage_of(usage, None)).unwrap_or_default(),
        provider_request_id: provider_request_id.or_else(|| member("id").map(str::to_owned)),
    })
}

//! Whole answers of Converse, in canonical form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use metering::TokenUsage;
use serde_json::Value;

use crate::protocol::unreadable;
use crate::{
    ContentBlock, ImageFormat, ModelResponse, ProviderAnswer, ProviderError, ProviderErrorKind,
    Source, StopReason,
};

/// The whole answer. Usage is all zeros if Bedrock reported none; content that is not known is left out.
pub(super) fn response(answer: &ProviderAnswer) -> Result<ModelResponse, ProviderError> {
    let unreadable = |message: &str| ProviderError {
        provider_request_id: answer.provider_request_id.clone(),
        ..unreadable(ProviderErrorKind::Internal, message)
    };
    let body: Value = serde_json::from_slice(&answer.body)
        .map_err(|_| unreadable("the answer of Converse is no JSON"))?;
    let content = body.pointer("/output/message/content").and_then(Value::as_array);
    if content.is_none() && !body.get("stopReason").is_some_and(Value::is_string) {
        return Err(unreadable("the answer of Converse holds no message"));
    }
    let (stop_reason, stop_sequence) = stop(&body);
    Ok(ModelResponse {
        content: content.into_iter().flatten().filter_map(content_block).collect(),
        stop_reason,
        stop_sequence,
        usage: body.get("usage").map(token_usage).unwrap_or_default(),
        provider_request_id: answer.provider_request_id.clone(),
    })
}

fn content_block(block: &Value) -> Option<ContentBlock> {
    let (kind, value) = block.as_object()?.iter().next()?;
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    match kind.as_str() {
        "text" => Some(ContentBlock::Text(value.as_str()?.to_owned())),
        "toolUse" => Some(ContentBlock::ToolUse {
            id: text("/toolUseId")?,
            name: text("/name")?,
            input: value.get("input").cloned().unwrap_or_default(),
        }),
        "reasoningContent" => {
            let redacted = text("/redactedContent");
            redacted.map(|data| ContentBlock::RedactedReasoning { data }).or_else(|| {
                Some(ContentBlock::Reasoning {
                    text: text("/reasoningText/text")?,
                    signature: text("/reasoningText/signature"),
                })
            })
        }
        // Text that says where it is from; the text is what every dialect can carry.
        "citationsContent" => {
            let pieces = value.get("content")?.as_array()?.iter();
            Some(ContentBlock::Text(
                pieces.filter_map(|piece| piece.get("text")?.as_str()).collect(),
            ))
        }
        "image" => Some(ContentBlock::Image {
            format: ImageFormat::of_media_type(&format!("image/{}", text("/format")?))?,
            source: Source::Bytes(STANDARD.decode(text("/source/bytes")?).ok()?),
        }),
        _ => None,
    }
}

/// Why the model stopped, and the stop sequence that it met, if it says so.
pub(super) fn stop(body: &Value) -> (StopReason, Option<String>) {
    let reason = match body.get("stopReason").and_then(Value::as_str).unwrap_or_default() {
        "end_turn" => StopReason::EndTurn,
        "tool_use" => StopReason::ToolUse,
        "max_tokens" => StopReason::MaxTokens,
        "stop_sequence" => StopReason::StopSequence,
        "guardrail_intervened" => StopReason::GuardrailIntervened,
        "content_filtered" => StopReason::ContentFiltered,
        "model_context_window_exceeded" => StopReason::ContextWindowExceeded,
        "refusal" => StopReason::Refusal,
        "pause_turn" => StopReason::PauseTurn,
        other => StopReason::Other(other.to_owned()),
    };
    let sequence = body.pointer("/additionalModelResponseFields/stop_sequence");
    (reason, sequence.and_then(Value::as_str).map(str::to_owned))
}

/// What the call consumed. Bedrock's `inputTokens` already leaves out what the cache served or took;
/// what the cache took is split by how long it is kept, and five minutes where Bedrock does not say.
pub(super) fn token_usage(usage: &Value) -> TokenUsage {
    let count = |value: &Value, key: &str| value.get(key).and_then(Value::as_u64).unwrap_or(0);
    let details = usage.get("cacheDetails").and_then(Value::as_array);
    let (mut in_details, mut cache_write_1h) = (0_u64, 0_u64);
    for detail in details.into_iter().flatten() {
        let tokens = count(detail, "inputTokens");
        in_details = in_details.saturating_add(tokens);
        if detail.get("ttl").and_then(Value::as_str) == Some("1h") {
            cache_write_1h = cache_write_1h.saturating_add(tokens);
        }
    }
    let written = count(usage, "cacheWriteInputTokens").max(in_details);
    TokenUsage {
        input: count(usage, "inputTokens"),
        output: count(usage, "outputTokens"),
        cache_read: count(usage, "cacheReadInputTokens"),
        cache_write_5m: written.saturating_sub(cache_write_1h),
        cache_write_1h,
        ..TokenUsage::default()
    }
}

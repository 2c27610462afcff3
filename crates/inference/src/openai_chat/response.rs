//! Whole answers.

use metering::TokenUsage;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::read::written_arguments;
use crate::{ContentBlock, ModelResponse, StopReason};

/// Writes an answer as a `chat.completion`. `created` is in Unix seconds; `model` is what the caller named.
///
/// Reasoning stands in `reasoning_content`, and, where the provider signed it, also in
/// `thinking_blocks`, which a caller sends back to let the model go on from it.
pub(super) fn render_response(
    response: &ModelResponse,
    id: &str,
    created: i64,
    model: &str,
) -> Value {
    json!({
        "id": id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [{
            "index": 0,
            "message": message_of(&response.content),
            "logprobs": null,
            "finish_reason": finish_reason(&response.stop_reason),
        }],
        "usage": Usage::from(&response.usage),
    })
}

fn message_of(content: &[ContentBlock]) -> Value {
    let mut text = None::<String>;
    let mut reasoning = None::<String>;
    let mut thinking_blocks = Vec::new();
    let mut tool_calls = Vec::new();
    for block in content {
        match block {
            ContentBlock::Text(piece) => text.get_or_insert_default().push_str(piece),
            ContentBlock::Reasoning { text, signature } => {
                reasoning.get_or_insert_default().push_str(text);
                if let Some(signature) = signature {
                    thinking_blocks.push(
                        json!({"type": "thinking", "thinking": text, "signature": signature}),
                    );
                }
            }
            ContentBlock::ToolUse { id, name, input } => tool_calls.push(json!({
                "id": id,
                "type": "function",
                "function": {"name": name, "arguments": written_arguments(input)},
            })),
            ContentBlock::RedactedReasoning { data } => {
                thinking_blocks.push(json!({"type": "redacted_thinking", "data": data}));
            }
            // No model says these.
            ContentBlock::Image { .. }
            | ContentBlock::Document { .. }
            | ContentBlock::CachePoint(_)
            | ContentBlock::ToolResult { .. } => {}
        }
    }
    let mut message = Map::new();
    message.insert("role".to_owned(), "assistant".into());
    message.insert(
        "content".to_owned(),
        text.map_or_else(
            || if tool_calls.is_empty() { "".into() } else { Value::Null },
            Value::from,
        ),
    );
    message.insert("refusal".to_owned(), Value::Null);
    if let Some(reasoning) = reasoning {
        message.insert("reasoning_content".to_owned(), reasoning.into());
    }
    if !thinking_blocks.is_empty() {
        message.insert("thinking_blocks".to_owned(), thinking_blocks.into());
    }
    if !tool_calls.is_empty() {
        message.insert("tool_calls".to_owned(), tool_calls.into());
    }
    Value::Object(message)
}

/// Why the answer ended, in the dialect's words.
pub(super) fn finish_reason(reason: &StopReason) -> &'static str {
    match reason {
        StopReason::EndTurn
        | StopReason::StopSequence
        | StopReason::PauseTurn
        | StopReason::Other(_) => "stop",
        StopReason::ToolUse => "tool_calls",
        StopReason::MaxTokens | StopReason::ContextWindowExceeded => "length",
        StopReason::GuardrailIntervened | StopReason::ContentFiltered | StopReason::Refusal => {
            "content_filter"
        }
    }
}

/// Usage in the dialect's count, where the prompt includes what the cache held.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct PromptDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

impl From<&TokenUsage> for Usage {
    fn from(usage: &TokenUsage) -> Self {
        Self {
            prompt_tokens: usage.total_input(),
            completion_tokens: usage.total_output(),
            total_tokens: usage.total(),
            prompt_tokens_details: PromptDetails {
                cached_tokens: usage.cache_read,
                cache_write_tokens: usage.cache_write_5m.saturating_add(usage.cache_write_1h),
            },
        }
    }
}

//! The response object around the output, and how an answer ends.

use metering::TokenUsage;
use serde_json::{Map, Value, json};

use super::ResponsesRequest;
use super::stored::response_id;
use crate::{AnswerHead, Fault, FaultKind, StopReason};

/// The response object of an answer that has just begun; it repeats what was asked for, as the
/// protocol wants it.
pub(super) fn begun(request: &ResponsesRequest, head: &AnswerHead) -> Map<String, Value> {
    let body = &request.body;
    let asked = |key: &str| body.get(key).cloned().unwrap_or(Value::Null);
    let asked_or = |key: &str, default: Value| match asked(key) {
        Value::Null => default,
        value => value,
    };
    let mut text = body.get("text").and_then(Value::as_object).cloned().unwrap_or_default();
    text.entry("format").or_insert_with(|| json!({"type": "text"}));
    let reasoning = |key: &str| body.get("reasoning").and_then(|it| it.get(key)).cloned();
    let members = [
        ("id", response_id(&head.call_id).into()),
        ("object", "response".into()),
        ("created_at", head.created.into()),
        ("status", "in_progress".into()),
        ("background", false.into()),
        ("error", Value::Null),
        ("incomplete_details", Value::Null),
        ("instructions", asked("instructions")),
        ("max_output_tokens", asked("max_output_tokens")),
        ("max_tool_calls", asked("max_tool_calls")),
        ("model", head.model.as_str().into()),
        ("output", json!([])),
        ("parallel_tool_calls", asked_or("parallel_tool_calls", true.into())),
        ("previous_response_id", asked("previous_response_id")),
        ("prompt_cache_key", asked("prompt_cache_key")),
        ("reasoning", json!({"effort": reasoning("effort"), "summary": reasoning("summary")})),
        ("safety_identifier", asked("safety_identifier")),
        ("service_tier", asked_or("service_tier", "default".into())),
        ("store", request.wants_store().into()),
        ("temperature", asked("temperature")),
        ("text", text.into()),
        ("tool_choice", asked_or("tool_choice", "auto".into())),
        ("tools", asked_or("tools", json!([]))),
        ("top_logprobs", 0.into()),
        ("top_p", asked("top_p")),
        ("truncation", "disabled".into()),
        ("usage", Value::Null),
        ("user", asked("user")),
        ("metadata", asked_or("metadata", json!({}))),
    ];
    members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Why an answer is not complete, in the dialect's word; `None` if it is.
pub(super) fn incomplete_reason(reason: &StopReason) -> Option<&'static str> {
    match reason {
        StopReason::EndTurn
        | StopReason::StopSequence
        | StopReason::ToolUse
        | StopReason::PauseTurn
        | StopReason::Other(_) => None,
        StopReason::MaxTokens | StopReason::ContextWindowExceeded => Some("max_output_tokens"),
        StopReason::GuardrailIntervened | StopReason::ContentFiltered | StopReason::Refusal => {
            Some("content_filter")
        }
    }
}

/// Usage in the dialect's count, where the input includes what the cache held. Nobody says how many of the output
/// tokens were thinking.
pub(super) fn usage_json(usage: &TokenUsage) -> Value {
    json!({
        "input_tokens": usage.total_input(),
        "input_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write_5m.saturating_add(usage.cache_write_1h),
        },
        "output_tokens": usage.total_output(),
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.total(),
    })
}

/// `error` of a failed response. Its codes are fewer than those of other errors.
pub(super) fn error_json(fault: &Fault) -> Value {
    let code = match fault.kind {
        FaultKind::RequestRate | FaultKind::TokenRate => "rate_limit_exceeded",
        FaultKind::Quota => "insufficient_quota",
        FaultKind::InvalidRequest if fault.code == "context_length_exceeded" => fault.code,
        FaultKind::InvalidRequest => "invalid_prompt",
        _ => "server_error",
    };
    json!({"code": code, "message": fault.message})
}

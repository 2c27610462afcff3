//! What providers say: whole answers, usage and errors.

use metering::TokenUsage;
use serde_json::{Map, Value};

use crate::protocol::unreadable;
use crate::{
    ContentBlock, ModelResponse, ProviderAnswer, ProviderError, ProviderErrorKind, StopReason,
};

/// Reads a `chat.completion`.
///
/// A server that reports no usage leaves it all zero: the input of the call was not free, so whoever
/// meters it has to estimate.
pub(super) fn response_of(answer: &ProviderAnswer) -> Result<ModelResponse, ProviderError> {
    let id = answer.provider_request_id.as_ref();
    let body: Value = serde_json::from_slice(&answer.body)
        .map_err(|error| senseless(id, format!("the answer is not JSON: {error}")))?;
    if let Some(error) = error_of(&body) {
        return Err(ProviderError { provider_request_id: id.cloned(), ..error });
    }
    let choice = body.pointer("/choices/0");
    let Some(message) = choice.and_then(|choice| choice.get("message")?.as_object()) else {
        return Err(senseless(id, "the answer holds no message"));
    };
    let finish = choice.and_then(|choice| choice.get("finish_reason")).and_then(Value::as_str);
    let stop_sequence = choice.and_then(stop_sequence_of);

    let mut content = reasoning_of(message);
    content.extend(text_of(message.get("content")).map(ContentBlock::Text));
    let refusal = text_of(message.get("refusal"));
    let is_refusal = refusal.is_some();
    content.extend(refusal.map(ContentBlock::Text));
    let calls = calls_of(message);
    let has_calls = !calls.is_empty();
    for (place, call) in calls.into_iter().enumerate() {
        let is_cut = finish == Some("length");
        content.push(tool_use(call, is_cut, || stand_in_id(&body, place)));
    }
    Ok(ModelResponse {
        content,
        stop_reason: stop_reason(finish, has_calls, is_refusal, stop_sequence.is_some()),
        stop_sequence,
        usage: usage_of(&body).unwrap_or_default(),
        provider_request_id: id.cloned(),
    })
}

fn senseless(id: Option<&String>, message: impl Into<String>) -> ProviderError {
    ProviderError {
        provider_request_id: id.cloned(),
        ..unreadable(ProviderErrorKind::Internal, message)
    }
}

/// An id for a tool call that came without one: the same call has none other, and calls of other
/// answers have others.
pub(super) fn stand_in_id(answer: &Value, place: usize) -> String {
    let answer = answer.get("id").and_then(Value::as_str).unwrap_or_default();
    let answer: String = answer
        .chars()
        .filter(|character| character.is_ascii_alphanumeric() || *character == '-')
        .take(48)
        .collect();
    format!("call_{answer}_{place}")
}

/// Signed blocks where there are some, else the bare text.
fn reasoning_of(message: &Map<String, Value>) -> Vec<ContentBlock> {
    let blocks = message.get("thinking_blocks").and_then(Value::as_array);
    let signed: Vec<_> = blocks.into_iter().flatten().filter_map(thinking_block).collect();
    if !signed.is_empty() {
        return signed;
    }
    let text = reasoning_text(message).or_else(|| thinking_of(message.get("content")));
    text.map(|text| ContentBlock::Reasoning { text, signature: None }).into_iter().collect()
}

/// A block of `thinking_blocks`, in Anthropic's form.
pub(super) fn thinking_block(block: &Value) -> Option<ContentBlock> {
    let text_at = |key: &str| block.get(key).and_then(Value::as_str).map(str::to_owned);
    if let Some(text) = text_at("thinking") {
        let signature = text_at("signature").filter(|signature| !signature.is_empty());
        return Some(ContentBlock::Reasoning { text, signature });
    }
    text_at("data").map(|data| ContentBlock::RedactedReasoning { data })
}

/// Reasoning by either of its names; servers between the two send both with the same text.
pub(super) fn reasoning_text(message: &Map<String, Value>) -> Option<String> {
    let texts = ["reasoning_content", "reasoning"].into_iter();
    texts
        .filter_map(|key| message.get(key)?.as_str())
        .find(|text| !text.is_empty())
        .map(str::to_owned)
}

/// The text of `content`: a string, or parts of which some are text.
pub(super) fn text_of(content: Option<&Value>) -> Option<String> {
    let text = match content? {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part.get("text")?.as_str()).collect(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// Reasoning among the parts of `content`, as Mistral's models have it.
pub(super) fn thinking_of(content: Option<&Value>) -> Option<String> {
    let parts = content?.as_array()?.iter();
    let text: String = parts.filter_map(|part| text_of(part.get("thinking"))).collect();
    (!text.is_empty()).then_some(text)
}

/// Tool calls: a list, the one that older servers (TGI) send without a list, or the old `function_call`.
pub(super) fn calls_of(message: &Map<String, Value>) -> Vec<&Value> {
    match message.get("tool_calls") {
        Some(Value::Array(calls)) => calls.iter().collect(),
        Some(call @ Value::Object(_)) => vec![call],
        _ => message.get("function_call").filter(|call| call.is_object()).into_iter().collect(),
    }
}

/// The function of a call; the old `function_call` is one itself.
pub(super) fn function_of(call: &Value) -> &Value {
    call.get("function").unwrap_or(call)
}

/// Arguments of a canonical call, as the dialect has them: as text, whether it is JSON or not.
pub(super) fn written_arguments(input: &Value) -> String {
    input.as_str().map_or_else(|| input.to_string(), str::to_owned)
}

/// Arguments, as text; some servers send the object itself.
pub(super) fn arguments_of(function: &Value) -> Option<String> {
    match function.get("arguments")? {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        other => Some(other.to_string()),
    }
}

/// A call. Arguments that are not JSON, as weak models write them, stay the text that they are.
fn tool_use(call: &Value, is_cut: bool, stand_in_id: impl FnOnce() -> String) -> ContentBlock {
    let function = function_of(call);
    let name = function.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let id = call.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
    let id = id.map_or_else(stand_in_id, str::to_owned);
    let arguments = arguments_of(function).unwrap_or_default();
    let input = match serde_json::from_str(&arguments) {
        Ok(input) => input,
        // No arguments at all, or those of a call that met the maximum of tokens.
        Err(_) if is_cut || arguments.trim().is_empty() => Value::Object(Map::new()),
        Err(_) => Value::String(arguments),
    };
    ContentBlock::ToolUse { id, name, input }
}

/// The stop sequence that was met, where the server says it (vLLM).
pub(super) fn stop_sequence_of(choice: &Value) -> Option<String> {
    choice.get("stop_reason").and_then(Value::as_str).map(str::to_owned)
}

/// Why the answer ended. Servers that run open models say `stop` after tool calls as well.
pub(super) fn stop_reason(
    finish: Option<&str>,
    has_calls: bool,
    is_refusal: bool,
    has_stop_sequence: bool,
) -> StopReason {
    match finish {
        Some("length" | "max_tokens") => StopReason::MaxTokens,
        Some("tool_calls" | "function_call") => StopReason::ToolUse,
        Some("content_filter") => StopReason::ContentFiltered,
        Some("stop_sequence") => StopReason::StopSequence,
        Some("stop" | "eos_token" | "end_turn") | None if has_calls => StopReason::ToolUse,
        Some("stop") if has_stop_sequence => StopReason::StopSequence,
        Some("stop" | "eos_token" | "end_turn") | None if is_refusal => StopReason::Refusal,
        Some("stop" | "eos_token" | "end_turn") | None => StopReason::EndTurn,
        Some(other) => StopReason::Other(other.to_owned()),
    }
}

/// Usage in disjoint kinds: the dialect's prompt includes what was read from and written to the cache.
///
/// Beside OpenAI's names it knows those of `DeepSeek` (cache hits), `LiteLLM` (cache writes) and Groq (where
/// it stands in a stream).
pub(super) fn usage_of(answer: &Value) -> Option<TokenUsage> {
    let usage = answer
        .get("usage")
        .filter(|usage| usage.is_object())
        .or_else(|| answer.pointer("/x_groq/usage"))?;
    let count =
        |pointers: &[&str]| pointers.iter().find_map(|pointer| usage.pointer(pointer)?.as_u64());
    let prompt = count(&["/prompt_tokens"]);
    let output = count(&["/completion_tokens"]);
    if prompt.is_none() && output.is_none() {
        return None;
    }
    let prompt = prompt.unwrap_or(0);
    let cache_read = count(&["/prompt_tokens_details/cached_tokens", "/prompt_cache_hit_tokens"]);
    let cache_read = cache_read.unwrap_or(0).min(prompt);
    let cache_write = count(&[
        "/prompt_tokens_details/cache_write_tokens",
        "/prompt_tokens_details/cache_creation_tokens",
    ]);
    let cache_write = cache_write.unwrap_or(0).min(prompt - cache_read);
    let cache_write_1h =
        count(&["/prompt_tokens_details/cache_creation_token_details/ephemeral_1h_input_tokens"]);
    let cache_write_1h = cache_write_1h.unwrap_or(0).min(cache_write);
    let input = prompt - cache_read - cache_write;
    let input_audio = count(&["/prompt_tokens_details/audio_tokens"]).unwrap_or(0).min(input);
    let output = output.unwrap_or(0);
    let output_audio = count(&["/completion_tokens_details/audio_tokens"]).unwrap_or(0).min(output);
    Some(TokenUsage {
        input: input - input_audio,
        output: output - output_audio,
        input_audio,
        output_audio,
        cache_read,
        cache_write_5m: cache_write - cache_write_1h,
        cache_write_1h,
        ..TokenUsage::default()
    })
}

/// The error that an answer or a chunk consists of: `{"error": {"message", "type", "code"}}`,
/// `{"error": ".."}`, or vLLM's `{"object": "error", "message", "code"}`.
pub(super) fn error_of(answer: &Value) -> Option<ProviderError> {
    let error = match answer.get("error") {
        Some(error) if !error.is_null() => error,
        _ if answer.get("object").and_then(Value::as_str) == Some("error") => answer,
        _ => return None,
    };
    Some(read_error(error))
}

/// The error itself, without its envelope.
pub(super) fn read_error(error: &Value) -> ProviderError {
    let message = error.get("message").unwrap_or(error);
    let message = message.as_str().map_or_else(|| message.to_string(), str::to_owned);
    let words = ["code", "type"].map(|key| match error.get(key) {
        Some(Value::String(word)) => word.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    });
    let kind = words.iter().find_map(|word| kind_of(word));
    unreadable(kind.unwrap_or(ProviderErrorKind::Internal), message)
}

/// What a `code` or `type` of an error means.
fn kind_of(word: &str) -> Option<ProviderErrorKind> {
    Some(match word {
        "400" | "422" | "invalid_request_error" | "BadRequestError" | "context_length_exceeded" => {
            ProviderErrorKind::InvalidRequest
        }
        "401" | "403" | "invalid_api_key" | "authentication_error" | "permission_error" => {
            ProviderErrorKind::AccessDenied
        }
        "404" | "model_not_found" | "not_found_error" | "NotFoundError" => {
            ProviderErrorKind::ModelNotFound
        }
        "408" | "504" | "timeout" | "timeout_error" => ProviderErrorKind::Timeout,
        "429" | "rate_limit_exceeded" | "rate_limit_error" | "requests" | "tokens" => {
            ProviderErrorKind::Throttled
        }
        "insufficient_quota" => ProviderErrorKind::QuotaExceeded,
        "502" | "503" | "529" | "overloaded" | "overloaded_error" | "service_unavailable" => {
            ProviderErrorKind::Unavailable
        }
        _ => return None,
    })
}

//! Refuses what Anthropic and Bedrock refuse, in words close to their own.

use serde_json::Value;

use super::Form;
use super::blocks::{self, refuse};
use super::request::thinks;
use crate::error::Fault;
use crate::prompt::{list, text};

/// Fields of a body, whatever its form.
const FIELDS: [&str; 16] = [
    "max_tokens",
    "messages",
    "system",
    "tools",
    "tool_choice",
    "stop_sequences",
    "thinking",
    "metadata",
    "temperature",
    "top_p",
    "top_k",
    "output_config",
    "cache_control",
    "context_management",
    "service_tier",
    "speed",
];
/// Betas that Bedrock knows.
const BETAS: [&str; 18] = [
    "claude-code-20250219",
    "compact-2026-01-12",
    "computer-use-2024-10-22",
    "computer-use-2025-01-24",
    "computer-use-2025-11-24",
    "context-1m-2025-08-07",
    "context-management-2025-06-27",
    "dev-full-thinking-2025-05-14",
    "effort-2025-11-24",
    "extended-cache-ttl-2025-04-11",
    "fine-grained-tool-streaming-2025-05-14",
    "interleaved-thinking-2025-05-14",
    "output-128k-2025-02-19",
    "prompt-caching-2024-07-31",
    "structured-outputs-2025-11-13",
    "token-efficient-tools-2025-02-19",
    "tool-examples-2025-10-29",
    "tool-search-tool-2025-10-19",
];
const MAX_CACHE_MARKS: usize = 4;
const MIN_THINKING: u64 = 1024;

/// Checks a whole request.
pub(super) fn validate(form: Form, body: &Value) -> Result<(), Fault> {
    envelope(form, body)?;
    let max_tokens = body.get("max_tokens");
    match max_tokens {
        None if form == Form::Count => {}
        None => return refuse("max_tokens: Field required"),
        Some(max) if max.as_u64().is_none_or(|max| max == 0) => {
            return refuse("max_tokens: Input should be greater than or equal to 1");
        }
        Some(_) => {}
    }
    thinking(body, max_tokens.and_then(Value::as_u64))?;
    let has_tool_blocks = blocks::conversation(list(body, "messages"), thinks(body))?;
    blocks::system(body.get("system"))?;
    tools(body, has_tool_blocks)?;
    cache_marks(body)?;
    if let Some(value) = body.get("temperature")
        && !value.as_f64().is_some_and(|value| (0.0..=1.0).contains(&value))
    {
        return refuse("temperature: range: 0..1");
    }
    let is_blank = |stop: &Value| stop.as_str().is_none_or(|stop| stop.trim().is_empty());
    if list(body, "stop_sequences").iter().any(is_blank) {
        return refuse("stop_sequences: each stop sequence must contain non-whitespace");
    }
    Ok(())
}

/// Betas come in a header, or in the body of `InvokeModel`.
pub(super) fn betas<'a>(mut betas: impl Iterator<Item = &'a str>) -> Result<(), Fault> {
    let unknown = betas.find(|beta| !beta.trim().is_empty() && !BETAS.contains(&beta.trim()));
    if unknown.is_some() {
        return refuse("invalid beta flag");
    }
    Ok(())
}

fn envelope(form: Form, body: &Value) -> Result<(), Fault> {
    let of_form: &[&str] = match form {
        Form::Messages | Form::Count => &["model", "stream"],
        Form::Invoke => &["anthropic_version", "anthropic_beta"],
    };
    for field in body.as_object().into_iter().flat_map(|body| body.keys()) {
        if !FIELDS.contains(&field.as_str()) && !of_form.contains(&field.as_str()) {
            return refuse(format!("{field}: Extra inputs are not permitted"));
        }
    }
    if form == Form::Invoke {
        if text(body, "anthropic_version") != Some("bedrock-2023-05-31") {
            return refuse(
                "Malformed input request: #: required key [anthropic_version] not found, please reformat your input and try again.",
            );
        }
        return betas(list(body, "anthropic_beta").iter().filter_map(Value::as_str));
    }
    match text(body, "model") {
        None | Some("") => refuse("model: Field required"),
        Some(_) => Ok(()),
    }
}

fn thinking(body: &Value, max_tokens: Option<u64>) -> Result<(), Fault> {
    let Some(thinking) = body.get("thinking") else { return Ok(()) };
    let budget = thinking.get("budget_tokens").and_then(Value::as_u64);
    match text(thinking, "type") {
        Some("enabled") => match budget {
            None => return refuse("thinking.enabled.budget_tokens: Field required"),
            Some(budget) if budget < MIN_THINKING => {
                return refuse(
                    "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
                );
            }
            Some(budget) if max_tokens.is_some_and(|max| max <= budget) => {
                return refuse("`max_tokens` must be greater than `thinking.budget_tokens`.");
            }
            Some(_) => {}
        },
        Some("adaptive" | "between_tools" | "disabled") => return Ok(()),
        _ => {
            return refuse(
                "thinking: Input tag does not match any of the expected tags: 'adaptive', 'between_tools', 'disabled', 'enabled'",
            );
        }
    }
    if matches!(body.pointer("/tool_choice/type").and_then(Value::as_str), Some("any" | "tool")) {
        return refuse("Thinking may not be enabled when tool_choice forces tool use.");
    }
    if body.get("temperature").and_then(Value::as_f64).is_some_and(|value| value < 1.0) {
        return refuse("`temperature` may only be set to 1 when thinking is enabled.");
    }
    Ok(())
}

fn tools(body: &Value, has_tool_blocks: bool) -> Result<(), Fault> {
    let tools = list(body, "tools");
    if tools.is_empty() && has_tool_blocks {
        return refuse(
            "Requests which include `tool_use` or `tool_result` blocks must define tools",
        );
    }
    let mut names = Vec::new();
    for (index, tool) in tools.iter().enumerate() {
        let name = text(tool, "name").unwrap_or_default();
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !(1..=128).contains(&name.len()) || !name.bytes().all(is_allowed) {
            return refuse(format!(
                "tools.{index}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"
            ));
        }
        match text(tool, "type") {
            None | Some("custom") => {
                if tool.pointer("/input_schema/type").and_then(Value::as_str) != Some("object") {
                    return refuse(format!(
                        "tools.{index}.custom.input_schema.type: Input should be 'object'"
                    ));
                }
            }
            Some(kind)
                if ["bash_", "text_editor_", "computer_", "memory_"]
                    .iter()
                    .any(|known| kind.starts_with(known)) => {}
            Some(kind) => {
                return refuse(format!(
                    "tools.{index}: Input tag '{kind}' found using 'type' does not match any of the expected tags"
                ));
            }
        }
        if names.contains(&name) {
            return refuse("tools: Tool names must be unique.");
        }
        names.push(name);
    }
    let choice = body.get("tool_choice").unwrap_or(&Value::Null);
    match (text(choice, "type"), text(choice, "name")) {
        (None, _) if choice.is_null() => Ok(()),
        (Some("auto" | "any" | "tool"), _) if tools.is_empty() => {
            refuse("tool_choice: tool_choice may only be specified while providing tools.")
        }
        (Some("none" | "auto" | "any"), _) => Ok(()),
        (Some("tool"), Some(name)) if names.contains(&name) => Ok(()),
        (Some("tool"), Some(name)) => refuse(format!("Tool '{name}' not found in provided tools")),
        (Some("tool"), None) => refuse("tool_choice.tool.name: Field required"),
        _ => refuse(
            "tool_choice: Input tag does not match any of the expected tags: 'auto', 'any', 'tool', 'none'",
        ),
    }
}

/// Marks stand in tools, system and messages; those for an hour before those for five minutes.
fn cache_marks(body: &Value) -> Result<(), Fault> {
    let messages = list(body, "messages").iter().flat_map(|message| list(message, "content"));
    let marks: Vec<_> = list(body, "tools")
        .iter()
        .chain(list(body, "system"))
        .chain(messages)
        .filter_map(|block| block.get("cache_control"))
        .filter(|mark| !mark.is_null())
        .collect();
    if marks.len() > MAX_CACHE_MARKS {
        return refuse(format!(
            "A maximum of {MAX_CACHE_MARKS} blocks with cache_control may be provided. Found {}.",
            marks.len()
        ));
    }
    let mut is_past_five_minutes = false;
    for mark in marks {
        let ttl = text(mark, "ttl").unwrap_or("5m");
        if text(mark, "type") != Some("ephemeral") || !matches!(ttl, "5m" | "1h") {
            return refuse("cache_control: the type must be 'ephemeral' and the ttl '5m' or '1h'");
        }
        if ttl == "1h" && is_past_five_minutes {
            return refuse(
                "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. Note that blocks are processed in the following order: `tools`, `system`, `messages`.",
            );
        }
        is_past_five_minutes |= ttl == "5m";
    }
    Ok(())
}

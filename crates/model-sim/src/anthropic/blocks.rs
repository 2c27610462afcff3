//! What messages may hold, and in which order.

use serde_json::Value;

use crate::error::Fault;
use crate::prompt::{is_document, is_image, list, text};
use crate::seal::{is_sealed, sign};

pub(super) fn refuse<T>(message: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::validation(message))
}

/// Checks all messages; whether there are tool blocks in them.
pub(super) fn conversation(messages: &[Value], thinks: bool) -> Result<bool, Fault> {
    let Some(first) = messages.first() else {
        return refuse("messages: at least one message is required");
    };
    if text(first, "role") == Some("assistant") {
        return refuse("messages: first message must use the \"user\" role");
    }
    let mut has_tool_blocks = false;
    let mut open: Vec<&str> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let role = text(message, "role").unwrap_or_default();
        if !matches!(role, "user" | "assistant" | "system") {
            return refuse(format!("messages.{index}.role: Input should be 'user' or 'assistant'"));
        }
        let is_last = index + 1 == messages.len();
        let blocks = list(message, "content");
        match message.get("content") {
            Some(Value::String(said)) if said.is_empty() && !(is_last && role == "assistant") => {
                return empty(index);
            }
            Some(Value::String(said)) => {
                if is_last && role == "assistant" && said.ends_with(char::is_whitespace) {
                    return refuse(
                        "messages: final assistant content cannot end with trailing whitespace",
                    );
                }
            }
            Some(Value::Array(_)) if blocks.is_empty() && !(is_last && role == "assistant") => {
                return empty(index);
            }
            Some(Value::Array(_)) => {}
            _ => return refuse(format!("messages.{index}.content: Field required")),
        }
        // Instructions may stand anywhere between the turns.
        if role == "system" {
            continue;
        }
        answered(index, blocks, &mut open)?;
        for (position, block) in blocks.iter().enumerate() {
            content(&format!("messages.{index}.content.{position}"), role, block)?;
            has_tool_blocks |= matches!(text(block, "type"), Some("tool_use" | "tool_result"));
        }
        open = blocks
            .iter()
            .filter(|block| text(block, "type") == Some("tool_use"))
            .filter_map(|block| text(block, "id"))
            .collect();
        if !open.is_empty() && is_last {
            return unanswered(index, &open);
        }
        let starts_with = blocks.first().and_then(|block| text(block, "type"));
        let is_thought = matches!(starts_with, Some("thinking" | "redacted_thinking"));
        if thinks && !open.is_empty() && !is_thought {
            return refuse(format!(
                "messages.{index}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{}`. When `thinking` is enabled, a final `assistant` message must start with a thinking block",
                starts_with.unwrap_or_default()
            ));
        }
    }
    Ok(has_tool_blocks)
}

/// A string, or blocks of text.
pub(super) fn system(system: Option<&Value>) -> Result<(), Fault> {
    match system {
        None | Some(Value::String(_)) => Ok(()),
        Some(Value::Array(blocks)) => {
            for (index, block) in blocks.iter().enumerate() {
                if text(block, "type") != Some("text") {
                    return refuse(format!("system.{index}.type: Input should be 'text'"));
                }
                if text(block, "text").is_none_or(str::is_empty) {
                    return refuse("system: text content blocks must be non-empty");
                }
            }
            Ok(())
        }
        Some(_) => refuse("system: Input should be a valid list"),
    }
}

fn empty<T>(index: usize) -> Result<T, Fault> {
    refuse(format!(
        "messages.{index}: all messages must have non-empty content except for the optional final assistant message"
    ))
}

fn unanswered<T>(index: usize, ids: &[&str]) -> Result<T, Fault> {
    refuse(format!(
        "messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: {}. Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
        ids.join(", ")
    ))
}

/// Each tool use of the message before needs its result in this one, and no other.
fn answered<'a>(index: usize, blocks: &'a [Value], open: &mut Vec<&'a str>) -> Result<(), Fault> {
    for (position, block) in blocks.iter().enumerate() {
        if text(block, "type") != Some("tool_result") {
            continue;
        }
        let id = text(block, "tool_use_id").unwrap_or_default();
        let Some(found) = open.iter().position(|open| *open == id) else {
            return refuse(format!(
                "messages.{index}.content.{position}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
            ));
        };
        open.swap_remove(found);
    }
    if !open.is_empty() {
        return unanswered(index.saturating_sub(1), open);
    }
    Ok(())
}

fn content(at: &str, role: &str, block: &Value) -> Result<(), Fault> {
    let kind = text(block, "type").unwrap_or_default();
    match (kind, role) {
        ("text", _) => match text(block, "text") {
            None => return refuse(format!("{at}.text.text: Field required")),
            Some("") => {
                return refuse("messages: text content blocks must be non-empty");
            }
            Some(_) => {}
        },
        ("image", "user") => image(at, block)?,
        ("document", "user") => document(at, block)?,
        ("tool_use", "assistant") => tool_use(at, block)?,
        ("tool_result", "user") => {
            for (part, inner) in list(block, "content").iter().enumerate() {
                let at = format!("{at}.tool_result.content.{part}");
                match text(inner, "type") {
                    Some("text" | "image" | "document" | "search_result" | "tool_reference") => {
                        content(&at, "user", inner)?;
                    }
                    kind => return unknown(&at, kind.unwrap_or_default()),
                }
            }
        }
        ("thinking", "assistant") => {
            let thought = text(block, "thinking").unwrap_or_default();
            match text(block, "signature") {
                None => return refuse(format!("{at}.thinking.signature: Field required")),
                Some(signature) if signature != sign(thought) => {
                    return refuse(format!("{at}: Invalid `signature` in `thinking` block"));
                }
                Some(_) => {}
            }
        }
        ("redacted_thinking", "assistant") => {
            if !text(block, "data").is_some_and(is_sealed) {
                return refuse(format!("{at}: Invalid `data` in `redacted_thinking` block"));
            }
        }
        ("search_result", "user") | ("tool_reference", _) => {}
        (
            "image" | "document" | "tool_use" | "tool_result" | "thinking" | "redacted_thinking",
            _,
        ) => {
            return refuse(format!("{at}: `{kind}` blocks are not permitted in `{role}` messages"));
        }
        _ => return unknown(at, kind),
    }
    let is_marked = block.get("cache_control").is_some_and(|mark| !mark.is_null());
    if is_marked && matches!(kind, "thinking" | "redacted_thinking") {
        return refuse(format!("{at}.{kind}.cache_control: Extra inputs are not permitted"));
    }
    Ok(())
}

fn unknown<T>(at: &str, kind: &str) -> Result<T, Fault> {
    refuse(format!(
        "{at}: Input tag '{kind}' found using 'type' does not match any of the expected tags: 'document', 'image', 'redacted_thinking', 'search_result', 'text', 'thinking', 'tool_result', 'tool_use'"
    ))
}

fn image(at: &str, block: &Value) -> Result<(), Fault> {
    let source = block.get("source").unwrap_or(&Value::Null);
    if text(source, "type") != Some("base64") {
        return refuse(format!("{at}.image.source.type: Bedrock takes only 'base64' sources"));
    }
    let media_type = text(source, "media_type").unwrap_or_default();
    let format = media_type.strip_prefix("image/").unwrap_or_default();
    if !matches!(format, "jpeg" | "png" | "gif" | "webp") {
        return refuse(format!(
            "{at}.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'"
        ));
    }
    if !is_image(format, text(source, "data").unwrap_or_default()) {
        return refuse("Could not process image");
    }
    Ok(())
}

fn document(at: &str, block: &Value) -> Result<(), Fault> {
    let source = block.get("source").unwrap_or(&Value::Null);
    let media_type = text(source, "media_type");
    let data = text(source, "data").unwrap_or_default();
    match (text(source, "type"), media_type) {
        (Some("base64"), Some("application/pdf")) if is_document("pdf", data) => Ok(()),
        (Some("base64"), Some("application/pdf")) => {
            refuse(format!("{at}.document.source.base64.data: The PDF specified was not valid."))
        }
        (Some("base64"), _) => refuse(format!(
            "{at}.document.source.base64.media_type: Input should be 'application/pdf'"
        )),
        (Some("text"), Some("text/plain")) if !data.is_empty() => Ok(()),
        (Some("content"), _) if source.get("content").is_some() => Ok(()),
        _ => refuse(format!(
            "{at}.document.source: Bedrock takes 'base64', 'text' and 'content' sources with their data"
        )),
    }
}

fn tool_use(at: &str, block: &Value) -> Result<(), Fault> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let id = text(block, "id").unwrap_or_default();
    if id.is_empty() || !id.bytes().all(is_allowed) {
        return refuse(format!("{at}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"));
    }
    if text(block, "name").is_none_or(str::is_empty) {
        return refuse(format!("{at}.tool_use.name: Field required"));
    }
    if !block.get("input").is_some_and(Value::is_object) {
        return refuse(format!("{at}.tool_use.input: Input should be a valid dictionary"));
    }
    Ok(())
}

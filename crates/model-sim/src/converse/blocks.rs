//! What a message may hold.

use serde_json::Value;

use crate::error::Fault;
use crate::prompt::{is_document, is_image, is_tool_name, list, text};
use crate::prompt_cache::Ttl;
use crate::seal::{is_sealed, sign};

const BLOCKS: [&str; 12] = [
    "text",
    "image",
    "document",
    "video",
    "audio",
    "toolUse",
    "toolResult",
    "guardContent",
    "cachePoint",
    "reasoningContent",
    "citationsContent",
    "searchResult",
];

pub(super) fn refuse<T>(message: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::validation(message))
}

pub(super) fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// Checks the blocks of one message to `model`.
pub(super) fn content(
    model: &str,
    index: usize,
    role: &str,
    blocks: &[Value],
) -> Result<(), Fault> {
    if blocks.is_empty() {
        return refuse(format!(
            "The content field in the Message object at messages.{index} is empty. Add a ContentBlock object to the content field and try again."
        ));
    }
    for (position, block) in blocks.iter().enumerate() {
        let at = format!("messages.{index}.content.{position}");
        let mut keys = block.as_object().into_iter().flatten();
        let (Some((kind, value)), None) = (keys.next(), keys.next()) else {
            return refuse(format!(
                "The ContentBlock object at {at} must set one of the following keys: {}.",
                BLOCKS.join(", ")
            ));
        };
        match (kind.as_str(), role) {
            ("text", _) if value.as_str().is_none_or(is_blank) => {
                return refuse(format!(
                    "The text field in the ContentBlock object at {at} is blank. Add text to the text field, and try again."
                ));
            }
            ("image", "user") => image(&at, value)?,
            ("document", "user") => document(&at, value)?,
            ("reasoningContent", "assistant") => reasoning(model, &at, value)?,
            ("cachePoint", _) => cache_point(&at, value)?,
            ("toolUse", "assistant") => tool_use(&at, value)?,
            ("toolResult", "user") => {
                for (part, block) in list(value, "content").iter().enumerate() {
                    if let Some(value) = block.get("image") {
                        image(&format!("{at}.toolResult.content.{part}"), value)?;
                    }
                    if let Some(value) = block.get("document") {
                        document(&format!("{at}.toolResult.content.{part}"), value)?;
                    }
                }
            }
            ("image" | "document" | "toolUse" | "toolResult" | "reasoningContent", _) => {
                return refuse(format!(
                    "The {kind} block at {at} is not allowed in a message of the role {role}."
                ));
            }
            (kind, _) if !BLOCKS.contains(&kind) => {
                return refuse(format!(
                    "The ContentBlock object at {at} has the unknown key {kind}."
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

fn image(at: &str, image: &Value) -> Result<(), Fault> {
    let format = text(image, "format").unwrap_or_default();
    if !matches!(format, "png" | "jpeg" | "gif" | "webp") {
        return refuse(format!(
            "Value '{format}' at '{at}.image.format' failed to satisfy constraint: Member must satisfy enum value set: [gif, jpeg, png, webp]"
        ));
    }
    match image.pointer("/source/bytes").and_then(Value::as_str) {
        Some(bytes) if is_image(format, bytes) => Ok(()),
        None if image.pointer("/source/s3Location").is_some() => s3_location(at, image),
        _ => refuse(format!(
            "The model returned the following errors: {at}.image: Could not process image"
        )),
    }
}

/// Only the place is checked, not what lies there.
fn s3_location(at: &str, media: &Value) -> Result<(), Fault> {
    let uri = media.pointer("/source/s3Location/uri").and_then(Value::as_str);
    let place = uri.and_then(|uri| uri.strip_prefix("s3://")?.split_once('/'));
    if place.is_some_and(|(bucket, key)| !bucket.is_empty() && !key.is_empty()) {
        return Ok(());
    }
    refuse(format!(
        "Value at '{at}.source.s3Location.uri' failed to satisfy constraint: Member must satisfy regular expression pattern: s3://[a-z0-9][a-z0-9.-]{{1,61}}[a-z0-9](/.*)?"
    ))
}

fn document(at: &str, document: &Value) -> Result<(), Fault> {
    const FORMATS: [&str; 9] = ["pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"];
    let format = text(document, "format").unwrap_or("txt");
    if !FORMATS.contains(&format) {
        return refuse(format!(
            "Value '{format}' at '{at}.document.format' failed to satisfy constraint: Member must satisfy enum value set: [{}]",
            FORMATS.join(", ")
        ));
    }
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || " -()[]".contains(letter);
    let name = text(document, "name").unwrap_or_default();
    if !(1..=200).contains(&name.len()) || !name.chars().all(allowed) || name.contains("  ") {
        return refuse(
            "The document file name can only contain alphanumeric characters, whitespace characters, hyphens, parentheses, and square brackets. The name can't contain more than one consecutive whitespace character.",
        );
    }
    let source = document.get("source").unwrap_or(&Value::Null);
    if source.get("s3Location").is_some() {
        return s3_location(at, document);
    }
    let is_filled = |key: &str| text(source, key).is_some_and(|text| !text.is_empty());
    let is_read = match text(source, "bytes") {
        Some(bytes) => is_document(format, bytes),
        None => is_filled("text") || !list(source, "content").is_empty(),
    };
    if is_read {
        return Ok(());
    }
    refuse(format!(
        "The model returned the following errors: {at}.document: Could not process document"
    ))
}

/// Reasoning comes back as it was given, or not at all.
fn reasoning(model: &str, at: &str, reasoning: &Value) -> Result<(), Fault> {
    let errors = "The model returned the following errors";
    if let Some(redacted) = text(reasoning, "redactedContent") {
        if is_sealed(redacted) {
            return Ok(());
        }
        return refuse(format!("{errors}: {at}: Invalid `data` in `redacted_thinking` block"));
    }
    let Some(thought) = reasoning.pointer("/reasoningText/text").and_then(Value::as_str) else {
        return refuse(format!(
            "The ReasoningContentBlock object at {at} must set one of the following keys: reasoningText, redactedContent."
        ));
    };
    match reasoning.pointer("/reasoningText/signature").and_then(Value::as_str) {
        Some(signature) if signature == sign(thought) => Ok(()),
        Some(_) => refuse(format!("{errors}: {at}: Invalid `signature` in `thinking` block")),
        None if model.contains("anthropic.") => {
            refuse(format!("{errors}: {at}.thinking.signature: Field required"))
        }
        None => Ok(()),
    }
}

fn cache_point(at: &str, point: &Value) -> Result<(), Fault> {
    if text(point, "type") == Some("default") && Ttl::named(text(point, "ttl")).is_some() {
        return Ok(());
    }
    refuse(format!(
        "The CachePointBlock object at {at} needs the type default and, where it names a ttl, 5m or 1h."
    ))
}

fn tool_use(at: &str, tool_use: &Value) -> Result<(), Fault> {
    let is_id = |id: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
        (1..=64).contains(&id.len()) && id.bytes().all(allowed)
    };
    if !text(tool_use, "toolUseId").is_some_and(is_id) {
        return refuse(format!(
            "Value at '{at}.toolUse.toolUseId' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.:-]+"
        ));
    }
    if !text(tool_use, "name").is_some_and(is_tool_name) {
        return refuse(format!(
            "Value at '{at}.toolUse.name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+"
        ));
    }
    if tool_use.get("input").is_none_or(|input| !input.is_object()) {
        return refuse(format!(
            "The format of the value at {at}.toolUse.input is invalid. Provide a json object for the field and try again."
        ));
    }
    Ok(())
}

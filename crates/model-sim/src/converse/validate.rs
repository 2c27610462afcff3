//! Refuses what Bedrock refuses, in words close to its own.

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

/// Checks a whole request to `model`.
pub(super) fn validate(model: &str, body: &Value) -> Result<(), Fault> {
    conversation(model, list(body, "messages"))?;
    for (index, block) in list(body, "system").iter().enumerate() {
        if text(block, "text").is_some_and(is_blank) {
            return refuse(format!(
                "The text field in the SystemContentBlock object at system.{index} is blank. Add text to the text field, and try again."
            ));
        }
    }
    inference(body.get("inferenceConfig").unwrap_or(&Value::Null))?;
    tools(body)?;
    request_metadata(body.get("requestMetadata"))?;
    output_schema(body)
}

fn refuse<T>(message: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::validation(message))
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

fn conversation(model: &str, messages: &[Value]) -> Result<(), Fault> {
    let mut previous: Option<&Value> = None;
    for (index, message) in messages.iter().enumerate() {
        let role = text(message, "role").unwrap_or_default();
        if !matches!(role, "user" | "assistant" | "system") {
            return refuse(format!(
                "1 validation error detected: Value '{role}' at 'messages.{}.member.role' failed to satisfy constraint: Member must satisfy enum value set: [user, assistant, system]",
                index + 1
            ));
        }
        content(model, index, role, list(message, "content"))?;
        // A system message may stand anywhere between the turns.
        if role == "system" {
            continue;
        }
        match previous.and_then(|message| text(message, "role")) {
            None if role != "user" => {
                return refuse(
                    "A conversation must start with a user message. Try again with a conversation that starts with a user message.",
                );
            }
            Some(before) if before == role => {
                return refuse(
                    "A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and assistant roles and try again.",
                );
            }
            _ => {}
        }
        if role == "user" {
            tool_results(index, previous, message)?;
        }
        previous = Some(message);
    }
    if previous.is_none() {
        return refuse(
            "A conversation must start with a user message. Try again with a conversation that starts with a user message.",
        );
    }
    Ok(())
}

fn content(model: &str, index: usize, role: &str, blocks: &[Value]) -> Result<(), Fault> {
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

/// Each tool use of the turn before needs its result, and no other.
fn tool_results(index: usize, previous: Option<&Value>, message: &Value) -> Result<(), Fault> {
    let ids = |message: Option<&Value>, kind: &str| -> Vec<String> {
        let blocks = message.map_or(&[][..], |message| list(message, "content")).iter();
        blocks.filter_map(|block| text(block.get(kind)?, "toolUseId")).map(str::to_owned).collect()
    };
    let used = ids(previous, "toolUse");
    let results = ids(Some(message), "toolResult");
    if results.len() > used.len() {
        return refuse(format!(
            "The number of toolResult blocks at messages.{index}.content exceeds the number of toolUse blocks of previous turn."
        ));
    }
    let missing: Vec<_> = used.into_iter().filter(|id| !results.contains(id)).collect();
    if !missing.is_empty() {
        return refuse(format!(
            "Expected toolResult blocks at messages.{index}.content for the following Ids: {}",
            missing.join(", ")
        ));
    }
    Ok(())
}

fn inference(config: &Value) -> Result<(), Fault> {
    if let Some(max) = config.get("maxTokens")
        && max.as_u64().is_none_or(|max| max == 0)
    {
        return refuse(format!(
            "1 validation error detected: Value '{max}' at 'inferenceConfig.maxTokens' failed to satisfy constraint: Member must have value greater than or equal to 1"
        ));
    }
    for key in ["temperature", "topP"] {
        if let Some(value) = config.get(key)
            && !value.as_f64().is_some_and(|value| (0.0..=1.0).contains(&value))
        {
            return refuse(format!(
                "1 validation error detected: Value '{value}' at 'inferenceConfig.{key}' failed to satisfy constraint: Member must have value between 0 and 1"
            ));
        }
    }
    if list(config, "stopSequences").iter().any(|stop| stop.as_str().is_none_or(str::is_empty)) {
        return refuse(
            "1 validation error detected: Value at 'inferenceConfig.stopSequences' failed to satisfy constraint: Member must have length greater than or equal to 1",
        );
    }
    Ok(())
}

fn tools(body: &Value) -> Result<(), Fault> {
    let Some(config) = body.get("toolConfig") else {
        let mut blocks = list(body, "messages").iter().flat_map(|message| list(message, "content"));
        if blocks.any(|block| block.get("toolUse").is_some() || block.get("toolResult").is_some()) {
            return refuse(
                "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
            );
        }
        return Ok(());
    };
    let tools = list(config, "tools");
    if tools.is_empty() {
        return refuse(
            "1 validation error detected: Value at 'toolConfig.tools' failed to satisfy constraint: Member must have length greater than or equal to 1",
        );
    }
    let mut names = Vec::new();
    for (index, spec) in
        tools.iter().enumerate().filter_map(|(index, tool)| Some((index, tool.get("toolSpec")?)))
    {
        let name = text(spec, "name").unwrap_or_default();
        if !is_tool_name(name) {
            return refuse(format!(
                "1 validation error detected: Value '{name}' at 'toolConfig.tools.{}.member.toolSpec.name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+",
                index + 1
            ));
        }
        if !spec.pointer("/inputSchema/json").is_some_and(Value::is_object) {
            return refuse(format!(
                "The value at toolConfig.tools.{index}.toolSpec.inputSchema.json must be a JSON object."
            ));
        }
        if names.contains(&name) {
            return refuse(format!(
                "The tool {name} is already defined at toolConfig.tools.{index}."
            ));
        }
        names.push(name);
    }
    let choice = config.get("toolChoice").unwrap_or(&Value::Null);
    if let Some(key) = choice.as_object().and_then(|choice| choice.keys().next())
        && !matches!(key.as_str(), "auto" | "any" | "tool")
    {
        return refuse(format!(
            "The ToolChoice object at toolConfig.toolChoice has the unknown key {key}."
        ));
    }
    match choice.pointer("/tool/name").and_then(Value::as_str) {
        Some(name) if !names.contains(&name) => refuse(format!(
            "The tool {name} at toolConfig.toolChoice.tool.name is not defined in toolConfig.tools."
        )),
        _ => Ok(()),
    }
}

/// 1 to 16 pairs of at most 256 characters each.
fn request_metadata(metadata: Option<&Value>) -> Result<(), Fault> {
    let Some(metadata) = metadata else { return Ok(()) };
    let is_allowed = |text: &str| {
        let allowed = |letter: char| {
            letter.is_ascii_alphanumeric()
                || letter.is_whitespace()
                || ":_@$#=/+,.-".contains(letter)
        };
        text.chars().count() <= 256 && text.chars().all(allowed)
    };
    let Some(pairs) = metadata.as_object().filter(|pairs| (1..=16).contains(&pairs.len())) else {
        return refuse(
            "1 validation error detected: Value at 'requestMetadata' failed to satisfy constraint: Map must have 1 to 16 entries",
        );
    };
    for (key, value) in pairs {
        if key.is_empty() || !is_allowed(key) || !value.as_str().is_some_and(is_allowed) {
            return refuse(format!(
                r"1 validation error detected: Value at 'requestMetadata.{key}' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9\s:_@$#=/+,.-]{{0,256}}"
            ));
        }
    }
    Ok(())
}

fn output_schema(body: &Value) -> Result<(), Fault> {
    let Some(schema) = body.pointer("/outputConfig/textFormat/structure/jsonSchema/schema") else {
        return Ok(());
    };
    let parsed = schema.as_str().and_then(|schema| serde_json::from_str::<Value>(schema).ok());
    if parsed.is_none_or(|schema| !schema.is_object()) {
        return refuse(
            "The value at outputConfig.textFormat.structure.jsonSchema.schema is not a JSON schema.",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;

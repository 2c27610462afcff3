//! Refuses what Bedrock refuses, in words close to its own.

use serde_json::Value;

use super::blocks::{self, is_blank, refuse};
use crate::error::Fault;
use crate::prompt::{is_tool_name, list, text};

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
        blocks::content(model, index, role, list(message, "content"))?;
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

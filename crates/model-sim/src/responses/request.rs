//! Reads a Responses request.

use serde_json::{Value, json};

use crate::error::Fault;
use crate::prompt::{
    Prompt, Role, Tally, Tool, ToolChoice, Turn, is_image, is_tool_name, list, text,
};
use crate::seal::is_sealed;

const FIELDS: [&str; 33] = [
    "background",
    "client_metadata",
    "conversation",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
    "verbosity",
    "context_management",
    "moderation",
];
const MIN_OUTPUT: u64 = 16;

/// Reads and validates a request; `has_web` says whether pictures may lie in the web.
///
/// # Errors
/// What OpenAI refuses as well, and all that needs a store.
pub(super) fn parse(body: &Value, has_web: bool) -> Result<Prompt, Fault> {
    envelope(body)?;
    let mut tally = Tally::default();
    tally.text(text(body, "instructions").unwrap_or_default());
    let turns = match body.get("input") {
        Some(Value::String(said)) => {
            tally.text(said);
            let mut turn = Turn::new(Role::User);
            turn.say(said);
            vec![turn]
        }
        Some(Value::Array(items)) if !items.is_empty() => {
            answered(items)?;
            let mut turns = Vec::new();
            for (index, item) in items.iter().enumerate() {
                turns.extend(turn(index, item, has_web, &mut tally)?);
            }
            turns
        }
        _ => return refuse("Missing required parameter: 'input'."),
    };
    let tools = tools(body)?;
    for tool in list(body, "tools") {
        tally.json(tool);
    }
    let tool_choice = tool_choice(body, &tools)?;
    Ok(Prompt {
        turns,
        tools,
        tool_choice,
        schema: schema(body)?,
        max_tokens: max_tokens(body)?,
        thinks: body.pointer("/reasoning/summary").is_some_and(|summary| !summary.is_null()),
        tally,
        ..Prompt::default()
    })
}

fn refuse<T>(message: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::validation(message))
}

fn envelope(body: &Value) -> Result<(), Fault> {
    for field in body.as_object().into_iter().flat_map(|body| body.keys()) {
        if !FIELDS.contains(&field.as_str()) {
            return refuse(format!("Unknown parameter: '{field}'."));
        }
    }
    if text(body, "model").is_none_or(str::is_empty) {
        return refuse("Missing required parameter: 'model'.");
    }
    let is_set = |key: &str| {
        body.get(key).is_some_and(|value| !matches!(value, Value::Null | Value::Bool(false)))
    };
    for key in ["store", "background", "previous_response_id", "conversation", "prompt"] {
        if is_set(key) {
            return refuse(format!(
                "Unsupported parameter: '{key}' is not supported: this endpoint stores nothing."
            ));
        }
    }
    Ok(())
}

/// Each call has its output among the items after it, and no output is without its call.
fn answered(items: &[Value]) -> Result<(), Fault> {
    let mut open: Vec<&str> = Vec::new();
    for item in items {
        let id = text(item, "call_id").unwrap_or_default();
        match text(item, "type") {
            Some("function_call" | "custom_tool_call") => open.push(id),
            Some("function_call_output" | "custom_tool_call_output") => {
                let Some(found) = open.iter().position(|open| *open == id) else {
                    return refuse(format!(
                        "No tool call found for function call output with call_id {id}."
                    ));
                };
                open.swap_remove(found);
            }
            _ => {}
        }
    }
    match open.first() {
        Some(id) => refuse(format!("No tool output found for function call {id}.")),
        None => Ok(()),
    }
}

/// What an item says; `None` for reasoning.
fn turn(
    index: usize,
    item: &Value,
    has_web: bool,
    tally: &mut Tally,
) -> Result<Option<Turn>, Fault> {
    match text(item, "type").unwrap_or("message") {
        "message" => message(index, item, has_web, tally).map(Some),
        "function_call" | "custom_tool_call" => {
            if text(item, "name").is_none() || text(item, "call_id").is_none() {
                return refuse(format!("Missing required parameter: 'input[{index}].call_id'."));
            }
            tally.text(text(item, "arguments").or_else(|| text(item, "input")).unwrap_or_default());
            Ok(Some(Turn::new(Role::Assistant)))
        }
        "function_call_output" | "custom_tool_call_output" => {
            let mut turn = Turn::new(Role::User);
            let output = match item.get("output") {
                Some(Value::String(output)) => output.clone(),
                Some(Value::Array(parts)) => {
                    let texts = parts.iter().filter_map(|part| text(part, "text"));
                    texts.collect::<Vec<_>>().join("\n")
                }
                _ => {
                    return refuse(format!("Missing required parameter: 'input[{index}].output'."));
                }
            };
            tally.text(&output);
            turn.results.push(output);
            Ok(Some(turn))
        }
        "reasoning" => match text(item, "encrypted_content") {
            Some(sealed) if is_sealed(sealed) => Ok(None),
            Some(_) => refuse(format!(
                "The encrypted content for item {} could not be verified.",
                text(item, "id").unwrap_or_default()
            )),
            None => refuse(format!(
                "Item with id '{}' not found. Items are not persisted when `store` is set to false. Try again with `store` set to true, or remove this item from your input.",
                text(item, "id").unwrap_or_default()
            )),
        },
        other => {
            refuse(format!("Invalid value: '{other}' at input[{index}].type is not supported."))
        }
    }
}

fn message(index: usize, item: &Value, has_web: bool, tally: &mut Tally) -> Result<Turn, Fault> {
    let role = text(item, "role").unwrap_or_default();
    let mut turn = Turn::new(match role {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" | "developer" => Role::System,
        _ => {
            return refuse(format!(
                "Invalid value: '{role}' at input[{index}].role. Supported values are: 'assistant', 'system', 'developer', and 'user'."
            ));
        }
    });
    let parts = match item.get("content") {
        Some(Value::String(said)) => {
            tally.text(said);
            turn.say(said);
            return Ok(turn);
        }
        Some(Value::Array(parts)) => parts,
        _ => return refuse(format!("Missing required parameter: 'input[{index}].content'.")),
    };
    for (position, part) in parts.iter().enumerate() {
        let at = format!("input[{index}].content[{position}]");
        let kind = text(part, "type").unwrap_or_default();
        match (kind, role == "assistant") {
            ("output_text" | "refusal", true) | ("input_text", false) => {
                let said = text(part, "text").or_else(|| text(part, "refusal"));
                let Some(said) = said else {
                    return refuse(format!("Missing required parameter: '{at}.text'."));
                };
                tally.text(said);
                turn.say(said);
            }
            ("input_image", false) => {
                image(&at, text(part, "image_url").unwrap_or_default(), has_web)?;
                tally.images += 1;
            }
            ("input_file", false) => {
                let data = text(part, "file_data").unwrap_or_default();
                let Some((_, bytes)) =
                    data.strip_prefix("data:").and_then(|data| data.split_once(";base64,"))
                else {
                    return refuse(format!(
                        "Invalid '{at}.file_data': expected a base64 data URL."
                    ));
                };
                tally.document(bytes);
            }
            (_, is_assistant) => {
                let supported = if is_assistant {
                    "'output_text' and 'refusal'"
                } else {
                    "'input_text', 'input_image', and 'input_file'"
                };
                return refuse(format!(
                    "Invalid value: '{kind}' at {at}.type. Supported values are: {supported}."
                ));
            }
        }
    }
    Ok(turn)
}

/// Bedrock takes no remote pictures: only `data:` and `s3:` URLs.
fn image(at: &str, url: &str, has_web: bool) -> Result<(), Fault> {
    let data = url.strip_prefix("data:image/").and_then(|data| data.split_once(";base64,"));
    match data {
        Some((format, bytes)) if is_image(format, bytes) => Ok(()),
        Some(_) => refuse(format!("Invalid image at {at}: could not process image.")),
        None if url.starts_with("s3://") || (has_web && url.starts_with("http")) => Ok(()),
        None => refuse(format!("Invalid image at {at}: only data and s3 URLs are supported.")),
    }
}

fn tools(body: &Value) -> Result<Vec<Tool>, Fault> {
    let mut tools = Vec::new();
    for (index, tool) in list(body, "tools").iter().enumerate() {
        let kind = text(tool, "type").unwrap_or_default();
        if !matches!(kind, "function" | "custom") {
            return refuse(format!(
                "Invalid value: '{kind}' at tools[{index}].type: this endpoint runs no tools of its own. Supported values are: 'function' and 'custom'."
            ));
        }
        let name = text(tool, "name").unwrap_or_default();
        if !is_tool_name(name) {
            return refuse(format!(
                "Invalid 'tools[{index}].name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
            ));
        }
        let custom = json!({"type": "object", "required": ["input"], "properties": {"input": {"type": "string"}}});
        let schema = if kind == "custom" {
            custom
        } else {
            tool.get("parameters").cloned().unwrap_or_default()
        };
        tools.push(Tool { name: name.to_owned(), schema });
    }
    Ok(tools)
}

fn tool_choice(body: &Value, tools: &[Tool]) -> Result<ToolChoice, Fault> {
    let choice = body.get("tool_choice").unwrap_or(&Value::Null);
    match choice.as_str() {
        Some("none") => return Ok(ToolChoice::Forbidden),
        Some("auto") => return Ok(ToolChoice::Auto),
        Some("required") if tools.is_empty() => {
            return refuse("Tool choice 'required' must be specified with 'tools' parameter.");
        }
        Some("required") => return Ok(ToolChoice::Any),
        Some(other) => return refuse(format!("Invalid value: '{other}' at tool_choice.")),
        None => {}
    }
    match text(choice, "name") {
        None => Ok(ToolChoice::Auto),
        Some(name) if tools.iter().any(|tool| tool.name == name) => {
            Ok(ToolChoice::Named(name.to_owned()))
        }
        Some(name) => refuse(format!("Tool choice '{name}' not found in 'tools' parameter.")),
    }
}

fn schema(body: &Value) -> Result<Option<Value>, Fault> {
    let Some(format) = body.pointer("/text/format") else { return Ok(None) };
    match text(format, "type") {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(json!({"const": {"simulator": true}}))),
        Some("json_schema") => {
            if text(format, "name").is_none_or(str::is_empty) {
                return refuse("Missing required parameter: 'text.format.name'.");
            }
            match format.get("schema") {
                Some(schema) if schema.is_object() => Ok(Some(schema.clone())),
                _ => refuse("Missing required parameter: 'text.format.schema'."),
            }
        }
        _ => refuse(
            "Invalid value at text.format.type. Supported values are: 'json_object', 'json_schema', and 'text'.",
        ),
    }
}

fn max_tokens(body: &Value) -> Result<Option<u64>, Fault> {
    match body.get("max_output_tokens") {
        None | Some(Value::Null) => Ok(None),
        Some(max) if max.as_u64().is_some_and(|max| max >= MIN_OUTPUT) => Ok(max.as_u64()),
        Some(max) => refuse(format!(
            "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= {MIN_OUTPUT}, but got {max} instead."
        )),
    }
}

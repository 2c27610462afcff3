//! Reads a Chat Completions request.

use serde_json::{Value, json};

use crate::error::Fault;
use crate::prompt::{
    Prompt, Role, Tally, Tool, ToolChoice, Turn, is_image, is_tool_name, list, text,
};

/// Whether the answer is to be streamed.
pub(crate) fn is_streamed(body: &Value) -> bool {
    body.get("stream").and_then(Value::as_bool).unwrap_or(false)
}

/// Whether the stream is to end with the usage.
pub(crate) fn includes_usage(body: &Value) -> bool {
    body.pointer("/stream_options/include_usage").and_then(Value::as_bool).unwrap_or(false)
}

/// Reads and validates a request; `has_web` says whether pictures may lie in the web.
///
/// # Errors
/// What OpenAI refuses as well, and `n` other than 1.
pub(super) fn parse(body: &Value, has_web: bool) -> Result<Prompt, Fault> {
    if text(body, "model").is_none_or(str::is_empty) {
        return refuse("you must provide a model parameter");
    }
    if body.get("n").is_some_and(|n| !n.is_null() && n.as_u64() != Some(1)) {
        return refuse("model-sim answers with one choice: `n` must be 1");
    }
    let messages = list(body, "messages");
    conversation(messages)?;
    let tools = tools(body)?;
    let tool_choice = tool_choice(body, &tools)?;
    Ok(Prompt {
        turns: messages.iter().map(turn).collect(),
        tool_choice,
        schema: schema(body),
        max_tokens: max_tokens(body)?,
        stop_sequences: stop(body),
        tally: tally(body, messages, has_web)?,
        tools,
        ..Prompt::default()
    })
}

fn turn(message: &Value) -> Turn {
    let mut turn = Turn::new(match text(message, "role") {
        Some("assistant") => Role::Assistant,
        Some("user" | "tool") => Role::User,
        _ => Role::System,
    });
    let content = content_text(message);
    if text(message, "role") == Some("tool") {
        turn.results.push(content);
    } else {
        turn.say(&content);
    }
    turn
}

fn refuse<T>(message: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::validation(message))
}

fn conversation(messages: &[Value]) -> Result<(), Fault> {
    if messages.is_empty() {
        return refuse(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
        );
    }
    let mut open: Vec<&str> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let role = text(message, "role").unwrap_or_default();
        if role == "tool" {
            let id = text(message, "tool_call_id").unwrap_or_default();
            let Some(position) = open.iter().position(|open| *open == id) else {
                return refuse(format!(
                    "Invalid parameter: messages[{index}] with role 'tool' must be a response to a preceding message with 'tool_calls'."
                ));
            };
            open.swap_remove(position);
            continue;
        }
        if !open.is_empty() {
            return refuse(format!(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: {}",
                open.join(", ")
            ));
        }
        match role {
            "assistant" => {
                open.extend(list(message, "tool_calls").iter().filter_map(|call| text(call, "id")));
            }
            "developer" | "system" | "user" => {}
            _ => {
                return refuse(format!(
                    "Invalid value: '{role}' at messages[{index}].role. Supported values are: 'system', 'assistant', 'user', 'tool', and 'developer'."
                ));
            }
        }
        let has_content = message.get("content").is_some_and(|content| !content.is_null());
        if !has_content && list(message, "tool_calls").is_empty() {
            return refuse(format!(
                "Invalid value for 'content' at messages[{index}]: expected a string, got null."
            ));
        }
    }
    Ok(())
}

/// The text of a message, whichever form it has.
fn content_text(message: &Value) -> String {
    match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        _ => list(message, "content")
            .iter()
            .filter_map(|part| text(part, "text"))
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

fn tools(body: &Value) -> Result<Vec<Tool>, Fault> {
    let mut tools = Vec::new();
    for (index, tool) in list(body, "tools").iter().enumerate() {
        let function = tool.get("function").unwrap_or(&Value::Null);
        let name = text(function, "name").unwrap_or_default();
        if !is_tool_name(name) {
            return refuse(format!(
                "Invalid 'tools[{index}].function.name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
            ));
        }
        let schema = function.get("parameters").cloned().unwrap_or_default();
        tools.push(Tool { name: name.to_owned(), schema });
    }
    Ok(tools)
}

fn tool_choice(body: &Value, tools: &[Tool]) -> Result<ToolChoice, Fault> {
    let choice = body.get("tool_choice").unwrap_or(&Value::Null);
    if !choice.is_null() && tools.is_empty() {
        return refuse(
            "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.",
        );
    }
    match choice.as_str() {
        Some("none") => return Ok(ToolChoice::Forbidden),
        Some("required") => return Ok(ToolChoice::Any),
        Some("auto") => return Ok(ToolChoice::Auto),
        Some(other) => return refuse(format!("Invalid value: '{other}' at tool_choice.")),
        None => {}
    }
    match choice.pointer("/function/name").and_then(Value::as_str) {
        None => Ok(ToolChoice::Auto),
        Some(name) if tools.iter().any(|tool| tool.name == name) => {
            Ok(ToolChoice::Named(name.to_owned()))
        }
        Some(name) => refuse(format!("Tool choice '{name}' not found in 'tools' parameter.")),
    }
}

fn schema(body: &Value) -> Option<Value> {
    let format = body.get("response_format")?;
    match text(format, "type")? {
        "json_schema" => format.pointer("/json_schema/schema").cloned(),
        "json_object" => Some(json!({"const": {"simulator": true}})),
        _ => None,
    }
}

fn max_tokens(body: &Value) -> Result<Option<u64>, Fault> {
    for key in ["max_completion_tokens", "max_tokens"] {
        match body.get(key) {
            None | Some(Value::Null) => {}
            Some(max) if max.as_u64().is_some_and(|max| max > 0) => return Ok(max.as_u64()),
            Some(max) => {
                return refuse(format!(
                    "Invalid '{key}': integer below minimum value. Expected a value >= 1, but got {max} instead."
                ));
            }
        }
    }
    Ok(None)
}

fn stop(body: &Value) -> Vec<String> {
    match body.get("stop") {
        Some(Value::String(stop)) => vec![stop.clone()],
        _ => list(body, "stop").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
    }
}

fn tally(body: &Value, messages: &[Value], has_web: bool) -> Result<Tally, Fault> {
    let mut tally = Tally::default();
    for (index, message) in messages.iter().enumerate() {
        tally.text(text(message, "content").unwrap_or_default());
        for part in list(message, "content") {
            tally.text(text(part, "text").unwrap_or_default());
            if let Some(url) = part.pointer("/image_url/url").and_then(Value::as_str) {
                image(index, url, has_web)?;
                tally.images += 1;
            }
        }
        for call in list(message, "tool_calls") {
            tally.text(
                call.pointer("/function/arguments").and_then(Value::as_str).unwrap_or_default(),
            );
        }
    }
    for tool in list(body, "tools") {
        tally.json(tool);
    }
    Ok(tally)
}

/// Bedrock takes no remote pictures: only `data:` URLs.
fn image(index: usize, url: &str, has_web: bool) -> Result<(), Fault> {
    let data = url.strip_prefix("data:image/").and_then(|data| data.split_once(";base64,"));
    match data {
        Some((format, bytes)) if is_image(format, bytes) => Ok(()),
        None if has_web && url.starts_with("http") => Ok(()),
        Some(_) => refuse(format!("Invalid image at messages[{index}]: could not process image.")),
        None => {
            refuse(format!("Invalid image at messages[{index}]: only data URLs are supported."))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::parse;
    use crate::prompt::ToolChoice;

    #[track_caller]
    fn refused(extra: &Value, words: &str) {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let fault = parse(&body, false).unwrap_err();
        assert!(fault.message.contains(words), "{}", fault.message);
        assert_eq!((fault.status.as_u16(), fault.openai_names().0), (400, "invalid_request_error"));
    }

    #[test]
    fn a_bad_request_is_refused() {
        refused(&json!({"messages": []}), "empty array");
        refused(&json!({"messages": [{"role": "robot", "content": "hi"}]}), "Supported values");
        refused(
            &json!({"messages": [{"role": "tool", "tool_call_id": "x", "content": "hi"}]}),
            "preceding message",
        );
        refused(&json!({"messages": [{"role": "user", "content": null}]}), "got null");
        refused(&json!({"max_tokens": 0}), "'max_tokens'");
        refused(&json!({"n": 2}), "`n` must be 1");
        refused(&json!({"tools": [{"type": "function", "function": {"name": "a b"}}]}), "tools[0]");
        refused(&json!({"tool_choice": "required"}), "only allowed when");
        let call = json!({"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
        refused(
            &json!({"messages": [call, {"role": "user", "content": "hi"}]}),
            "did not have response messages: c",
        );
        let picture = |url: &str| json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]});
        refused(&picture("https://example.com/a.png"), "only data URLs");
        refused(&picture("data:image/png;base64,aGk="), "could not process");
    }

    #[test]
    fn tool_results_are_read_in_order_and_silence_the_user() {
        let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
        let body = json!({"model": "m", "messages": [
            {"role": "user", "content": "[sim {\"tool_calls\":[]}]"},
            {"role": "assistant", "content": null, "tool_calls": [call("a"), call("b")]},
            {"role": "tool", "tool_call_id": "a", "content": "1"},
            {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "2"}]}],
            "tools": [{"type": "function", "function": {"name": "f"}}],
            "tool_choice": {"type": "function", "function": {"name": "f"}}});
        let prompt = parse(&body, false).unwrap();
        assert_eq!(prompt.tool_result().as_deref(), Some("1\n2"));
        assert_eq!(prompt.last_user_text(), "");
        assert_eq!(prompt.tool_choice, ToolChoice::Named("f".to_owned()));
    }
}

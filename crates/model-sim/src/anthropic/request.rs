//! Reads a Messages request.

use serde_json::Value;

use super::Form;
use super::validate::validate;
use crate::error::Fault;
use crate::prompt::{Prompt, Role, Tally, Tool, ToolChoice, Turn, list, text};
use crate::prompt_cache::{Prefixes, Ttl};

/// Reads and validates a request.
///
/// # Errors
/// What Anthropic or Bedrock refuses as well.
pub(super) fn parse(form: Form, body: &Value) -> Result<Prompt, Fault> {
    validate(form, body)?;
    let (tally, prefixes) = weigh_all(body);
    Ok(Prompt {
        turns: list(body, "messages").iter().map(turn).collect(),
        tools: list(body, "tools").iter().map(tool).collect(),
        tool_choice: tool_choice(body.get("tool_choice").unwrap_or(&Value::Null)),
        schema: body.pointer("/output_config/format/schema").cloned(),
        max_tokens: body.get("max_tokens").and_then(Value::as_u64),
        stop_sequences: list(body, "stop_sequences")
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        thinks: thinks(body),
        tally,
        prefixes,
        ..Prompt::default()
    })
}

/// Whether reasoning was asked for.
pub(super) fn thinks(body: &Value) -> bool {
    let kind = body.pointer("/thinking/type").and_then(Value::as_str);
    matches!(kind, Some("enabled" | "adaptive" | "between_tools"))
}

/// The blocks of `content`, which may be a string instead.
fn blocks(content: Option<&Value>) -> &[Value] {
    content.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn turn(message: &Value) -> Turn {
    let mut turn = Turn::new(match text(message, "role") {
        Some("assistant") => Role::Assistant,
        Some("system") => Role::System,
        _ => Role::User,
    });
    turn.say(text(message, "content").unwrap_or_default());
    for block in blocks(message.get("content")) {
        match text(block, "type") {
            Some("text") => turn.say(text(block, "text").unwrap_or_default()),
            Some("tool_result") => turn.results.push(result_text(block)),
            _ => {}
        }
    }
    turn
}

fn result_text(result: &Value) -> String {
    if let Some(text) = text(result, "content") {
        return text.to_owned();
    }
    let texts = list(result, "content").iter().filter_map(|block| text(block, "text"));
    texts.collect::<Vec<_>>().join("\n")
}

fn tool(tool: &Value) -> Tool {
    Tool {
        name: text(tool, "name").unwrap_or_default().to_owned(),
        schema: tool.get("input_schema").cloned().unwrap_or_default(),
    }
}

fn tool_choice(choice: &Value) -> ToolChoice {
    match (text(choice, "type"), text(choice, "name")) {
        (Some("none"), _) => ToolChoice::Forbidden,
        (Some("any"), _) => ToolChoice::Any,
        (Some("tool"), Some(name)) => ToolChoice::Named(name.to_owned()),
        _ => ToolChoice::Auto,
    }
}

/// In the order in which the cache sees it: tools, system, messages.
fn weigh_all(body: &Value) -> (Tally, Prefixes) {
    let (mut tally, mut prefixes) = (Tally::default(), Prefixes::default());
    let mut step = |block: &Value, weigh: fn(&mut Tally, &Value)| {
        weigh(&mut tally, block);
        prefixes.step(block, tally);
        let control = block.get("cache_control").filter(|control| !control.is_null());
        if let Some(ttl) = control.and_then(|control| Ttl::named(text(control, "ttl"))) {
            prefixes.mark(ttl);
        }
    };
    for tool in list(body, "tools") {
        step(tool, Tally::json);
    }
    let messages = list(body, "messages").iter().map(|message| message.get("content"));
    for content in std::iter::once(body.get("system")).chain(messages).flatten() {
        if content.is_string() {
            step(content, weigh);
        }
        for block in blocks(Some(content)) {
            step(block, weigh);
        }
    }
    if let Some(control) = body.get("cache_control").filter(|control| !control.is_null())
        && let Some(ttl) = Ttl::named(text(control, "ttl"))
    {
        prefixes.mark(ttl);
    }
    (tally, prefixes)
}

fn weigh(tally: &mut Tally, block: &Value) {
    if let Some(text) = block.as_str() {
        return tally.text(text);
    }
    match text(block, "type").unwrap_or_default() {
        "image" => tally.images += 1,
        "document" => {
            let source = block.get("source").unwrap_or(&Value::Null);
            match text(source, "type") {
                Some("base64") => tally.document(text(source, "data").unwrap_or_default()),
                Some("text") => tally.text(text(source, "data").unwrap_or_default()),
                _ => {
                    for block in list(source, "content") {
                        weigh(tally, block);
                    }
                }
            }
        }
        "tool_use" => tally.json(block.get("input").unwrap_or(&Value::Null)),
        "tool_result" => {
            tally.text(text(block, "content").unwrap_or_default());
            for block in list(block, "content") {
                weigh(tally, block);
            }
        }
        "thinking" => tally.text(text(block, "thinking").unwrap_or_default()),
        _ => tally.text(text(block, "text").unwrap_or_default()),
    }
}

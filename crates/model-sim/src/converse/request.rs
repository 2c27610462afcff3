//! Reads a Converse request.

use serde_json::Value;

use super::validate::validate;
use crate::error::Fault;
use crate::prompt::{Prompt, Role, Tally, Tool, ToolChoice, Turn, list, text};
use crate::prompt_cache::{Prefixes, Ttl};

/// Reads and validates a request to `model`.
///
/// # Errors
/// What Bedrock refuses as well.
pub(super) fn parse(model: &str, body: &Value) -> Result<Prompt, Fault> {
    validate(model, body)?;
    let config = body.get("toolConfig").unwrap_or(&Value::Null);
    let inference = body.get("inferenceConfig").unwrap_or(&Value::Null);
    let (tally, prefixes) = weigh_all(body);
    let thinking = body.pointer("/additionalModelRequestFields/thinking/type");
    Ok(Prompt {
        turns: list(body, "messages").iter().map(turn).collect(),
        tools: list(config, "tools")
            .iter()
            .filter_map(|tool| tool.get("toolSpec"))
            .map(tool)
            .collect(),
        tool_choice: tool_choice(config),
        schema: schema(body),
        max_tokens: inference.get("maxTokens").and_then(Value::as_u64),
        stop_sequences: list(inference, "stopSequences")
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        thinks: matches!(thinking.and_then(Value::as_str), Some("enabled" | "adaptive")),
        tally,
        prefixes,
        ..Prompt::default()
    })
}

fn turn(message: &Value) -> Turn {
    let mut turn = Turn::new(match text(message, "role") {
        Some("assistant") => Role::Assistant,
        Some("system") => Role::System,
        _ => Role::User,
    });
    for block in list(message, "content") {
        if let Some(text) = text(block, "text") {
            turn.say(text);
        }
        if let Some(result) = block.get("toolResult") {
            turn.results.push(result_texts(result).join("\n"));
        }
    }
    turn
}

fn result_texts(result: &Value) -> Vec<String> {
    let content = list(result, "content").iter();
    content
        .filter_map(|block| {
            text(block, "text").map(str::to_owned).or_else(|| Some(block.get("json")?.to_string()))
        })
        .collect()
}

fn tool(spec: &Value) -> Tool {
    let schema = spec.pointer("/inputSchema/json").cloned().unwrap_or_default();
    Tool { name: text(spec, "name").unwrap_or_default().to_owned(), schema }
}

fn tool_choice(config: &Value) -> ToolChoice {
    match config.get("toolChoice").unwrap_or(&Value::Null) {
        choice if choice.get("any").is_some() => ToolChoice::Any,
        choice => choice
            .pointer("/tool/name")
            .and_then(Value::as_str)
            .map_or(ToolChoice::Auto, |name| ToolChoice::Named(name.to_owned())),
    }
}

fn schema(body: &Value) -> Option<Value> {
    let schema = body.pointer("/outputConfig/textFormat/structure/jsonSchema/schema")?.as_str()?;
    serde_json::from_str(schema).ok()
}

/// What the request weighs.
pub(crate) fn tally(body: &Value) -> Tally {
    weigh_all(body).0
}

/// In the order in which the cache sees it: tools, system, messages.
fn weigh_all(body: &Value) -> (Tally, Prefixes) {
    let (mut tally, mut prefixes) = (Tally::default(), Prefixes::default());
    let tools = body.get("toolConfig").map_or(&[][..], |config| list(config, "tools"));
    let messages = list(body, "messages").iter().flat_map(|message| list(message, "content"));
    let tools = tools.iter().map(|tool| (tool, true));
    let blocks = list(body, "system").iter().chain(messages).map(|block| (block, false));
    for (block, is_tool) in tools.chain(blocks) {
        if let Some(point) = block.get("cachePoint") {
            if let Some(ttl) = Ttl::named(text(point, "ttl")) {
                prefixes.mark(ttl);
            }
            continue;
        }
        if is_tool {
            tally.json(block);
        } else {
            weigh(&mut tally, block);
        }
        prefixes.step(block, tally);
    }
    (tally, prefixes)
}

fn weigh(tally: &mut Tally, block: &Value) {
    let Some((kind, value)) = block.as_object().and_then(|block| block.iter().next()) else {
        return;
    };
    match (kind.as_str(), value) {
        ("text", Value::String(text)) => tally.text(text),
        ("image", _) => tally.images += 1,
        ("document", _) => weigh_document(tally, value),
        ("toolUse", _) => tally.json(value.get("input").unwrap_or(&Value::Null)),
        ("toolResult", _) => list(value, "content").iter().for_each(|block| weigh(tally, block)),
        ("reasoningContent", _) => {
            tally.text(
                value.pointer("/reasoningText/text").and_then(Value::as_str).unwrap_or_default(),
            );
        }
        ("json", _) => tally.json(value),
        _ => {}
    }
}

fn weigh_document(tally: &mut Tally, document: &Value) {
    let Some(source) = document.get("source") else { return };
    tally.document(text(source, "bytes").unwrap_or_default());
    tally.text(text(source, "text").unwrap_or_default());
    for block in list(source, "content") {
        weigh(tally, block);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{parse, tally};
    use crate::prompt::{Tally, ToolChoice};

    #[test]
    fn all_text_and_images_weigh() {
        let body = json!({"system": [{"text": "12"}], "messages": [
            {"role": "user", "content": [{"text": "345"}, {"image": {"format": "png", "source": {"bytes": ""}}}]},
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "i", "name": "n", "input": {"a": 1}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "i", "content": [{"text": "6"}, {"json": {}}]}}]}]});
        assert_eq!(
            tally(&body),
            Tally { text_bytes: 2 + 3 + 7 + 1 + 2, images: 1, document_bytes: 0 }
        );
        assert_eq!(tally(&body).tokens(), 1004);
    }

    #[test]
    fn a_tool_result_is_what_the_answer_is_about() {
        let body = json!({"messages": [
            {"role": "user", "content": [{"text": "weather"}]},
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "i", "name": "n", "input": {}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "i", "content": [{"json": {"c": 21}}]}}]}],
            "toolConfig": {"tools": [{"toolSpec": {"name": "n", "inputSchema": {"json": {}}}}], "toolChoice": {"tool": {"name": "n"}}}});
        let prompt = parse("m", &body).unwrap();
        assert_eq!(prompt.tool_result().as_deref(), Some(r#"{"c":21}"#));
        assert_eq!(prompt.last_user_text(), "");
        assert_eq!(prompt.tool_choice, ToolChoice::Named("n".to_owned()));
    }
}

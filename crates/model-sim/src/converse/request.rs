//! Reads a Converse request.

use serde_json::Value;

use super::validate::validate;
use crate::error::Fault;
use crate::prompt::{Prompt, Tally, Tool, ToolChoice, list, text};

/// Reads and validates a request.
///
/// # Errors
/// What Bedrock refuses as well.
pub(crate) fn parse(body: &Value) -> Result<Prompt, Fault> {
    validate(body)?;
    let messages = list(body, "messages");
    let content = messages.last().filter(|message| text(message, "role") == Some("user"));
    let content = content.map_or(&[][..], |message| list(message, "content"));
    let results: Vec<_> = content.iter().filter_map(|block| block.get("toolResult")).collect();
    let config = body.get("toolConfig").unwrap_or(&Value::Null);
    let inference = body.get("inferenceConfig").unwrap_or(&Value::Null);
    Ok(Prompt {
        last_user_text: joined(content.iter().filter_map(|block| text(block, "text"))),
        tool_result: (!results.is_empty())
            .then(|| joined(results.iter().flat_map(|result| result_texts(result)))),
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
        turns: messages.len(),
        tally: tally(body),
    })
}

fn joined(texts: impl Iterator<Item = impl AsRef<str>>) -> String {
    let mut joined = String::new();
    for text in texts {
        if !joined.is_empty() {
            joined.push('\n');
        }
        joined.push_str(text.as_ref());
    }
    joined
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
    let mut tally = Tally::default();
    for block in list(body, "system") {
        tally.text(text(block, "text").unwrap_or_default());
    }
    for message in list(body, "messages") {
        for block in list(message, "content") {
            weigh(&mut tally, block);
        }
    }
    for tool in body.get("toolConfig").map_or(&[][..], |config| list(config, "tools")) {
        tally.json(tool);
    }
    tally
}

fn weigh(tally: &mut Tally, block: &Value) {
    let Some((kind, value)) = block.as_object().and_then(|block| block.iter().next()) else {
        return;
    };
    match (kind.as_str(), value) {
        ("text", Value::String(text)) => tally.text(text),
        ("image", _) => tally.images += 1,
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
        assert_eq!(tally(&body), Tally { text_bytes: 2 + 3 + 7 + 1 + 2, images: 1 });
        assert_eq!(tally(&body).tokens(), 1004);
    }

    #[test]
    fn a_tool_result_is_what_the_answer_is_about() {
        let body = json!({"messages": [
            {"role": "user", "content": [{"text": "weather"}]},
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "i", "name": "n", "input": {}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "i", "content": [{"json": {"c": 21}}]}}]}],
            "toolConfig": {"tools": [{"toolSpec": {"name": "n", "inputSchema": {"json": {}}}}], "toolChoice": {"tool": {"name": "n"}}}});
        let prompt = parse(&body).unwrap();
        assert_eq!(prompt.tool_result.as_deref(), Some(r#"{"c":21}"#));
        assert_eq!(prompt.last_user_text, "");
        assert_eq!(prompt.tool_choice, ToolChoice::Named("n".to_owned()));
    }
}

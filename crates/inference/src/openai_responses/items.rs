//! Output items of an answer.

use serde_json::{Map, Value, json};

use super::seal;
use super::stored::item_id;
use super::tools::{CUSTOM_INPUT, ClientTool, Toolbox};
use crate::ContentBlock;

/// An output item, as far as it has come.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    /// The block of the answer that it shows.
    pub(super) block: u32,
    pub(super) id: String,
    pub(super) body: Body,
    pub(super) progress: Progress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// More may come.
    Open,
    /// Its block has ended; what comes next says whether it was cut off.
    Ended,
    /// It was sent in full.
    Completed,
    /// It was sent, and was cut off.
    Incomplete,
}

/// What an item holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Body {
    Message { text: String },
    Reasoning { text: String, signature: Option<String> },
    Redacted { data: String },
    Call { call_id: String, tool: ClientTool, arguments: String },
}

impl Item {
    pub(super) fn new(block: u32, body: Body, call_id: &str, place: usize) -> Self {
        let prefix = match &body {
            Body::Message { .. } => "msg",
            Body::Reasoning { .. } | Body::Redacted { .. } => "rs",
            Body::Call { tool, .. } if tool.is_custom => "ctc",
            Body::Call { .. } => "fc",
        };
        Self { block, id: item_id(prefix, call_id, place), body, progress: Progress::Open }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.progress, Progress::Completed | Progress::Incomplete)
    }

    /// The item as it stands in `output_item.added`: without what is still to come.
    pub(super) fn announced(&self) -> Value {
        let body = match &self.body {
            Body::Message { .. } => Body::Message { text: String::new() },
            Body::Reasoning { .. } | Body::Redacted { .. } => {
                Body::Reasoning { text: String::new(), signature: None }
            }
            Body::Call { call_id, tool, .. } => Body::Call {
                call_id: call_id.clone(),
                tool: tool.clone(),
                arguments: String::new(),
            },
        };
        let mut value = Self { body, progress: Progress::Open, ..self.clone() }.to_json();
        if let Some(content) = value.get_mut("content") {
            // Its part is added by an event of its own.
            *content = json!([]);
        }
        value
    }

    pub(super) fn to_json(&self) -> Value {
        let mut item = Map::new();
        let mut set = |key: &str, value: Value| {
            item.insert(key.to_owned(), value);
        };
        set("id", self.id.as_str().into());
        let status = match self.progress {
            Progress::Open | Progress::Ended => "in_progress",
            Progress::Completed => "completed",
            Progress::Incomplete => "incomplete",
        };
        match &self.body {
            Body::Message { text } => {
                set("type", "message".into());
                set("status", status.into());
                set("role", "assistant".into());
                set("content", json!([text_part(text)]));
            }
            Body::Reasoning { text, signature } => {
                set("type", "reasoning".into());
                set("status", status.into());
                let summary = if text.is_empty() { json!([]) } else { json!([summary_part(text)]) };
                set("summary", summary);
                if let Some(signature) = signature {
                    let (text, signature) = (text.clone(), Some(signature.clone()));
                    let sealed = seal::seal(&ContentBlock::Reasoning { text, signature });
                    set("encrypted_content", sealed.into());
                }
            }
            Body::Redacted { data } => {
                set("type", "reasoning".into());
                set("status", status.into());
                set("summary", json!([]));
                let block = ContentBlock::RedactedReasoning { data: data.clone() };
                set("encrypted_content", seal::seal(&block).into());
            }
            Body::Call { call_id, tool, arguments } => {
                let (kind, key, text) = if tool.is_custom {
                    ("custom_tool_call", "input", custom_input(arguments))
                } else {
                    ("function_call", "arguments", arguments.clone())
                };
                set("type", kind.into());
                set("status", status.into());
                set("call_id", call_id.as_str().into());
                set("name", tool.name.as_str().into());
                if let Some(namespace) = &tool.namespace {
                    set("namespace", namespace.as_str().into());
                }
                set(key, text.into());
            }
        }
        Value::Object(item)
    }
}

impl Body {
    /// The body of a whole block; `None` for blocks that no model says, and for empty texts.
    pub(super) fn of(block: &ContentBlock, toolbox: &Toolbox) -> Option<Self> {
        Some(match block {
            ContentBlock::Text(text) if !text.is_empty() => Self::Message { text: text.clone() },
            ContentBlock::Reasoning { text, signature } => {
                Self::Reasoning { text: text.clone(), signature: signature.clone() }
            }
            ContentBlock::RedactedReasoning { data } => Self::Redacted { data: data.clone() },
            ContentBlock::ToolUse { id, name, input } => Self::Call {
                call_id: id.clone(),
                tool: client_tool(name, toolbox),
                arguments: arguments_text(input),
            },
            ContentBlock::Text(_)
            | ContentBlock::Image { .. }
            | ContentBlock::Document { .. }
            | ContentBlock::CachePoint(_)
            | ContentBlock::ToolResult { .. } => return None,
        })
    }
}

/// Arguments as text. What the model wrote is not always JSON: then they are that text already.
pub(super) fn arguments_text(input: &Value) -> String {
    input.as_str().map_or_else(|| input.to_string(), str::to_owned)
}

/// How the client knows the tool that the model calls `name`.
pub(super) fn client_tool(name: &str, toolbox: &Toolbox) -> ClientTool {
    toolbox
        .get(name)
        .cloned()
        .unwrap_or_else(|| ClientTool { name: name.to_owned(), ..ClientTool::default() })
}

/// What a custom tool gets, of the arguments that the model gave: the one text in them, or all of
/// them if they are of another form.
pub(super) fn custom_input(arguments: &str) -> String {
    match serde_json::from_str(arguments) {
        Ok(Value::Object(object)) => match object.get(CUSTOM_INPUT) {
            Some(Value::String(input)) => input.clone(),
            _ => arguments.to_owned(),
        },
        _ => arguments.to_owned(),
    }
}

pub(super) fn text_part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

pub(super) fn summary_part(text: &str) -> Value {
    json!({"type": "summary_text", "text": text})
}

//! What the simulator needs to know about a request, in no dialect.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

/// One validated request.
#[derive(Debug, Default)]
pub(crate) struct Prompt {
    /// Text of the last message, when the user spoke last.
    pub(crate) last_user_text: String,
    /// Text of the tool results in the last message.
    pub(crate) tool_result: Option<String>,
    /// Tools on offer, in order.
    pub(crate) tools: Vec<Tool>,
    /// Whether one must be called.
    pub(crate) tool_choice: ToolChoice,
    /// The JSON schema asked of the answer.
    pub(crate) schema: Option<Value>,
    /// Output tokens at most.
    pub(crate) max_tokens: Option<u64>,
    /// Texts that end the answer.
    pub(crate) stop_sequences: Vec<String>,
    /// Messages of the conversation; makes tool call ids unique in it.
    pub(crate) turns: usize,
    /// What is counted as input.
    pub(crate) tally: Tally,
}

/// A tool on offer.
#[derive(Debug)]
pub(crate) struct Tool {
    /// Its name.
    pub(crate) name: String,
    /// The JSON schema of its arguments.
    pub(crate) schema: Value,
}

/// Whether a tool must be called.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum ToolChoice {
    /// As the model likes.
    #[default]
    Auto,
    /// None may be.
    Forbidden,
    /// Any one must be.
    Any,
    /// This one must be.
    Named(String),
}

/// What a request weighs.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Bytes of all its text.
    pub(crate) text_bytes: usize,
    /// Its images.
    pub(crate) images: usize,
}

impl Tally {
    /// A token per four bytes begun, 1,000 per image; never zero.
    pub(crate) fn tokens(self) -> u64 {
        let tokens = self.text_bytes.div_ceil(4) + self.images * 1000;
        u64::try_from(tokens.max(1)).unwrap_or(u64::MAX)
    }

    /// Adds some text.
    pub(crate) fn text(&mut self, text: &str) {
        self.text_bytes += text.len();
    }

    /// Adds a JSON value by its compact form.
    pub(crate) fn json(&mut self, value: &Value) {
        self.text_bytes += value.to_string().len();
    }
}

/// Names of tools: `[a-zA-Z0-9_-]{1,64}`, in Converse and OpenAI alike.
pub(crate) fn is_tool_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// Whether `bytes`, base64, hold a picture of this `format`, judged by its signature.
pub(crate) fn is_image(format: &str, bytes: &str) -> bool {
    let Ok(bytes) = BASE64_STANDARD.decode(bytes) else { return false };
    match format {
        "png" => bytes.starts_with(b"\x89PNG\r\n\x1a\n"),
        "jpeg" => bytes.starts_with(b"\xff\xd8\xff"),
        "gif" => bytes.starts_with(b"GIF8"),
        "webp" => bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP"),
        _ => false,
    }
}

/// The array under `key`; empty when there is none.
pub(crate) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The string under `key`.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

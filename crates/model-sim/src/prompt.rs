//! What the simulator needs to know about a request, in no dialect.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::prompt_cache::Prefixes;

/// One validated request.
#[derive(Debug, Default)]
pub(crate) struct Prompt {
    /// The conversation, oldest first.
    pub(crate) turns: Vec<Turn>,
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
    /// Whether reasoning was asked for.
    pub(crate) thinks: bool,
    /// Whether the answer has no words: embeddings, ranks, pictures, counts.
    pub(crate) is_wordless: bool,
    /// Whether nothing is billed: the request is about a prompt, not for an answer to it.
    pub(crate) is_free: bool,
    /// What is counted as input.
    pub(crate) tally: Tally,
    /// Where the provider's prompt cache may be read and written.
    pub(crate) prefixes: Prefixes,
}

impl Prompt {
    /// A request whose answer has no words; `texts` may hold a directive.
    pub(crate) fn wordless<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut tally = Tally::default();
        let mut turn = Turn::new(Role::User);
        for text in texts {
            tally.text(text);
            turn.say(text);
        }
        Self { turns: vec![turn], is_wordless: true, tally, ..Self::default() }
    }

    /// A request about a prompt, such as to count it: no directive in there is its own.
    pub(crate) fn about_another() -> Self {
        Self { is_wordless: true, is_free: true, ..Self::default() }
    }

    /// The conversation proper: who instructs the model may do so at any time, even last.
    fn said(&self) -> impl DoubleEndedIterator<Item = &Turn> {
        self.turns.iter().filter(|turn| turn.role != Role::System)
    }

    /// Text of the last message, when the user spoke last.
    pub(crate) fn last_user_text(&self) -> &str {
        let last = self.said().next_back().filter(|turn| turn.role == Role::User);
        last.map_or("", |turn| turn.text.as_str())
    }

    /// Text of the tool results at the end of the conversation.
    pub(crate) fn tool_result(&self) -> Option<String> {
        let last: Vec<_> = self.said().rev().take_while(|turn| turn.has_results()).collect();
        let results: Vec<_> =
            last.iter().rev().flat_map(|turn| &turn.results).map(String::as_str).collect();
        (!results.is_empty()).then(|| results.join("\n"))
    }

    /// How often tools have answered since the user last said `marker`; `None` when it was never said.
    pub(crate) fn rounds_after(&self, marker: &str) -> Option<usize> {
        let says = |turn: &&Turn| turn.role == Role::User && turn.text.contains(marker);
        let later: Vec<_> = self.said().rev().take_while(|turn| !says(turn)).collect();
        let is_said = self.said().any(|turn| says(&turn));
        let is_round = |run: &&[&Turn]| run.first().is_some_and(|turn| turn.has_results());
        let runs = later.chunk_by(|a, b| a.has_results() == b.has_results());
        is_said.then(|| runs.filter(is_round).count())
    }
}

/// Who said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The user, or the tools.
    User,
    /// The model.
    Assistant,
    /// Who instructs the model.
    System,
}

/// What one party said at once.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Who.
    pub(crate) role: Role,
    /// All text, a line per block.
    pub(crate) text: String,
    /// What tools gave back.
    pub(crate) results: Vec<String>,
}

impl Turn {
    /// Nothing said yet.
    pub(crate) fn new(role: Role) -> Self {
        Self { role, text: String::new(), results: Vec::new() }
    }

    /// Adds a block of text.
    pub(crate) fn say(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(text);
    }

    fn has_results(&self) -> bool {
        !self.results.is_empty()
    }
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
    /// Bytes of its documents, decoded.
    pub(crate) document_bytes: usize,
}

impl Tally {
    /// A token per four bytes of text or document begun, 1,000 per image; never zero.
    pub(crate) fn tokens(self) -> u64 {
        let bytes = self.text_bytes + self.document_bytes;
        u64::try_from((bytes.div_ceil(4) + self.images * 1000).max(1)).unwrap_or(u64::MAX)
    }

    /// Adds some text.
    pub(crate) fn text(&mut self, text: &str) {
        self.text_bytes += text.len();
    }

    /// Adds a document of so many bytes in base64.
    pub(crate) fn document(&mut self, base64: &str) {
        self.document_bytes += base64.len() / 4 * 3;
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

/// Whether `bytes`, base64, hold a document of this `format`; only PDF has a signature to judge by.
pub(crate) fn is_document(format: &str, bytes: &str) -> bool {
    BASE64_STANDARD.decode(bytes).is_ok_and(|bytes| match format {
        "pdf" => bytes.starts_with(b"%PDF"),
        _ => !bytes.is_empty(),
    })
}

/// The array under `key`; empty when there is none.
pub(crate) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The string under `key`.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

/// Sets the field `key` of an object.
pub(crate) fn set(json: &mut Value, key: &str, value: impl Into<Value>) {
    if let Some(fields) = json.as_object_mut() {
        fields.insert(key.to_owned(), value.into());
    }
}

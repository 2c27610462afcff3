//! Streamed answers.

use bytes::Bytes;
use metering::TokenUsage;
use serde::Serialize;
use serde_json::{Value, json};

use super::response::{Usage, finish_reason};
use crate::Event;
use crate::wire::sse::write_event;

/// The end of a whole stream.
pub(super) const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// Writes a canonical stream as `chat.completion.chunk` events.
///
/// Give it every event and send what it returns, then send [`finish`](Self::finish).
#[derive(Debug, Clone)]
pub(super) struct StreamRenderer {
    id: String,
    created: i64,
    model: String,
    includes_usage: bool,
    has_started: bool,
    is_stopped: bool,
    tool_calls: Vec<ToolCall>,
    /// The reasoning that no signature has come for yet.
    reasoning: String,
    usage: Option<TokenUsage>,
}

/// A tool call in the answer; its place in the list is its index in the dialect.
#[derive(Debug, Clone, Copy)]
struct ToolCall {
    block: u32,
    has_arguments: bool,
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: &'a [Choice],
    /// Absent unless the caller wants usage; then null in all chunks but the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageField>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum UsageField {
    Null(()),
    Usage(Usage),
}

#[derive(Serialize)]
struct Choice {
    index: u32,
    delta: Value,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

impl StreamRenderer {
    /// A renderer of one answer. `created` is in Unix seconds; `model` is what the caller named.
    pub(super) fn new(
        id: impl Into<String>,
        created: i64,
        model: impl Into<String>,
        includes_usage: bool,
    ) -> Self {
        Self {
            id: id.into(),
            created,
            model: model.into(),
            includes_usage,
            has_started: false,
            is_stopped: false,
            tool_calls: Vec::new(),
            reasoning: String::new(),
            usage: None,
        }
    }

    /// What to send for `event`; may be empty.
    pub(super) fn render(&mut self, event: &Event) -> Bytes {
        let mut output = Vec::new();
        match event {
            Event::TextDelta { text, .. } => {
                if !text.is_empty() {
                    self.delta(&mut output, json!({ "content": text }));
                }
            }
            Event::ReasoningDelta { text, .. } => {
                if !text.is_empty() {
                    self.reasoning.push_str(text);
                    self.delta(&mut output, json!({ "reasoning_content": text }));
                }
            }
            Event::ReasoningSignature { signature, .. } => {
                // The signature is over the whole text: a client that sends the block back needs both.
                let text = std::mem::take(&mut self.reasoning);
                let block = json!({"type": "thinking", "thinking": text, "signature": signature});
                self.delta(&mut output, json!({ "thinking_blocks": [block] }));
            }
            Event::RedactedReasoning { data, .. } => {
                let block = json!({"type": "redacted_thinking", "data": data});
                self.delta(&mut output, json!({ "thinking_blocks": [block] }));
            }
            Event::ToolUseStart { block, id, name } => {
                let index = self.tool_calls.len();
                self.tool_calls.push(ToolCall { block: *block, has_arguments: false });
                let function = json!({"name": name, "arguments": ""});
                let call =
                    json!({"index": index, "id": id, "type": "function", "function": function});
                self.delta(&mut output, json!({ "tool_calls": [call] }));
            }
            Event::ToolInputDelta { block, json } => {
                if !json.is_empty() {
                    self.arguments(&mut output, *block, json);
                }
            }
            Event::BlockStop { block } => {
                self.reasoning.clear();
                // A tool without arguments gets no delta, but `""` is no JSON that a client could read.
                if self.tool_calls.iter().any(|call| call.block == *block && !call.has_arguments) {
                    self.arguments(&mut output, *block, "{}");
                }
            }
            Event::Stop { reason, .. } => {
                self.is_stopped = true;
                self.choice(&mut output, json!({}), Some(finish_reason(reason)));
            }
            // It may come more than once; the last one counts.
            Event::Usage(usage) => self.usage = Some(*usage),
        }
        Bytes::from(output)
    }

    /// What to send when the events have ended: the usage if it is wanted, and `[DONE]`. Nothing if the
    /// answer never came to its end: it must not look whole.
    pub(super) fn finish(&self) -> Bytes {
        if !self.is_stopped {
            return Bytes::new();
        }
        let mut output = Vec::new();
        if let Some(usage) = self.usage.filter(|_| self.includes_usage) {
            self.chunk(&mut output, &[], Some(Usage::from(&usage)));
        }
        output.extend_from_slice(&DONE);
        Bytes::from(output)
    }

    fn arguments(&mut self, output: &mut Vec<u8>, block: u32, json: &str) {
        let found = self.tool_calls.iter_mut().enumerate().rfind(|(_, call)| call.block == block);
        let Some((index, call)) = found else {
            return;
        };
        call.has_arguments = true;
        self.delta(
            output,
            json!({ "tool_calls": [{"index": index, "function": {"arguments": json}}] }),
        );
    }

    fn delta(&mut self, output: &mut Vec<u8>, delta: Value) {
        self.choice(output, delta, None);
    }

    fn choice(&mut self, output: &mut Vec<u8>, delta: Value, finish_reason: Option<&'static str>) {
        if !self.has_started {
            self.has_started = true;
            let delta = json!({"role": "assistant", "content": ""});
            self.chunk(
                output,
                &[Choice { index: 0, delta, logprobs: None, finish_reason: None }],
                None,
            );
        }
        self.chunk(output, &[Choice { index: 0, delta, logprobs: None, finish_reason }], None);
    }

    fn chunk(&self, output: &mut Vec<u8>, choices: &[Choice], usage: Option<Usage>) {
        let chunk = Chunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: &self.model,
            choices,
            usage: self
                .includes_usage
                .then(|| usage.map_or(UsageField::Null(()), UsageField::Usage)),
        };
        write_event(output, None, &chunk);
    }
}

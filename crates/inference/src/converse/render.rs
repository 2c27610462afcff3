//! Answers in the dialect.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use metering::TokenUsage;
use serde_json::{Map, Value, json};

use crate::wire::eventstream;
use crate::{AnswerRenderer, ContentBlock, Event, Fault, ModelResponse, Source, StopReason};

/// Writes one answer of `Converse` or `ConverseStream`.
///
/// In a stream, blocks are numbered from 0 in the order in which they begin, and one ends before the
/// next begins; `metadata` comes last, after `messageStop`.
#[derive(Debug, Default)]
pub(super) struct Renderer {
    /// Whether the client asked for `/stop_sequence` of the model's own answer.
    tells_stop_sequence: bool,
    has_started: bool,
    has_stopped: bool,
    /// The blocks so far; their places are the client's numbers.
    blocks: Vec<Block>,
    usage: Option<TokenUsage>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    /// The provider's number.
    number: u32,
    kind: BlockKind,
    is_open: bool,
    /// Whether anything was said of it; a tool's arguments must not be empty.
    has_content: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BlockKind {
    Text,
    Reasoning,
    ToolUse,
}

impl Renderer {
    pub(super) fn new(tells_stop_sequence: bool) -> Self {
        Self { tells_stop_sequence, ..Self::default() }
    }

    fn start(&mut self, output: &mut BytesMut) {
        if !self.has_started {
            self.has_started = true;
            output.extend(eventstream::event("messageStart", &json!({"role": "assistant"})));
        }
    }

    /// The client's number of a block, which begins now if it has not begun before.
    fn open(&mut self, output: &mut BytesMut, number: u32, kind: BlockKind) -> usize {
        self.start(output);
        let is_it = |block: &Block| {
            // What comes after the end of a block is another; only a tool's arguments belong to their call.
            let is_growing = block.is_open || kind == BlockKind::ToolUse;
            block.number == number && block.kind == kind && is_growing
        };
        if let Some(index) = self.blocks.iter().rposition(is_it) {
            return index;
        }
        self.close_all(output);
        self.blocks.push(Block { number, kind, is_open: true, has_content: false });
        self.blocks.len() - 1
    }

    fn close_all(&mut self, output: &mut BytesMut) {
        for index in 0..self.blocks.len() {
            self.close(output, index);
        }
    }

    fn close(&mut self, output: &mut BytesMut, index: usize) {
        let Some(block) = self.blocks.get_mut(index).filter(|block| block.is_open) else { return };
        block.is_open = false;
        let is_empty_tool = block.kind == BlockKind::ToolUse && !block.has_content;
        if is_empty_tool {
            // A tool without arguments gets no delta, but `""` is no JSON that a client could read.
            self.delta(output, index, &json!({"toolUse": {"input": "{}"}}));
        }
        output
            .extend(eventstream::event("contentBlockStop", &json!({ "contentBlockIndex": index })));
    }

    fn delta(&mut self, output: &mut BytesMut, index: usize, delta: &Value) {
        if let Some(block) = self.blocks.get_mut(index) {
            block.has_content = true;
        }
        let payload = json!({"contentBlockIndex": index, "delta": delta});
        output.extend(eventstream::event("contentBlockDelta", &payload));
    }

    fn say(&mut self, output: &mut BytesMut, number: u32, kind: BlockKind, delta: &Value) {
        let index = self.open(output, number, kind);
        self.delta(output, index, delta);
    }

    fn stop(&self, reason: &StopReason, sequence: Option<&str>) -> Map<String, Value> {
        let mut stop = Map::new();
        stop.insert("stopReason".to_owned(), stop_reason(reason).into());
        if let (true, Some(sequence)) = (self.tells_stop_sequence, sequence) {
            let fields = json!({ "stop_sequence": sequence });
            stop.insert("additionalModelResponseFields".to_owned(), fields);
        }
        stop
    }
}

impl AnswerRenderer for Renderer {
    fn response(&mut self, response: &ModelResponse) -> Bytes {
        let content: Vec<_> = response.content.iter().filter_map(block_of).collect();
        let mut body = Map::new();
        let message = json!({"role": "assistant", "content": content});
        body.insert("output".to_owned(), json!({ "message": message }));
        body.extend(self.stop(&response.stop_reason, response.stop_sequence.as_deref()));
        body.insert("usage".to_owned(), usage_of(&response.usage));
        body.insert("metrics".to_owned(), metrics());
        Value::Object(body).to_string().into()
    }

    fn event(&mut self, event: &Event) -> Bytes {
        let mut output = BytesMut::new();
        match event {
            Event::TextDelta { block, text } => {
                if !text.is_empty() {
                    self.say(&mut output, *block, BlockKind::Text, &json!({ "text": text }));
                }
            }
            Event::ReasoningDelta { block, text } => {
                if !text.is_empty() {
                    let delta = json!({"reasoningContent": {"text": text}});
                    self.say(&mut output, *block, BlockKind::Reasoning, &delta);
                }
            }
            Event::ReasoningSignature { block, signature } => {
                let delta = json!({"reasoningContent": {"signature": signature}});
                self.say(&mut output, *block, BlockKind::Reasoning, &delta);
            }
            Event::RedactedReasoning { block, data } => {
                let delta = json!({"reasoningContent": {"redactedContent": data}});
                self.say(&mut output, *block, BlockKind::Reasoning, &delta);
            }
            Event::ToolUseStart { block, id, name } => {
                let index = self.open(&mut output, *block, BlockKind::ToolUse);
                let start = json!({"toolUse": {"toolUseId": id, "name": name}});
                let payload = json!({"contentBlockIndex": index, "start": start});
                output.extend(eventstream::event("contentBlockStart", &payload));
            }
            Event::ToolInputDelta { block, json } => {
                if !json.is_empty() {
                    let delta = json!({"toolUse": {"input": json}});
                    self.say(&mut output, *block, BlockKind::ToolUse, &delta);
                }
            }
            Event::BlockStop { block } => {
                for index in 0..self.blocks.len() {
                    if self.blocks.get(index).is_some_and(|it| it.number == *block) {
                        self.close(&mut output, index);
                    }
                }
            }
            Event::Stop { reason, stop_sequence } => {
                self.start(&mut output);
                self.close_all(&mut output);
                self.has_stopped = true;
                let stop = Value::Object(self.stop(reason, stop_sequence.as_deref()));
                output.extend(eventstream::event("messageStop", &stop));
            }
            // It may come early, but has its place at the end.
            Event::Usage(usage) => self.usage = Some(*usage),
        }
        output.freeze()
    }

    fn finish(&mut self) -> Bytes {
        match self.usage.filter(|_| self.has_stopped) {
            Some(usage) => eventstream::event(
                "metadata",
                &json!({"usage": usage_of(&usage), "metrics": metrics()}),
            ),
            None => Bytes::new(),
        }
    }

    fn interrupt(&mut self, fault: &Fault) -> Bytes {
        eventstream::fault(fault)
    }
}

/// SDKs expect the member, and some programs read it; but how long another provider took is nothing that
/// the answer says.
fn metrics() -> Value {
    json!({"latencyMs": 0})
}

fn block_of(block: &ContentBlock) -> Option<Value> {
    Some(match block {
        ContentBlock::Text(text) => json!({ "text": text }),
        ContentBlock::ToolUse { id, name, input } => {
            json!({"toolUse": {"toolUseId": id, "name": name, "input": input}})
        }
        ContentBlock::Reasoning { text, signature } => {
            let mut reasoning = json!({ "text": text });
            if let (Some(signature), Some(members)) = (signature, reasoning.as_object_mut()) {
                members.insert("signature".to_owned(), signature.as_str().into());
            }
            json!({"reasoningContent": {"reasoningText": reasoning}})
        }
        ContentBlock::RedactedReasoning { data } => {
            json!({"reasoningContent": {"redactedContent": data}})
        }
        ContentBlock::Image { format, source: Source::Bytes(bytes) } => {
            let format = format.media_type().strip_prefix("image/").unwrap_or_default();
            json!({"image": {"format": format, "source": {"bytes": STANDARD.encode(bytes)}}})
        }
        // No model says these.
        ContentBlock::Image { .. }
        | ContentBlock::Document { .. }
        | ContentBlock::CachePoint(_)
        | ContentBlock::ToolResult { .. } => return None,
    })
}

fn stop_reason(reason: &StopReason) -> &str {
    match reason {
        StopReason::ToolUse => "tool_use",
        StopReason::MaxTokens => "max_tokens",
        StopReason::StopSequence => "stop_sequence",
        StopReason::GuardrailIntervened => "guardrail_intervened",
        StopReason::ContentFiltered | StopReason::Refusal => "content_filtered",
        StopReason::ContextWindowExceeded => "model_context_window_exceeded",
        StopReason::Other(word) if word.starts_with("malformed_") => word,
        StopReason::EndTurn | StopReason::PauseTurn | StopReason::Other(_) => "end_turn",
    }
}

/// Usage in the dialect's count, where `inputTokens` leaves out what the cache held and `totalTokens`
/// does not.
fn usage_of(usage: &TokenUsage) -> Value {
    let written = usage.cache_write_5m.saturating_add(usage.cache_write_1h);
    let details: Vec<_> = [("5m", usage.cache_write_5m), ("1h", usage.cache_write_1h)]
        .into_iter()
        .filter(|(_, tokens)| *tokens > 0)
        .map(|(ttl, tokens)| json!({"ttl": ttl, "inputTokens": tokens}))
        .collect();
    let mut value = json!({
        "inputTokens": usage.input.saturating_add(usage.input_audio),
        "outputTokens": usage.total_output(),
        "totalTokens": usage.total(),
        "cacheReadInputTokens": usage.cache_read,
        "cacheWriteInputTokens": written,
    });
    if let (false, Some(members)) = (details.is_empty(), value.as_object_mut()) {
        members.insert("cacheDetails".to_owned(), details.into());
    }
    value
}

//! Answers in the client's dialect.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use metering::TokenUsage;
use serde_json::{Value, json};

use super::answer::{content_of, message, stop_reason_name, usage_json};
use crate::wire::{eventstream, sse};
use crate::{
    AnswerHead, AnswerRenderer, Event, Family, Fault, FaultKind, Frame, ModelResponse, StopReason,
};

/// How the events of a streamed message travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// As server-sent events: Anthropic's own API.
    Sse,
    /// In the chunks of an Amazon event stream: Bedrock's `InvokeModelWithResponseStream`.
    Chunks,
}

/// Writes one message. In a stream, as the SDKs' helpers want it: `message_start`, then block by block
/// start, deltas and stop, then `message_delta` with the true usage, then `message_stop`.
#[derive(Debug)]
pub(crate) struct Renderer {
    framing: Framing,
    head: AnswerHead,
    usage: Option<TokenUsage>,
    has_started: bool,
    /// Blocks so far: the index of the next.
    blocks: u32,
    open: Option<Open>,
    stop: Option<(StopReason, Option<String>)>,
    forwarded: Forwarded,
}

/// The block that grows.
#[derive(Debug)]
struct Open {
    /// In the provider's count.
    block: u32,
    kind: Kind,
    /// What was signed so far; SDKs take the last signature they read for the whole.
    signature: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    ToolUse,
}

/// How far a forwarded stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Forwarded {
    #[default]
    Running,
    /// It gave a reason for its end.
    Stopped,
    /// `message_stop` was said.
    Done,
}

impl Renderer {
    pub(crate) fn new(framing: Framing, head: AnswerHead) -> Self {
        Self {
            framing,
            head,
            usage: None,
            has_started: false,
            blocks: 0,
            open: None,
            stop: None,
            forwarded: Forwarded::Running,
        }
    }

    fn write(&self, output: &mut Vec<u8>, event: &Value) {
        match self.framing {
            Framing::Sse => {
                sse::write_event(output, event.get("type").and_then(Value::as_str), event);
            }
            Framing::Chunks => {
                let bytes = STANDARD.encode(event.to_string());
                output.extend_from_slice(&eventstream::event("chunk", &json!({"bytes": bytes})));
            }
        }
    }

    fn start(&mut self, output: &mut Vec<u8>) {
        if std::mem::replace(&mut self.has_started, true) {
            return;
        }
        let likely = TokenUsage { input: self.head.likely_input, ..TokenUsage::default() };
        let mut usage = usage_json(&self.usage.unwrap_or(likely));
        if let (None, Some(usage)) = (self.usage, usage.as_object_mut()) {
            // SDKs correct the sums in the end, but never their parts: better none than wrong ones.
            usage.insert("cache_creation".to_owned(), Value::Null);
        }
        let message = message(&self.head, &[], None, usage);
        self.write(output, &json!({"type": "message_start", "message": message}));
    }

    /// Begins a block, after the end of the one before.
    fn open(&mut self, output: &mut Vec<u8>, block: u32, kind: Kind, content: &Value) {
        self.close(output);
        let index = self.blocks;
        self.write(
            output,
            &json!({"type": "content_block_start", "index": index, "content_block": content}),
        );
        self.open = Some(Open { block, kind, signature: String::new() });
    }

    fn delta(&self, output: &mut Vec<u8>, delta: &Value) {
        let index = self.blocks;
        self.write(output, &json!({"type": "content_block_delta", "index": index, "delta": delta}));
    }

    fn close(&mut self, output: &mut Vec<u8>) {
        let Some(open) = self.open.take() else {
            return;
        };
        if !open.signature.is_empty() {
            self.delta(output, &json!({"type": "signature_delta", "signature": open.signature}));
        }
        self.write(output, &json!({"type": "content_block_stop", "index": self.blocks}));
        self.blocks = self.blocks.saturating_add(1);
    }

    fn is_open(&self, block: u32, kind: Kind) -> bool {
        self.open.as_ref().is_some_and(|open| open.block == block && open.kind == kind)
    }

    fn ensure(&mut self, output: &mut Vec<u8>, block: u32, kind: Kind) {
        if self.is_open(block, kind) {
            return;
        }
        let content = match kind {
            Kind::Text => json!({"type": "text", "text": ""}),
            _ => json!({"type": "thinking", "thinking": "", "signature": ""}),
        };
        self.open(output, block, kind, &content);
    }

    fn write_one(&mut self, output: &mut Vec<u8>, event: &Event) {
        match event {
            Event::Usage(usage) => {
                self.usage = Some(*usage);
                return;
            }
            Event::TextDelta { text, .. } | Event::ReasoningDelta { text, .. }
                if text.is_empty() =>
            {
                return;
            }
            // Nothing follows the end.
            _ if self.stop.is_some() => return,
            _ => self.start(output),
        }
        match event {
            Event::TextDelta { block, text } => {
                self.ensure(output, *block, Kind::Text);
                self.delta(output, &json!({"type": "text_delta", "text": text}));
            }
            Event::ReasoningDelta { block, text } => {
                self.ensure(output, *block, Kind::Thinking);
                self.delta(output, &json!({"type": "thinking_delta", "thinking": text}));
            }
            Event::ReasoningSignature { block, signature } => {
                self.ensure(output, *block, Kind::Thinking);
                if let Some(open) = &mut self.open {
                    open.signature.push_str(signature);
                }
            }
            Event::RedactedReasoning { block, data } => {
                let content = json!({"type": "redacted_thinking", "data": data});
                self.open(output, *block, Kind::Thinking, &content);
                self.close(output);
            }
            Event::ToolUseStart { block, id, name } => {
                let content = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
                self.open(output, *block, Kind::ToolUse, &content);
            }
            Event::ToolInputDelta { block, json: text } if self.is_open(*block, Kind::ToolUse) => {
                self.delta(output, &json!({"type": "input_json_delta", "partial_json": text}));
            }
            Event::BlockStop { block }
                if self.open.as_ref().is_some_and(|it| it.block == *block) =>
            {
                self.close(output);
            }
            Event::Stop { reason, stop_sequence } => {
                self.close(output);
                self.stop = Some((reason.clone(), stop_sequence.clone()));
            }
            Event::ToolInputDelta { .. } | Event::BlockStop { .. } | Event::Usage(_) => {}
        }
    }

    fn error(&self, fault: &Fault) -> Bytes {
        match self.framing {
            Framing::Sse => {
                let request_id = format!("req_{}", self.head.call_id);
                let mut output = Vec::new();
                self.write(&mut output, &fault.to_body(Family::Anthropic, &request_id));
                output.into()
            }
            Framing::Chunks => eventstream::fault(fault),
        }
    }
}

impl AnswerRenderer for Renderer {
    fn response(&mut self, response: &ModelResponse) -> Bytes {
        let stop = (&response.stop_reason, response.stop_sequence.as_deref());
        let message =
            message(&self.head, &content_of(response), Some(stop), usage_json(&response.usage));
        message.to_string().into()
    }

    fn event(&mut self, event: &Event) -> Bytes {
        let mut output = Vec::new();
        self.write_one(&mut output, event);
        output.into()
    }

    fn finish(&mut self) -> Bytes {
        let Some((reason, stop_sequence)) = self.stop.take() else {
            return self.error(&Fault::new(
                FaultKind::Provider,
                "provider_interrupted",
                "The answer ended before it was complete. Try again.",
            ));
        };
        let usage = self
            .usage
            .unwrap_or(TokenUsage { input: self.head.likely_input, ..TokenUsage::default() });
        let mut output = Vec::new();
        self.write(
            &mut output,
            &json!({
                "type": "message_delta",
                "delta": {
                    "stop_reason": stop_reason_name(&reason),
                    "stop_sequence": stop_sequence,
                    "stop_details": null,
                },
                "usage": usage_json(&usage),
            }),
        );
        let mut end = json!({"type": "message_stop"});
        if let (Framing::Chunks, Some(end)) = (self.framing, end.as_object_mut()) {
            let cache_write = usage.cache_write_5m.saturating_add(usage.cache_write_1h);
            let metrics = json!({
                "inputTokenCount": usage.input.saturating_add(usage.input_audio),
                "outputTokenCount": usage.total_output(),
                "cacheReadInputTokenCount": usage.cache_read,
                "cacheWriteInputTokenCount": cache_write,
            });
            end.insert("amazon-bedrock-invocationMetrics".to_owned(), metrics);
        }
        self.write(&mut output, &end);
        output.into()
    }

    fn interrupt(&mut self, fault: &Fault) -> Bytes {
        self.error(fault)
    }

    fn forwarded(&mut self, frame: &Frame) -> Bytes {
        if frame.events.iter().any(|event| matches!(event, Event::Stop { .. })) {
            self.forwarded = Forwarded::Stopped;
        }
        if self.forwarded == Forwarded::Stopped
            && frame.bytes.windows(STOP.len()).any(|window| window == STOP)
        {
            self.forwarded = Forwarded::Done;
        }
        frame.bytes.clone()
    }

    /// SDKs wait for `message_stop`, which some servers leave out.
    fn finish_forwarded(&mut self) -> Bytes {
        let mut output = Vec::new();
        if self.framing == Framing::Sse && self.forwarded == Forwarded::Stopped {
            self.write(&mut output, &json!({"type": "message_stop"}));
        }
        output.into()
    }
}

const STOP: &[u8] = b"\"message_stop\"";

//! Streamed answers of providers.

use metering::TokenUsage;
use serde_json::Value;

use super::answer::{stop_reason_of, usage_of};
use super::error::error_of;
use crate::protocol::unreadable;
use crate::wire::sse::{SseEvent, SseSplitter};
use crate::{Event, Frame, ProviderError, ProviderErrorKind, StopReason, StreamReader};

/// Reads the events of one streamed message, whatever frames them.
#[derive(Debug, Default)]
pub(crate) struct EventReader {
    /// The block that grows, if it is of a kind that has a canonical form.
    open: Option<u32>,
    usage: Option<TokenUsage>,
    /// Whether `usage` was reported, and nothing after it.
    is_usage_last: bool,
    is_stopped: bool,
}

impl EventReader {
    /// What an event's data says. Types that are not known here say nothing: the API may add some.
    pub(crate) fn read(&mut self, data: &str) -> Result<Vec<Event>, ProviderError> {
        let data: Value = serde_json::from_str(data).map_err(|error| {
            let message = format!("an event of the stream is not JSON: {error}");
            unreadable(ProviderErrorKind::Interrupted, message)
        })?;
        let mut events = Vec::new();
        let block =
            data.get("index").and_then(Value::as_u64).and_then(|index| u32::try_from(index).ok());
        match data.get("type").and_then(Value::as_str) {
            Some("message_start") => {
                self.add_usage(data.pointer("/message/usage"), &mut events);
            }
            Some("content_block_start") => {
                if let (Some(block), Some(content)) = (block, data.get("content_block")) {
                    self.start(block, content, &mut events);
                }
            }
            Some("content_block_delta") => {
                if let (Some(block), Some(delta)) = (block, data.get("delta"))
                    && self.open == Some(block)
                {
                    events.extend(delta_of(block, delta));
                }
            }
            Some("content_block_stop") => {
                if let Some(block) = block.filter(|block| self.open == Some(*block)) {
                    self.open = None;
                    events.push(Event::BlockStop { block });
                }
            }
            Some("message_delta") => {
                let delta = |name: &str| data.get("delta")?.get(name)?.as_str();
                if let Some(reason) = delta("stop_reason") {
                    let sequence = delta("stop_sequence").map(str::to_owned);
                    self.stop(stop_reason_of(reason), sequence, &mut events);
                }
                self.add_usage(data.get("usage"), &mut events);
            }
            Some("message_stop") => {
                self.stop(StopReason::EndTurn, None, &mut events);
                if self.usage.is_none() {
                    self.usage = metrics_of(&data);
                }
                if let Some(usage) = self.usage.filter(|_| !self.is_usage_last) {
                    self.is_usage_last = true;
                    events.push(Event::Usage(usage));
                }
            }
            Some("error") => return Err(error_of(&data)),
            _ => {}
        }
        if events.last().is_some_and(|last| !matches!(last, Event::Usage(_))) {
            self.is_usage_last = false;
        }
        Ok(events)
    }

    /// The error of a stream that has ended, if the answer never came to its end.
    pub(crate) fn end(&self) -> Option<ProviderError> {
        (!self.is_stopped).then(|| {
            let message = "the stream ended before the answer was complete";
            unreadable(ProviderErrorKind::Interrupted, message)
        })
    }

    fn start(&mut self, block: u32, content: &Value, events: &mut Vec<Event>) {
        let text = |name| content.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        self.open = Some(block);
        match content.get("type").and_then(Value::as_str) {
            Some("text") => match text("text") {
                text if text.is_empty() => {}
                text => events.push(Event::TextDelta { block, text }),
            },
            Some("tool_use") => {
                events.push(Event::ToolUseStart { block, id: text("id"), name: text("name") });
                let input = content
                    .get("input")
                    .filter(|input| input.as_object().is_some_and(|members| !members.is_empty()));
                events.extend(
                    input.map(|input| Event::ToolInputDelta { block, json: input.to_string() }),
                );
            }
            Some("thinking") => {
                match text("thinking") {
                    text if text.is_empty() => {}
                    text => events.push(Event::ReasoningDelta { block, text }),
                }
                match text("signature") {
                    signature if signature.is_empty() => {}
                    signature => events.push(Event::ReasoningSignature { block, signature }),
                }
            }
            Some("redacted_thinking") => {
                events.push(Event::RedactedReasoning { block, data: text("data") });
            }
            // Of tools that the provider runs.
            _ => self.open = None,
        }
    }

    fn stop(&mut self, reason: StopReason, sequence: Option<String>, events: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.is_stopped, true) {
            events.push(Event::Stop { reason, stop_sequence: sequence });
            self.is_usage_last = false;
        }
    }

    fn add_usage(&mut self, usage: Option<&Value>, events: &mut Vec<Event>) {
        let Some(usage) = usage.and_then(|usage| usage_of(usage, self.usage)) else {
            return;
        };
        self.usage = Some(usage);
        self.is_usage_last = true;
        events.push(Event::Usage(usage));
    }
}

fn delta_of(block: u32, delta: &Value) -> Option<Event> {
    let text = |name| delta.get(name).and_then(Value::as_str).map(str::to_owned);
    match delta.get("type").and_then(Value::as_str)? {
        "text_delta" => Some(Event::TextDelta { block, text: text("text")? }),
        "input_json_delta" => Some(Event::ToolInputDelta { block, json: text("partial_json")? }),
        "thinking_delta" => Some(Event::ReasoningDelta { block, text: text("thinking")? }),
        "signature_delta" => {
            Some(Event::ReasoningSignature { block, signature: text("signature")? })
        }
        _ => None,
    }
}

/// What Bedrock adds to the last chunk of an `InvokeModel` stream.
pub(crate) fn metrics_of(data: &Value) -> Option<TokenUsage> {
    let metrics = data.get("amazon-bedrock-invocationMetrics")?;
    let count = |name| metrics.get(name).and_then(Value::as_u64);
    let (input, output) = (count("inputTokenCount"), count("outputTokenCount"));
    input.or(output)?;
    Some(TokenUsage {
        input: input.unwrap_or(0),
        output: output.unwrap_or(0),
        cache_read: count("cacheReadInputTokenCount").unwrap_or(0),
        cache_write_5m: count("cacheWriteInputTokenCount").unwrap_or(0),
        ..TokenUsage::default()
    })
}

/// Reads a message streamed as server-sent events.
#[derive(Debug, Default)]
pub(super) struct SseReader {
    splitter: SseSplitter,
    events: EventReader,
    is_broken: bool,
}

impl StreamReader for SseReader {
    fn push(&mut self, bytes: &[u8]) -> Vec<Frame> {
        let events = self.splitter.push(bytes);
        events.into_iter().map(|event| self.read(event)).collect()
    }

    fn finish(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        if let Some(event) = self.splitter.finish() {
            let mut frame = self.read(event);
            // Half an event is of no use to anybody.
            if frame.error.as_ref().is_some_and(|it| it.kind == ProviderErrorKind::Interrupted) {
                frame.bytes.clear();
            }
            frames.push(frame);
        }
        if !self.is_broken
            && let Some(error) = self.events.end()
        {
            self.is_broken = true;
            frames.push(Frame { error: Some(error), ..Frame::default() });
        }
        frames
    }
}

impl SseReader {
    fn read(&mut self, event: SseEvent) -> Frame {
        let mut frame = Frame { bytes: event.bytes, ..Frame::default() };
        let data = event.data.as_deref().map(str::trim).unwrap_or_default();
        if !data.is_empty() && !self.is_broken {
            match self.events.read(data) {
                Ok(events) => frame.events = events,
                Err(error) => {
                    self.is_broken = true;
                    frame.error = Some(error);
                }
            }
        }
        frame
    }
}

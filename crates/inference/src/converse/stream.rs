//! Streamed answers of Converse, in canonical form.

use serde_json::Value;

use super::read::{stop, token_usage};
use crate::protocol::unreadable;
use crate::wire::eventstream::{Kind, Message, Splitter};
use crate::{Event, Frame, ProviderError, ProviderErrorKind, StreamReader};

/// Reads one streamed answer. Events that are not known are frames that say nothing.
#[derive(Debug, Default)]
pub(super) struct Reader {
    splitter: Splitter,
    has_stopped: bool,
    /// Whether an error ended the answer; what follows is passed on unread.
    is_broken: bool,
}

impl StreamReader for Reader {
    fn push(&mut self, bytes: &[u8]) -> Vec<Frame> {
        let messages = self.splitter.push(bytes);
        messages.into_iter().map(|message| self.frame(message)).collect()
    }

    fn finish(&mut self) -> Vec<Frame> {
        let rest = self.splitter.finish();
        let mut frames: Vec<_> = rest.into_iter().map(|message| self.frame(message)).collect();
        if !self.has_stopped && !self.is_broken {
            self.is_broken = true;
            let message = "the stream ended before the answer was complete";
            let error = Some(unreadable(ProviderErrorKind::Interrupted, message));
            frames.push(Frame { error, ..Frame::default() });
        }
        frames
    }
}

impl Reader {
    fn frame(&mut self, message: Message) -> Frame {
        let mut frame = Frame::default();
        if !self.is_broken {
            match read(&message) {
                Ok(event) => frame.events.extend(event),
                Err(error) => {
                    self.is_broken = true;
                    frame.error = Some(error);
                }
            }
        }
        self.has_stopped |= matches!(frame.events.as_slice(), [Event::Stop { .. }]);
        frame.bytes = message.bytes;
        frame
    }
}

fn read(message: &Message) -> Result<Option<Event>, ProviderError> {
    if let Some(error) = message.error() {
        return Err(error);
    }
    let Kind::Event(name) = &message.kind else { return Ok(None) };
    let payload = message.json();
    if !payload.is_object() {
        let message = format!("the event `{name}` is no JSON object");
        return Err(unreadable(ProviderErrorKind::Interrupted, message));
    }
    let index = payload.get("contentBlockIndex").and_then(Value::as_u64);
    let block = index.and_then(|index| u32::try_from(index).ok()).unwrap_or(0);
    Ok(match name.as_str() {
        "contentBlockStart" => payload.pointer("/start/toolUse").and_then(|tool_use| {
            let text = |key: &str| tool_use.get(key)?.as_str().map(str::to_owned);
            Some(Event::ToolUseStart { block, id: text("toolUseId")?, name: text("name")? })
        }),
        "contentBlockDelta" => payload.get("delta").and_then(|delta| delta_event(block, delta)),
        "contentBlockStop" => Some(Event::BlockStop { block }),
        "messageStop" => {
            let (reason, stop_sequence) = stop(&payload);
            Some(Event::Stop { reason, stop_sequence })
        }
        "metadata" => payload.get("usage").map(|usage| Event::Usage(token_usage(usage))),
        _ => None,
    })
}

fn delta_event(block: u32, delta: &Value) -> Option<Event> {
    let text = |pointer: &str| delta.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    if let Some(text) = text("/text") {
        return Some(Event::TextDelta { block, text });
    }
    if let Some(json) = text("/toolUse/input") {
        return Some(Event::ToolInputDelta { block, json });
    }
    if let Some(text) = text("/reasoningContent/text") {
        return Some(Event::ReasoningDelta { block, text });
    }
    if let Some(signature) = text("/reasoningContent/signature") {
        return Some(Event::ReasoningSignature { block, signature });
    }
    text("/reasoningContent/redactedContent").map(|data| Event::RedactedReasoning { block, data })
}

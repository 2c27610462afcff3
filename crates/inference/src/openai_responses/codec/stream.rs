//! Streams.

use std::collections::BTreeMap;

use serde_json::Value;

use super::read::{error_of, is_call, sealed, stop_reason_of, usage_of};
use crate::openai_responses::tools::CUSTOM_INPUT;
use crate::protocol::unreadable;
use crate::wire::sse::{SseEvent, SseSplitter};
use crate::{Event, Frame, ProviderError, ProviderErrorKind, StreamReader};

/// Reads one streamed answer.
#[derive(Debug, Default)]
pub(super) struct Reader {
    splitter: SseSplitter,
    /// Blocks that have begun, by the place of their item and, in messages, of their part.
    open: BTreeMap<(u64, u64), Block>,
    next_block: u32,
    has_calls: bool,
    /// Whether the answer came to its end, or broke.
    is_over: bool,
}

#[derive(Debug, Default)]
struct Block {
    number: u32,
    kind: Kind,
    /// Whether a piece of it has come.
    has_content: bool,
    /// The part of a summary that the last piece was of.
    part: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    #[default]
    Text,
    Reasoning,
    Function,
    Custom,
}

impl StreamReader for Reader {
    fn push(&mut self, bytes: &[u8]) -> Vec<Frame> {
        let events = self.splitter.push(bytes);
        events.into_iter().map(|event| self.frame(event)).collect()
    }

    fn finish(&mut self) -> Vec<Frame> {
        let rest = self.splitter.finish();
        let mut frames = Vec::new();
        if let Some(event) = rest {
            // Half an event is of no use to anybody.
            let is_whole = event.data.as_deref().is_none_or(|data| {
                data.trim() == "[DONE]" || serde_json::from_str::<Value>(data).is_ok()
            });
            if is_whole {
                frames.push(self.frame(event));
            }
        }
        if !self.is_over {
            self.is_over = true;
            let error = interrupted("the stream ended before the answer was complete");
            frames.push(Frame { error: Some(error), ..Frame::default() });
        }
        frames
    }
}

impl Reader {
    fn frame(&mut self, event: SseEvent) -> Frame {
        let mut frame = Frame { bytes: event.bytes, ..Frame::default() };
        let Some(data) = event.data.as_deref().map(str::trim).filter(|_| !self.is_over) else {
            return frame;
        };
        if data.is_empty() || data == "[DONE]" {
            return frame;
        }
        let Ok(json) = serde_json::from_str::<Value>(data) else {
            self.is_over = true;
            frame.error = Some(interrupted("an event of the stream is not JSON"));
            return frame;
        };
        match self.read(&json, &mut frame.events) {
            Ok(()) => {}
            Err(error) => {
                self.is_over = true;
                frame.error = Some(error);
            }
        }
        frame
    }

    fn read(&mut self, json: &Value, events: &mut Vec<Event>) -> Result<(), ProviderError> {
        let number = |key: &str| json.get(key).and_then(Value::as_u64).unwrap_or_default();
        let text = |key: &str| json.get(key).and_then(Value::as_str).unwrap_or_default();
        let item = number("output_index");
        let null = Value::Null;
        let object = |key: &str| json.get(key).unwrap_or(&null);
        match text("type") {
            "response.output_item.added" => self.begin_item(item, object("item"), events),
            "response.output_text.delta" | "response.refusal.delta" => {
                let part = number("content_index");
                self.piece((item, part), Kind::Text, 0, text("delta"), events);
            }
            "response.output_text.done" | "response.refusal.done" => {
                let part = number("content_index");
                let whole = if text("text").is_empty() { text("refusal") } else { text("text") };
                self.whole((item, part), Kind::Text, whole, events);
                self.end((item, part), events);
            }
            "response.reasoning_summary_text.delta" => {
                let part = number("summary_index");
                self.piece((item, 0), Kind::Reasoning, part, text("delta"), events);
            }
            "response.reasoning_text.delta" => {
                let part = number("content_index");
                self.piece((item, 0), Kind::Reasoning, part, text("delta"), events);
            }
            "response.function_call_arguments.delta" => {
                self.arguments(item, text("delta"), events);
            }
            "response.function_call_arguments.done" => {
                self.whole((item, 0), Kind::Function, text("arguments"), events);
            }
            "response.custom_tool_call_input.delta" => self.arguments(item, text("delta"), events),
            "response.custom_tool_call_input.done" => {
                self.whole((item, 0), Kind::Custom, text("input"), events);
            }
            "response.output_item.done" => self.end_item(item, object("item"), events),
            "response.completed" | "response.incomplete" => {
                self.end_all(events);
                let response = object("response");
                let output = response.get("output").and_then(Value::as_array);
                let has_calls =
                    self.has_calls || output.is_some_and(|output| output.iter().any(is_call));
                let reason = stop_reason_of(response, has_calls);
                events.push(Event::Stop { reason, stop_sequence: None });
                events.extend(usage_of(response).map(Event::Usage));
                self.is_over = true;
            }
            "response.failed" | "response.cancelled" => {
                let response = object("response");
                events.extend(usage_of(response).map(Event::Usage));
                let error = response.get("error").filter(|error| error.is_object());
                return Err(error.map_or_else(
                    || unreadable(ProviderErrorKind::ModelError, "the answer failed"),
                    error_of,
                ));
            }
            "error" => {
                let nested = object("error");
                return Err(error_of(if nested.is_object() { nested } else { json }));
            }
            "" if object("error").is_object() => return Err(error_of(object("error"))),
            // Announcements, and what the provider's own tools do.
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, key: (u64, u64), kind: Kind) -> &mut Block {
        let next = &mut self.next_block;
        self.open.entry(key).or_insert_with(|| {
            let number = *next;
            *next = next.saturating_add(1);
            Block { number, kind, ..Block::default() }
        })
    }

    fn begin_item(&mut self, place: u64, item: &Value, events: &mut Vec<Event>) {
        if !is_call(item) || self.open.contains_key(&(place, 0)) {
            return;
        }
        let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let kind = if text("type") == "function_call" { Kind::Function } else { Kind::Custom };
        self.has_calls = true;
        let block = self.begin((place, 0), kind).number;
        events.push(Event::ToolUseStart { block, id: text("call_id"), name: text("name") });
        if kind == Kind::Custom {
            events.push(Event::ToolInputDelta { block, json: format!("{{\"{CUSTOM_INPUT}\":\"") });
        }
    }

    /// A piece of a text or of reasoning.
    fn piece(
        &mut self,
        key: (u64, u64),
        kind: Kind,
        part: u64,
        piece: &str,
        events: &mut Vec<Event>,
    ) {
        let block = self.begin(key, kind);
        if piece.is_empty() || block.kind != kind {
            return;
        }
        let is_new_part = block.has_content && block.part != part;
        (block.has_content, block.part) = (true, part);
        let separator = if is_new_part { "\n\n" } else { "" };
        let (block, text) = (block.number, format!("{separator}{piece}"));
        events.push(match kind {
            Kind::Reasoning => Event::ReasoningDelta { block, text },
            _ => Event::TextDelta { block, text },
        });
    }

    /// A piece of a call's arguments; of nobody's if the call was not announced.
    fn arguments(&mut self, place: u64, piece: &str, events: &mut Vec<Event>) {
        let Some(block) = self.open.get_mut(&(place, 0)).filter(|_| !piece.is_empty()) else {
            return;
        };
        let json = match block.kind {
            Kind::Function => piece.to_owned(),
            Kind::Custom => escaped(piece),
            Kind::Text | Kind::Reasoning => return,
        };
        block.has_content = true;
        events.push(Event::ToolInputDelta { block: block.number, json });
    }

    /// Everything of a block, from a provider that sent no pieces of it.
    fn whole(&mut self, key: (u64, u64), kind: Kind, whole: &str, events: &mut Vec<Event>) {
        let has_content = self.open.get(&key).is_some_and(|block| block.has_content);
        match kind {
            _ if has_content || whole.is_empty() => {}
            Kind::Text | Kind::Reasoning => self.piece(key, kind, 0, whole, events),
            Kind::Function | Kind::Custom => self.arguments(key.0, whole, events),
        }
    }

    fn end(&mut self, key: (u64, u64), events: &mut Vec<Event>) {
        let Some(block) = self.open.remove(&key) else {
            return;
        };
        if block.kind == Kind::Custom {
            events.push(Event::ToolInputDelta { block: block.number, json: "\"}".to_owned() });
        }
        events.push(Event::BlockStop { block: block.number });
    }

    fn end_item(&mut self, place: u64, item: &Value, events: &mut Vec<Event>) {
        let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
        match text("type") {
            "function_call" | "custom_tool_call" => {
                self.begin_item(place, item, events);
                self.whole((place, 0), Kind::Function, text("arguments"), events);
                self.whole((place, 0), Kind::Custom, text("input"), events);
            }
            "reasoning" => {
                let has_text = self.open.get(&(place, 0)).is_some_and(|block| block.has_content);
                if let Some(sealed) = sealed(item) {
                    let block = self.begin((place, 0), Kind::Reasoning).number;
                    events.push(if has_text {
                        Event::ReasoningSignature { block, signature: sealed }
                    } else {
                        Event::RedactedReasoning { block, data: sealed }
                    });
                }
            }
            _ => {}
        }
        let keys: Vec<_> =
            self.open.range((place, 0)..=(place, u64::MAX)).map(|(key, _)| *key).collect();
        for key in keys {
            self.end(key, events);
        }
    }

    fn end_all(&mut self, events: &mut Vec<Event>) {
        let keys: Vec<_> = self.open.keys().copied().collect();
        for key in keys {
            self.end(key, events);
        }
    }
}

/// A text as it stands between the quotation marks of JSON.
fn escaped(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

fn interrupted(message: &str) -> ProviderError {
    unreadable(ProviderErrorKind::Interrupted, message)
}

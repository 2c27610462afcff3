//! Streamed answers of providers.

use std::collections::BTreeMap;

use metering::TokenUsage;
use serde_json::{Map, Value};

use super::read::{
    arguments_of, calls_of, error_of, function_of, read_error, reasoning_text, stand_in_id,
    stop_reason, stop_sequence_of, text_of, thinking_block, thinking_of, usage_of,
};
use crate::protocol::unreadable;
use crate::wire::sse::{SseEvent, SseSplitter};
use crate::{
    ContentBlock, Event, Frame, ProviderError, ProviderErrorKind, StopReason, StreamReader,
};

/// Reads `chat.completion.chunk` events, of OpenAI and of servers that resemble it.
///
/// The dialect has no blocks: they are counted in the order in which text, reasoning and tool calls
/// appear, and one ends where the next begins. An answer ends with its `finish_reason` (of all its
/// choices), or with `[DONE]` where a server gives no reason; usage is reported once more after the
/// end if it came before it.
#[derive(Debug, Default)]
pub(super) struct ChatReader {
    splitter: SseSplitter,
    /// Answers by their index; more than one only in streams that are passed on.
    choices: BTreeMap<u64, Choice>,
    blocks: u32,
    usage: Option<TokenUsage>,
    /// Whether `usage` was reported, and nothing after it.
    is_usage_last: bool,
    is_stopped: bool,
    is_broken: bool,
}

#[derive(Debug, Default)]
struct Choice {
    open: Option<Open>,
    /// The text of the open block of reasoning.
    reasoning: String,
    calls: Vec<Call>,
    is_refusal: bool,
    stop: Option<(StopReason, Option<String>)>,
}

/// The block that grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Text(u32),
    Reasoning(u32),
    Call(u32),
}

impl Open {
    fn block(self) -> u32 {
        match self {
            Self::Text(block) | Self::Reasoning(block) | Self::Call(block) => block,
        }
    }
}

#[derive(Debug)]
struct Call {
    block: u32,
    /// As the server counts, if it does.
    index: Option<u64>,
    /// As the server said it, if it did.
    id: Option<String>,
}

impl StreamReader for ChatReader {
    fn push(&mut self, bytes: &[u8]) -> Vec<Frame> {
        let events = self.splitter.push(bytes);
        events.into_iter().map(|event| self.read(event)).collect()
    }

    fn finish(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        if let Some(event) = self.splitter.finish() {
            let frame = self.read(event);
            // Half an event is of no use to anybody.
            let is_cut =
                frame.error.as_ref().is_some_and(|it| it.kind == ProviderErrorKind::Interrupted);
            frames.push(if is_cut { Frame { bytes: bytes::Bytes::new(), ..frame } } else { frame });
        }
        let mut last = Frame::default();
        if !self.is_broken {
            if self.is_stopped && self.choices.values().all(|choice| choice.stop.is_some()) {
                self.repeat_usage(&mut last.events);
            } else {
                self.is_broken = true;
                last.error = Some(unreadable(
                    ProviderErrorKind::Interrupted,
                    "the stream ended before the answer was complete",
                ));
            }
        }
        if last != Frame::default() {
            frames.push(last);
        }
        frames
    }
}

impl ChatReader {
    fn read(&mut self, event: SseEvent) -> Frame {
        let mut frame = Frame { bytes: event.bytes, ..Frame::default() };
        if let Some(data) = event.data.as_deref().map(str::trim).filter(|data| !data.is_empty())
            && !self.is_broken
        {
            match self.read_data(event.name.as_deref(), data) {
                Ok(events) => frame.events = events,
                Err(error) => {
                    self.is_broken = true;
                    frame.error = Some(error);
                }
            }
        }
        frame
    }

    fn read_data(&mut self, name: Option<&str>, data: &str) -> Result<Vec<Event>, ProviderError> {
        let mut events = Vec::new();
        if data == "[DONE]" {
            let choices = self.choices.values_mut();
            let open: Vec<_> = choices.filter(|choice| choice.stop.is_none()).collect();
            for choice in open {
                choice.end(&mut events, None, None);
            }
            self.stop(&mut events);
            self.repeat_usage(&mut events);
            return Ok(events);
        }
        let chunk = match serde_json::from_str::<Value>(data) {
            Ok(chunk) => chunk,
            // The dialect names no events: this one is a server's own.
            Err(_) if name.is_some_and(|name| !matches!(name, "message" | "error")) => {
                return Ok(events);
            }
            Err(error) => {
                let message = format!("an event of the stream is not JSON: {error}");
                return Err(unreadable(ProviderErrorKind::Interrupted, message));
            }
        };
        if let Some(error) = error_of(&chunk) {
            return Err(error);
        }
        if name == Some("error") {
            return Err(read_error(&chunk));
        }
        let mut is_ended = false;
        for (place, choice) in
            chunk.get("choices").and_then(Value::as_array).into_iter().flatten().enumerate()
        {
            let index = choice.get("index").and_then(Value::as_u64);
            let index = index.unwrap_or_else(|| u64::try_from(place).unwrap_or(u64::MAX));
            let state = self.choices.entry(index).or_default();
            if let Some(delta) = choice.get("delta").and_then(Value::as_object) {
                let mut writer = Writer { events: &mut events, blocks: &mut self.blocks };
                state.read(&mut writer, delta, &chunk);
            }
            if let Some(finish) = choice.get("finish_reason").and_then(Value::as_str)
                && state.stop.is_none()
            {
                state.end(&mut events, Some(finish), stop_sequence_of(choice));
                is_ended = true;
            }
        }
        if is_ended && self.choices.values().all(|choice| choice.stop.is_some()) {
            self.stop(&mut events);
        }
        if !events.is_empty() {
            self.is_usage_last = false;
        }
        if let Some(usage) = usage_of(&chunk) {
            self.usage = Some(usage);
            self.is_usage_last = true;
            events.push(Event::Usage(usage));
        }
        Ok(events)
    }

    fn stop(&mut self, events: &mut Vec<Event>) {
        if std::mem::replace(&mut self.is_stopped, true) {
            return;
        }
        let stop = self.choices.values().next().and_then(|choice| choice.stop.clone());
        let (reason, stop_sequence) = stop.unwrap_or((StopReason::EndTurn, None));
        events.push(Event::Stop { reason, stop_sequence });
        self.is_usage_last = false;
    }

    /// Usage that came early, once more after everything else.
    fn repeat_usage(&mut self, events: &mut Vec<Event>) {
        if let Some(usage) = self.usage
            && !std::mem::replace(&mut self.is_usage_last, true)
        {
            events.push(Event::Usage(usage));
        }
    }
}

struct Writer<'a> {
    events: &'a mut Vec<Event>,
    blocks: &'a mut u32,
}

impl Writer<'_> {
    fn new_block(&mut self) -> u32 {
        let block = *self.blocks;
        *self.blocks = block.saturating_add(1);
        block
    }
}

impl Choice {
    fn read(&mut self, writer: &mut Writer<'_>, delta: &Map<String, Value>, chunk: &Value) {
        let blocks = delta.get("thinking_blocks").and_then(Value::as_array);
        let blocks: Vec<_> = blocks.into_iter().flatten().filter_map(thinking_block).collect();
        let content = delta.get("content");
        let reasoning = reasoning_text(delta).or_else(|| thinking_of(content));
        let has_reasoning = reasoning.is_some();
        if let Some(text) = reasoning {
            self.reasoning(writer, text);
        }
        for block in blocks {
            match block {
                ContentBlock::Reasoning { text, signature } => {
                    // Where the text stands in both fields, or once more beside the signature, it is
                    // the same.
                    let is_known = has_reasoning || text.is_empty() || text == self.reasoning;
                    if !is_known {
                        self.reasoning(writer, text);
                    }
                    if let Some(signature) = signature {
                        let block = self.reasoning_block(writer);
                        writer.events.push(Event::ReasoningSignature { block, signature });
                        self.close(writer.events);
                    }
                }
                ContentBlock::RedactedReasoning { data } => {
                    self.close(writer.events);
                    let block = writer.new_block();
                    writer.events.push(Event::RedactedReasoning { block, data });
                    writer.events.push(Event::BlockStop { block });
                }
                _ => {}
            }
        }
        if let Some(text) = text_of(content) {
            self.text(writer, text);
        }
        if let Some(text) = text_of(delta.get("refusal")) {
            self.is_refusal = true;
            self.text(writer, text);
        }
        for call in calls_of(delta) {
            self.call(writer, call, chunk);
        }
    }

    fn text(&mut self, writer: &mut Writer<'_>, text: String) {
        let block = if let Some(Open::Text(block)) = self.open {
            block
        } else {
            self.close(writer.events);
            let block = writer.new_block();
            self.open = Some(Open::Text(block));
            block
        };
        writer.events.push(Event::TextDelta { block, text });
    }

    fn reasoning(&mut self, writer: &mut Writer<'_>, text: String) {
        let block = self.reasoning_block(writer);
        self.reasoning.push_str(&text);
        writer.events.push(Event::ReasoningDelta { block, text });
    }

    fn reasoning_block(&mut self, writer: &mut Writer<'_>) -> u32 {
        if let Some(Open::Reasoning(block)) = self.open {
            return block;
        }
        self.close(writer.events);
        let block = writer.new_block();
        self.open = Some(Open::Reasoning(block));
        block
    }

    /// A call begins with an index that is new, or without one with an id that is new. Some servers
    /// say id and name in every piece, and some number all calls 0 and tell them apart by id only.
    fn call(&mut self, writer: &mut Writer<'_>, call: &Value, chunk: &Value) {
        let function = function_of(call);
        let name = function.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
        let id = call.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
        let index = call.get("index").and_then(Value::as_u64);
        let known = self.calls.iter().rfind(|known| match (index, id) {
            (Some(_), None) => known.index == index,
            (Some(_), Some(id)) => {
                known.index == index
                    && (name.is_none() || known.id.as_deref().is_none_or(|known| known == id))
            }
            (None, Some(id)) => known.id.as_deref() == Some(id),
            (None, None) => name.is_none(),
        });
        let block = if let Some(known) = known {
            known.block
        } else {
            self.close(writer.events);
            let block = writer.new_block();
            let known = Call { block, index, id: id.map(str::to_owned) };
            let id = id.map_or_else(|| stand_in_id(chunk, self.calls.len()), str::to_owned);
            self.calls.push(known);
            self.open = Some(Open::Call(block));
            let name = name.unwrap_or_default().to_owned();
            writer.events.push(Event::ToolUseStart { block, id, name });
            block
        };
        if let Some(json) = arguments_of(function).filter(|json| !json.is_empty()) {
            writer.events.push(Event::ToolInputDelta { block, json });
        }
    }

    fn end(&mut self, events: &mut Vec<Event>, finish: Option<&str>, sequence: Option<String>) {
        self.close(events);
        let reason =
            stop_reason(finish, !self.calls.is_empty(), self.is_refusal, sequence.is_some());
        self.stop = Some((reason, sequence));
    }

    fn close(&mut self, events: &mut Vec<Event>) {
        self.reasoning.clear();
        if let Some(open) = self.open.take() {
            events.push(Event::BlockStop { block: open.block() });
        }
    }
}

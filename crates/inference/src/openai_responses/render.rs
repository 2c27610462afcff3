//! Answers, whole and streamed.

use std::borrow::Cow;

use bytes::Bytes;
use metering::TokenUsage;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::ResponsesRequest;
use super::items::{Body, Item, Progress, client_tool, custom_input, summary_part, text_part};
use super::stored::{item_id, response_id};
use super::terminal::{begun, error_json, incomplete_reason, usage_json};
use super::tools::{Toolbox, toolbox_of};
use crate::wire::sse::{SseSplitter, write_event};
use crate::{
    AnswerHead, AnswerRenderer, Event, Fault, FaultKind, Frame, ModelResponse, StopReason,
    StoredResponse,
};

/// Writes one answer.
///
/// Each block of the answer is an output item of its own. The items of a stream come one after the other,
/// except that calls of tools may be told in parallel; an item is said to be done when what follows it
/// shows that it was not cut off.
pub(super) struct Renderer {
    call_id: String,
    /// The response object, without output and ending.
    response: Map<String, Value>,
    toolbox: Toolbox,
    /// What the response is stored with, if it is.
    input: Option<Vec<Value>>,
    sequence: u64,
    has_begun: bool,
    items: Vec<Item>,
    stop: Option<StopReason>,
    usage: Option<TokenUsage>,
    passing: Passing,
    /// The response object of an answer that came to its end.
    ended: Option<Value>,
}

/// What is known of an answer that is passed on.
#[derive(Default)]
struct Passing {
    /// The response object, as it was announced.
    response: Option<Map<String, Value>>,
    /// Members with ids of the provider, each with what it is at the gateway.
    ids: Vec<(String, String)>,
    /// The last event.
    last: Bytes,
}

/// A piece of an item.
#[derive(Serialize)]
struct Delta<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    sequence_number: u64,
    item_id: &'a str,
    output_index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary_index: Option<u32>,
    #[serde(rename = "delta")]
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<[(); 0]>,
}

impl Renderer {
    pub(super) fn new(request: &ResponsesRequest, head: AnswerHead) -> Self {
        Self {
            response: begun(request, &head),
            call_id: head.call_id,
            toolbox: toolbox_of(&request.body),
            input: request.wants_store().then(|| request.items()),
            sequence: 0,
            has_begun: false,
            items: Vec::new(),
            stop: None,
            usage: None,
            passing: Passing::default(),
            ended: None,
        }
    }

    /// The response object with these members instead of its own.
    fn response_with<const N: usize>(&self, members: [(&str, Value); N]) -> Value {
        let mut response = self.response.clone();
        for (key, value) in members {
            response.insert(key.to_owned(), value);
        }
        Value::Object(response)
    }

    fn output(&self) -> Value {
        self.items.iter().filter(|item| item.is_over()).map(Item::to_json).collect()
    }

    /// The response object of an answer that came to its end.
    fn complete(&self) -> Value {
        let reason = self.stop.as_ref().and_then(incomplete_reason);
        self.response_with([
            ("status", if reason.is_some() { "incomplete" } else { "completed" }.into()),
            ("incomplete_details", reason.map_or(Value::Null, |reason| json!({"reason": reason}))),
            ("output", self.output()),
            ("usage", self.usage.as_ref().map_or(Value::Null, usage_json)),
        ])
    }

    /// Writes an event; `fields` come after its type and number.
    fn emit<const N: usize>(
        &mut self,
        output: &mut Vec<u8>,
        kind: &'static str,
        fields: [(&str, Value); N],
    ) {
        let mut event = Map::new();
        event.insert("type".to_owned(), kind.into());
        event.insert("sequence_number".to_owned(), self.sequence.into());
        for (key, value) in fields {
            event.insert(key.to_owned(), value);
        }
        self.sequence = self.sequence.saturating_add(1);
        write_event(output, Some(kind), &event);
    }

    fn begin(&mut self, output: &mut Vec<u8>) {
        if self.has_begun {
            return;
        }
        self.has_begun = true;
        let response = Value::Object(self.response.clone());
        self.emit(output, "response.created", [("response", response.clone())]);
        self.emit(output, "response.in_progress", [("response", response)]);
    }

    /// Announces a new item and returns its place.
    fn open(&mut self, output: &mut Vec<u8>, block: u32, body: Body) -> usize {
        // Only calls may be told side by side.
        let is_call = matches!(body, Body::Call { .. });
        for place in 0..self.items.len() {
            let is_other_call = self
                .items
                .get(place)
                .is_some_and(|item| matches!(item.body, Body::Call { .. }) && is_call);
            if !is_other_call {
                self.close(output, place, Progress::Completed);
            }
        }
        let place = self.items.len();
        let item = Item::new(block, body, &self.call_id, place);
        let (id, announced) = (item.id.clone(), item.announced());
        let is_message = matches!(item.body, Body::Message { .. });
        self.items.push(item);
        self.emit(
            output,
            "response.output_item.added",
            [("output_index", place.into()), ("item", announced)],
        );
        if is_message {
            self.emit(
                output,
                "response.content_part.added",
                [
                    ("item_id", id.into()),
                    ("output_index", place.into()),
                    ("content_index", 0.into()),
                    ("part", text_part("")),
                ],
            );
        }
        place
    }

    /// The open item of that block, if its body is as wanted.
    fn find(&self, block: u32, is_wanted: impl Fn(&Body) -> bool) -> Option<usize> {
        self.items.iter().position(|item| {
            item.block == block && item.progress == Progress::Open && is_wanted(&item.body)
        })
    }

    /// Says all that is left to say of an item, unless that was done.
    fn close(&mut self, output: &mut Vec<u8>, place: usize, progress: Progress) {
        let Some(item) = self.items.get_mut(place).filter(|item| !item.is_over()) else {
            return;
        };
        if let Body::Call { arguments, .. } = &mut item.body
            && arguments.is_empty()
        {
            // `""` is no JSON that a client could read.
            arguments.push_str("{}");
            let is_custom = matches!(&item.body, Body::Call { tool, .. } if tool.is_custom);
            if !is_custom {
                self.delta(output, "response.function_call_arguments.delta", place, "{}");
            }
        }
        let Some(item) = self.items.get_mut(place) else {
            return;
        };
        item.progress = progress;
        let item = item.clone();
        let id = || Value::from(item.id.as_str());
        let index = || Value::from(place);
        match &item.body {
            Body::Message { text } => {
                self.emit(
                    output,
                    "response.output_text.done",
                    [
                        ("item_id", id()),
                        ("output_index", index()),
                        ("content_index", 0.into()),
                        ("text", text.as_str().into()),
                        ("logprobs", json!([])),
                    ],
                );
                self.emit(
                    output,
                    "response.content_part.done",
                    [
                        ("item_id", id()),
                        ("output_index", index()),
                        ("content_index", 0.into()),
                        ("part", text_part(text)),
                    ],
                );
            }
            Body::Reasoning { text, .. } if !text.is_empty() => {
                self.emit(
                    output,
                    "response.reasoning_summary_text.done",
                    [
                        ("item_id", id()),
                        ("output_index", index()),
                        ("summary_index", 0.into()),
                        ("text", text.as_str().into()),
                    ],
                );
                self.emit(
                    output,
                    "response.reasoning_summary_part.done",
                    [
                        ("item_id", id()),
                        ("output_index", index()),
                        ("summary_index", 0.into()),
                        ("part", summary_part(text)),
                    ],
                );
            }
            Body::Reasoning { .. } | Body::Redacted { .. } => {}
            Body::Call { tool, arguments, .. } if tool.is_custom => {
                let input = custom_input(arguments);
                if !input.is_empty() {
                    self.delta(output, "response.custom_tool_call_input.delta", place, &input);
                }
                self.emit(
                    output,
                    "response.custom_tool_call_input.done",
                    [("item_id", id()), ("output_index", index()), ("input", input.into())],
                );
            }
            Body::Call { tool, arguments, .. } => {
                self.emit(
                    output,
                    "response.function_call_arguments.done",
                    [
                        ("item_id", id()),
                        ("output_index", index()),
                        ("name", tool.name.as_str().into()),
                        ("arguments", arguments.as_str().into()),
                    ],
                );
            }
        }
        self.emit(
            output,
            "response.output_item.done",
            [("output_index", index()), ("item", item.to_json())],
        );
    }

    fn delta(&mut self, output: &mut Vec<u8>, kind: &'static str, place: usize, text: &str) {
        let Some(item) = self.items.get(place) else {
            return;
        };
        let (content_index, summary_index) = match &item.body {
            Body::Message { .. } => (Some(0), None),
            Body::Reasoning { .. } => (None, Some(0)),
            _ => (None, None),
        };
        let event = Delta {
            kind,
            sequence_number: self.sequence,
            item_id: &item.id,
            output_index: place,
            content_index,
            summary_index,
            text,
            logprobs: content_index.map(|_| []),
        };
        write_event(output, Some(kind), &event);
        self.sequence = self.sequence.saturating_add(1);
    }

    /// Whether an event shows that the answer went on after what was said before it.
    fn says_something(&self, event: &Event) -> bool {
        match event {
            Event::TextDelta { text, .. } | Event::ReasoningDelta { text, .. } => !text.is_empty(),
            Event::ToolInputDelta { json, .. } => !json.is_empty(),
            Event::BlockStop { block } => self.find(*block, |_| true).is_some(),
            Event::Usage(_) => false,
            _ => true,
        }
    }

    /// Says of items whose block has ended that they are done. Only the last one can have been cut off.
    fn settle(&mut self, output: &mut Vec<u8>, next: &Event) {
        let is_cut =
            matches!(next, Event::Stop { reason, .. } if incomplete_reason(reason).is_some());
        let last = self.items.len().saturating_sub(1);
        for place in 0..self.items.len() {
            if self.items.get(place).is_some_and(|item| item.progress == Progress::Ended) {
                let is_last = place == last;
                let progress =
                    if is_cut && is_last { Progress::Incomplete } else { Progress::Completed };
                self.close(output, place, progress);
            }
        }
    }

    fn text(&mut self, output: &mut Vec<u8>, block: u32, piece: &str) {
        let found = self.find(block, |body| matches!(body, Body::Message { .. }));
        let place = found
            .unwrap_or_else(|| self.open(output, block, Body::Message { text: String::new() }));
        if let Some(Item { body: Body::Message { text }, .. }) = self.items.get_mut(place) {
            text.push_str(piece);
        }
        self.delta(output, "response.output_text.delta", place, piece);
    }

    /// The open item for the block's reasoning.
    fn reasoning(&mut self, output: &mut Vec<u8>, block: u32) -> usize {
        let found = self.find(block, |body| matches!(body, Body::Reasoning { .. }));
        found.unwrap_or_else(|| {
            self.open(output, block, Body::Reasoning { text: String::new(), signature: None })
        })
    }

    fn reasoning_text(&mut self, output: &mut Vec<u8>, block: u32, piece: &str) {
        let place = self.reasoning(output, block);
        let Some(Item { id, body: Body::Reasoning { text, .. }, .. }) = self.items.get_mut(place)
        else {
            return;
        };
        let (id, is_first) = (id.clone(), text.is_empty());
        text.push_str(piece);
        if is_first {
            self.emit(
                output,
                "response.reasoning_summary_part.added",
                [
                    ("item_id", id.into()),
                    ("output_index", place.into()),
                    ("summary_index", 0.into()),
                    ("part", summary_part("")),
                ],
            );
        }
        self.delta(output, "response.reasoning_summary_text.delta", place, piece);
    }

    fn arguments(&mut self, output: &mut Vec<u8>, block: u32, json: &str) {
        let Some(place) = self.find(block, |body| matches!(body, Body::Call { .. })) else {
            return;
        };
        let Some(Item { body: Body::Call { tool, arguments, .. }, .. }) = self.items.get_mut(place)
        else {
            return;
        };
        arguments.push_str(json);
        // The text in a custom tool's arguments can be read only when they are complete.
        if !tool.is_custom {
            self.delta(output, "response.function_call_arguments.delta", place, json);
        }
    }

    /// Learns ids of an answer that is passed on.
    fn learn(&mut self, event: &Value) {
        if let Some(response) = event.get("response").and_then(Value::as_object) {
            if let Some(id) = response.get("id").and_then(Value::as_str) {
                self.passing.add(id, &response_id(&self.call_id));
            }
            let output = response.get("output").and_then(Value::as_array);
            for (place, item) in output.into_iter().flatten().enumerate() {
                self.learn_item(item, place);
            }
        }
        if let Some(item) = event.get("item") {
            let place = event.get("output_index").and_then(Value::as_u64);
            let place = place.and_then(|place| usize::try_from(place).ok());
            self.learn_item(item, place.unwrap_or_default());
        }
    }

    fn learn_item(&mut self, item: &Value, place: usize) {
        let Some(id) = item.get("id").and_then(Value::as_str) else {
            return;
        };
        let prefix = id.split_once('_').map_or("item", |(prefix, _)| prefix);
        self.passing.add(id, &item_id(prefix, &self.call_id, place));
    }

    /// Keeps a passed on response that came to its end, as the gateway stores it.
    fn keep(&mut self, response: &Value) {
        let is_whole = matches!(
            response.get("status").and_then(Value::as_str),
            None | Some("completed" | "incomplete")
        );
        let Some(mut response) = response.as_object().cloned().filter(|_| is_whole) else {
            return;
        };
        for key in ["id", "previous_response_id", "store", "model"] {
            if let Some(value) = self.response.get(key) {
                response.insert(key.to_owned(), value.clone());
            }
        }
        self.ended = Some(Value::Object(response));
    }
}

impl Passing {
    fn add(&mut self, theirs: &str, ours: &str) {
        if theirs.is_empty() {
            return;
        }
        // Nothing but an id: any other text may have the same letters.
        for key in ["\"id\":", "\"id\": ", "\"item_id\":", "\"item_id\": "] {
            let member = |id: &str| format!("{key}{}", Value::from(id));
            let theirs = member(theirs);
            if !self.ids.iter().any(|(known, _)| *known == theirs) {
                self.ids.push((theirs, member(ours)));
            }
        }
    }

    /// `bytes` with the gateway's ids. A text of the model has its quotation marks escaped, so that no id in it is hit.
    fn with_own_ids(&self, bytes: &Bytes) -> Bytes {
        let Ok(text) = str::from_utf8(bytes) else {
            return bytes.clone();
        };
        let mut text = Cow::Borrowed(text);
        for (theirs, ours) in &self.ids {
            if text.contains(theirs.as_str()) {
                text = text.replace(theirs.as_str(), ours).into();
            }
        }
        match text {
            Cow::Borrowed(_) => bytes.clone(),
            Cow::Owned(text) => Bytes::from(text),
        }
    }
}

impl AnswerRenderer for Renderer {
    fn response(&mut self, response: &ModelResponse) -> Bytes {
        let bodies = response.content.iter().filter_map(|block| Body::of(block, &self.toolbox));
        self.items = bodies
            .enumerate()
            .map(|(place, body)| Item {
                progress: Progress::Completed,
                ..Item::new(0, body, &self.call_id, place)
            })
            .collect();
        if incomplete_reason(&response.stop_reason).is_some()
            && let Some(last) = self.items.last_mut()
        {
            last.progress = Progress::Incomplete;
        }
        self.stop = Some(response.stop_reason.clone());
        self.usage = Some(response.usage);
        let complete = self.complete();
        let bytes = Bytes::from(complete.to_string());
        self.ended = Some(complete);
        bytes
    }

    fn event(&mut self, event: &Event) -> Bytes {
        let mut output = Vec::new();
        if self.stop.is_some() && !matches!(event, Event::Usage(_)) {
            return Bytes::new();
        }
        self.begin(&mut output);
        if self.says_something(event) {
            self.settle(&mut output, event);
        }
        match event {
            Event::TextDelta { block, text } if !text.is_empty() => {
                self.text(&mut output, *block, text);
            }
            Event::ReasoningDelta { block, text } if !text.is_empty() => {
                self.reasoning_text(&mut output, *block, text);
            }
            Event::TextDelta { .. } | Event::ReasoningDelta { .. } => {}
            Event::ReasoningSignature { block, signature: piece } => {
                let place = self.reasoning(&mut output, *block);
                if let Some(Item { body: Body::Reasoning { signature, .. }, .. }) =
                    self.items.get_mut(place)
                {
                    signature.get_or_insert_default().push_str(piece);
                }
            }
            Event::RedactedReasoning { block, data } => {
                let place = self.open(&mut output, *block, Body::Redacted { data: data.clone() });
                if let Some(item) = self.items.get_mut(place) {
                    item.progress = Progress::Ended;
                }
            }
            Event::ToolUseStart { block, id, name } => {
                let tool = client_tool(name, &self.toolbox);
                let (call_id, arguments) = (id.clone(), String::new());
                self.open(&mut output, *block, Body::Call { call_id, tool, arguments });
            }
            Event::ToolInputDelta { block, json } => {
                if !json.is_empty() {
                    self.arguments(&mut output, *block, json);
                }
            }
            Event::BlockStop { block } => {
                for item in &mut self.items {
                    if item.block == *block && item.progress == Progress::Open {
                        item.progress = Progress::Ended;
                    }
                }
            }
            Event::Stop { reason, .. } => {
                let is_cut = incomplete_reason(reason).is_some();
                let last = self.items.len().saturating_sub(1);
                for place in 0..self.items.len() {
                    let is_cut = is_cut && place == last;
                    let progress = if is_cut { Progress::Incomplete } else { Progress::Completed };
                    self.close(&mut output, place, progress);
                }
                self.stop = Some(reason.clone());
            }
            Event::Usage(usage) => self.usage = Some(*usage),
        }
        Bytes::from(output)
    }

    fn finish(&mut self) -> Bytes {
        let Some(reason) = &self.stop else {
            return self.interrupt(&Fault::new(
                FaultKind::Provider,
                "provider_interrupted",
                "The answer ended before it was complete. Try again.",
            ));
        };
        let kind = match incomplete_reason(reason) {
            Some(_) => "response.incomplete",
            None => "response.completed",
        };
        let response = self.complete();
        let mut output = Vec::new();
        self.emit(&mut output, kind, [("response", response.clone())]);
        self.ended = Some(response);
        Bytes::from(output)
    }

    /// An `error` event, which SDKs raise, and `response.failed`, which agents wait for.
    fn interrupt(&mut self, fault: &Fault) -> Bytes {
        let mut output = Vec::new();
        if let Some(last) = event_of(&self.passing.last) {
            let number = last.get("sequence_number").and_then(Value::as_u64);
            self.sequence = number.map_or(self.sequence, |number| number.saturating_add(1));
            self.has_begun = true;
        }
        if let Some(response) = self.passing.response.take() {
            self.response = response;
        }
        self.begin(&mut output);
        self.emit(
            &mut output,
            "error",
            [
                ("code", fault.code.into()),
                ("message", fault.message.as_str().into()),
                ("param", fault.param.as_deref().into()),
            ],
        );
        let response = self.response_with([
            ("status", "failed".into()),
            ("error", error_json(fault)),
            ("output", self.output()),
            ("usage", self.usage.as_ref().map_or(Value::Null, usage_json)),
        ]);
        self.emit(&mut output, "response.failed", [("response", response)]);
        self.ended = None;
        Bytes::from(output)
    }

    /// The frame; where the response is stored, with the ids that it will be known by.
    fn forwarded(&mut self, frame: &Frame) -> Bytes {
        let is_stored = self.input.is_some();
        let is_end = frame.events.iter().any(|event| matches!(event, Event::Stop { .. }));
        let is_first = self.passing.response.is_none();
        let announces = is_stored && contains(&frame.bytes, b"response.output_item.added");
        if (is_first || is_end || announces)
            && let Some(event) = event_of(&frame.bytes)
        {
            if is_stored {
                self.learn(&event);
            }
            if let Some(response) = event.get("response").and_then(Value::as_object)
                && is_first
            {
                self.passing.response = Some(response.clone());
                if is_stored {
                    let id = response_id(&self.call_id);
                    let response = self.passing.response.get_or_insert_default();
                    response.insert("id".to_owned(), id.into());
                }
            }
        }
        if contains(&frame.bytes, b"data:") {
            self.passing.last = frame.bytes.clone();
        }
        if !is_stored {
            return frame.bytes.clone();
        }
        let bytes = self.passing.with_own_ids(&frame.bytes);
        if is_end
            && let Some(response) = event_of(&bytes).as_ref().and_then(|it| it.get("response"))
        {
            self.keep(response);
        }
        bytes
    }

    /// The answer; where it is stored, with the ids that it will be known by.
    fn forwarded_response(&mut self, body: Bytes) -> Bytes {
        if self.input.is_none() {
            return body;
        }
        let Ok(response) = serde_json::from_slice::<Value>(&body) else {
            return body;
        };
        self.learn(&json!({ "response": response }));
        let body = self.passing.with_own_ids(&body);
        if let Ok(response) = serde_json::from_slice::<Value>(&body) {
            self.keep(&response);
        }
        body
    }

    fn to_store(&mut self) -> Option<StoredResponse> {
        let response = self.ended.take()?;
        let input = self.input.take()?;
        Some(StoredResponse { id: response.get("id")?.as_str()?.to_owned(), input, response })
    }
}

/// The JSON of the event that a frame holds.
fn event_of(frame: &Bytes) -> Option<Value> {
    let events = SseSplitter::default().push(frame);
    let data = events.into_iter().find_map(|event| event.data)?;
    serde_json::from_str(&data).ok()
}

fn contains(bytes: &Bytes, needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

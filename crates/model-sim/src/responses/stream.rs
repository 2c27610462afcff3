//! The events of a streamed response, in their order.

use serde_json::{Map, Value, json};

use super::answer::{Responses, custom_input, item_id, status, text_part};
use crate::plan::{Block, BlockKind, Plan};
use crate::playback::Event;
use crate::prompt::set;
use crate::records::CallGuard;

/// All events of an answer, numbered.
pub(super) fn events(dialect: &Responses, plan: &Plan, call: &CallGuard) -> Vec<Event> {
    let mut log = Log::default();
    let mut begun = dialect.response(plan, call, &[]);
    set(&mut begun, "status", "in_progress");
    for key in ["usage", "completed_at", "error", "incomplete_details"] {
        set(&mut begun, key, Value::Null);
    }
    log.mark("response.created", json!({"response": begun}));
    log.mark("response.in_progress", json!({"response": begun}));
    let mut output = Vec::new();
    for (index, block) in plan.blocks.iter().enumerate() {
        let item = dialect.item(plan, call, index, block);
        log.mark(
            "response.output_item.added",
            json!({"output_index": index, "item": unfinished(&item)}),
        );
        let at = Place { output_index: index, item_id: item_id(call, index, block) };
        match &block.kind {
            BlockKind::Text => text(&mut log, &at, block),
            BlockKind::Reasoning if dialect.summarizes => summary(&mut log, &at, block),
            BlockKind::Reasoning | BlockKind::Redacted => {}
            BlockKind::ToolUse { name, .. } if dialect.is_custom(name) => {
                let input = custom_input(&block.whole());
                log.chunk(
                    "response.custom_tool_call_input.delta",
                    at.with(json!({"delta": input})),
                );
                log.mark("response.custom_tool_call_input.done", at.with(json!({"input": input})));
            }
            BlockKind::ToolUse { name, .. } => {
                for chunk in &block.chunks {
                    let delta = at.with(json!({"delta": chunk}));
                    log.chunk("response.function_call_arguments.delta", delta);
                }
                let whole = json!({"name": name, "arguments": block.whole()});
                log.mark("response.function_call_arguments.done", at.with(whole));
            }
        }
        log.mark("response.output_item.done", json!({"output_index": index, "item": item}));
        output.push(item);
    }
    let last = match status(plan) {
        "incomplete" => "response.incomplete",
        "failed" => "response.failed",
        _ => "response.completed",
    };
    log.mark(last, json!({"response": dialect.response(plan, call, &output)}));
    log.events
}

fn text(log: &mut Log, at: &Place, block: &Block) {
    let at_part = |fields: Value| at.with(with(json!({"content_index": 0}), fields));
    log.mark("response.content_part.added", at_part(json!({"part": text_part("")})));
    for chunk in &block.chunks {
        let delta = at_part(json!({"delta": chunk, "logprobs": []}));
        log.chunk("response.output_text.delta", delta);
    }
    let whole = block.whole();
    log.mark("response.output_text.done", at_part(json!({"text": whole, "logprobs": []})));
    log.mark("response.content_part.done", at_part(json!({"part": text_part(&whole)})));
}

fn summary(log: &mut Log, at: &Place, block: &Block) {
    let at_part = |fields: Value| at.with(with(json!({"summary_index": 0}), fields));
    let part = |text: &str| json!({"part": {"type": "summary_text", "text": text}});
    log.mark("response.reasoning_summary_part.added", at_part(part("")));
    for chunk in &block.chunks {
        log.chunk("response.reasoning_summary_text.delta", at_part(json!({"delta": chunk})));
    }
    let whole = block.whole();
    log.mark("response.reasoning_summary_text.done", at_part(json!({"text": whole})));
    log.mark("response.reasoning_summary_part.done", at_part(part(&whole)));
}

/// An item as it begins: nothing in it yet.
fn unfinished(item: &Value) -> Value {
    let mut item = item.clone();
    let nothing = [
        ("status", Value::from("in_progress")),
        ("content", json!([])),
        ("summary", json!([])),
        ("arguments", "".into()),
        ("input", "".into()),
    ];
    if let Some(fields) = item.as_object_mut() {
        for (key, value) in nothing {
            if let Some(field) = fields.get_mut(key) {
                *field = value;
            }
        }
    }
    item
}

fn with(mut fields: Value, more: Value) -> Value {
    if let (Value::Object(fields), Value::Object(more)) = (&mut fields, more) {
        fields.extend(more);
    }
    fields
}

struct Place {
    output_index: usize,
    item_id: String,
}

impl Place {
    fn with(&self, fields: Value) -> Value {
        with(json!({"output_index": self.output_index, "item_id": self.item_id}), fields)
    }
}

/// Numbers events as they come.
#[derive(Default)]
struct Log {
    events: Vec<Event>,
}

impl Log {
    fn mark(&mut self, kind: &'static str, fields: Value) {
        let data = self.numbered(kind, fields);
        self.events.push(Event::mark(kind, &data));
    }

    fn chunk(&mut self, kind: &'static str, fields: Value) {
        let data = self.numbered(kind, fields);
        self.events.push(Event::chunk(kind, &data));
    }

    fn numbered(&self, kind: &str, fields: Value) -> Value {
        let head = [
            ("type".to_owned(), Value::from(kind)),
            ("sequence_number".to_owned(), self.events.len().into()),
        ];
        with(Value::Object(Map::from_iter(head)), fields)
    }
}

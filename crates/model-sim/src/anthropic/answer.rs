//! Words an answer as Anthropic Messages does.

use serde_json::{Map, Value, json};

use crate::plan::{Block, BlockKind, Plan};
use crate::playback::{Dialect, Event};
use crate::prompt::set;
use crate::records::CallGuard;
use crate::seal::{seal, sign};

/// Anthropic's dialect, for one request.
#[derive(Debug, Clone)]
pub(crate) struct Messages {
    /// As the caller named it.
    pub(crate) model: String,
    /// Whether thinking is signed but not shown (`"display": "omitted"`).
    pub(crate) omits_thinking: bool,
}

impl Dialect for Messages {
    fn events(&self, plan: &Plan, call: &CallGuard) -> Vec<Event> {
        let mut events = Vec::new();
        let mut usage_so_far = usage(plan);
        set(&mut usage_so_far, "output_tokens", 1);
        let mut message = self.message(call, &json!([]), &usage_so_far);
        set(&mut message, "stop_reason", Value::Null);
        mark(&mut events, "message_start", json!({"message": message}));
        for (index, block) in plan.blocks.iter().enumerate() {
            self.push_block(&mut events, index, block);
            if index == 0 {
                mark(&mut events, "ping", json!({}));
            }
        }
        let delta = json!({"stop_reason": stop_reason(plan), "stop_sequence": plan.stop_sequence, "stop_details": stop_details(plan)});
        mark(&mut events, "message_delta", json!({"delta": delta, "usage": usage(plan)}));
        mark(&mut events, "message_stop", json!({}));
        events
    }

    fn whole(&self, plan: &Plan, call: &CallGuard) -> Value {
        let content: Vec<_> = plan.blocks.iter().map(|block| self.content(block)).collect();
        let mut message = self.message(call, &content.into(), &usage(plan));
        set(&mut message, "stop_reason", stop_reason(plan));
        set(&mut message, "stop_sequence", plan.stop_sequence.clone());
        set(&mut message, "stop_details", stop_details(plan));
        message
    }
}

impl Messages {
    /// What a client sees of a block.
    fn shown(&self, block: &Block) -> String {
        if self.omits_thinking && block.kind == BlockKind::Reasoning {
            return String::new();
        }
        block.whole()
    }

    fn push_block(&self, events: &mut Vec<Event>, index: usize, block: &Block) {
        let empty = match &block.kind {
            BlockKind::Reasoning => json!({"type": "thinking", "thinking": "", "signature": ""}),
            BlockKind::Text => json!({"type": "text", "text": ""}),
            BlockKind::ToolUse { id, name } => {
                json!({"type": "tool_use", "id": tool_use_id(id), "name": name, "input": {}})
            }
            // Comes whole, with its start.
            BlockKind::Redacted => {
                let start = json!({"index": index, "content_block": self.content(block)});
                events.push(Event::chunk(
                    "content_block_start",
                    &typed("content_block_start", start),
                ));
                mark(events, "content_block_stop", json!({"index": index}));
                return;
            }
        };
        mark(events, "content_block_start", json!({"index": index, "content_block": empty}));
        let delta =
            |delta: Value| typed("content_block_delta", json!({"index": index, "delta": delta}));
        if matches!(block.kind, BlockKind::ToolUse { .. }) {
            let nothing = delta(json!({"type": "input_json_delta", "partial_json": ""}));
            events.push(Event::mark("content_block_delta", &nothing));
        }
        let is_hidden = self.omits_thinking && block.kind == BlockKind::Reasoning;
        for chunk in block.chunks.iter().filter(|_| !is_hidden) {
            let worded = delta(match block.kind {
                BlockKind::Reasoning => json!({"type": "thinking_delta", "thinking": chunk}),
                BlockKind::ToolUse { .. } => {
                    json!({"type": "input_json_delta", "partial_json": chunk})
                }
                BlockKind::Text | BlockKind::Redacted => {
                    json!({"type": "text_delta", "text": chunk})
                }
            });
            events.push(Event::chunk("content_block_delta", &worded));
        }
        if block.kind == BlockKind::Reasoning {
            let signature =
                delta(json!({"type": "signature_delta", "signature": sign(&self.shown(block))}));
            events.push(Event::mark("content_block_delta", &signature));
        }
        mark(events, "content_block_stop", json!({"index": index}));
    }

    fn content(&self, block: &Block) -> Value {
        let whole = self.shown(block);
        match &block.kind {
            BlockKind::Reasoning => {
                json!({"type": "thinking", "thinking": whole, "signature": sign(&whole)})
            }
            BlockKind::Redacted => json!({"type": "redacted_thinking", "data": seal(&whole)}),
            BlockKind::Text => json!({"type": "text", "text": whole}),
            BlockKind::ToolUse { id, name } => {
                // Arguments that `max_tokens` cut short are no JSON any more.
                let input = serde_json::from_str::<Map<String, Value>>(&whole).unwrap_or_default();
                json!({"type": "tool_use", "id": tool_use_id(id), "name": name, "input": input})
            }
        }
    }

    fn message(&self, call: &CallGuard, content: &Value, usage: &Value) -> Value {
        json!({
            "id": format!("msg_sim_{}", call.seq()),
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": null,
            "stop_sequence": null,
            "stop_details": null,
            "usage": usage,
        })
    }
}

/// The data repeats the type of the event, ahead of all else.
fn typed(kind: &str, fields: Value) -> Value {
    let mut typed = Map::from_iter([("type".to_owned(), Value::from(kind))]);
    if let Value::Object(fields) = fields {
        typed.extend(fields);
    }
    Value::Object(typed)
}

fn mark(events: &mut Vec<Event>, kind: &'static str, fields: Value) {
    events.push(Event::mark(kind, &typed(kind, fields)));
}

fn tool_use_id(id: &str) -> String {
    format!("toolu_{id}")
}

fn stop_reason(plan: &Plan) -> &str {
    match plan.stop_reason.as_str() {
        "guardrail_intervened" | "content_filtered" => "refusal",
        other => other,
    }
}

fn stop_details(plan: &Plan) -> Value {
    match stop_reason(plan) {
        "refusal" => json!({"type": "refusal", "category": null, "explanation": null}),
        _ => Value::Null,
    }
}

/// `input_tokens` holds no cached ones.
fn usage(plan: &Plan) -> Value {
    let usage = plan.usage;
    json!({
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write(),
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": usage.output,
        "service_tier": "standard",
    })
}

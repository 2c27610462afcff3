//! Words an answer as Converse and `ConverseStream` do.

use serde_json::{Map, Value, json};

use crate::plan::{Block, BlockKind, Plan, Usage};
use crate::playback::{Dialect, Event};
use crate::records::CallGuard;
use crate::seal::{seal, sign};

/// Bedrock's own dialect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Converse;

impl Dialect for Converse {
    fn events(&self, plan: &Plan, _call: &CallGuard) -> Vec<Event> {
        let mut events = vec![Event::mark("messageStart", &json!({"role": "assistant"}))];
        for (index, block) in plan.blocks.iter().enumerate() {
            push_block(&mut events, index, block);
        }
        events.push(Event::mark("messageStop", &json!({"stopReason": plan.stop_reason})));
        let metrics = json!({"latencyMs": plan.latency_ms()});
        events.push(Event::mark(
            "metadata",
            &json!({"usage": usage(plan.usage), "metrics": metrics}),
        ));
        events
    }

    fn whole(&self, plan: &Plan, _call: &CallGuard) -> Value {
        let content: Vec<_> = plan.blocks.iter().map(content).collect();
        json!({
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": plan.stop_reason,
            "usage": usage(plan.usage),
            "metrics": {"latencyMs": plan.latency_ms()},
        })
    }
}

fn push_block(events: &mut Vec<Event>, index: usize, block: &Block) {
    // Text and reasoning start without an event of their own.
    if let BlockKind::ToolUse { id, name } = &block.kind {
        let start = json!({"toolUse": {"toolUseId": tool_use_id(id), "name": name}});
        events.push(Event::mark(
            "contentBlockStart",
            &json!({"contentBlockIndex": index, "start": start}),
        ));
    }
    let delta = |delta: Value| json!({"contentBlockIndex": index, "delta": delta});
    for chunk in &block.chunks {
        let worded = delta(match block.kind {
            BlockKind::Reasoning => json!({"reasoningContent": {"text": chunk}}),
            BlockKind::Redacted => json!({"reasoningContent": {"redactedContent": seal(chunk)}}),
            BlockKind::Text => json!({"text": chunk}),
            BlockKind::ToolUse { .. } => json!({"toolUse": {"input": chunk}}),
        });
        events.push(Event::chunk("contentBlockDelta", &worded));
    }
    if block.kind == BlockKind::Reasoning {
        let signature = delta(json!({"reasoningContent": {"signature": sign(&block.whole())}}));
        events.push(Event::mark("contentBlockDelta", &signature));
    }
    events.push(Event::mark("contentBlockStop", &json!({"contentBlockIndex": index})));
}

fn content(block: &Block) -> Value {
    let whole = block.whole();
    match &block.kind {
        BlockKind::Reasoning => {
            let signature = sign(&whole);
            json!({"reasoningContent": {"reasoningText": {"text": whole, "signature": signature}}})
        }
        BlockKind::Redacted => json!({"reasoningContent": {"redactedContent": seal(&whole)}}),
        BlockKind::Text => json!({"text": whole}),
        BlockKind::ToolUse { id, name } => {
            // Arguments that `maxTokens` cut short are no JSON any more.
            let input = serde_json::from_str::<Map<String, Value>>(&whole).unwrap_or_default();
            json!({"toolUse": {"toolUseId": tool_use_id(id), "name": name, "input": input}})
        }
    }
}

fn tool_use_id(id: &str) -> String {
    format!("tooluse_{id}")
}

/// `inputTokens` holds no cached tokens, `totalTokens` all.
fn usage(usage: Usage) -> Value {
    let mut json = json!({
        "inputTokens": usage.input,
        "outputTokens": usage.output,
        "totalTokens": usage.prompt() + usage.output,
        "cacheReadInputTokens": usage.cache_read,
        "cacheWriteInputTokens": usage.cache_write(),
    });
    let writes = [("5m", usage.cache_write_5m), ("1h", usage.cache_write_1h)];
    let details: Vec<_> = writes
        .iter()
        .filter(|(_, tokens)| *tokens > 0)
        .map(|(ttl, tokens)| json!({"ttl": ttl, "inputTokens": tokens}))
        .collect();
    if let Some(fields) = json.as_object_mut().filter(|_| !details.is_empty()) {
        fields.insert("cacheDetails".to_owned(), details.into());
    }
    json
}

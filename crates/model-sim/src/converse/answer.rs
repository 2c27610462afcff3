//! Words an answer as Converse and `ConverseStream` do.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use axum::response::Response;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::error::Fault;
use crate::plan::{Block, BlockKind, Plan, Usage};
use crate::playback::{Dialect, Frame};
use crate::records::CallGuard;

/// The signature of all simulated reasoning.
const SIGNATURE: &str = "c2ltdWxhdGVk";

/// Bedrock's own dialect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Converse;

impl Dialect for Converse {
    const STREAM_TYPE: &'static str = "application/vnd.amazon.eventstream";

    fn frames(&self, plan: &Plan, _call: &CallGuard) -> Vec<Frame> {
        let mut frames = vec![mark("messageStart", &json!({"role": "assistant"}))];
        for (index, block) in plan.blocks.iter().enumerate() {
            push_block(&mut frames, index, block);
        }
        frames.push(mark("messageStop", &json!({"stopReason": plan.stop_reason})));
        let metrics = json!({"latencyMs": plan.latency_ms()});
        frames.push(mark("metadata", &json!({"usage": usage(plan.usage), "metrics": metrics})));
        frames
    }

    fn fault_frame(&self, fault: &Fault) -> Bytes {
        let mut payload = json!({"message": fault.message});
        if fault.exception == "ModelStreamErrorException" {
            payload = json!({"message": fault.message, "originalMessage": fault.message, "originalStatusCode": 500});
        }
        event(":exception-type", &fault.stream_member(), "exception", &payload)
    }

    fn whole(&self, plan: &Plan, _call: &CallGuard) -> Vec<u8> {
        let content: Vec<_> = plan.blocks.iter().map(content).collect();
        let answer = json!({
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": plan.stop_reason,
            "usage": usage(plan.usage),
            "metrics": {"latencyMs": plan.latency_ms()},
        });
        answer.to_string().into_bytes()
    }

    fn refusal(&self, fault: Fault) -> Response {
        fault.into_bedrock()
    }
}

fn push_block(frames: &mut Vec<Frame>, index: usize, block: &Block) {
    // Text and reasoning start without an event of their own.
    if let BlockKind::ToolUse { id, name } = &block.kind {
        let start = json!({"toolUse": {"toolUseId": tool_use_id(id), "name": name}});
        frames
            .push(mark("contentBlockStart", &json!({"contentBlockIndex": index, "start": start})));
    }
    let delta = |delta: Value| {
        event(
            ":event-type",
            "contentBlockDelta",
            "event",
            &json!({"contentBlockIndex": index, "delta": delta}),
        )
    };
    for chunk in &block.chunks {
        frames.push(Frame::chunk(delta(match block.kind {
            BlockKind::Reasoning => json!({"reasoningContent": {"text": chunk}}),
            BlockKind::Text => json!({"text": chunk}),
            BlockKind::ToolUse { .. } => json!({"toolUse": {"input": chunk}}),
        })));
    }
    if block.kind == BlockKind::Reasoning {
        frames.push(Frame::mark(delta(json!({"reasoningContent": {"signature": SIGNATURE}}))));
    }
    frames.push(mark("contentBlockStop", &json!({"contentBlockIndex": index})));
}

fn content(block: &Block) -> Value {
    let whole = block.whole();
    match &block.kind {
        BlockKind::Reasoning => {
            json!({"reasoningContent": {"reasoningText": {"text": whole, "signature": SIGNATURE}}})
        }
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

fn mark(kind: &str, payload: &Value) -> Frame {
    Frame::mark(event(":event-type", kind, "event", payload))
}

/// Frames one message (<https://smithy.io/2.0/aws/amazon-eventstream.html>).
fn event(
    type_header: &'static str,
    kind: &str,
    message_type: &'static str,
    payload: &Value,
) -> Bytes {
    let message = Message::new(payload.to_string())
        .add_header(Header::new(type_header, HeaderValue::String(kind.to_owned().into())))
        .add_header(Header::new(":content-type", HeaderValue::String("application/json".into())))
        .add_header(Header::new(":message-type", HeaderValue::String(message_type.into())));
    let mut bytes = Vec::new();
    match write_message_to(&message, &mut bytes) {
        Ok(()) => bytes.into(),
        // Only a message over the format's 16 MB cannot be framed, and no request is that long.
        Err(_) => Bytes::new(),
    }
}

//! Words an answer as Chat Completions does.

use axum::response::Response;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::error::Fault;
use crate::plan::{Block, BlockKind, Plan};
use crate::playback::{Dialect, Frame};
use crate::records::CallGuard;

/// OpenAI's dialect, for one request.
#[derive(Debug, Clone)]
pub(crate) struct ChatCompletions {
    /// As the caller named it.
    pub(crate) model: String,
    /// Whether a stream ends with the usage.
    pub(crate) include_usage: bool,
}

impl Dialect for ChatCompletions {
    const STREAM_TYPE: &'static str = "text/event-stream";

    fn frames(&self, plan: &Plan, call: &CallGuard) -> Vec<Frame> {
        let stream = Stream { dialect: self, call };
        let mut frames =
            vec![Frame::mark(stream.delta(&json!({"role": "assistant", "content": ""}), None))];
        let mut tool_index = 0;
        for block in &plan.blocks {
            let key = match &block.kind {
                BlockKind::Reasoning => "reasoning_content",
                BlockKind::Text => "content",
                BlockKind::ToolUse { id, name } => {
                    let function = json!({"name": name, "arguments": ""});
                    let call = json!({"index": tool_index, "id": call_id(id), "type": "function", "function": function});
                    frames.push(Frame::mark(stream.delta(&json!({"tool_calls": [call]}), None)));
                    for chunk in &block.chunks {
                        let call = json!({"index": tool_index, "function": {"arguments": chunk}});
                        frames
                            .push(Frame::chunk(stream.delta(&json!({"tool_calls": [call]}), None)));
                    }
                    tool_index += 1;
                    continue;
                }
            };
            frames.extend(
                block
                    .chunks
                    .iter()
                    .map(|chunk| Frame::chunk(stream.delta(&json!({key: chunk}), None))),
            );
        }
        frames.push(Frame::mark(stream.delta(&json!({}), Some(finish_reason(plan)))));
        if self.include_usage {
            frames.push(Frame::mark(stream.event(&json!([]), &usage(plan))));
        }
        frames.push(Frame::mark(Bytes::from_static(b"data: [DONE]\n\n")));
        frames
    }

    fn fault_frame(&self, fault: &Fault) -> Bytes {
        data(&fault.openai_body())
    }

    fn whole(&self, plan: &Plan, call: &CallGuard) -> Vec<u8> {
        let of_kind = |kind: &BlockKind| {
            plan.blocks.iter().find(|block| block.kind == *kind).map(Block::whole)
        };
        let tool_calls: Vec<_> = plan
            .blocks
            .iter()
            .filter_map(|block| match &block.kind {
                BlockKind::ToolUse { id, name } => Some((id, name, block.whole())),
                BlockKind::Reasoning | BlockKind::Text => None,
            })
            .map(|(id, name, arguments)| {
                json!({"id": call_id(id), "type": "function", "function": {"name": name, "arguments": arguments}})
            })
            .collect();
        let mut message =
            json!({"role": "assistant", "content": of_kind(&BlockKind::Text), "refusal": null});
        if let Some(fields) = message.as_object_mut() {
            if let Some(reasoning) = of_kind(&BlockKind::Reasoning) {
                fields.insert("reasoning_content".to_owned(), reasoning.into());
            }
            if !tool_calls.is_empty() {
                fields.insert("tool_calls".to_owned(), tool_calls.into());
            }
        }
        let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason(plan)});
        let answer = json!({
            "id": completion_id(call),
            "object": "chat.completion",
            "created": call.started_s(),
            "model": self.model,
            "choices": [choice],
            "usage": usage(plan),
            "service_tier": "default",
            "system_fingerprint": "model-sim",
        });
        answer.to_string().into_bytes()
    }

    fn refusal(&self, fault: Fault) -> Response {
        fault.into_openai()
    }
}

struct Stream<'a> {
    dialect: &'a ChatCompletions,
    call: &'a CallGuard,
}

impl Stream<'_> {
    fn delta(&self, delta: &Value, finish_reason: Option<&str>) -> Bytes {
        let choice =
            json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason});
        self.event(&json!([choice]), &Value::Null)
    }

    fn event(&self, choices: &Value, usage: &Value) -> Bytes {
        let mut chunk = json!({
            "id": completion_id(self.call),
            "object": "chat.completion.chunk",
            "created": self.call.started_s(),
            "model": self.dialect.model,
            "choices": choices,
        });
        if let Some(fields) = chunk.as_object_mut().filter(|_| self.dialect.include_usage) {
            fields.insert("usage".to_owned(), usage.clone());
        }
        data(&chunk)
    }
}

fn data(json: &Value) -> Bytes {
    format!("data: {json}\n\n").into()
}

fn completion_id(call: &CallGuard) -> String {
    format!("chatcmpl-sim-{}", call.seq())
}

fn call_id(id: &str) -> String {
    format!("call_{id}")
}

/// A scripted reason that is OpenAI's own already stays as it is.
fn finish_reason(plan: &Plan) -> &str {
    match plan.stop_reason.as_str() {
        "end_turn" | "stop_sequence" => "stop",
        "tool_use" => "tool_calls",
        "max_tokens" | "model_context_window_exceeded" => "length",
        "guardrail_intervened" | "content_filtered" => "content_filter",
        other => other,
    }
}

/// `prompt_tokens` includes the cached ones.
fn usage(plan: &Plan) -> Value {
    let usage = plan.usage;
    let reasoning = plan.blocks.iter().filter(|block| block.kind == BlockKind::Reasoning);
    let reasoning_tokens = reasoning.map(|block| block.chunks.len()).sum::<usize>();
    json!({
        "prompt_tokens": usage.prompt(),
        "completion_tokens": usage.output,
        "total_tokens": usage.prompt() + usage.output,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write(),
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    })
}

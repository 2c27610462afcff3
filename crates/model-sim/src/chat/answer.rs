//! Words an answer as Chat Completions does.

use serde_json::{Value, json};

use crate::error::Fault;
use crate::plan::{Block, BlockKind, Plan};
use crate::playback::{Dialect, Event};
use crate::prompt::set;
use crate::records::CallGuard;

/// OpenAI's dialect, for one request.
#[derive(Debug, Clone)]
pub(crate) struct ChatCompletions {
    /// As the caller named it.
    pub(crate) model: String,
    /// Whether a stream ends with the usage.
    pub(crate) include_usage: bool,
    /// What this server does its own way.
    pub(crate) quirks: Quirks,
}

/// What servers do that say they are compatible.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one habit, free to go with any other")]
pub(crate) struct Quirks {
    /// Never reports usage.
    pub(crate) no_usage: bool,
    /// Reports usage in the chunk that ends the choice, asked or not.
    pub(crate) usage_with_finish: bool,
    /// Ends a stream without `[DONE]`.
    pub(crate) no_done: bool,
    /// Calls the reasoning `reasoning`.
    pub(crate) plain_reasoning: bool,
    /// Gives a tool call in one piece.
    pub(crate) whole_tool_calls: bool,
}

impl Quirks {
    /// Takes up a habit.
    ///
    /// # Errors
    /// A name that nobody knows.
    pub(crate) fn add(&mut self, name: &str) -> Result<(), Fault> {
        match name {
            "no-usage" => self.no_usage = true,
            "usage-with-finish" => self.usage_with_finish = true,
            "no-done" => self.no_done = true,
            "plain-reasoning" => self.plain_reasoning = true,
            "whole-tool-calls" => self.whole_tool_calls = true,
            "ollama" => {
                self.plain_reasoning = true;
                self.whole_tool_calls = true;
            }
            _ => return Err(Fault::validation(format!("model-sim knows no quirk `{name}`"))),
        }
        Ok(())
    }
}

impl Dialect for ChatCompletions {
    fn events(&self, plan: &Plan, call: &CallGuard) -> Vec<Event> {
        let stream = Stream { dialect: self, call };
        let mut events = vec![Event::mark(
            "",
            &stream.delta(&json!({"role": "assistant", "content": ""}), None),
        )];
        let mut tool_index = 0;
        for block in &plan.blocks {
            let key = match &block.kind {
                BlockKind::Reasoning if self.quirks.plain_reasoning => "reasoning",
                BlockKind::Reasoning => "reasoning_content",
                BlockKind::Text => "content",
                BlockKind::Redacted => continue,
                BlockKind::ToolUse { id, name } => {
                    stream.tool_call(&mut events, tool_index, block, id, name);
                    tool_index += 1;
                    continue;
                }
            };
            let deltas = block.chunks.iter().map(|chunk| stream.delta(&json!({key: chunk}), None));
            events.extend(deltas.map(|delta| Event::chunk("", &delta)));
        }
        let mut last = stream.delta(&json!({}), Some(finish_reason(plan)));
        if self.quirks.usage_with_finish {
            set(&mut last, "usage", usage(plan));
        }
        events.push(Event::mark("", &last));
        if self.reports_usage() {
            events.push(Event::mark("", &stream.event(&json!([]), &usage(plan))));
        }
        if !self.quirks.no_done {
            events.push(Event::mark("", &"[DONE]"));
        }
        events
    }

    fn whole(&self, plan: &Plan, call: &CallGuard) -> Value {
        let of_kind = |kind: &BlockKind| {
            plan.blocks.iter().find(|block| block.kind == *kind).map(Block::whole)
        };
        let tool_calls: Vec<_> = plan
            .blocks
            .iter()
            .filter_map(|block| match &block.kind {
                BlockKind::ToolUse { id, name } => Some((id, name, block.whole())),
                BlockKind::Reasoning | BlockKind::Redacted | BlockKind::Text => None,
            })
            .map(|(id, name, arguments)| {
                json!({"id": call_id(id), "type": "function", "function": {"name": name, "arguments": arguments}})
            })
            .collect();
        let mut message =
            json!({"role": "assistant", "content": of_kind(&BlockKind::Text), "refusal": null});
        if let Some(reasoning) = of_kind(&BlockKind::Reasoning) {
            let is_plain = self.quirks.plain_reasoning;
            set(&mut message, if is_plain { "reasoning" } else { "reasoning_content" }, reasoning);
        }
        if !tool_calls.is_empty() {
            set(&mut message, "tool_calls", tool_calls);
        }
        let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason(plan)});
        let mut answer = json!({
            "id": completion_id(call),
            "object": "chat.completion",
            "created": call.started_s(),
            "model": self.model,
            "choices": [choice],
        });
        if !self.quirks.no_usage {
            set(&mut answer, "usage", usage(plan));
        }
        set(&mut answer, "service_tier", "default");
        set(&mut answer, "system_fingerprint", "model-sim");
        answer
    }
}

impl ChatCompletions {
    fn reports_usage(&self) -> bool {
        self.include_usage && !self.quirks.no_usage
    }
}

struct Stream<'a> {
    dialect: &'a ChatCompletions,
    call: &'a CallGuard,
}

impl Stream<'_> {
    fn tool_call(
        &self,
        events: &mut Vec<Event>,
        index: usize,
        block: &Block,
        id: &str,
        name: &str,
    ) {
        let delta = |call: Value| self.delta(&json!({"tool_calls": [call]}), None);
        let whole = self.dialect.quirks.whole_tool_calls.then(|| block.whole());
        let function = json!({"name": name, "arguments": whole.as_deref().unwrap_or_default()});
        let start = delta(
            json!({"index": index, "id": call_id(id), "type": "function", "function": function}),
        );
        if whole.is_some() {
            events.push(Event::chunk("", &start));
            return;
        }
        events.push(Event::mark("", &start));
        let fragments = block
            .chunks
            .iter()
            .map(|chunk| delta(json!({"index": index, "function": {"arguments": chunk}})));
        events.extend(fragments.map(|delta| Event::chunk("", &delta)));
    }

    fn delta(&self, delta: &Value, finish_reason: Option<&str>) -> Value {
        let choice =
            json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason});
        self.event(&json!([choice]), &Value::Null)
    }

    fn event(&self, choices: &Value, usage: &Value) -> Value {
        let mut chunk = json!({
            "id": completion_id(self.call),
            "object": "chat.completion.chunk",
            "created": self.call.started_s(),
            "model": self.dialect.model,
            "choices": choices,
        });
        if self.dialect.reports_usage() {
            set(&mut chunk, "usage", usage.clone());
        }
        chunk
    }
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

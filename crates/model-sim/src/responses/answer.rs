//! Words an answer as Responses does.

use serde_json::{Value, json};

use super::stream;
use crate::plan::{Block, BlockKind, Plan};
use crate::playback::{Dialect, Event};
use crate::prompt::{list, set, text};
use crate::records::CallGuard;
use crate::seal::seal;

/// OpenAI's newer dialect, for one request.
#[derive(Debug, Clone)]
pub(crate) struct Responses {
    /// What the response repeats of the request.
    request: Value,
    /// Tools whose input is plain text.
    custom_tools: Vec<String>,
    /// Whether reasoning is told in a summary.
    pub(super) summarizes: bool,
    /// Whether reasoning is given along sealed.
    seals: bool,
}

impl Dialect for Responses {
    fn events(&self, plan: &Plan, call: &CallGuard) -> Vec<Event> {
        stream::events(self, plan, call)
    }

    fn whole(&self, plan: &Plan, call: &CallGuard) -> Value {
        let items = plan.blocks.iter().enumerate();
        let output: Vec<_> =
            items.map(|(index, block)| self.item(plan, call, index, block)).collect();
        self.response(plan, call, &output)
    }
}

impl Responses {
    pub(super) fn new(request: &Value) -> Self {
        let is_custom = |tool: &&Value| text(tool, "type") == Some("custom");
        let summary = request.pointer("/reasoning/summary").filter(|summary| !summary.is_null());
        let sealed = Value::from("reasoning.encrypted_content");
        Self {
            request: request.clone(),
            custom_tools: list(request, "tools")
                .iter()
                .filter(is_custom)
                .filter_map(|tool| text(tool, "name"))
                .map(str::to_owned)
                .collect(),
            summarizes: summary.is_some(),
            seals: list(request, "include").contains(&sealed),
        }
    }

    pub(super) fn is_custom(&self, name: &str) -> bool {
        self.custom_tools.iter().any(|custom| custom == name)
    }

    /// The response with this output; without any it is still in progress.
    pub(super) fn response(&self, plan: &Plan, call: &CallGuard, output: &[Value]) -> Value {
        let status = status(plan);
        let echo = |key: &str, fallback: Value| match self.request.get(key) {
            Some(value) if !value.is_null() => value.clone(),
            _ => fallback,
        };
        let reason = match plan.stop_reason.as_str() {
            "guardrail_intervened" | "content_filtered" => "content_filter",
            _ => "max_output_tokens",
        };
        let incomplete = (status == "incomplete").then(|| json!({"reason": reason}));
        let failure =
            json!({"code": "server_error", "message": "scripted failure of the model simulator"});
        json!({
            "id": format!("resp_sim_{}", call.seq()),
            "object": "response",
            "created_at": call.started_s(),
            "completed_at": (status == "completed").then(|| call.started_s()),
            "status": status,
            "background": false,
            "error": (status == "failed").then_some(failure),
            "incomplete_details": incomplete,
            "instructions": echo("instructions", Value::Null),
            "max_output_tokens": echo("max_output_tokens", Value::Null),
            "model": echo("model", Value::Null),
            "output": output,
            "parallel_tool_calls": echo("parallel_tool_calls", true.into()),
            "previous_response_id": null,
            "reasoning": echo("reasoning", json!({"effort": null, "summary": null})),
            "service_tier": "default",
            "store": false,
            "temperature": echo("temperature", json!(1.0)),
            "text": echo("text", json!({"format": {"type": "text"}})),
            "tool_choice": echo("tool_choice", "auto".into()),
            "tools": echo("tools", json!([])),
            "top_p": echo("top_p", json!(1.0)),
            "truncation": echo("truncation", "disabled".into()),
            "usage": usage(plan),
            "metadata": echo("metadata", json!({})),
        })
    }

    /// An item of the output as it ends.
    pub(super) fn item(&self, plan: &Plan, call: &CallGuard, index: usize, block: &Block) -> Value {
        let is_last = index + 1 == plan.blocks.len();
        let is_cut_short = is_last && status(plan) == "incomplete";
        let status = if is_cut_short { "incomplete" } else { "completed" };
        let whole = block.whole();
        let id = item_id(call, index, block);
        match &block.kind {
            BlockKind::Reasoning => {
                let summary = json!([{"type": "summary_text", "text": whole}]);
                let mut item = json!({"id": id, "type": "reasoning", "summary": if self.summarizes { summary } else { json!([]) }});
                if self.seals {
                    set(&mut item, "encrypted_content", seal(&whole));
                }
                item
            }
            BlockKind::Redacted => {
                let mut item = json!({"id": id, "type": "reasoning", "summary": []});
                if self.seals {
                    set(&mut item, "encrypted_content", seal(&whole));
                }
                item
            }
            BlockKind::Text => {
                json!({"id": id, "type": "message", "status": status, "role": "assistant", "content": [text_part(&whole)]})
            }
            BlockKind::ToolUse { id: call_id, name } if self.is_custom(name) => {
                json!({"id": id, "type": "custom_tool_call", "status": status, "call_id": format!("call_{call_id}"), "name": name, "input": custom_input(&whole)})
            }
            BlockKind::ToolUse { id: call_id, name } => {
                json!({"id": id, "type": "function_call", "status": status, "call_id": format!("call_{call_id}"), "name": name, "arguments": whole})
            }
        }
    }
}

pub(super) fn item_id(call: &CallGuard, index: usize, block: &Block) -> String {
    let prefix = match block.kind {
        BlockKind::Reasoning | BlockKind::Redacted => "rs",
        BlockKind::Text => "msg",
        BlockKind::ToolUse { .. } => "fc",
    };
    format!("{prefix}_sim_{}_{index}", call.seq())
}

/// A part of a message.
pub(super) fn text_part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

/// What a tool without a schema gets: the argument `input`.
pub(super) fn custom_input(arguments: &str) -> String {
    let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
    text(&arguments, "input").unwrap_or_default().to_owned()
}

/// How the response ends; `failed` may be scripted.
pub(super) fn status(plan: &Plan) -> &'static str {
    match plan.stop_reason.as_str() {
        "max_tokens"
        | "model_context_window_exceeded"
        | "guardrail_intervened"
        | "content_filtered" => "incomplete",
        "failed" => "failed",
        _ => "completed",
    }
}

/// `input_tokens` includes the cached ones.
fn usage(plan: &Plan) -> Value {
    let usage = plan.usage;
    let reasons = |block: &&Block| matches!(block.kind, BlockKind::Reasoning | BlockKind::Redacted);
    let reasoning =
        plan.blocks.iter().filter(reasons).map(|block| block.chunks.len()).sum::<usize>();
    json!({
        "input_tokens": usage.prompt(),
        "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write()},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": usage.prompt() + usage.output,
    })
}

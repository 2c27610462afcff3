//! Bodies of text models that have a form of their own.

use serde_json::{Value, json};

use super::{malformed, only};
use crate::call::Read;
use crate::converse;
use crate::error::Fault;
use crate::plan::{Block, BlockKind, Plan};
use crate::playback::{Dialect, Event};
use crate::prompt::{Prompt, Role, Tally, Turn, list, text};
use crate::records::CallGuard;

/// Llama: a prompt that holds the whole conversation.
pub(super) fn llama(body: &Value) -> Result<Read, Fault> {
    only(body, &["prompt", "max_gen_len", "temperature", "top_p", "images"])?;
    Ok((prompt(body, "max_gen_len")?, Box::new(Llama)))
}

/// Mistral: likewise.
pub(super) fn mistral(body: &Value) -> Result<Read, Fault> {
    only(body, &["prompt", "max_tokens", "stop", "temperature", "top_p", "top_k"])?;
    Ok((prompt(body, "max_tokens")?, Box::new(Mistral)))
}

/// Nova: the body of Converse, with a version.
pub(super) fn nova(model: &str, body: &Value) -> Result<Read, Fault> {
    let mut body = body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.shift_remove("schemaVersion");
    }
    let (prompt, inner) = converse::read(model, &body)?;
    Ok((prompt, Box::new(Nova(inner))))
}

fn prompt(body: &Value, max_tokens: &str) -> Result<Prompt, Fault> {
    let Some(said) = text(body, "prompt").filter(|said| !said.is_empty()) else {
        return malformed("#: required key [prompt] not found");
    };
    let mut tally = Tally::default();
    tally.text(said);
    let mut turn = Turn::new(Role::User);
    turn.say(said);
    Ok(Prompt {
        turns: vec![turn],
        max_tokens: body.get(max_tokens).and_then(Value::as_u64),
        stop_sequences: list(body, "stop")
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        tally,
        ..Prompt::default()
    })
}

/// The text of an answer; these models call no tools.
fn texts(plan: &Plan) -> impl Iterator<Item = &Block> {
    plan.blocks.iter().filter(|block| block.kind == BlockKind::Text)
}

fn stop_reason(plan: &Plan) -> &str {
    match plan.stop_reason.as_str() {
        "max_tokens" => "length",
        _ => "stop",
    }
}

#[derive(Debug)]
struct Llama;

impl Llama {
    fn worded(plan: &Plan, generation: &str, is_last: bool) -> Value {
        json!({
            "generation": generation,
            "prompt_token_count": plan.usage.prompt(),
            "generation_token_count": plan.usage.output,
            "stop_reason": is_last.then(|| stop_reason(plan)),
        })
    }
}

impl Dialect for Llama {
    fn events(&self, plan: &Plan, _call: &CallGuard) -> Vec<Event> {
        let chunks = texts(plan).flat_map(|block| &block.chunks);
        let mut events: Vec<_> =
            chunks.map(|chunk| Event::chunk("", &Self::worded(plan, chunk, false))).collect();
        events.push(Event::mark("", &Self::worded(plan, "", true)));
        events
    }

    fn whole(&self, plan: &Plan, _call: &CallGuard) -> Value {
        Self::worded(plan, &texts(plan).map(Block::whole).collect::<String>(), true)
    }
}

#[derive(Debug)]
struct Mistral;

impl Mistral {
    fn worded(plan: &Plan, said: &str, is_last: bool) -> Value {
        json!({"outputs": [{"text": said, "stop_reason": is_last.then(|| stop_reason(plan))}]})
    }
}

impl Dialect for Mistral {
    fn events(&self, plan: &Plan, _call: &CallGuard) -> Vec<Event> {
        let chunks = texts(plan).flat_map(|block| &block.chunks);
        let mut events: Vec<_> =
            chunks.map(|chunk| Event::chunk("", &Self::worded(plan, chunk, false))).collect();
        events.push(Event::mark("", &Self::worded(plan, "", true)));
        events
    }

    fn whole(&self, plan: &Plan, _call: &CallGuard) -> Value {
        Self::worded(plan, &texts(plan).map(Block::whole).collect::<String>(), true)
    }
}

/// Each chunk holds one event of `ConverseStream` under its name.
struct Nova(Box<dyn Dialect>);

impl Dialect for Nova {
    fn events(&self, plan: &Plan, call: &CallGuard) -> Vec<Event> {
        let named = |event: Event| {
            let data: Value = serde_json::from_str(&event.data).unwrap_or_default();
            Event { data: json!({event.name: data}).to_string(), ..event }
        };
        self.0.events(plan, call).into_iter().map(named).collect()
    }

    fn whole(&self, plan: &Plan, call: &CallGuard) -> Value {
        self.0.whole(plan, call)
    }
}

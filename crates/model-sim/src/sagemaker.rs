//! The `SageMaker` runtime: `<name>-chat` is a container that speaks Chat Completions, `<name>-json` one that
//! takes `{"inputs", "parameters"}`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Value, json};

use crate::access::Action;
use crate::arrival::Arrival;
use crate::call::{Asked, Gate, Read, answer};
use crate::chat::{self, Quirks};
use crate::error::Fault;
use crate::plan::{Block, BlockKind, Plan};
use crate::playback::{Dialect, Event};
use crate::prompt::{Prompt, Role, Tally, Turn, list, text};
use crate::records::{Api, CallGuard};
use crate::server::Sim;
use crate::surface::Surface;

/// `POST /endpoints/{name}/invocations`
pub(crate) async fn whole(
    State(sim): State<Arc<Sim>>,
    Path(name): Path<String>,
    arrival: Arrival,
) -> Response {
    let gate = Gate::Iam(vec![(Action::InvokeEndpoint, name.clone())]);
    either(&sim, name, &arrival, Api::InvokeEndpoint, gate).await
}

/// `POST /endpoints/{name}/invocations-response-stream`
pub(crate) async fn stream(
    State(sim): State<Arc<Sim>>,
    Path(name): Path<String>,
    arrival: Arrival,
) -> Response {
    let gate = Gate::Iam(vec![(Action::InvokeEndpointStreamed, name.clone())]);
    either(&sim, name, &arrival, Api::InvokeEndpointStream, gate).await
}

async fn either(sim: &Sim, name: String, arrival: &Arrival, api: Api, gate: Gate) -> Response {
    let (surface, is_streamed) = (Surface::SageMaker, api == Api::InvokeEndpointStream);
    let asked = Asked { api, model: name.clone(), surface, gate, is_streamed };
    answer(sim, arrival, asked, arrival.json(), |json| read(&name, json, is_streamed)).await
}

fn read(name: &str, json: &Value, is_streamed: bool) -> Result<Read, Fault> {
    if chat::is_streamed(json) != is_streamed {
        return Err(Fault::validation(format!(
            "model-sim: this operation wants `\"stream\": {is_streamed}` in the body"
        )));
    }
    if name.ends_with("-chat") {
        let mut json = json.clone();
        // Containers serve one model, and do not mind how it is called.
        if let Some(fields) = json.as_object_mut() {
            fields.entry("model").or_insert_with(|| name.into());
        }
        return chat::read(&json, Quirks::default(), true);
    }
    if name.ends_with("-json") {
        return Ok((prompt(json)?, Box::new(Generated)));
    }
    Err(Fault::validation(format!(
        "Endpoint {name} not found: model-sim has those whose names end in -chat and -json."
    )))
}

fn prompt(json: &Value) -> Result<Prompt, Fault> {
    let Some(inputs) = text(json, "inputs").filter(|inputs| !inputs.is_empty()) else {
        return Err(Fault::validation("`inputs` must be a text"));
    };
    let parameters = json.get("parameters").unwrap_or(&Value::Null);
    let mut tally = Tally::default();
    tally.text(inputs);
    let mut turn = Turn::new(Role::User);
    turn.say(inputs);
    let stop = list(parameters, "stop").iter().filter_map(Value::as_str).map(str::to_owned);
    Ok(Prompt {
        turns: vec![turn],
        max_tokens: parameters.get("max_new_tokens").and_then(Value::as_u64),
        stop_sequences: stop.collect(),
        tally,
        ..Prompt::default()
    })
}

/// TGI's own form.
#[derive(Debug)]
struct Generated;

impl Generated {
    fn text(plan: &Plan) -> String {
        let texts = plan.blocks.iter().filter(|block| block.kind == BlockKind::Text);
        texts.map(Block::whole).collect()
    }
}

impl Dialect for Generated {
    fn events(&self, plan: &Plan, _call: &CallGuard) -> Vec<Event> {
        let texts = plan.blocks.iter().filter(|block| block.kind == BlockKind::Text);
        let chunks: Vec<_> = texts.flat_map(|block| &block.chunks).collect();
        let reason = if plan.stop_reason == "max_tokens" { "length" } else { "eos_token" };
        let details = json!({"finish_reason": reason, "generated_tokens": plan.usage.output, "input_length": plan.usage.prompt(), "seed": null});
        let worded = |(index, chunk): (usize, &&String)| {
            let is_last = index + 1 == chunks.len();
            let token = json!({"id": index, "text": chunk, "logprob": 0.0, "special": false});
            Event::chunk(
                "",
                &json!({
                    "index": index + 1,
                    "token": token,
                    "generated_text": is_last.then(|| Self::text(plan)),
                    "details": is_last.then_some(&details),
                }),
            )
        };
        chunks.iter().enumerate().map(worded).collect()
    }

    fn whole(&self, plan: &Plan, _call: &CallGuard) -> Value {
        json!([{"generated_text": Self::text(plan)}])
    }
}

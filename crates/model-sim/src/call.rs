//! What all operations do alike: record, check access, read, script, play.

use std::time::SystemTime;

use axum::response::Response;
use serde_json::Value;

use crate::access::{Action, Ruling};
use crate::arrival::Arrival;
use crate::directive::{self, Directive};
use crate::error::Fault;
use crate::key::Key;
use crate::plan::Plan;
use crate::playback::{Dialect, Performance, Release};
use crate::prompt::Prompt;
use crate::records::{Api, CallHead};
use crate::server::Sim;
use crate::surface::Surface;

/// What the path, or the body where the path is silent, says of a request.
#[derive(Debug)]
pub(crate) struct Asked {
    /// The operation.
    pub(crate) api: Api,
    /// The model, endpoint or guardrail.
    pub(crate) model: String,
    /// Where it came in.
    pub(crate) surface: Surface,
    /// Who may call it.
    pub(crate) gate: Gate,
    /// Whether the answer is to be streamed.
    pub(crate) is_streamed: bool,
}

/// What a caller must show.
#[derive(Debug)]
pub(crate) enum Gate {
    /// A signature by someone who may do all of these, each to a model, endpoint or guardrail.
    Iam(Vec<(Action, String)>),
    /// The key of an OpenAI-compatible server.
    Key(Key),
}

impl Gate {
    /// A signature by someone who may call this model.
    pub(crate) fn invoke(model: &str, is_streamed: bool) -> Self {
        let action = if is_streamed { Action::InvokeStreamed } else { Action::Invoke };
        Self::Iam(vec![(action, model.to_owned())])
    }
}

/// A request as it was understood: what decides on the answer, and who words it.
pub(crate) type Read = (Prompt, Box<dyn Dialect>);

/// Answers a request; `read` makes out what it asks.
pub(crate) async fn answer(
    sim: &Sim,
    arrival: &Arrival,
    asked: Asked,
    json: Result<Value, Fault>,
    read: impl FnOnce(&Value) -> Result<Read, Fault>,
) -> Response {
    let head = CallHead {
        path: arrival.path().to_owned(),
        headers: arrival.headers_without_secrets(match &asked.gate {
            Gate::Key(key) => key.header(),
            Gate::Iam(_) => None,
        }),
        access_key_id: arrival.signed().access_key_id().map(str::to_owned),
        request_metadata: arrival.metadata(json.as_ref().ok()),
        request_body: arrival.body.clone(),
        started_ms: now_ms(),
    };
    let call = sim.records.begin(asked.api, &asked.model, head);
    let request_id = format!("00000000-0000-4000-8000-{:012x}", call.seq());
    let release = Release::new(&sim.releases);
    let cut = arrival.cut.clone();
    let performance = Performance { call, surface: asked.surface, request_id, release, cut };
    let ruling = admit(sim, arrival, &asked).await;
    performance.call.signed_by(ruling.principal_arn);
    let planned = ruling.verdict.and_then(|()| {
        let (prompt, dialect) = read(&json?)?;
        Ok((plan(sim, &asked.model, &prompt)?, dialect))
    });
    let (plan, dialect) = match planned {
        Ok(planned) => planned,
        Err(fault) => return performance.refuse(&fault),
    };
    performance.play(dialect.as_ref(), plan, asked.is_streamed).await
}

async fn admit(sim: &Sim, arrival: &Arrival, asked: &Asked) -> Ruling {
    let demands = match &asked.gate {
        Gate::Key(key) => return Ruling { principal_arn: None, verdict: key.check(arrival) },
        Gate::Iam(demands) => demands,
    };
    let mut ruling = Ruling { principal_arn: None, verdict: Ok(()) };
    for (action, id) in demands {
        ruling = sim.access.check(arrival.signed(), *action, id).await;
        if ruling.verdict.is_err() {
            break;
        }
    }
    ruling
}

/// Scripts know their conversations; a directive in the last message goes before them.
fn plan(sim: &Sim, model: &str, prompt: &Prompt) -> Result<Plan, Fault> {
    let text = prompt.last_user_text();
    let (mut keys, said) = directive::take(text)?;
    if keys.is_empty() && !prompt.is_wordless {
        keys = sim.scripts.answer(prompt).unwrap_or_default();
    }
    sim.faults.apply(model, text, &mut keys)?;
    let directive = Directive::read(keys)?;
    let counts_input = directive.usage.counts_input();
    let mut plan = Plan::new(prompt, directive, &said);
    if counts_input && plan.fault.is_none() {
        sim.prompt_cache.apply(model, &prompt.prefixes, &mut plan.usage);
    }
    Ok(plan)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the clock; it only dates records"
)]
fn now_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

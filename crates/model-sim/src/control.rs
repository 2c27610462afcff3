//! The control API, for tests.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::error::Fault;
use crate::server::Sim;
use crate::surface::{Errors, Surface};

/// `GET /_sim/health`
pub(crate) async fn health(State(sim): State<Arc<Sim>>) -> Json<Value> {
    let closed = sim.closed.local_addr().ok().map(|address| format!("http://{address}"));
    Json(
        json!({"status": "ok", "simulator": true, "last_seq": sim.records.last_seq(), "closed_url": closed}),
    )
}

/// `GET /_sim/calls`: the recorded calls after `since`, oldest first.
pub(crate) async fn calls(State(sim): State<Arc<Sim>>, uri: Uri) -> Json<Value> {
    let parameter = |name: &str| {
        let pairs =
            uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .filter(|(key, value)| *key == name && !value.is_empty())
            .map(|(_, value)| value)
            .next_back()
    };
    let number = |name| parameter(name).and_then(|value| value.parse::<u64>().ok());
    let limit = number("limit").map_or(usize::MAX, |limit| limit.try_into().unwrap_or(usize::MAX));
    let calls = sim.records.list(number("since").unwrap_or(0), parameter("tenant_id"), limit);
    Json(json!({"calls": calls, "last_seq": sim.records.last_seq()}))
}

/// `PUT /_sim/faults`: directives by model, for calls from now on.
pub(crate) async fn put_faults(State(sim): State<Arc<Sim>>, body: Bytes) -> Response {
    done(read::<Map<String, Value>>(&body).and_then(|table| sim.faults.replace(table)))
}

/// `PUT /_sim/scripts/{name}`
pub(crate) async fn put_script(
    State(sim): State<Arc<Sim>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Response {
    done(read(&body).and_then(|script| sim.scripts.put(name, script)))
}

/// `DELETE /_sim/scripts/{name}`
pub(crate) async fn delete_script(
    State(sim): State<Arc<Sim>>,
    Path(name): Path<String>,
) -> StatusCode {
    if sim.scripts.remove(&name) { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

/// `POST /_sim/release`: ends the waits of all calls under way.
pub(crate) async fn release(State(sim): State<Arc<Sim>>) -> StatusCode {
    sim.releases.send_modify(|releases| *releases += 1);
    StatusCode::NO_CONTENT
}

/// `POST /_sim/reset`
pub(crate) async fn reset(State(sim): State<Arc<Sim>>) -> StatusCode {
    sim.records.reset();
    sim.faults.reset();
    sim.scripts.reset();
    sim.prompt_cache.reset();
    StatusCode::NO_CONTENT
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| Fault::validation(error.to_string()))
}

fn done(result: Result<(), Fault>) -> Response {
    match result {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(fault) => Surface::OpenAi(Errors::OpenAi).refusal(&fault, "control"),
    }
}

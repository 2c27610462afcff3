//! The control API, for tests.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use serde_json::{Value, json};

use crate::server::Sim;

/// `GET /_sim/health`
pub(crate) async fn health(State(sim): State<Arc<Sim>>) -> Json<Value> {
    Json(json!({"status": "ok", "simulator": true, "last_seq": sim.records.last_seq()}))
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

/// `POST /_sim/reset`
pub(crate) async fn reset(State(sim): State<Arc<Sim>>) -> StatusCode {
    sim.records.reset();
    StatusCode::NO_CONTENT
}

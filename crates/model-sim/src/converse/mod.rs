//! Converse and `ConverseStream`.
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>

mod answer;
mod blocks;
mod request;
mod validate;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::Value;

use crate::arrival::Arrival;
use crate::call::{Asked, Gate, Read, answer};
use crate::error::Fault;
use crate::records::Api;
use crate::server::Sim;
use crate::surface::Surface;

pub(crate) use request::tally;

/// `POST /model/{id}/converse`
pub(crate) async fn whole(
    State(sim): State<Arc<Sim>>,
    Path(model): Path<String>,
    arrival: Arrival,
) -> Response {
    either(&sim, model, &arrival, Api::Converse, false).await
}

/// `POST /model/{id}/converse-stream`
pub(crate) async fn stream(
    State(sim): State<Arc<Sim>>,
    Path(model): Path<String>,
    arrival: Arrival,
) -> Response {
    either(&sim, model, &arrival, Api::ConverseStream, true).await
}

async fn either(
    sim: &Sim,
    model: String,
    arrival: &Arrival,
    api: Api,
    is_streamed: bool,
) -> Response {
    let gate = Gate::invoke(&model, is_streamed);
    let asked = Asked { api, model: model.clone(), surface: Surface::Bedrock, gate, is_streamed };
    answer(sim, arrival, asked, arrival.json(), |json| read(&model, json)).await
}

/// Reads a request to `model`.
///
/// # Errors
/// What Bedrock refuses as well.
pub(crate) fn read(model: &str, json: &Value) -> Result<Read, Fault> {
    Ok((request::parse(model, json)?, Box::new(answer::Converse)))
}

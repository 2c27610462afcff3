//! OpenAI Responses, as Bedrock serves it at `/openai/v1`: it stores nothing.

mod answer;
mod request;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::Value;

use crate::arrival::Arrival;
use crate::call::{Asked, Gate, Read, answer};
use crate::error::Fault;
use crate::prompt::text;
use crate::records::Api;
use crate::server::Sim;
use crate::surface::Surface;

/// `POST /openai/v1/responses`
pub(crate) async fn bedrock(State(sim): State<Arc<Sim>>, arrival: Arrival) -> Response {
    let json = arrival.json();
    let body = json.as_ref().unwrap_or(&Value::Null);
    let is_streamed = is_streamed(body);
    let model = text(body, "model").unwrap_or_default().to_owned();
    let gate = Gate::invoke(&model, is_streamed);
    let surface = Surface::Responses;
    let asked = Asked { api: Api::Responses, model, surface, gate, is_streamed };
    answer(&sim, &arrival, asked, json, |json| read(json, false)).await
}

/// Whether the answer is to be streamed.
pub(crate) fn is_streamed(body: &Value) -> bool {
    body.get("stream").and_then(Value::as_bool).unwrap_or(false)
}

/// Reads a request; `has_web` says whether the server fetches pictures from the web.
///
/// # Errors
/// What OpenAI refuses as well, and all that needs a store.
pub(crate) fn read(json: &Value, has_web: bool) -> Result<Read, Fault> {
    let prompt = request::parse(json, has_web)?;
    Ok((prompt, Box::new(answer::Responses::new(json))))
}

//! OpenAI Chat Completions, as Bedrock serves it at `/openai/v1` and others at `/v1`.

mod answer;
mod request;

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
use crate::surface::{Errors, Surface};

pub(crate) use answer::Quirks;
pub(crate) use request::is_streamed;

/// `POST /openai/v1/chat/completions`
pub(crate) async fn bedrock(State(sim): State<Arc<Sim>>, arrival: Arrival) -> Response {
    let json = arrival.json();
    let body = json.as_ref().unwrap_or(&Value::Null);
    let is_streamed = is_streamed(body);
    let model = text(body, "model").unwrap_or_default().to_owned();
    let gate = Gate::invoke(&model, is_streamed);
    let surface = Surface::OpenAi(Errors::OpenAi);
    let asked = Asked { api: Api::ChatCompletions, model, surface, gate, is_streamed };
    answer(&sim, &arrival, asked, json, |json| read(json, Quirks::default(), false)).await
}

/// Reads a request; `has_web` says whether the server fetches pictures from the web.
///
/// # Errors
/// What OpenAI refuses as well, and `n` other than 1.
pub(crate) fn read(json: &Value, quirks: Quirks, has_web: bool) -> Result<Read, Fault> {
    let prompt = request::parse(json, has_web)?;
    let dialect = answer::ChatCompletions {
        model: text(json, "model").unwrap_or_default().to_owned(),
        include_usage: request::includes_usage(json),
        quirks,
    };
    Ok((prompt, Box::new(dialect)))
}

//! Anthropic Messages, as Bedrock serves it at `/anthropic` and through `InvokeModel`.

mod answer;
mod blocks;
mod request;
#[cfg(test)]
mod tests;
mod validate;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use crate::access::Action;
use crate::arrival::Arrival;
use crate::call::{Asked, Gate, Read, answer};
use crate::error::Fault;
use crate::fixed::Fixed;
use crate::prompt::{Prompt, Tally, text};
use crate::records::Api;
use crate::server::Sim;
use crate::surface::Surface;

/// Where the version stands, and which fields the body has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `POST /anthropic/v1/messages`: the model in the body.
    Messages,
    /// `POST /anthropic/v1/messages/count_tokens`: the same, without `max_tokens`.
    Count,
    /// The body of `InvokeModel`: `anthropic_version` in place of the model.
    Invoke,
}

/// `POST /anthropic/v1/messages`
pub(crate) async fn messages(State(sim): State<Arc<Sim>>, arrival: Arrival) -> Response {
    let json = arrival.json();
    let body = json.as_ref().unwrap_or(&Value::Null);
    let is_streamed = body.get("stream").and_then(Value::as_bool).unwrap_or(false);
    let model = text(body, "model").unwrap_or_default().to_owned();
    let gate = Gate::invoke(&model, is_streamed);
    let surface = Surface::Anthropic;
    let asked = Asked { api: Api::Messages, model: model.clone(), surface, gate, is_streamed };
    let read = |json: &Value| {
        versioned(&arrival)?;
        read(&model, Form::Messages, json)
    };
    answer(&sim, &arrival, asked, json, read).await
}

/// `POST /anthropic/v1/messages/count_tokens`
pub(crate) async fn count_tokens(State(sim): State<Arc<Sim>>, arrival: Arrival) -> Response {
    let json = arrival.json();
    let body = json.as_ref().unwrap_or(&Value::Null);
    let model = text(body, "model").unwrap_or_default().to_owned();
    let gate = Gate::Iam(vec![(Action::CountTokens, model.clone())]);
    let (api, surface) = (Api::CountTokens, Surface::Anthropic);
    let asked = Asked { api, model, surface, gate, is_streamed: false };
    let read = |json: &Value| {
        versioned(&arrival)?;
        let tally = request::parse(Form::Count, json)?.tally;
        Ok(Fixed::weighed(Prompt::about_another(), json!({"input_tokens": tally.tokens()})))
    };
    answer(&sim, &arrival, asked, json, read).await
}

/// Reads a request to `model`.
///
/// # Errors
/// What Anthropic or Bedrock refuses as well.
pub(crate) fn read(model: &str, form: Form, json: &Value) -> Result<Read, Fault> {
    let prompt = request::parse(form, json)?;
    let display = json.pointer("/thinking/display").and_then(Value::as_str);
    let omits_thinking = display == Some("omitted");
    Ok((prompt, Box::new(answer::Messages { model: model.to_owned(), omits_thinking })))
}

/// What the body of an `InvokeModel` request weighs.
///
/// # Errors
/// What Anthropic or Bedrock refuses as well.
pub(crate) fn tally(json: &Value) -> Result<Tally, Fault> {
    Ok(request::parse(Form::Invoke, json)?.tally)
}

fn versioned(arrival: &Arrival) -> Result<(), Fault> {
    match arrival.header("anthropic-version") {
        Some("2023-06-01" | "2026-10-21") => {}
        Some(other) => {
            return Err(Fault::validation(format!(
                "anthropic-version: \"{other}\" is not a valid version"
            )));
        }
        None => return Err(Fault::validation("anthropic-version: header is required")),
    }
    validate::betas(arrival.header("anthropic-beta").unwrap_or_default().split(','))
}

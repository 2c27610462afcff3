//! `InvokeModel` and `InvokeModelWithResponseStream`: each model family has a body of its own.

mod embeddings;
mod images;
mod native;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::Value;

use crate::anthropic::{self, Form};
use crate::arrival::Arrival;
use crate::call::{Asked, Gate, Read, answer};
use crate::error::Fault;
use crate::records::Api;
use crate::server::Sim;
use crate::surface::Surface;
use crate::{chat, rerank};

/// `POST /model/{id}/invoke`
pub(crate) async fn whole(
    State(sim): State<Arc<Sim>>,
    Path(model): Path<String>,
    arrival: Arrival,
) -> Response {
    either(&sim, model, &arrival, Api::Invoke, false).await
}

/// `POST /model/{id}/invoke-with-response-stream`
pub(crate) async fn stream(
    State(sim): State<Arc<Sim>>,
    Path(model): Path<String>,
    arrival: Arrival,
) -> Response {
    either(&sim, model, &arrival, Api::InvokeStream, true).await
}

async fn either(
    sim: &Sim,
    model: String,
    arrival: &Arrival,
    api: Api,
    is_streamed: bool,
) -> Response {
    let gate = Gate::invoke(&model, is_streamed);
    let asked = Asked { api, model: model.clone(), surface: Surface::Invoke, gate, is_streamed };
    answer(sim, arrival, asked, arrival.json(), |json| read(&model, json)).await
}

/// Who made a model, and with it the form of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Anthropic,
    Titan,
    Cohere,
    NovaEmbeddings,
    Rerank,
    NovaImages,
    Stability,
    Llama,
    Mistral,
    Nova,
    OpenAi,
}

/// The family is in the id; an ARN that does not tell leaves the body to tell.
fn family(model: &str, body: &Value) -> Option<Family> {
    let by_id = [
        ("anthropic.", Family::Anthropic),
        ("amazon.titan-embed", Family::Titan),
        ("cohere.embed", Family::Cohere),
        ("multimodal-embeddings", Family::NovaEmbeddings),
        ("rerank", Family::Rerank),
        ("amazon.nova-canvas", Family::NovaImages),
        ("amazon.titan-image", Family::NovaImages),
        ("stability.", Family::Stability),
        ("meta.llama", Family::Llama),
        ("mistral.", Family::Mistral),
        ("amazon.nova", Family::Nova),
        ("openai.", Family::OpenAi),
    ];
    let by_body = [
        ("anthropic_version", Family::Anthropic),
        ("inputText", Family::Titan),
        ("input_type", Family::Cohere),
        ("singleEmbeddingParams", Family::NovaEmbeddings),
        ("textToImageParams", Family::NovaImages),
        ("inferenceConfig", Family::Nova),
        ("model", Family::OpenAi),
    ];
    let named = by_id.iter().find(|(part, _)| model.contains(part)).map(|(_, family)| *family);
    let told = || by_body.iter().find(|(key, _)| body.get(key).is_some());
    named.or_else(|| told().map(|(_, family)| *family))
}

fn read(model: &str, body: &Value) -> Result<Read, Fault> {
    let Some(family) = family(model, body) else {
        return Err(Fault::validation("The provided model identifier is invalid."));
    };
    match family {
        Family::Anthropic => anthropic::read(model, Form::Invoke, body),
        Family::Titan => embeddings::titan(body),
        Family::Cohere => embeddings::cohere(model, body),
        Family::NovaEmbeddings => embeddings::nova(body),
        Family::Rerank => rerank::read_cohere(body),
        Family::NovaImages => images::nova(body),
        Family::Stability => images::stability(body),
        Family::Llama => native::llama(body),
        Family::Mistral => native::mistral(body),
        Family::Nova => native::nova(model, body),
        Family::OpenAi => {
            let mut body = body.clone();
            if let Some(fields) = body.as_object_mut() {
                fields.insert("model".to_owned(), model.into());
            }
            // `InvokeModel` chunks hold JSON only.
            chat::read(&body, chat::Quirks { no_done: true, ..Default::default() }, false)
        }
    }
}

/// A body that lacks what its model wants.
fn malformed<T>(what: &str) -> Result<T, Fault> {
    Err(Fault::validation(format!(
        "Malformed input request: {what}, please reformat your input and try again."
    )))
}

/// Refuses fields that a model does not know.
fn only(body: &Value, known: &[&str]) -> Result<(), Fault> {
    let mut fields = body.as_object().into_iter().flat_map(|body| body.keys());
    match fields.find(|field| !known.contains(&field.as_str())) {
        Some(field) => malformed(&format!("#: extraneous key [{field}] is not permitted")),
        None => Ok(()),
    }
}

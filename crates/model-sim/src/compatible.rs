//! Servers that say they are compatible with OpenAI: vLLM, Ollama, TGI and their like.
//!
//! Under `/v1`, or under `/quirk/<names>/<any path>/v1`, where the names choose habits.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::arrival::Arrival;
use crate::call::{Asked, Gate, Read, answer};
use crate::chat::{self, Quirks};
use crate::error::Fault;
use crate::fixed::Fixed;
use crate::key::Key;
use crate::prompt::{Prompt, set, text};
use crate::records::Api;
use crate::rerank;
use crate::responses;
use crate::server::Sim;
use crate::surface::{Errors, Surface};
use crate::vectors::{base64, embedding};

const MODELS: [&str; 2] = ["sim-large", "sim-small"];
const DIMENSIONS: u64 = 1024;

/// All operations below a base path.
pub(crate) async fn serve(
    State(sim): State<Arc<Sim>>,
    method: Method,
    arrival: Arrival,
) -> Response {
    let path = arrival.uri.path().to_owned();
    let quirks = path.strip_prefix("/quirk/").and_then(|rest| rest.split('/').next());
    let Habits { key, quirks, errors } = match habits(&sim.key, quirks.unwrap_or_default()) {
        Ok(habits) => habits,
        Err(fault) => return Surface::OpenAi(Errors::OpenAi).refusal(&fault, "unknown"),
    };
    let operation = path.rsplit_once("/v1/").map_or("", |(_, operation)| operation);
    if method == Method::GET && operation.split('/').next() == Some("models") {
        return models(&key, &arrival, operation);
    }
    let json = arrival.json();
    let body = json.as_ref().unwrap_or(&Value::Null);
    let wants_stream = chat::is_streamed(body);
    let (api, surface, is_streamed) = match operation {
        _ if method != Method::POST => return unknown(&method, &path),
        "chat/completions" => (Api::ChatCompletions, Surface::OpenAi(errors), wants_stream),
        "responses" => (Api::Responses, Surface::Responses, wants_stream),
        "embeddings" => (Api::Embeddings, Surface::OpenAi(errors), false),
        "rerank" => (Api::Rerank, Surface::OpenAi(errors), false),
        _ => return unknown(&method, &path),
    };
    let model = text(body, "model").unwrap_or_default().to_owned();
    let asked = Asked { api, model, surface, gate: Gate::Key(key), is_streamed };
    let read = |json: &Value| match api {
        Api::ChatCompletions => chat::read(json, quirks, true),
        Api::Responses => responses::read(json, true),
        Api::Embeddings => embeddings(json, quirks),
        _ => rerank::read_cohere(json),
    };
    answer(&sim, &arrival, asked, json, read).await
}

fn unknown(method: &Method, path: &str) -> Response {
    let fault = Fault::unknown_operation(format!("model-sim does not serve {method} {path}"));
    Surface::OpenAi(Errors::OpenAi).refusal(&fault, "unknown")
}

/// What the path chooses.
#[derive(Debug)]
struct Habits {
    key: Key,
    quirks: Quirks,
    errors: Errors,
}

/// Joined by commas: `key=<key>`, `key-header=<name>`, and habits by their name.
fn habits(key: &Key, names: &str) -> Result<Habits, Fault> {
    let mut habits =
        Habits { key: key.clone(), quirks: Quirks::default(), errors: Errors::default() };
    for name in names.split(',').filter(|name| !name.is_empty()) {
        match name.split_once('=') {
            Some(("key", key)) => habits.key = habits.key.with_key(key),
            Some(("key-header", name)) => habits.key = habits.key.in_header(name),
            _ if name == "vllm-errors" => habits.errors = Errors::Vllm,
            _ if name == "tgi-errors" => habits.errors = Errors::Tgi,
            _ => habits.quirks.add(name)?,
        }
    }
    Ok(habits)
}

fn models(key: &Key, arrival: &Arrival, operation: &str) -> Response {
    if let Err(fault) = key.check(arrival) {
        return Surface::OpenAi(Errors::OpenAi).refusal(&fault, "models");
    }
    let shown =
        |id: &str| json!({"id": id, "object": "model", "created": 0, "owned_by": "model-sim"});
    match operation.strip_prefix("models/") {
        None => Json(json!({"object": "list", "data": MODELS.map(shown)})).into_response(),
        Some(id) if MODELS.contains(&id) => Json(shown(id)).into_response(),
        Some(id) => {
            let fault = Fault::unknown_operation(format!("The model `{id}` does not exist."));
            Surface::OpenAi(Errors::OpenAi).refusal(&fault, "models")
        }
    }
}

fn embeddings(body: &Value, quirks: Quirks) -> Result<Read, Fault> {
    let model = text(body, "model").unwrap_or_default();
    if model.is_empty() {
        return Err(Fault::validation("you must provide a model parameter"));
    }
    let inputs = inputs(body.get("input").unwrap_or(&Value::Null));
    let Some(inputs) = inputs.filter(|inputs| !inputs.is_empty()) else {
        return Err(Fault::validation("'input' must be a text, a list of texts, or tokens"));
    };
    let size = body.get("dimensions").map_or(Some(DIMENSIONS), Value::as_u64);
    let Some(size) = size.filter(|size| (1..=4096).contains(size)) else {
        return Err(Fault::validation("'dimensions' must be from 1 to 4096"));
    };
    let size = usize::try_from(size).unwrap_or_default();
    let worded: fn(&[f32]) -> Value = match text(body, "encoding_format") {
        None | Some("float") => |vector| json!(vector),
        Some("base64") => |vector| base64(vector).into(),
        Some(_) => return Err(Fault::validation("'encoding_format' must be float or base64")),
    };
    let data: Vec<_> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| {
            json!({"object": "embedding", "index": index, "embedding": worded(&embedding(input, size))})
        })
        .collect();
    let prompt = Prompt::wordless(inputs.iter().map(String::as_str));
    let mut answer = json!({"object": "list", "data": data, "model": model});
    if !quirks.no_usage {
        let tokens = prompt.tally.tokens();
        set(&mut answer, "usage", json!({"prompt_tokens": tokens, "total_tokens": tokens}));
    }
    Ok(Fixed::weighed(prompt, answer))
}

/// A text, texts, tokens, or lists of tokens; tokens stand for themselves.
fn inputs(input: &Value) -> Option<Vec<String>> {
    match input {
        Value::String(input) => Some(vec![input.clone()]),
        Value::Array(tokens) if is_tokens(tokens) => Some(vec![input.to_string()]),
        Value::Array(inputs) => inputs
            .iter()
            .map(|input| match input {
                Value::String(input) => Some(input.clone()),
                Value::Array(tokens) if is_tokens(tokens) => Some(input.to_string()),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

fn is_tokens(input: &[Value]) -> bool {
    !input.is_empty() && input.iter().all(Value::is_u64)
}

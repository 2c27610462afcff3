//! The inference operations: record, authorize, validate, plan, play.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::Response;
use bytes::Bytes;
use serde_json::{Map, Value};

use crate::access::{Action, Signed};
use crate::chat;
use crate::converse;
use crate::error::Fault;
use crate::plan::Plan;
use crate::playback::{Dialect, play, refuse};
use crate::prompt::{Prompt, text};
use crate::records::{Api, CallHead};
use crate::server::Sim;

/// Stands for Converse's `requestMetadata` where the body has no room for it.
const METADATA_HEADER: &str = "x-amzn-bedrock-request-metadata";

/// `POST /model/{id}/converse`
pub(crate) async fn converse(
    State(sim): State<Arc<Sim>>,
    Path(model): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let signed = Signed { path: path(&uri), headers: &headers, body: &body };
    converse_either(&sim, model, signed, Api::Converse, false).await
}

/// `POST /model/{id}/converse-stream`
pub(crate) async fn converse_stream(
    State(sim): State<Arc<Sim>>,
    Path(model): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let signed = Signed { path: path(&uri), headers: &headers, body: &body };
    converse_either(&sim, model, signed, Api::ConverseStream, true).await
}

/// `POST /openai/v1/chat/completions`
pub(crate) async fn chat_completions(
    State(sim): State<Arc<Sim>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let signed = Signed { path: path(&uri), headers: &headers, body: &body };
    let (json, malformed) = parse_json(signed.body);
    let model = text(&json, "model").unwrap_or_default().to_owned();
    let is_streamed = chat::is_streamed(&json);
    let dialect =
        chat::ChatCompletions { include_usage: chat::includes_usage(&json), model: model.clone() };
    let asked = Asked { api: Api::ChatCompletions, model, is_streamed, parse: chat::parse };
    answer(&sim, signed, asked, json, malformed, dialect).await
}

async fn converse_either(
    sim: &Sim,
    model: String,
    signed: Signed<'_>,
    api: Api,
    is_streamed: bool,
) -> Response {
    let (json, malformed) = parse_json(signed.body);
    let asked = Asked { api, model, is_streamed, parse: converse::parse };
    answer(sim, signed, asked, json, malformed, converse::Converse).await
}

/// What the path, or the body where the path is silent, says of a request.
struct Asked {
    api: Api,
    model: String,
    is_streamed: bool,
    parse: fn(&Value) -> Result<Prompt, Fault>,
}

async fn answer(
    sim: &Sim,
    signed: Signed<'_>,
    asked: Asked,
    json: Value,
    malformed: Option<Fault>,
    dialect: impl Dialect,
) -> Response {
    let head = CallHead {
        access_key_id: signed.access_key_id().map(str::to_owned),
        request_metadata: metadata(&json, signed.headers),
        request_body: signed.body.clone(),
        started_ms: now_ms(),
    };
    let call = sim.records.begin(asked.api, &asked.model, head);
    let request_id = format!("00000000-0000-4000-8000-{:012x}", call.seq());
    let action = if asked.is_streamed { Action::InvokeStreamed } else { Action::Invoke };
    let ruling = match malformed {
        Some(fault) => fault.into(),
        None => sim.access.check(signed, action, &asked.model).await,
    };
    call.signed_by(ruling.principal_arn);
    let plan = ruling.verdict.and_then(|()| Plan::new(&(asked.parse)(&json)?));
    let mut response = match plan {
        Ok(plan) => play(call, dialect, plan, asked.is_streamed).await,
        Err(fault) => refuse(&call, &dialect, fault),
    };
    if let Ok(request_id) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert("x-amzn-requestid", request_id);
    }
    response
}

fn path(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |path| path.as_str())
}

fn parse_json(body: &Bytes) -> (Value, Option<Fault>) {
    match serde_json::from_slice(body) {
        Ok(json) => (json, None),
        Err(error) => (
            Value::Null,
            Some(Fault::serialization(format!("The request body is not JSON: {error}"))),
        ),
    }
}

fn metadata(json: &Value, headers: &HeaderMap) -> Map<String, Value> {
    let of_body = json.get("requestMetadata").and_then(Value::as_object).cloned();
    let of_header = || serde_json::from_slice(headers.get(METADATA_HEADER)?.as_bytes()).ok();
    of_body.or_else(of_header).unwrap_or_default()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the clock; it only dates records"
)]
fn now_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

//! `POST /model/{id}/count-tokens`, by the same count as a call.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::access::{Action, Signed};
use crate::converse;
use crate::error::Fault;
use crate::prompt::{Tally, text};
use crate::server::Sim;

/// Counts the input tokens of a request that is not made.
pub(crate) async fn count_tokens(
    State(sim): State<Arc<Sim>>,
    Path(model): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let signed = Signed { path: uri.path(), headers: &headers, body: &body };
    let ruling = sim.access.check(signed, Action::CountTokens, &model).await;
    let counted = ruling.verdict.and_then(|()| count(&body));
    match counted {
        Ok(tally) => Json(json!({"inputTokens": tally.tokens()})).into_response(),
        Err(fault) => fault.into_bedrock(),
    }
}

fn count(body: &[u8]) -> Result<Tally, Fault> {
    let json: Value = serde_json::from_slice(body)
        .map_err(|error| Fault::serialization(format!("The request body is not JSON: {error}")))?;
    let input = json.get("input").unwrap_or(&Value::Null);
    if let Some(converse) = input.get("converse") {
        return Ok(converse::tally(converse));
    }
    let body = input.get("invokeModel").and_then(|invoke| text(invoke, "body"));
    let body = body.ok_or_else(|| {
        Fault::validation("The input must hold one of `converse` and `invokeModel`.")
    })?;
    let bytes = BASE64_STANDARD
        .decode(body)
        .map_err(|_| Fault::serialization("input.invokeModel.body is not base64"))?;
    Ok(Tally { text_bytes: bytes.len(), images: 0 })
}

#[cfg(test)]
mod tests {
    use super::count;
    use crate::prompt::Tally;

    #[test]
    fn both_forms_of_input_are_counted() {
        let converse = br#"{"input":{"converse":{"messages":[{"role":"user","content":[{"text":"12345"}]}]}}}"#;
        assert_eq!(count(converse).unwrap().tokens(), 2);
        let invoke = br#"{"input":{"invokeModel":{"body":"MTIzNDU="}}}"#;
        assert_eq!(count(invoke).unwrap(), Tally { text_bytes: 5, images: 0 });
        assert_eq!(count(br#"{"input":{}}"#).unwrap_err().exception, "ValidationException");
    }
}

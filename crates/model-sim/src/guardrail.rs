//! `POST /guardrail/{id}/version/{version}/apply`: never intervenes.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::access::{Action, Signed};
use crate::error::Fault;
use crate::prompt::{list, text};
use crate::server::Sim;

/// Characters of a policy unit.
const UNIT: usize = 1000;

/// Checks the content against nothing.
pub(crate) async fn apply(
    State(sim): State<Arc<Sim>>,
    Path((id, _version)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let signed = Signed { path: uri.path(), headers: &headers, body: &body };
    let ruling = sim.access.check(signed, Action::ApplyGuardrail, &id).await;
    let answer = ruling.verdict.and_then(|()| assessment(&body));
    answer.map_or_else(Fault::into_bedrock, |answer| Json(answer).into_response())
}

fn assessment(body: &[u8]) -> Result<Value, Fault> {
    let json: Value = serde_json::from_slice(body)
        .map_err(|error| Fault::serialization(format!("The request body is not JSON: {error}")))?;
    if !matches!(text(&json, "source"), Some("INPUT" | "OUTPUT")) {
        return Err(Fault::validation("source must be one of INPUT, OUTPUT"));
    }
    let content = list(&json, "content");
    let characters = |block: &Value| {
        block.pointer("/text/text").and_then(Value::as_str).map_or(0, |text| text.chars().count())
    };
    let characters: usize = content.iter().map(characters).sum();
    let images = content.iter().filter(|block| block.get("image").is_some()).count();
    Ok(json!({
        "action": "NONE",
        "actionReason": "No action. This is the model simulator.",
        "outputs": [],
        "assessments": [{}],
        "usage": {
            "topicPolicyUnits": 0,
            "contentPolicyUnits": characters.div_ceil(UNIT),
            "wordPolicyUnits": 0,
            "sensitiveInformationPolicyUnits": 0,
            "sensitiveInformationPolicyFreeUnits": 0,
            "contextualGroundingPolicyUnits": 0,
            "contentPolicyImageUnits": images,
        },
        "guardrailCoverage": {
            "textCharacters": {"guarded": characters, "total": characters},
            "images": {"guarded": images, "total": images},
        },
    }))
}

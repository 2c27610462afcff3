//! `POST /guardrail/{id}/version/{version}/apply`: never intervenes.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Value, json};

use crate::access::Action;
use crate::arrival::Arrival;
use crate::call::{Asked, Gate, Read, answer};
use crate::error::Fault;
use crate::fixed::Fixed;
use crate::prompt::{Prompt, list, text};
use crate::records::Api;
use crate::server::Sim;
use crate::surface::Surface;

/// Characters of a policy unit.
const UNIT: usize = 1000;

/// Checks the content against nothing.
pub(crate) async fn apply(
    State(sim): State<Arc<Sim>>,
    Path((id, _version)): Path<(String, String)>,
    arrival: Arrival,
) -> Response {
    let gate = Gate::Iam(vec![(Action::ApplyGuardrail, id.clone())]);
    let (api, surface) = (Api::ApplyGuardrail, Surface::Bedrock);
    let asked = Asked { api, model: id, surface, gate, is_streamed: false };
    answer(&sim, &arrival, asked, arrival.json(), read).await
}

fn read(json: &Value) -> Result<Read, Fault> {
    if !matches!(text(json, "source"), Some("INPUT" | "OUTPUT")) {
        return Err(Fault::validation("source must be one of INPUT, OUTPUT"));
    }
    let content = list(json, "content");
    let characters = |block: &Value| {
        block.pointer("/text/text").and_then(Value::as_str).map_or(0, |text| text.chars().count())
    };
    let characters: usize = content.iter().map(characters).sum();
    let images = content.iter().filter(|block| block.get("image").is_some()).count();
    let assessment = json!({
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
    });
    Ok(Fixed::weighed(Prompt::about_another(), assessment))
}

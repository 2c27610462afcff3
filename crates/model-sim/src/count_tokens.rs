//! `POST /model/{id}/count-tokens`, by the same count as a call.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::access::Action;
use crate::anthropic;
use crate::arrival::Arrival;
use crate::call::{Asked, Gate, Read, answer};
use crate::converse;
use crate::error::Fault;
use crate::fixed::Fixed;
use crate::prompt::{Prompt, Tally, text};
use crate::records::Api;
use crate::server::Sim;
use crate::surface::Surface;

/// Counts the input tokens of a request that is not made.
pub(crate) async fn count_tokens(
    State(sim): State<Arc<Sim>>,
    Path(model): Path<String>,
    arrival: Arrival,
) -> Response {
    let gate = Gate::Iam(vec![(Action::CountTokens, model.clone())]);
    let (api, surface) = (Api::CountTokens, Surface::Bedrock);
    let asked = Asked { api, model, surface, gate, is_streamed: false };
    answer(&sim, &arrival, asked, arrival.json(), read).await
}

fn read(json: &Value) -> Result<Read, Fault> {
    let tally = count(json)?;
    Ok(Fixed::weighed(Prompt::about_another(), json!({"inputTokens": tally.tokens()})))
}

fn count(json: &Value) -> Result<Tally, Fault> {
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
    match serde_json::from_slice::<Value>(&bytes) {
        Ok(body) if body.get("anthropic_version").is_some() => anthropic::tally(&body),
        Ok(_) => Ok(Tally { text_bytes: bytes.len(), ..Tally::default() }),
        Err(error) => {
            Err(Fault::validation(format!("The body of invokeModel is not JSON: {error}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use serde_json::json;

    use super::count;

    #[test]
    fn both_forms_of_input_are_counted() {
        let messages = json!([{"role": "user", "content": [{"text": "12345"}]}]);
        let converse = json!({"input": {"converse": {"messages": messages}}});
        assert_eq!(count(&converse).unwrap().tokens(), 2);
        let invoke =
            |body: &str| json!({"input": {"invokeModel": {"body": BASE64_STANDARD.encode(body)}}});
        let claude = r#"{"anthropic_version":"bedrock-2023-05-31","max_tokens":1,"messages":[{"role":"user","content":"12345"}]}"#;
        assert_eq!(count(&invoke(claude)).unwrap().tokens(), 2);
        assert_eq!(count(&invoke(r#"{"a":1}"#)).unwrap().text_bytes, 7);
        assert_eq!(count(&json!({"input": {}})).unwrap_err().exception, "ValidationException");
        assert_eq!(count(&invoke("{")).unwrap_err().exception, "ValidationException");
    }
}

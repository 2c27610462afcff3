//! How much a call in a vendor's own JSON can consume at most.

use serde_json::Value;

use super::InvokeRequest;
use super::pointer::{value_at, with_value};
use crate::{BadRequest, BodyFormat, Model, Protocol, TokenBound, estimated_tokens};

/// Bounds what `request` can consume on `model`, by the limits that the registry knows to stand in its body.
///
/// Input: the body's bytes, or the context window. Output: the maximum in the body, which may not be above the model's;
/// where it is missing, the default that [`forward`](super::forward) adds; where the registry does
/// not know its place, the model's own maximum. Embeddings have none.
pub(super) fn bound(
    request: &InvokeRequest,
    model: &Model,
    default_max_tokens: Option<u32>,
) -> Result<TokenBound, BadRequest> {
    if !model.speaks(Protocol::InvokeModel) {
        return Err(not_in_its_json(model));
    }
    let bytes = u64::try_from(request.text.len()).unwrap_or(u64::MAX);
    let window = u64::from(model.context_window);
    let input = bytes.saturating_add(u64::from(model.estimate.overhead_tokens)).min(window);
    let (max_tokens, images) = match &model.body {
        Some(BodyFormat::TitanEmbed | BodyFormat::CohereEmbed | BodyFormat::NovaEmbed) => (0, 0),
        Some(BodyFormat::Native { max_tokens, images }) => {
            let max_tokens = match max_tokens {
                Some(pointer) => max_tokens_of(request, model, pointer, default_max_tokens)?,
                None => model.max_output_tokens,
            };
            let images = match images {
                Some(pointer) => integer_at(request, pointer)?.unwrap_or(1),
                None => 0,
            };
            (max_tokens, images)
        }
        Some(BodyFormat::Template { .. }) | None => (model.max_output_tokens, 0),
    };
    Ok(TokenBound {
        input,
        likely_input: estimated_tokens(bytes).min(input),
        output: u64::from(max_tokens),
        max_tokens,
        images,
        ..TokenBound::default()
    })
}

fn max_tokens_of(
    request: &InvokeRequest,
    model: &Model,
    pointer: &str,
    default_max_tokens: Option<u32>,
) -> Result<u32, BadRequest> {
    let most = model.max_output_tokens;
    let Some(wanted) = integer_at(request, pointer)? else {
        let default = default_max_tokens.unwrap_or(model.default_max_tokens).min(most).max(1);
        let can_be_added = with_value(&request.text, pointer, &default.into()).is_some();
        return Ok(if can_be_added { default } else { most });
    };
    u32::try_from(wanted).ok().filter(|wanted| *wanted <= most).ok_or_else(|| {
        let param = param_of(pointer);
        let message = format!(
            "`{param}` is {wanted}, but `{}` produces at most {most} output tokens: ask for that many or fewer.",
            model.id
        );
        BadRequest::new("integer_above_max_value", param, message)
    })
}

fn integer_at(request: &InvokeRequest, pointer: &str) -> Result<Option<u64>, BadRequest> {
    let Some(value) = value_at(&request.body, pointer)? else {
        return Ok(None);
    };
    value.as_u64().filter(|number| *number > 0).map(Some).ok_or_else(|| {
        let param = param_of(pointer);
        let message = format!("`{param}` must be an integer of at least 1.");
        BadRequest::new("invalid_type", param, message)
    })
}

fn param_of(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

/// A body in one vendor's JSON, for a model of another.
pub(super) fn not_in_its_json(model: &Model) -> BadRequest {
    BadRequest::body(
        "unsupported_body",
        format!(
            "`{}` does not take this JSON: send a Messages body with `anthropic_version`, or call it by `/model/{}/converse`.",
            model.id, model.id
        ),
    )
}

/// Where the maximum of output tokens stands, if it is to be added.
pub(super) fn missing_maximum<'m>(request: &InvokeRequest, model: &'m Model) -> Option<&'m str> {
    let Some(BodyFormat::Native { max_tokens: Some(pointer), .. }) = &model.body else {
        return None;
    };
    let value = value_at(&request.body, pointer).ok()?;
    value.is_none_or(Value::is_null).then_some(pointer)
}

//! The original bytes, for models that speak Messages themselves.

use bytes::Bytes;
use serde_json::Value;

use super::MessagesRequest;
use crate::wire::members::{Edit, Member};
use crate::{GenerateRequest as _, Model, Operation, Protocol, ProviderRequest};

/// The version that is meant when the client names none.
pub(super) const VERSION: &str = "2023-06-01";

/// The client's bytes, except that `model` names the model as the provider does and that fields in the
/// registry's `drop_fields` are gone; with the client's version, and those of its beta flags that the
/// model takes.
pub(super) fn forward(
    request: &MessagesRequest,
    model: &Model,
    operation: Operation,
) -> ProviderRequest {
    let edit = |member: &Member| match member.key.as_str() {
        key if is_dropped(model, key) => Edit::Drop,
        "model" if request.model() != model.provider_model_id => {
            Edit::Replace(Value::from(model.provider_model_id.as_str()).to_string())
        }
        _ => Edit::Keep,
    };
    let body = request.members.rewrite(&request.text, edit, &[]);
    let version = request.version.as_deref().unwrap_or(VERSION);
    let mut headers = vec![("anthropic-version".to_owned(), version.to_owned())];
    let betas = betas_of(&request.betas, model);
    if !betas.is_empty() {
        headers.push(("anthropic-beta".to_owned(), betas.join(",")));
    }
    ProviderRequest {
        protocol: Protocol::AnthropicMessages,
        is_streaming: request.is_streaming() && operation == Operation::Invoke,
        operation,
        headers,
        body: Bytes::from(body),
    }
}

/// Whether the registry has the top-level `field` dropped; a request is nothing without some.
pub(super) fn is_dropped(model: &Model, field: &str) -> bool {
    !matches!(field, "model" | "messages" | "max_tokens" | "anthropic_version")
        && model.drop_fields.iter().any(|name| name == field)
}

/// The beta flags that `model` takes, in the client's order. Clients send new ones every week, and a
/// model refuses a request for one that it does not know.
pub(crate) fn betas_of<'a>(betas: &'a [String], model: &Model) -> Vec<&'a str> {
    let takes = |flag: &&str| {
        model.anthropic_beta.as_ref().is_none_or(|taken| taken.iter().any(|it| it == flag))
    };
    betas.iter().map(String::as_str).filter(takes).collect()
}

//! The original bytes, for models that speak this JSON.

use bytes::Bytes;
use serde_json::Value;

use super::InvokeRequest;
use super::bound::missing_maximum;
use super::pointer::with_value;
use crate::anthropic_messages::{betas_of, without_unsigned};
use crate::wire::members::{Edit, Member, Members};
use crate::{Model, Operation, Protocol, ProviderRequest};

/// The client's bytes, except that
///
/// - fields in the registry's `drop_fields` are gone;
/// - of `anthropic_beta`, the flags are left that the model takes;
/// - thinking that nobody signed is left out of a message, as
///   [`anthropic_messages`](crate::anthropic_messages) has it;
/// - a missing maximum of output tokens is `max_tokens`, where the registry says where it stands.
pub(super) fn forward(request: &InvokeRequest, model: &Model, max_tokens: u32) -> ProviderRequest {
    let pointer = missing_maximum(request, model);
    let with_maximum =
        pointer.and_then(|pointer| with_value(&request.text, pointer, &max_tokens.into()));
    let signed =
        || request.as_messages(model).and_then(|_| without_unsigned(&request.text, &request.body));
    let text = with_maximum.or_else(signed).unwrap_or_else(|| request.text.clone());
    let body = match Members::of(&text) {
        Ok(members) => members.rewrite(&text, |member| edit_of(member, request, model), &[]),
        Err(_) => text,
    };
    ProviderRequest {
        protocol: Protocol::InvokeModel,
        operation: Operation::Invoke,
        is_streaming: request.is_streaming,
        headers: vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("accept".to_owned(), "application/json".to_owned()),
        ],
        body: Bytes::from(body),
    }
}

fn edit_of(member: &Member, request: &InvokeRequest, model: &Model) -> Edit {
    const NEEDED: [&str; 3] = ["anthropic_version", "max_tokens", "messages"];
    if model.drop_fields.contains(&member.key) && !NEEDED.contains(&member.key.as_str()) {
        return Edit::Drop;
    }
    let Some(messages) = request.as_messages(model).filter(|_| member.key == "anthropic_beta")
    else {
        return Edit::Keep;
    };
    let betas = messages.betas();
    match betas_of(betas, model) {
        taken if taken.len() == betas.len() => Edit::Keep,
        taken if taken.is_empty() => Edit::Drop,
        taken => Edit::Replace(Value::from(taken).to_string()),
    }
}

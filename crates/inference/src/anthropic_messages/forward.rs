//! The original bytes, for models that speak Messages themselves.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::MessagesRequest;
use super::nested::{in_elements, in_member};
use crate::wire::members::{Edit, Member, Members};
use crate::{GenerateRequest as _, Model, Operation, Protocol, ProviderRequest};

/// The version that is meant when the client names none.
pub(super) const VERSION: &str = "2023-06-01";

/// The client's bytes, except that `model` names the model as the provider does, and that fields in the
/// registry's `drop_fields` and thinking without a signature are gone; with the client's version, and those of its beta flags that the
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
    let body = match without_unsigned(&request.text, &request.body) {
        Some(text) => match Members::of(&text) {
            Ok(members) => members.rewrite(&text, edit, &[]),
            Err(_) => text,
        },
        None => request.members.rewrite(&request.text, edit, &[]),
    };
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

/// `text`, whose value is `body`, without thinking that nobody signed; `None` if there is none. It comes
/// from a model that signs nothing and answered an earlier turn; one that does would refuse it, and with it the conversation.
/// A turn that says nothing else stays as it is.
pub(crate) fn without_unsigned(text: &str, body: &Map<String, Value>) -> Option<String> {
    let has_some = |message: &Value| {
        let blocks = message.get("content").and_then(Value::as_array);
        blocks.is_some_and(|it| it.iter().any(is_unsigned) && !it.iter().all(is_unsigned))
    };
    if !body.get("messages")?.as_array()?.iter().any(has_some) {
        return None;
    }
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let in_content = |content: &str| {
        in_elements(content, |block| (!is_unsigned(&value(block))).then(|| block.to_owned()))
    };
    let in_message = |message: &str| {
        Some(if has_some(&value(message)) {
            in_member(message, "content", in_content)
        } else {
            message.to_owned()
        })
    };
    Some(in_member(text, "messages", |messages| in_elements(messages, in_message)))
}

fn is_unsigned(block: &Value) -> bool {
    block.get("type").is_some_and(|kind| kind == "thinking")
        && block.get("signature").and_then(Value::as_str).is_none_or(str::is_empty)
}

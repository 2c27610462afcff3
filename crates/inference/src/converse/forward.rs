//! The original bytes, for models that speak Converse themselves.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{ConverseRequest, provider_request};
use crate::wire::members::{Edit, Member, Members};
use crate::{GenerateRequest as _, Model, Operation, ProviderRequest, Upload};

/// Labels of calls in Bedrock's logs that are the gateway's to give.
const OWN_LABELS: [&str; 3] = ["tenant_id", "lob_id", "call_id"];

/// The client's bytes, except that
///
/// - fields in the registry's `drop_fields` are gone, from the body, from `inferenceConfig` and from
///   `additionalModelRequestFields`;
/// - `inferenceConfig.maxTokens` says `max_tokens` if the client named no maximum: Bedrock would else
///   reserve the model's whole output of its own quota;
/// - beta flags that the model does not take are gone from `additionalModelRequestFields`;
/// - labels that are the gateway's own are gone from `requestMetadata`;
/// - uploaded files stand where the conversation refers to them, for models that do not read from S3.
pub(super) fn forward(
    request: &ConverseRequest,
    model: &Model,
    max_tokens: u32,
) -> ProviderRequest {
    let value = |member: &Member| request.text.get(member.value.clone()).unwrap_or("null");
    let edit = |member: &Member| match member.key.as_str() {
        key if is_dropped(model, key) => Edit::Drop,
        "messages" if !request.uploads.is_empty() && !model.capabilities.s3_sources => {
            let mut messages = request.body.get("messages").cloned().unwrap_or_default();
            inline(&mut messages, &request.uploads);
            Edit::Replace(messages.to_string())
        }
        "inferenceConfig" => Edit::Replace(limited(value(member), model, max_tokens)),
        "additionalModelRequestFields" => Edit::Replace(additional_fields(value(member), model)),
        "requestMetadata" => match labels(value(member)) {
            Some(labels) => Edit::Replace(labels),
            None => Edit::Drop,
        },
        _ => Edit::Keep,
    };
    let has_config = request.members.iter().any(|member| member.key == "inferenceConfig");
    let additions = if has_config {
        Vec::new()
    } else {
        vec![("inferenceConfig", json!({ "maxTokens": max_tokens }).to_string())]
    };
    let body = request.members.rewrite(&request.text, edit, &additions);
    provider_request(Operation::Invoke, request.is_streaming(), body)
}

/// Whether the registry has a field dropped; it may use the name of another dialect. A request is
/// nothing without some.
pub(super) fn is_dropped(model: &Model, field: &str) -> bool {
    let other = match field {
        "topP" => "top_p",
        "serviceTier" => "service_tier",
        "stopSequences" => "stop_sequences",
        "toolConfig" => "tools",
        _ => field,
    };
    !matches!(field, "messages" | "inferenceConfig" | "maxTokens")
        && model.drop_fields.iter().any(|name| name == field || name == other)
}

/// `inferenceConfig` with a maximum.
fn limited(config: &str, model: &Model, max_tokens: u32) -> String {
    let config = if config == "null" { "{}" } else { config };
    let Ok(members) = Members::of(config) else { return config.to_owned() };
    let is_set = |member: &Member| config.get(member.value.clone()) != Some("null");
    let additions = if members.iter().any(|member| member.key == "maxTokens") {
        Vec::new()
    } else {
        vec![("maxTokens", max_tokens.to_string())]
    };
    let edit = |member: &Member| match member.key.as_str() {
        "maxTokens" if !is_set(member) => Edit::Replace(max_tokens.to_string()),
        key if is_dropped(model, key) => Edit::Drop,
        _ => Edit::Keep,
    };
    members.rewrite(config, edit, &additions)
}

fn additional_fields(fields: &str, model: &Model) -> String {
    let Ok(members) = Members::of(fields) else { return fields.to_owned() };
    let edit = |member: &Member| match (member.key.as_str(), &model.anthropic_beta) {
        ("anthropic_beta", Some(taken)) => {
            let flags = fields.get(member.value.clone()).unwrap_or_default();
            let mut flags: Vec<Cow<'_, str>> = serde_json::from_str(flags).unwrap_or_default();
            flags.retain(|flag| taken.iter().any(|it| it == flag));
            if flags.is_empty() { Edit::Drop } else { Edit::Replace(json!(flags).to_string()) }
        }
        (key, _) if is_dropped(model, key) => Edit::Drop,
        _ => Edit::Keep,
    };
    members.rewrite(fields, edit, &[])
}

/// The client's own labels, if any are left: as many as go beside the gateway's.
fn labels(metadata: &str) -> Option<String> {
    const MAX_LABELS: usize = 16;
    let members = Members::of(metadata).ok()?;
    let is_own = |key: &str| OWN_LABELS.iter().any(|own| own.eq_ignore_ascii_case(key));
    let keys = members.iter().map(|member| member.key.as_str()).filter(|key| !is_own(key));
    let kept: Vec<_> = keys.take(MAX_LABELS - OWN_LABELS.len()).collect();
    let edit = |member: &Member| {
        if kept.contains(&member.key.as_str()) { Edit::Keep } else { Edit::Drop }
    };
    (!kept.is_empty()).then(|| members.rewrite(metadata, edit, &[]))
}

/// Puts the bytes of uploaded files where the conversation refers to them.
fn inline(value: &mut Value, uploads: &[Upload]) {
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(|element| inline(element, uploads)),
        Value::Object(object) => {
            let uri = object.get("s3Location").and_then(|place| place.get("uri")?.as_str());
            let upload = uri.and_then(|uri| uploads.iter().find(|it| it.s3_uri == uri));
            if let Some(upload) = upload {
                object.clear();
                object.insert("bytes".to_owned(), STANDARD.encode(&upload.bytes).into());
            } else {
                object.values_mut().for_each(|value| inline(value, uploads));
            }
        }
        _ => {}
    }
}

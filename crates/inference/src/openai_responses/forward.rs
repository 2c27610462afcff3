//! The original bytes, for models that speak the dialect themselves.

use bytes::Bytes;
use serde_json::{Value, json};

use super::ResponsesRequest;
use super::canonical::is_droppable;
use super::media::data_url_of_upload;
use super::seal::is_sealed;
use crate::wire::field::Field;
use crate::wire::members::{Edit, Member};
use crate::{BadRequest, GenerateRequest as _, Model, Operation, Protocol, ProviderRequest};

/// The client's bytes, except that
///
/// - `model` names the model as the provider does;
/// - fields in the registry's `drop_fields` are gone;
/// - `max_output_tokens` says `max_tokens` if there is none: the provider would else reserve the model's whole output;
/// - `store` is false and `previous_response_id` is gone: the gateway keeps what is to be kept;
/// - in `input`, uploaded files stand in full, and `reasoning` items are left out that the provider would
///   look up in vain or could not decrypt: those without `encrypted_content` or text, and those of another provider.
pub(super) fn forward(
    request: &ResponsesRequest,
    model: &Model,
    max_tokens: u32,
) -> Result<ProviderRequest, BadRequest> {
    request.refuse_unresolved()?;
    let is_dropped =
        |field: &str| is_droppable(field) && model.drop_fields.iter().any(|name| name == field);
    let is_there = |field: &str| request.body.contains_key(field);
    let input = edited_input(request)?;
    let edit = |member: &Member| match member.key.as_str() {
        "previous_response_id" => Edit::Drop,
        key if is_dropped(key) => Edit::Drop,
        "model" if request.model() != model.provider_model_id => {
            Edit::Replace(Value::from(model.provider_model_id.as_str()).to_string())
        }
        "max_output_tokens" if request.max_output_tokens.is_none() => {
            Edit::Replace(max_tokens.to_string())
        }
        "store" => Edit::Replace("false".to_owned()),
        "input" => input.clone().map_or(Edit::Keep, Edit::Replace),
        _ => Edit::Keep,
    };
    let mut additions = Vec::new();
    for (field, value) in
        [("max_output_tokens", max_tokens.to_string()), ("store", "false".to_owned())]
    {
        if !is_there(field) && !is_dropped(field) {
            additions.push((field, value));
        }
    }
    Ok(ProviderRequest {
        protocol: Protocol::OpenaiResponses,
        operation: Operation::Invoke,
        is_streaming: request.is_streaming(),
        headers: Vec::new(),
        body: Bytes::from(request.members.rewrite(&request.text, edit, &additions)),
    })
}

/// `input` as the provider must get it, if that is not as it is.
fn edited_input(request: &ResponsesRequest) -> Result<Option<String>, BadRequest> {
    let Some(input) = Field::of_body(&request.body, "input") else {
        return Ok(None);
    };
    if !input.value().is_array() {
        return Ok(None);
    }
    let has_uploads = !request.upload_ids().is_empty();
    let mut is_edited = false;
    let mut items = Vec::new();
    for item in input.array()? {
        if is_unreadable(item.value()) {
            is_edited = true;
        } else if has_uploads {
            let with_files = filled(&item, request)?;
            is_edited |= with_files.is_some();
            items.push(with_files.unwrap_or_else(|| item.value().clone()));
        } else {
            items.push(item.value().clone());
        }
    }
    Ok(is_edited.then(|| Value::Array(items).to_string()))
}

/// Reasoning that a provider without a memory cannot use.
fn is_unreadable(item: &Value) -> bool {
    if item.get("type").and_then(Value::as_str) != Some("reasoning") {
        return false;
    }
    let has_text = item.get("content").and_then(Value::as_array).is_some_and(|it| !it.is_empty());
    match item.get("encrypted_content").and_then(Value::as_str) {
        Some(encrypted) => is_sealed(encrypted),
        None => !has_text,
    }
}

/// An item with the files that it names, if it names any.
fn filled(item: &Field<'_>, request: &ResponsesRequest) -> Result<Option<Value>, BadRequest> {
    let mut copy = None;
    for key in ["content", "output"] {
        let Some(parts) = item.get(key).filter(|parts| parts.value().is_array()) else {
            continue;
        };
        for (place, part) in parts.array()?.enumerate() {
            let Some(id) = part.get("file_id") else {
                continue;
            };
            let data = data_url_of_upload(&id, request)?;
            let is_image = part.value().get("type") == Some(&json!("input_image"));
            let copy = copy.get_or_insert_with(|| item.value().clone());
            let part = copy.get_mut(key).and_then(|parts| parts.get_mut(place));
            if let Some(part) = part.and_then(Value::as_object_mut) {
                part.shift_remove("file_id");
                if is_image {
                    part.insert("image_url".to_owned(), data.into());
                } else {
                    part.insert("file_data".to_owned(), data.into());
                    part.entry("filename").or_insert_with(|| "document".into());
                }
            }
        }
    }
    Ok(copy)
}

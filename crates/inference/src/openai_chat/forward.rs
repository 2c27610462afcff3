//! The original bytes, for models that speak the dialect themselves.

use bytes::Bytes;
use serde_json::Value;

use super::ChatRequest;
use super::canonical::is_droppable;
use crate::Model;
use crate::wire::members::{Edit, Member, Members};

/// The body to send to a model that speaks Chat Completions: the caller's bytes, except that
///
/// - `model` names the model as the provider does;
/// - fields in the registry's `drop_fields` are gone;
/// - `max_completion_tokens` says `max_tokens` if no maximum is left. (Or `max_tokens` does, where the registry drops
///   the former.) Bedrock would else reserve the model's whole output of its own quota;
/// - a stream reports its usage (`stream_options.include_usage`); [`ChatRenderer`](super::ChatRenderer)
///   takes it out again if the caller did not ask for it;
/// - uploaded files stand in `messages` themselves, in place of their ids.
pub(super) fn forward_body(request: &ChatRequest, model: &Model, max_tokens: u32) -> Bytes {
    let is_dropped =
        |field: &str| is_droppable(field) && model.drop_fields.iter().any(|name| name == field);
    let is_null = |member: &Member| request.body().get(&member.key).is_none_or(Value::is_null);
    let is_left = |field: &str| {
        request.members().iter().any(|member| member.key == field) && !is_dropped(field)
    };
    let is_set = |field: &str| {
        is_left(field) && request.body().get(field).is_some_and(|value| !value.is_null())
    };

    let max_field =
        ["max_completion_tokens", "max_tokens"].into_iter().find(|field| !is_dropped(field));
    let missing_max =
        max_field.filter(|_| !is_set("max_completion_tokens") && !is_set("max_tokens"));
    let wants_usage =
        request.is_streaming() && !request.includes_usage() && !is_dropped("stream_options");

    let edit = |member: &Member| match member.key.as_str() {
        key if is_dropped(key) => Edit::Drop,
        "messages" => request.embedded_messages().map_or(Edit::Keep, Edit::Replace),
        "model" if request.model() != model.provider_model_id => {
            Edit::Replace(quoted(&model.provider_model_id))
        }
        key if missing_max == Some(key) => Edit::Replace(max_tokens.to_string()),
        "stream_options" if wants_usage => {
            let options = request.text().get(member.value.clone()).filter(|_| !is_null(member));
            Edit::Replace(with_usage(options.unwrap_or("{}")))
        }
        _ => Edit::Keep,
    };
    let mut additions = Vec::new();
    if let Some(field) = missing_max.filter(|field| !is_left(field)) {
        additions.push((field, max_tokens.to_string()));
    }
    if wants_usage && !is_left("stream_options") {
        additions.push(("stream_options", with_usage("{}")));
    }
    Bytes::from(request.members().rewrite(request.text(), edit, &additions))
}

/// Stream options with `include_usage` set to true and the others as they are.
fn with_usage(options: &str) -> String {
    const KEY: &str = "include_usage";
    let yes = || "true".to_owned();
    let Ok(members) = Members::of(options) else {
        return format!("{{\"{KEY}\":true}}");
    };
    let is_there = members.iter().any(|member| member.key == KEY);
    let additions = if is_there { Vec::new() } else { vec![(KEY, yes())] };
    members.rewrite(
        options,
        |member| if member.key == KEY { Edit::Replace(yes()) } else { Edit::Keep },
        &additions,
    )
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

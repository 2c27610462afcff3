//! How many tokens a call can consume at most, judged without a tokenizer.

use metering::ServiceTier;
use serde_json::Value;

use super::ResponsesRequest;
use super::tools::runs_at_the_provider;
use crate::wire::field::Field;
use crate::wire::weight::{Weight, max_tokens_of};
use crate::{BadRequest, GenerateRequest as _, Model, TokenBound};

/// Fields that no model reads.
const LABELS: [&str; 12] = [
    "client_metadata",
    "include",
    "metadata",
    "model",
    "previous_response_id",
    "prompt_cache_key",
    "prompt_cache_options",
    "safety_identifier",
    "store",
    "stream",
    "stream_options",
    "user",
];

/// Bounds what `request` can consume on `model`.
///
/// Input: a token holds at least one byte, so the bytes of all texts, tools and schemas bound their
/// tokens; an image counts `image_tokens` and not the bytes of its base64. The context window bounds
/// it as well, and does so alone for what says nothing about its tokens: files, and tools by which
/// the provider itself reads more. Output: the client's maximum, else the tenant's, else the model's default.
///
/// Refuses a maximum above the model's, and service tiers that no price book knows.
pub(super) fn bound(
    request: &ResponsesRequest,
    model: &Model,
    default_max_tokens: Option<u32>,
) -> Result<TokenBound, BadRequest> {
    let is_dropped = model.drop_fields.iter().any(|name| name == "service_tier");
    let tier = Field::of_body(&request.body, "service_tier").filter(|_| !is_dropped);
    let service_tier = tier.map_or(Ok(ServiceTier::Default), |it| it.openai_service_tier())?;
    let (requested, field) = (request.max_output_tokens, "max_output_tokens");
    let max_tokens = max_tokens_of(requested, field, model, default_max_tokens)?;
    let bound = weigh(request, model).bound(model, max_tokens, 1);
    Ok(TokenBound { service_tier, ..bound })
}

fn weigh(request: &ResponsesRequest, model: &Model) -> Weight {
    let mut weight = Weight::new();
    for (key, value) in &request.body {
        match key.as_str() {
            key if LABELS.contains(&key) => {}
            "input" => add_item(&mut weight, value),
            _ => {
                weight.add_bytes(key.len());
                add_json(&mut weight, value);
            }
        }
    }
    // Only the provider's own server runs these.
    let is_native = request.is_forwarded_to(model);
    let mut tools = request.body.get("tools").and_then(Value::as_array).into_iter().flatten();
    if is_native && tools.any(runs_at_the_provider) {
        weight.add_unbounded();
    }
    weight
}

/// Counts what reaches the model as JSON text.
fn add_json(weight: &mut Weight, value: &Value) {
    match value {
        Value::Null | Value::Bool(_) => weight.add_bytes(5),
        Value::Number(number) => weight.add_bytes(number.to_string().len()),
        Value::String(text) => weight.add_bytes(text.len().saturating_add(2)),
        Value::Array(elements) => {
            weight.add_bytes(2);
            for element in elements {
                weight.add_bytes(1);
                add_json(weight, element);
            }
        }
        Value::Object(object) => {
            weight.add_bytes(2);
            for (key, value) in object {
                weight.add_bytes(key.len().saturating_add(4));
                add_json(weight, value);
            }
        }
    }
}

/// Counts items, their parts and what is in them.
fn add_item(weight: &mut Weight, value: &Value) {
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Number(number) => weight.add_bytes(number.to_string().len()),
        Value::String(text) => weight.add_bytes(text.len()),
        Value::Array(elements) => elements.iter().for_each(|element| add_item(weight, element)),
        Value::Object(object) => {
            weight.add_template();
            let kind = object.get("type").and_then(Value::as_str);
            match kind {
                Some("input_image") => weight.add_image(),
                Some("additional_tools") => {
                    add_json(weight, value);
                    return;
                }
                Some("input_file" | "item_reference" | "computer_call_output") => {
                    weight.add_unbounded();
                    return;
                }
                _ => {}
            }
            for (key, value) in object {
                let is_picture =
                    kind == Some("input_image") && matches!(key.as_str(), "image_url" | "file_id");
                if !is_picture && key != "type" {
                    weight.add_bytes(key.len());
                    add_item(weight, value);
                }
            }
        }
    }
}

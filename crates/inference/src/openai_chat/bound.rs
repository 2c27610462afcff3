//! How many tokens a call can consume at most, judged without a tokenizer.

use metering::ServiceTier;
use serde_json::Value;

use super::ChatRequest;
use crate::wire::field::Field;
use crate::wire::weight::{Weight, max_tokens_of};
use crate::{BadRequest, Model, TokenBound};

/// Bounds what `request` can consume on `model`.
///
/// Input: a token holds at least one byte, so the bytes of all texts, tools and schemas bound their
/// tokens; an image counts `image_tokens` and not the bytes of its base64. The context window bounds
/// it as well, and does so alone for a part (such as a file) whose size says nothing about its tokens.
///
/// Output: the caller's maximum, else `default_max_tokens` (the tenant's), else the model's default.
///
/// Refuses a maximum above the model's, and service tiers that no price book knows.
pub(super) fn bound(
    request: &ChatRequest,
    model: &Model,
    default_max_tokens: Option<u32>,
) -> Result<TokenBound, BadRequest> {
    let is_dropped = |field: &str| model.drop_fields.iter().any(|name| name == field);
    let tier = Field::of_body(request.body(), "service_tier");
    let service_tier = tier
        .filter(|_| !is_dropped("service_tier"))
        .map_or(Ok(ServiceTier::Default), |it| it.openai_service_tier())?;
    let is_old = Field::of_body(request.body(), "max_tokens").is_some();
    let field = if is_old { "max_tokens" } else { "max_completion_tokens" };
    let max_tokens = max_tokens_of(request.max_output_tokens(), field, model, default_max_tokens)?;
    let choices = if is_dropped("n") { 1 } else { request.choices() };
    let bound = weigh(request).bound(model, max_tokens, choices);
    Ok(TokenBound { service_tier, ..bound })
}

fn weigh(request: &ChatRequest) -> Weight {
    let mut weight = Weight::new();
    for member in request.members().iter() {
        match member.key.as_str() {
            "messages" => {
                let messages = request.body().get("messages").and_then(Value::as_array);
                messages
                    .into_iter()
                    .flatten()
                    .for_each(|message| add_message(&mut weight, message));
            }
            "model" => {}
            // Tools and schemas reach the model as text, and so might a field that is not known
            // here; numbers and flags add a few bytes.
            _ => weight.add_bytes(member.key.len() + member.value.len()),
        }
    }
    weight
}

fn add_message(weight: &mut Weight, message: &Value) {
    weight.add_template();
    for (key, value) in message.as_object().into_iter().flatten() {
        match (key.as_str(), value) {
            ("content", Value::Array(parts)) => {
                for part in parts {
                    add_part(weight, part);
                }
            }
            ("role" | "content", value) => weight.add_value(value),
            (_, value) => {
                weight.add_bytes(key.len());
                weight.add_value(value);
            }
        }
    }
}

fn add_part(weight: &mut Weight, part: &Value) {
    weight.add_template();
    match part.get("type").and_then(Value::as_str) {
        Some("image_url") => {
            weight.add_image();
            for (key, value) in part.as_object().into_iter().flatten() {
                if key != "image_url" {
                    weight.add_value(value);
                }
            }
        }
        // Compressed audio holds far more bytes than tokens.
        Some("text" | "refusal" | "input_audio") => {
            part.as_object()
                .into_iter()
                .flatten()
                .filter(|(key, _)| *key != "type")
                .for_each(|(_, value)| weight.add_value(value));
        }
        _ => weight.add_unbounded(),
    }
}

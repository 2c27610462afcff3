//! How many tokens a call can consume at most, judged without a tokenizer.

use serde_json::Value;

use super::ChatRequest;
use crate::Model;
use crate::wire::field::Field;
use crate::{BadRequest, TokenBound, estimated_tokens};

/// Tokens that a template may put around a message, content part or tool call.
const TEMPLATE_TOKENS: u64 = 16;

/// Bounds what `request` can consume on `model`.
///
/// Input: a token holds at least one byte, so the bytes of all texts, tools and schemas bound their
/// tokens; an image counts `image_tokens` and not the bytes of its base64. The context window bounds
/// it as well, and does so alone for a part (such as a file) whose size says nothing about its tokens.
///
/// Output: the caller's maximum, else `default_max_tokens` (the tenant's), else the model's default.
///
/// Refuses a maximum above the model's, and service tiers that cost more than the price book says.
pub(super) fn bound(
    request: &ChatRequest,
    model: &Model,
    default_max_tokens: Option<u32>,
) -> Result<TokenBound, BadRequest> {
    let is_dropped = |field: &str| model.drop_fields.iter().any(|name| name == field);
    if !is_dropped("service_tier") {
        refuse_dear_tiers(request)?;
    }
    let max_tokens = max_tokens(request, model, default_max_tokens)?;
    let choices = if is_dropped("n") { 1 } else { request.choices() };
    let weight = weigh(request);
    let window = u64::from(model.context_window);
    let images = weight.images.saturating_mul(u64::from(model.estimate.image_tokens));
    let overhead = u64::from(model.estimate.overhead_tokens);
    let sum = weight
        .bytes
        .saturating_add(weight.template)
        .saturating_add(images)
        .saturating_add(overhead);
    let input = if weight.is_bounded { sum.min(window) } else { window };
    let likely_input = estimated_tokens(weight.bytes).saturating_add(images).min(input);
    Ok(TokenBound {
        input,
        likely_input,
        output: u64::from(max_tokens) * u64::from(choices),
        max_tokens,
        ..TokenBound::default()
    })
}

fn max_tokens(
    request: &ChatRequest,
    model: &Model,
    default_max_tokens: Option<u32>,
) -> Result<u32, BadRequest> {
    let Some(requested) = request.max_output_tokens() else {
        let default = default_max_tokens.unwrap_or(model.default_max_tokens);
        return Ok(default.min(model.max_output_tokens).max(1));
    };
    u32::try_from(requested).ok().filter(|requested| *requested <= model.max_output_tokens).ok_or_else(|| {
        let name = if Field::of_body(request.body(), "max_tokens").is_some() { "max_tokens" } else { "max_completion_tokens" };
        let message = format!(
            "`{name}` is {requested}, but `{}` produces at most {} output tokens: ask for that many or fewer.",
            model.id, model.max_output_tokens
        );
        BadRequest::new("integer_above_max_value", name, message)
    })
}

/// Tiers that cost more than the listed price would let a call outgrow its reservation.
fn refuse_dear_tiers(request: &ChatRequest) -> Result<(), BadRequest> {
    let Some(field) = Field::of_body(request.body(), "service_tier") else {
        return Ok(());
    };
    match field.str()? {
        "auto" | "default" | "flex" => Ok(()),
        _ => Err(field
            .unsupported("must be `auto`, `default` or `flex`: other tiers have no price here.")),
    }
}

#[derive(Default)]
struct Weight {
    bytes: u64,
    template: u64,
    images: u64,
    is_bounded: bool,
}

fn weigh(request: &ChatRequest) -> Weight {
    let mut weight = Weight { is_bounded: true, ..Weight::default() };
    for member in request.members().iter() {
        match member.key.as_str() {
            "messages" => {
                let messages = request.body().get("messages").and_then(Value::as_array);
                messages.into_iter().flatten().for_each(|message| weight.add_message(message));
            }
            "model" => {}
            // Tools and schemas reach the model as text, and so might a field that is not known
            // here; numbers and flags add a few bytes.
            _ => weight.add_bytes(member.key.len() + member.value.len()),
        }
    }
    weight
}

impl Weight {
    fn add_bytes(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    fn add_template(&mut self) {
        self.template = self.template.saturating_add(TEMPLATE_TOKENS);
    }

    fn add_message(&mut self, message: &Value) {
        self.add_template();
        for (key, value) in message.as_object().into_iter().flatten() {
            match (key.as_str(), value) {
                ("content", Value::Array(parts)) => {
                    for part in parts {
                        self.add_part(part);
                    }
                }
                ("role" | "content", value) => self.add_value(value),
                (_, value) => {
                    self.add_bytes(key.len());
                    self.add_value(value);
                }
            }
        }
    }

    fn add_part(&mut self, part: &Value) {
        self.add_template();
        match part.get("type").and_then(Value::as_str) {
            Some("image_url") => {
                self.images = self.images.saturating_add(1);
                for (key, value) in part.as_object().into_iter().flatten() {
                    if key != "image_url" {
                        self.add_value(value);
                    }
                }
            }
            // Compressed audio holds far more bytes than tokens.
            Some("text" | "refusal" | "input_audio") => {
                part.as_object()
                    .into_iter()
                    .flatten()
                    .filter(|(key, _)| *key != "type")
                    .for_each(|(_, value)| self.add_value(value));
            }
            _ => self.is_bounded = false,
        }
    }

    fn add_value(&mut self, value: &Value) {
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => self.add_bytes(number.to_string().len()),
            Value::String(text) => self.add_bytes(text.len()),
            Value::Array(elements) => {
                for element in elements {
                    self.add_template();
                    self.add_value(element);
                }
            }
            Value::Object(object) => {
                for (key, value) in object {
                    self.add_bytes(key.len());
                    self.add_value(value);
                }
            }
        }
    }
}

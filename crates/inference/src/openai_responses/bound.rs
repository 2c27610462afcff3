//! How many tokens a call can consume at most, judged without a tokenizer.

use serde_json::Value;

use super::ResponsesRequest;
use super::tools::runs_at_the_provider;
use crate::wire::field::Field;
use crate::{BadRequest, GenerateRequest as _, Model, TokenBound, estimated_tokens};

/// Tokens that a template may put around an item or content part.
const TEMPLATE_TOKENS: u64 = 16;

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
/// Refuses a maximum above the model's, and service tiers that cost more than the price book says.
pub(super) fn bound(
    request: &ResponsesRequest,
    model: &Model,
    default_max_tokens: Option<u32>,
) -> Result<TokenBound, BadRequest> {
    if !model.drop_fields.iter().any(|name| name == "service_tier") {
        refuse_dear_tiers(request)?;
    }
    let max_tokens = max_tokens(request, model, default_max_tokens)?;
    let weight = weigh(request, model);
    let window = u64::from(model.context_window);
    let images = weight.images.saturating_mul(u64::from(model.estimate.image_tokens));
    let sum = weight
        .bytes
        .saturating_add(weight.template)
        .saturating_add(images)
        .saturating_add(u64::from(model.estimate.overhead_tokens));
    let input = if weight.is_bounded { sum.min(window) } else { window };
    let likely_input = estimated_tokens(weight.bytes).saturating_add(images).min(input);
    Ok(TokenBound {
        input,
        likely_input,
        output: u64::from(max_tokens),
        max_tokens,
        ..TokenBound::default()
    })
}

fn max_tokens(
    request: &ResponsesRequest,
    model: &Model,
    default_max_tokens: Option<u32>,
) -> Result<u32, BadRequest> {
    let Some(requested) = request.max_output_tokens else {
        let default = default_max_tokens.unwrap_or(model.default_max_tokens);
        return Ok(default.min(model.max_output_tokens).max(1));
    };
    u32::try_from(requested).ok().filter(|requested| *requested <= model.max_output_tokens).ok_or_else(|| {
        let message = format!(
            "`max_output_tokens` is {requested}, but `{}` produces at most {} output tokens: ask for that many or fewer.",
            model.id, model.max_output_tokens
        );
        BadRequest::new("integer_above_max_value", "max_output_tokens", message)
    })
}

/// Tiers that cost more than the listed price would let a call outgrow its reservation.
fn refuse_dear_tiers(request: &ResponsesRequest) -> Result<(), BadRequest> {
    let Some(field) = Field::of_body(&request.body, "service_tier") else {
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

fn weigh(request: &ResponsesRequest, model: &Model) -> Weight {
    let mut weight = Weight { is_bounded: true, ..Weight::default() };
    for (key, value) in &request.body {
        match key.as_str() {
            key if LABELS.contains(&key) => {}
            "input" => weight.add(value),
            _ => {
                weight.add_bytes(key.len());
                weight.add_json(value);
            }
        }
    }
    // Only the provider's own server runs these.
    let is_native = model.speaks(request.native_protocol());
    let mut tools = request.body.get("tools").and_then(Value::as_array).into_iter().flatten();
    if is_native && tools.any(runs_at_the_provider) {
        weight.is_bounded = false;
    }
    weight
}

impl Weight {
    fn add_bytes(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// Counts what reaches the model as JSON text.
    fn add_json(&mut self, value: &Value) {
        match value {
            Value::Null | Value::Bool(_) => self.add_bytes(5),
            Value::Number(number) => self.add_bytes(number.to_string().len()),
            Value::String(text) => self.add_bytes(text.len().saturating_add(2)),
            Value::Array(elements) => {
                self.add_bytes(2);
                for element in elements {
                    self.add_bytes(1);
                    self.add_json(element);
                }
            }
            Value::Object(object) => {
                self.add_bytes(2);
                for (key, value) in object {
                    self.add_bytes(key.len().saturating_add(4));
                    self.add_json(value);
                }
            }
        }
    }

    /// Counts items, their parts and what is in them.
    fn add(&mut self, value: &Value) {
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => self.add_bytes(number.to_string().len()),
            Value::String(text) => self.add_bytes(text.len()),
            Value::Array(elements) => elements.iter().for_each(|element| self.add(element)),
            Value::Object(object) => {
                self.template = self.template.saturating_add(TEMPLATE_TOKENS);
                let kind = object.get("type").and_then(Value::as_str);
                match kind {
                    Some("input_image") => self.images = self.images.saturating_add(1),
                    Some("additional_tools") => {
                        self.add_json(value);
                        return;
                    }
                    Some("input_file" | "item_reference" | "computer_call_output") => {
                        self.is_bounded = false;
                        return;
                    }
                    _ => {}
                }
                for (key, value) in object {
                    let is_picture = kind == Some("input_image")
                        && matches!(key.as_str(), "image_url" | "file_id");
                    if !is_picture && key != "type" {
                        self.add_bytes(key.len());
                        self.add(value);
                    }
                }
            }
        }
    }
}

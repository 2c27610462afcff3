//! What a request can consume at most, added up piece by piece and judged without a tokenizer.

use serde_json::Value;

use crate::{BadRequest, Model, TokenBound, estimated_tokens};

/// Tokens that a template may put around a message, content part, tool call or tool.
pub(crate) const TEMPLATE_TOKENS: u64 = 16;

/// The pieces of a request. A token holds at least one byte, so the bytes of all texts bound their
/// tokens; a picture counts `image_tokens` and not the bytes of its base64.
#[derive(Debug)]
pub(crate) struct Weight {
    /// Bytes of texts, tools and schemas.
    bytes: u64,
    /// Tokens of what the provider puts around them.
    template: u64,
    images: u64,
    /// Whether all sizes said something about tokens; else only the context window bounds the input.
    is_bounded: bool,
}

impl Weight {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self { bytes: 0, template: 0, images: 0, is_bounded: true }
    }

    /// Text of so many bytes.
    pub(crate) fn add_bytes(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// What a template puts around one piece.
    pub(crate) fn add_template(&mut self) {
        self.add_template_of(TEMPLATE_TOKENS);
    }

    /// What the provider adds of its own, in tokens.
    pub(crate) fn add_template_of(&mut self, tokens: u64) {
        self.template = self.template.saturating_add(tokens);
    }

    /// A picture.
    pub(crate) fn add_image(&mut self) {
        self.images = self.images.saturating_add(1);
    }

    /// A piece whose size says nothing about its tokens: a file, a video, a tool that the provider runs.
    pub(crate) fn add_unbounded(&mut self) {
        self.is_bounded = false;
    }

    /// The texts, numbers and keys in `value`.
    pub(crate) fn add_value(&mut self, value: &Value) {
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

    /// Input tokens at most on `model`, and those that are likely.
    pub(crate) fn input(&self, model: &Model) -> (u64, u64) {
        let window = u64::from(model.context_window);
        let images = self.images.saturating_mul(u64::from(model.estimate.image_tokens));
        let sum = self
            .bytes
            .saturating_add(self.template)
            .saturating_add(images)
            .saturating_add(u64::from(model.estimate.overhead_tokens));
        let input = if self.is_bounded { sum.min(window) } else { window };
        (input, estimated_tokens(self.bytes).saturating_add(images).min(input))
    }

    /// The bound of a call that wants so many answers of at most `max_tokens` each.
    pub(crate) fn bound(&self, model: &Model, max_tokens: u32, answers: u32) -> TokenBound {
        let (input, likely_input) = self.input(model);
        TokenBound {
            input,
            likely_input,
            output: u64::from(max_tokens) * u64::from(answers),
            max_tokens,
            ..TokenBound::default()
        }
    }
}

/// Output tokens of one answer at most: what the client asked for in `field`, else the tenant's
/// default, else the model's.
///
/// # Errors
/// More than the model produces.
pub(crate) fn max_tokens_of(
    requested: Option<u64>,
    field: &str,
    model: &Model,
    default_max_tokens: Option<u32>,
) -> Result<u32, BadRequest> {
    let Some(requested) = requested else {
        let default = default_max_tokens.unwrap_or(model.default_max_tokens);
        return Ok(default.min(model.max_output_tokens).max(1));
    };
    let allowed = u32::try_from(requested).ok().filter(|wanted| *wanted <= model.max_output_tokens);
    allowed.ok_or_else(|| too_many_tokens(requested, field, model))
}

/// More output tokens than the model produces.
pub(crate) fn too_many_tokens(requested: u64, field: &str, model: &Model) -> BadRequest {
    let message = format!(
        "`{field}` is {requested}, but `{}` produces at most {} output tokens: ask for that many or fewer.",
        model.id, model.max_output_tokens
    );
    BadRequest::new("integer_above_max_value", field, message)
}

//! How many tokens a call can consume at most, judged without a tokenizer.

use serde_json::{Map, Value};

use super::ConverseRequest;
use super::forward::is_dropped;
use crate::wire::field::Field;
use crate::{BadRequest, Model, TokenBound, estimated_tokens};

/// Tokens that a template may put around a message, content block or tool.
const TEMPLATE_TOKENS: u64 = 16;

/// Bounds what `request` can consume on `model`.
///
/// Input: a token holds at least one byte, so the bytes of all texts, tools and schemas bound their
/// tokens; an image counts `image_tokens` and not the bytes of its base64. The context window bounds
/// it as well, and does so alone where size says nothing about tokens: documents, video, sound.
///
/// Output: the client's maximum, else `default_max_tokens` (the tenant's), else the model's default.
///
/// Refuses a maximum above the model's, and what costs more than the price book says.
pub(super) fn bound(
    request: &ConverseRequest,
    model: &Model,
    default_max_tokens: Option<u32>,
) -> Result<TokenBound, BadRequest> {
    refuse_unpriced(&request.body, model)?;
    let max_tokens = max_tokens(request, model, default_max_tokens)?;
    let (input, likely_input) = input_of(&request.body, model);
    Ok(TokenBound {
        input,
        likely_input,
        output: u64::from(max_tokens),
        max_tokens,
        ..TokenBound::default()
    })
}

fn max_tokens(
    request: &ConverseRequest,
    model: &Model,
    default_max_tokens: Option<u32>,
) -> Result<u32, BadRequest> {
    let Some(requested) = request.max_tokens else {
        let default = default_max_tokens.unwrap_or(model.default_max_tokens);
        return Ok(default.min(model.max_output_tokens).max(1));
    };
    u32::try_from(requested).ok().filter(|requested| *requested <= model.max_output_tokens).ok_or_else(|| {
        let message = format!(
            "`inferenceConfig.maxTokens` is {requested}, but `{}` produces at most {} output tokens: ask for that many or fewer.",
            model.id, model.max_output_tokens
        );
        BadRequest::new("integer_above_max_value", "inferenceConfig.maxTokens", message)
    })
}

/// What costs more than the listed price would let a call outgrow its reservation.
fn refuse_unpriced(body: &Map<String, Value>, model: &Model) -> Result<(), BadRequest> {
    let field = |name| Field::of_body(body, name).filter(|_| !is_dropped(model, name));
    if let Some(tier) = field("serviceTier") {
        let tier = tier.require("type")?;
        if !matches!(tier.str()?, "default" | "flex") {
            return Err(
                tier.unsupported("must be `default` or `flex`: other tiers have no price here.")
            );
        }
    }
    if let Some(performance) = field("performanceConfig")
        && let Some(latency) = performance.get("latency")
        && latency.str()? != "standard"
    {
        return Err(latency.unsupported("must be `standard`: other latencies have no price here."));
    }
    if let Some(config) = field("toolConfig")
        && let Some(tools) = config.get("tools")
    {
        for tool in tools.array()? {
            tool.object()?;
            if let Some(system_tool) = tool.get("systemTool") {
                return Err(
                    system_tool.unsupported("is run by Bedrock, and its use has no price here.")
                );
            }
        }
    }
    if let Some(fields) = field("additionalModelRequestFields") {
        refuse_other_limits(&fields, true)?;
    }
    Ok(())
}

/// Fields of a model's own that would set another maximum than the one that was checked.
fn refuse_other_limits(fields: &Field<'_>, is_outermost: bool) -> Result<(), BadRequest> {
    for key in fields.object()?.keys() {
        let Some(field) = fields.get(key) else { continue };
        let letters = key.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_lowercase());
        let name = String::from_utf8(letters.collect()).unwrap_or_default();
        let sets_maximum =
            name.starts_with("max") && (name.contains("tok") || name.contains("len"));
        if sets_maximum {
            return Err(
                field.unsupported("would set another maximum: use `inferenceConfig.maxTokens`.")
            );
        }
        if matches!(name.as_str(), "n" | "numgenerations" | "numresults" | "bestof") {
            return Err(field.unsupported("would ask for several answers: send several requests."));
        }
        if matches!(name.as_str(), "servicetier" | "speed") {
            return Err(field.unsupported("has no price here."));
        }
        if is_outermost && field.value().is_object() {
            refuse_other_limits(&field, false)?;
        }
    }
    Ok(())
}

/// Input tokens at most, and those that are likely, of a body that holds a conversation.
pub(super) fn input_of(body: &Map<String, Value>, model: &Model) -> (u64, u64) {
    let weight = weigh(body);
    let window = u64::from(model.context_window);
    let images = weight.images.saturating_mul(u64::from(model.estimate.image_tokens));
    let sum = weight
        .bytes
        .saturating_add(weight.template)
        .saturating_add(images)
        .saturating_add(u64::from(model.estimate.overhead_tokens));
    let input = if weight.is_bounded { sum.min(window) } else { window };
    (input, estimated_tokens(weight.bytes).saturating_add(images).min(input))
}

struct Weight {
    bytes: u64,
    template: u64,
    images: u64,
    is_bounded: bool,
}

fn weigh(body: &Map<String, Value>) -> Weight {
    let mut weight = Weight { bytes: 0, template: 0, images: 0, is_bounded: true };
    for (key, value) in body {
        match key.as_str() {
            "messages" => {
                for message in value.as_array().into_iter().flatten() {
                    weight.add_template();
                    weight.add_blocks(message.get("content"));
                }
            }
            "system" => weight.add_blocks(Some(value)),
            "requestMetadata" => {}
            // Tools and schemas reach the model as text, and so might a field that is not known here;
            // numbers and flags add a few bytes.
            _ => weight.add_bytes(key.len() + value.to_string().len()),
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

    fn add_blocks(&mut self, blocks: Option<&Value>) {
        for block in blocks.and_then(Value::as_array).into_iter().flatten() {
            self.add_template();
            for (kind, value) in block.as_object().into_iter().flatten() {
                self.add_block(kind, value);
            }
        }
    }

    fn add_block(&mut self, kind: &str, value: &Value) {
        match kind {
            "image" => self.images = self.images.saturating_add(1),
            "cachePoint" => {}
            "toolResult" => {
                self.add_bytes(value.get("toolUseId").and_then(Value::as_str).map_or(0, str::len));
                self.add_blocks(value.get("content"));
            }
            "document" => {
                let source = value.get("source");
                let is_text = source.is_some_and(|source| {
                    source.get("text").is_some() || source.get("content").is_some()
                });
                if is_text {
                    self.add_value(value);
                } else {
                    self.is_bounded = false;
                }
            }
            "guardContent" => {
                for (kind, value) in value.as_object().into_iter().flatten() {
                    self.add_block(kind, value);
                }
            }
            "text" | "json" | "toolUse" | "reasoningContent" | "citationsContent"
            | "searchResult" => {
                self.add_value(value);
            }
            // Video, sound, and what is not known here.
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

//! How many tokens a call can consume at most, judged without a tokenizer.

use metering::ServiceTier;
use serde_json::{Map, Value};

use super::ConverseRequest;
use super::forward::is_dropped;
use crate::wire::field::Field;
use crate::wire::weight::{Weight, max_tokens_of};
use crate::{BadRequest, Model, TokenBound};

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
    let tier = Field::of_body(&request.body, "serviceTier");
    let tier = tier.filter(|_| !is_dropped(model, "serviceTier"));
    let service_tier = match tier {
        Some(tier) => tier.require("type")?.service_tier()?,
        None => ServiceTier::Default,
    };
    let field = "inferenceConfig.maxTokens";
    let max_tokens = max_tokens_of(request.max_tokens, field, model, default_max_tokens)?;
    let bound = weigh(&request.body).bound(model, max_tokens, 1);
    Ok(TokenBound { service_tier, ..bound })
}

/// What costs more than the listed price would let a call outgrow its reservation.
fn refuse_unpriced(body: &Map<String, Value>, model: &Model) -> Result<(), BadRequest> {
    let field = |name| Field::of_body(body, name).filter(|_| !is_dropped(model, name));
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
    weigh(body).input(model)
}

fn weigh(body: &Map<String, Value>) -> Weight {
    let mut weight = Weight::new();
    for (key, value) in body {
        match key.as_str() {
            "messages" => {
                for message in value.as_array().into_iter().flatten() {
                    weight.add_template();
                    add_blocks(&mut weight, message.get("content"));
                }
            }
            "system" => add_blocks(&mut weight, Some(value)),
            "requestMetadata" => {}
            // Tools and schemas reach the model as text, and so might a field that is not known here;
            // numbers and flags add a few bytes.
            _ => weight.add_bytes(key.len() + value.to_string().len()),
        }
    }
    weight
}

fn add_blocks(weight: &mut Weight, blocks: Option<&Value>) {
    for block in blocks.and_then(Value::as_array).into_iter().flatten() {
        weight.add_template();
        for (kind, value) in block.as_object().into_iter().flatten() {
            add_block(weight, kind, value);
        }
    }
}

fn add_block(weight: &mut Weight, kind: &str, value: &Value) {
    match kind {
        "image" => weight.add_image(),
        "cachePoint" => {}
        "toolResult" => {
            weight.add_bytes(value.get("toolUseId").and_then(Value::as_str).map_or(0, str::len));
            add_blocks(weight, value.get("content"));
        }
        "document" => {
            let source = value.get("source");
            let is_text = source.is_some_and(|source| {
                source.get("text").is_some() || source.get("content").is_some()
            });
            if is_text {
                weight.add_value(value);
            } else {
                weight.add_unbounded();
            }
        }
        "guardContent" => {
            for (kind, value) in value.as_object().into_iter().flatten() {
                add_block(weight, kind, value);
            }
        }
        "text" | "json" | "toolUse" | "reasoningContent" | "citationsContent" | "searchResult" => {
            weight.add_value(value);
        }
        // Video, sound, and what is not known here.
        _ => weight.add_unbounded(),
    }
}

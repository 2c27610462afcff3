//! From the dialect to the canonical form.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::ResponsesRequest;
use super::input::conversation_of;
use super::tools::tools_of;
use crate::wire::field::Field;
use crate::{BadRequest, InferenceParameters, Model, ModelRequest, OutputSchema, Protocol};

/// Translates `request` for a model that speaks another protocol, and shall produce at most `max_tokens`. The
/// module's documentation lists what is ignored.
pub(super) fn to_canonical(
    request: &ResponsesRequest,
    model: &Model,
    max_tokens: u32,
) -> Result<ModelRequest, BadRequest> {
    request.refuse_unresolved()?;
    let mut body = Cow::Borrowed(&request.body);
    if model.drop_fields.iter().any(|field| is_droppable(field) && body.contains_key(field)) {
        body.to_mut().retain(|field, _| !is_droppable(field) || !model.drop_fields.contains(field));
    }
    refuse_unsupported(&body, model)?;
    let conversation = conversation_of(request, &body, model)?;
    let (tools, tool_choice) = tools_of(&body, model)?;
    let parallel_tool_calls = parallel_tool_calls_of(&body, model)?.filter(|_| !tools.is_empty());
    Ok(ModelRequest {
        inference: inference_of(&body, model, max_tokens)?,
        output_schema: output_schema_of(&body, model)?,
        service_tier: service_tier_of(&body)?,
        effort: effort_of(&body, model)?,
        system: conversation.system,
        messages: conversation.messages,
        parallel_tool_calls,
        tools,
        tool_choice,
        ..ModelRequest::default()
    })
}

/// Whether the registry may have `field` dropped; a request is nothing without these two.
pub(super) fn is_droppable(field: &str) -> bool {
    !matches!(field, "model" | "input")
}

/// Agents say `false` for every model that they do not know, and take parallel calls all the same; so it is
/// a wish where Converse has no word for it.
fn parallel_tool_calls_of(
    body: &Map<String, Value>,
    model: &Model,
) -> Result<Option<bool>, BadRequest> {
    let has_word = model.protocols.first() != Some(&Protocol::Converse);
    let parallel = Field::of_body(body, "parallel_tool_calls").map(|it| it.bool()).transpose()?;
    Ok(parallel.filter(|parallel| *parallel || has_word))
}

fn inference_of(
    body: &Map<String, Value>,
    model: &Model,
    max_tokens: u32,
) -> Result<InferenceParameters, BadRequest> {
    let has_sampling = model.capabilities.sampling_parameters;
    Ok(InferenceParameters {
        max_tokens: Some(max_tokens),
        temperature: temperature_of(body, model)?.filter(|_| has_sampling),
        top_p: fraction_of(body, "top_p")?.filter(|_| has_sampling),
        top_k: None,
        stop_sequences: Vec::new(),
    })
}

/// OpenAI's scale ends at 2, the canonical one at 1. More is refused, not clamped: a clamp would answer with
/// another randomness than was asked for.
fn temperature_of(body: &Map<String, Value>, model: &Model) -> Result<Option<f32>, BadRequest> {
    let Some(field) = Field::of_body(body, "temperature") else {
        return Ok(None);
    };
    let temperature = field.number_within(0.0, 2.0)?;
    if temperature > 1.0 && model.capabilities.sampling_parameters {
        let message = format!("`temperature` is {temperature}, but `{}` takes 0 to 1.", model.id);
        return Err(BadRequest::new("decimal_above_max_value", "temperature", message));
    }
    Ok(Some(to_f32(temperature)))
}

fn fraction_of(body: &Map<String, Value>, name: &str) -> Result<Option<f32>, BadRequest> {
    let Some(field) = Field::of_body(body, name) else {
        return Ok(None);
    };
    field.number_within(0.0, 1.0).map(|number| Some(to_f32(number)))
}

#[expect(clippy::cast_possible_truncation, reason = "0 to 2; single precision is canonical")]
fn to_f32(number: f64) -> f32 {
    number as f32
}

/// There is nothing below `low` elsewhere. A model that takes no effort thinks as it does.
fn effort_of(body: &Map<String, Value>, model: &Model) -> Result<Option<String>, BadRequest> {
    let reasoning = Field::of_body(body, "reasoning");
    let Some(reasoning) = reasoning.as_ref() else {
        return Ok(None);
    };
    reasoning.object()?;
    let Some(field) = reasoning.get("effort") else {
        return Ok(None);
    };
    let effort = match field.str()? {
        "none" | "minimal" | "low" => "low",
        effort @ ("medium" | "high" | "xhigh" | "max") => effort,
        _ => {
            return Err(field
                .invalid("must be `none`, `minimal`, `low`, `medium`, `high`, `xhigh` or `max`."));
        }
    };
    Ok(model.capabilities.reasoning_effort.then(|| effort.to_owned()))
}

/// `auto` leaves it to the provider, as does saying nothing.
fn service_tier_of(body: &Map<String, Value>) -> Result<Option<String>, BadRequest> {
    let tier = Field::of_body(body, "service_tier").map(|field| field.str()).transpose()?;
    Ok(tier.filter(|tier| *tier != "auto").map(str::to_owned))
}

/// The schema that the answer must match, if one is asked for.
fn output_schema_of(
    body: &Map<String, Value>,
    model: &Model,
) -> Result<Option<OutputSchema>, BadRequest> {
    let text = Field::of_body(body, "text");
    let Some(format) = text.as_ref().and_then(|text| text.get("format")) else {
        return Ok(None);
    };
    format.object()?;
    let kind = format.require("type")?;
    match kind.str()? {
        "text" => return Ok(None),
        "json_schema" => {}
        "json_object" => {
            return Err(kind.unsupported(format_args!(
                "`json_object` is not available with `{}`: use `json_schema` and say which object you want.",
                model.id
            )));
        }
        _ => return Err(kind.invalid("must be `text` or `json_schema`.")),
    }
    if !model.capabilities.structured_output {
        return Err(
            kind.unsupported(format_args!("`json_schema` is not available with `{}`.", model.id))
        );
    }
    let name = format.require("name")?.str()?.to_owned();
    let schema = Value::Object(format.require("schema")?.object()?.clone());
    let description = format.get("description").map(|field| field.str()).transpose()?;
    let description = description.filter(|text| !text.trim().is_empty()).map(str::to_owned);
    Ok(Some(OutputSchema { name, description, schema }))
}

/// Refuses fields that would change the answer and have no counterpart elsewhere.
fn refuse_unsupported(body: &Map<String, Value>, model: &Model) -> Result<(), BadRequest> {
    if let Some(field) = Field::of_body(body, "top_logprobs")
        && field.value().as_u64() != Some(0)
    {
        return Err(field.unsupported(format_args!("is not available with `{}`.", model.id)));
    }
    if let Some(field) = Field::of_body(body, "moderation") {
        return Err(field.unsupported(format_args!("is not available with `{}`.", model.id)));
    }
    if let Some(include) = Field::of_body(body, "include") {
        for element in include.array()? {
            if element.str()? == "message.output_text.logprobs" {
                return Err(
                    element.unsupported(format_args!("is not available with `{}`.", model.id))
                );
            }
        }
    }
    Ok(())
}

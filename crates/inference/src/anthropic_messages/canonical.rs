//! From the dialect to the canonical form.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::MessagesRequest;
use super::content::conversation_of;
use super::forward::{betas_of, is_dropped};
use super::tools::{choice_of, tools_of};
use crate::wire::field::Field;
use crate::{BadRequest, InferenceParameters, Model, ModelRequest, OutputSchema, Thinking};

/// The name of schemas, which have none in this dialect.
const SCHEMA_NAME: &str = "answer";

/// Translates `request` for a model of another protocol, which shall produce at most `max_tokens`
/// (`None` for a token count). What it asks for and the model cannot do is refused; the exceptions are
/// listed in the [module](super).
pub(super) fn to_canonical(
    request: &MessagesRequest,
    model: &Model,
    max_tokens: Option<u32>,
) -> Result<ModelRequest, BadRequest> {
    let mut body = Cow::Borrowed(&request.body);
    if body.keys().any(|field| is_dropped(model, field)) {
        body.to_mut().retain(|field, _| !is_dropped(model, field));
    }
    refuse_unsupported(&body, model)?;
    if max_tokens == Some(0) {
        let message =
            format!("`max_tokens` is 0, but `{}` cannot be asked for no answer at all.", model.id);
        return Err(BadRequest::unsupported("max_tokens", message));
    }
    let conversation = conversation_of(&body, model)?;
    let tools = tools_of(&body, model)?;
    let (tool_choice, parallel_tool_calls) = choice_of(&body, model, &tools)?;
    let was_lowered = max_tokens.is_some_and(|max| request.max_tokens > Some(u64::from(max)));
    let ceiling = max_tokens.filter(|_| was_lowered);
    Ok(ModelRequest {
        system: conversation.system,
        messages: conversation.messages,
        inference: inference_of(&body, model, max_tokens)?,
        tools,
        tool_choice,
        parallel_tool_calls,
        output_schema: output_schema_of(&body, model)?,
        thinking: thinking_of(&body, model, ceiling)?,
        effort: effort_of(&body, model)?,
        additional_fields: additional_fields(request, model),
        service_tier: service_tier_of(&body)?,
    })
}

fn refuse_unsupported(body: &Map<String, Value>, model: &Model) -> Result<(), BadRequest> {
    for name in ["mcp_servers", "compaction"] {
        if let Some(field) = Field::of_body(body, name)
            && !field.value().as_array().is_some_and(Vec::is_empty)
        {
            return Err(field.unsupported(format_args!("is not available with `{}`.", model.id)));
        }
    }
    Ok(())
}

fn inference_of(
    body: &Map<String, Value>,
    model: &Model,
    max_tokens: Option<u32>,
) -> Result<InferenceParameters, BadRequest> {
    let has_sampling = model.capabilities.sampling_parameters;
    let fraction = |name| -> Result<Option<f32>, BadRequest> {
        let Some(field) = Field::of_body(body, name) else { return Ok(None) };
        Ok(Some(to_f32(field.number_within(0.0, 1.0)?)).filter(|_| has_sampling))
    };
    let top_k = match Field::of_body(body, "top_k") {
        Some(field) => Some(
            field
                .value()
                .as_u64()
                .and_then(|top_k| u32::try_from(top_k).ok())
                .ok_or_else(|| field.invalid("must be an integer of at least 0."))?,
        ),
        None => None,
    };
    let mut stop_sequences = Vec::new();
    if let Some(field) = Field::of_body(body, "stop_sequences") {
        for element in field.array()? {
            let text = element.str()?;
            if text.is_empty() {
                return Err(element.invalid("is empty: leave it out."));
            }
            stop_sequences.push(text.to_owned());
        }
    }
    Ok(InferenceParameters {
        max_tokens,
        temperature: fraction("temperature")?,
        top_p: fraction("top_p")?,
        top_k: top_k.filter(|_| has_sampling && model.capabilities.top_k),
        stop_sequences,
    })
}

#[expect(clippy::cast_possible_truncation, reason = "0 to 1; providers take single precision")]
fn to_f32(number: f64) -> f32 {
    number as f32
}

/// `ceiling` is the maximum of output tokens where it was lowered: a budget has to stay below it.
fn thinking_of(
    body: &Map<String, Value>,
    model: &Model,
    ceiling: Option<u32>,
) -> Result<Option<Thinking>, BadRequest> {
    let Some(field) = Field::of_body(body, "thinking") else {
        return Ok(None);
    };
    let kind = field.require("type")?;
    let can_think = model.capabilities.thinking;
    match kind.str()? {
        "enabled" if can_think => {
            let budget_field = field.require("budget_tokens")?;
            let budget = u32::try_from(budget_field.positive_integer()?)
                .map_err(|_| budget_field.invalid("is more than any model can think."))?;
            let budget_tokens = ceiling.map_or(budget, |max| budget.min(max.saturating_sub(1)));
            Ok(Some(Thinking::Enabled { budget_tokens }))
        }
        "enabled" => Err(field
            .unsupported(format_args!("cannot be enabled: `{}` does not think aloud.", model.id))),
        "adaptive" => Ok(can_think.then_some(Thinking::Adaptive)),
        "disabled" => Ok(can_think.then_some(Thinking::Disabled)),
        "between_tools" => Err(kind.unsupported(format_args!(
            "`between_tools` is not available with `{}`: use `adaptive` or `enabled`.",
            model.id
        ))),
        _ => Err(kind.invalid("must be `enabled`, `adaptive` or `disabled`.")),
    }
}

fn effort_of(body: &Map<String, Value>, model: &Model) -> Result<Option<String>, BadRequest> {
    let config = Field::of_body(body, "output_config");
    let Some(effort) = config.as_ref().and_then(|config| config.get("effort")) else {
        return Ok(None);
    };
    match effort.str()? {
        text @ ("low" | "medium" | "high" | "xhigh" | "max") => {
            Ok(model.capabilities.reasoning_effort.then(|| text.to_owned()))
        }
        _ => Err(effort.invalid("must be `low`, `medium`, `high`, `xhigh` or `max`.")),
    }
}

/// `output_config.format`, or `output_format` as it was called.
fn output_schema_of(
    body: &Map<String, Value>,
    model: &Model,
) -> Result<Option<OutputSchema>, BadRequest> {
    let config = Field::of_body(body, "output_config");
    let new = config.as_ref().and_then(|config| config.get("format"));
    let Some(format) = new.or_else(|| Field::of_body(body, "output_format")) else {
        return Ok(None);
    };
    let kind = format.require("type")?;
    if kind.str()? != "json_schema" {
        return Err(kind.unsupported("must be `json_schema`."));
    }
    if !model.capabilities.structured_output {
        return Err(format.unsupported(format_args!(
            "cannot be used with `{}`: this model does not answer by a schema.",
            model.id
        )));
    }
    let schema = format.require("schema")?;
    schema.object()?;
    let (name, schema) = (SCHEMA_NAME.to_owned(), schema.value().clone());
    Ok(Some(OutputSchema { name, description: None, schema }))
}

/// `auto` leaves it to the provider, as does saying nothing.
fn service_tier_of(body: &Map<String, Value>) -> Result<Option<String>, BadRequest> {
    let tier = Field::of_body(body, "service_tier").map(|field| field.str()).transpose()?;
    Ok(tier.filter(|tier| *tier == "standard_only").map(|_| "default".to_owned()))
}

/// Beta flags go along where the registry says that the model takes them.
fn additional_fields(request: &MessagesRequest, model: &Model) -> Map<String, Value> {
    let mut fields = Map::new();
    if model.anthropic_beta.is_some() {
        let betas = betas_of(&request.betas, model);
        if !betas.is_empty() {
            fields.insert("anthropic_beta".to_owned(), betas.into());
        }
    }
    fields
}

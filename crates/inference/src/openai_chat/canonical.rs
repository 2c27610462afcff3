//! From the dialect to the canonical form.

use serde_json::{Map, Value};

use super::ChatRequest;
use super::messages::conversation_of;
use super::tools::{output_schema_of, tools_of};
use crate::wire::field::Field;
use crate::{BadRequest, InferenceParameters, Model, ModelRequest, Thinking};

/// Stop sequences of one request at most, as OpenAI has it.
const MAX_STOP_SEQUENCES: usize = 4;

/// Translates `request` for a model that speaks another protocol and shall produce at most `max_tokens`
/// ([`TokenBound::max_tokens`](crate::TokenBound)).
///
/// What the request asks for and the canonical form or the model cannot do is refused, never lost in
/// silence; what only some protocols cannot do, their codecs refuse. Exceptions:
///
/// - fields that the registry lists in `drop_fields` are treated as absent;
/// - `temperature` and `top_p` are left out for models without `sampling_parameters`;
/// - hints are ignored: `seed`, `verbosity`, `prediction`, `user`, `metadata`, `store`, prompt cache options,
///   a message's `name`, image `detail`, and, on models that lack them, `reasoning_effort`, a tool's `strict` and `thinking` that is
///   not `enabled`;
/// - texts that are empty are left out;
/// - fields that are not known here are ignored, since SDKs add them often.
///
/// Beyond OpenAI's fields it takes those of `LiteLLM` and `OpenRouter`: `cache_control` on content parts,
/// messages and tools, `thinking` as Anthropic has it, and `thinking_blocks` of earlier answers.
pub(super) fn to_canonical(
    request: &ChatRequest,
    model: &Model,
    max_tokens: u32,
) -> Result<ModelRequest, BadRequest> {
    let mut body = std::borrow::Cow::Borrowed(request.body());
    if model.drop_fields.iter().any(|field| is_droppable(field) && body.contains_key(field)) {
        body.to_mut().retain(|field, _| !is_droppable(field) || !model.drop_fields.contains(field));
    }
    refuse_unsupported(&body, model)?;
    let conversation = conversation_of(&body, model, request.uploads())?;
    let (tools, tool_choice) = tools_of(&body, model)?;
    Ok(ModelRequest {
        inference: inference_of(&body, model, max_tokens)?,
        output_schema: output_schema_of(&body, model)?,
        service_tier: service_tier_of(&body)?,
        effort: effort_of(&body, model)?,
        thinking: thinking_of(&body, model)?,
        parallel_tool_calls: Field::of_body(&body, "parallel_tool_calls")
            .map(|field| field.bool())
            .transpose()?,
        system: conversation.system,
        messages: conversation.messages,
        tools,
        tool_choice,
        ..ModelRequest::default()
    })
}

/// Whether the registry may have `field` dropped; a request is nothing without these two.
pub(super) fn is_droppable(field: &str) -> bool {
    !matches!(field, "model" | "messages")
}

fn inference_of(
    body: &Map<String, Value>,
    model: &Model,
    max_tokens: u32,
) -> Result<InferenceParameters, BadRequest> {
    let has_sampling = model.capabilities.sampling_parameters;
    Ok(InferenceParameters {
        max_tokens: Some(max_tokens),
        temperature: number_of(body, "temperature", 2.0)?.filter(|_| has_sampling),
        top_p: number_of(body, "top_p", 1.0)?.filter(|_| has_sampling),
        top_k: None,
        stop_sequences: stop_sequences_of(body)?,
    })
}

fn number_of(body: &Map<String, Value>, name: &str, max: f64) -> Result<Option<f32>, BadRequest> {
    let Some(field) = Field::of_body(body, name) else {
        return Ok(None);
    };
    field.number_within(0.0, max).map(|number| Some(to_f32(number)))
}

#[expect(clippy::cast_possible_truncation, reason = "0 to 2; no provider reads more digits")]
fn to_f32(number: f64) -> f32 {
    number as f32
}

fn stop_sequences_of(body: &Map<String, Value>) -> Result<Vec<String>, BadRequest> {
    let Some(field) = Field::of_body(body, "stop") else {
        return Ok(Vec::new());
    };
    if field.value().is_string() {
        return Ok(vec![stop_sequence(&field)?]);
    }
    if !field.value().is_array() {
        return Err(field.wrong_type("a string or an array of strings"));
    }
    let elements = field.array()?;
    if elements.len() > MAX_STOP_SEQUENCES {
        let message =
            format!("`stop` holds {} texts: send at most {MAX_STOP_SEQUENCES}.", elements.len());
        return Err(BadRequest::new("array_above_max_length", "stop", message));
    }
    elements.map(|element| stop_sequence(&element)).collect()
}

fn stop_sequence(field: &Field<'_>) -> Result<String, BadRequest> {
    let text = field.str()?;
    if text.is_empty() {
        Err(field.invalid("is empty: leave it out."))
    } else {
        Ok(text.to_owned())
    }
}

/// The canonical form has nothing below `low`. A model that takes no effort thinks as it does.
fn effort_of(body: &Map<String, Value>, model: &Model) -> Result<Option<String>, BadRequest> {
    let Some(field) = Field::of_body(body, "reasoning_effort") else {
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

/// Anthropic's `thinking`. A model that shows none need not be told to be silent.
fn thinking_of(body: &Map<String, Value>, model: &Model) -> Result<Option<Thinking>, BadRequest> {
    let Some(field) = Field::of_body(body, "thinking") else {
        return Ok(None);
    };
    field.object()?;
    let kind = field.require("type")?;
    let thinking = match kind.str()? {
        "enabled" if !model.capabilities.thinking => {
            return Err(kind.unsupported(format_args!(
                "cannot be `enabled` with `{}`: it shows no thinking.",
                model.id
            )));
        }
        "enabled" => {
            let budget = field.require("budget_tokens")?;
            let budget_tokens = u32::try_from(budget.positive_integer()?)
                .map_err(|_| budget.invalid("is more than any model thinks."))?;
            Thinking::Enabled { budget_tokens }
        }
        "adaptive" => Thinking::Adaptive,
        "disabled" => Thinking::Disabled,
        _ => return Err(kind.invalid("must be `enabled`, `adaptive` or `disabled`.")),
    };
    Ok(Some(thinking).filter(|_| model.capabilities.thinking))
}

/// `auto` leaves it to the provider, as does saying nothing.
fn service_tier_of(body: &Map<String, Value>) -> Result<Option<String>, BadRequest> {
    let tier = Field::of_body(body, "service_tier").map(|field| field.str()).transpose()?;
    Ok(tier.filter(|tier| *tier != "auto").map(str::to_owned))
}

/// Refuses fields that would change the answer and have no counterpart in the canonical form.
fn refuse_unsupported(body: &Map<String, Value>, model: &Model) -> Result<(), BadRequest> {
    /// A field, whether a value of it changes nothing, and what to say if it does.
    type Rule = (&'static str, fn(&Value) -> bool, &'static str);
    const RULES: [Rule; 12] = [
        ("n", |value| value.as_u64() == Some(1), "must be 1"),
        ("logprobs", |value| value == &Value::Bool(false), "is not available"),
        ("top_logprobs", is_zero, "is not available"),
        ("logit_bias", |value| value.as_object().is_some_and(Map::is_empty), "is not available"),
        ("presence_penalty", is_zero, "is not available"),
        ("frequency_penalty", is_zero, "is not available"),
        ("modalities", is_text_only, "must be `[\"text\"]`"),
        ("audio", |_| false, "is not available"),
        ("web_search_options", |_| false, "is not available"),
        ("moderation", |_| false, "is not available"),
        ("functions", is_empty_array, "is no longer used (send `tools`)"),
        ("function_call", |_| false, "is no longer used (send `tool_choice`)"),
    ];
    for (name, is_harmless, complaint) in RULES {
        let Some(field) = Field::of_body(body, name) else {
            continue;
        };
        if !is_harmless(field.value()) {
            return Err(field.unsupported(format_args!("{complaint} with `{}`.", model.id)));
        }
    }
    Ok(())
}

fn is_zero(value: &Value) -> bool {
    value.as_f64() == Some(0.0)
}

fn is_empty_array(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
}

fn is_text_only(value: &Value) -> bool {
    value.as_array().is_some_and(|modalities| modalities.iter().all(|modality| modality == "text"))
}

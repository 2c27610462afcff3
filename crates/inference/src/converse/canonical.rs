//! From the dialect to the canonical form.

use serde_json::{Map, Value};

use super::ConverseRequest;
use super::content::Reader;
use super::forward::is_dropped;
use crate::wire::field::Field;
use crate::{
    BadRequest, InferenceParameters, Model, ModelRequest, OutputSchema, Thinking, Tool, ToolChoice,
};

/// Translates `request` for a model that does not speak Converse; see the module for the exceptions.
pub(super) fn to_canonical(
    request: &ConverseRequest,
    model: &Model,
    max_tokens: u32,
) -> Result<ModelRequest, BadRequest> {
    let mut body = std::borrow::Cow::Borrowed(&request.body);
    if body.keys().any(|key| is_dropped(model, key)) {
        body.to_mut().retain(|key, _| !is_dropped(model, key));
    }
    if let Some(guardrail) = Field::of_body(&body, "guardrailConfig") {
        // A policy must never be skipped.
        return Err(guardrail.unsupported(format_args!(
            "is applied by Bedrock, and `{}` is not asked there: name another model, or leave it out.",
            model.id
        )));
    }
    let reader = Reader { model, uploads: &request.uploads };
    let mut canonical = ModelRequest {
        system: reader.system(&body)?,
        messages: reader.messages(&body)?,
        inference: inference(&body, model, max_tokens)?,
        ..ModelRequest::default()
    };
    if let Some(config) = Field::of_body(&body, "toolConfig") {
        (canonical.tools, canonical.tool_choice) = tools(&config)?;
    }
    if let Some(config) = Field::of_body(&body, "outputConfig") {
        canonical.output_schema = output_schema(&config)?;
        canonical.effort = text(&config, "effort")?;
    }
    if let Some(tier) = Field::of_body(&body, "serviceTier") {
        canonical.service_tier = Some(tier.require("type")?.str()?.to_owned());
    }
    if let Some(fields) = Field::of_body(&body, "additionalModelRequestFields") {
        additional_fields(&fields, model, &mut canonical)?;
    }
    Ok(canonical)
}

fn text(field: &Field<'_>, key: &str) -> Result<Option<String>, BadRequest> {
    field.get(key).map(|field| field.str().map(str::to_owned)).transpose()
}

fn inference(
    body: &Map<String, Value>,
    model: &Model,
    max_tokens: u32,
) -> Result<InferenceParameters, BadRequest> {
    let mut inference =
        InferenceParameters { max_tokens: Some(max_tokens), ..InferenceParameters::default() };
    let Some(config) = Field::of_body(body, "inferenceConfig") else {
        return Ok(inference);
    };
    let fraction = |key: &str| {
        let field = config.get(key).filter(|_| !is_dropped(model, key));
        field.map(|field| field.number_within(0.0, 1.0).map(to_f32)).transpose()
    };
    inference.temperature = fraction("temperature")?;
    inference.top_p = fraction("topP")?;
    if let Some(sequences) =
        config.get("stopSequences").filter(|_| !is_dropped(model, "stopSequences"))
    {
        for sequence in sequences.array()? {
            inference.stop_sequences.push(sequence.str()?.to_owned());
        }
    }
    Ok(inference)
}

#[expect(clippy::cast_possible_truncation, reason = "0 to 1, in single precision everywhere")]
fn to_f32(number: f64) -> f32 {
    number as f32
}

fn tools(config: &Field<'_>) -> Result<(Vec<Tool>, Option<ToolChoice>), BadRequest> {
    let mut tools: Vec<Tool> = Vec::new();
    for element in config.require("tools")?.array()? {
        let (kind, value) = Reader::only_member(&element)?;
        match kind {
            "toolSpec" => tools.push(tool(&value)?),
            "cachePoint" => {
                let ttl = Reader::cache_ttl(&value)?;
                if let Some(last) = tools.last_mut() {
                    last.cache = Some(ttl);
                }
            }
            _ => {
                return Err(
                    value.unsupported("is no kind of tool that is known here: send `toolSpec`.")
                );
            }
        }
    }
    let Some(choice) = config.get("toolChoice") else {
        return Ok((tools, None));
    };
    let (kind, value) = Reader::only_member(&choice)?;
    let choice = match kind {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Any,
        "tool" => ToolChoice::Tool(value.require("name")?.str()?.to_owned()),
        _ => return Err(value.unsupported("must be `auto`, `any` or `tool`.")),
    };
    Ok((tools, Some(choice)))
}

fn tool(field: &Field<'_>) -> Result<Tool, BadRequest> {
    field.object()?;
    let schema = field.require("inputSchema")?;
    let schema = schema.require("json")?;
    Ok(Tool {
        name: field.require("name")?.str()?.to_owned(),
        description: text(field, "description")?,
        input_schema: Value::Object(schema.object()?.clone()),
        strict: field.get("strict").map(|field| field.bool()).transpose()?,
        cache: None,
    })
}

/// The schema is the text of a JSON schema.
fn output_schema(config: &Field<'_>) -> Result<Option<OutputSchema>, BadRequest> {
    let Some(format) = config.get("textFormat") else {
        return Ok(None);
    };
    let kind = format.require("type")?;
    if kind.str()? != "json_schema" {
        return Err(kind.unsupported("must be `json_schema`."));
    }
    let structure = format.require("structure")?;
    let definition = structure.require("jsonSchema")?;
    let schema_field = definition.require("schema")?;
    let Ok(schema @ Value::Object(_)) = serde_json::from_str(schema_field.str()?) else {
        return Err(schema_field.invalid("must be the text of a JSON schema, which is an object."));
    };
    Ok(Some(OutputSchema {
        name: text(&definition, "name")?.unwrap_or_else(|| "answer".to_owned()),
        description: text(&definition, "description")?,
        schema,
    }))
}

/// Fields of a model's own, where other protocols have them too.
fn additional_fields(
    fields: &Field<'_>,
    model: &Model,
    canonical: &mut ModelRequest,
) -> Result<(), BadRequest> {
    for key in fields.object()?.keys() {
        let Some(field) = fields.get(key).filter(|_| !is_dropped(model, key)) else { continue };
        match key.as_str() {
            "thinking" | "reasoning_config" => canonical.thinking = Some(thinking(&field)?),
            "reasoning_effort" => canonical.effort = Some(field.str()?.to_owned()),
            "top_k" => {
                let top_k = field.positive_integer()?;
                canonical.inference.top_k = Some(u32::try_from(top_k).unwrap_or(u32::MAX));
            }
            // Which betas a model takes is its own matter; one that takes none has nothing to switch on.
            "anthropic_beta" => {}
            _ => {
                return Err(field.unsupported(format_args!(
                    "is a field of another model's own: `{}` does not have it.",
                    model.id
                )));
            }
        }
    }
    Ok(())
}

fn thinking(field: &Field<'_>) -> Result<Thinking, BadRequest> {
    let kind = field.require("type")?;
    match kind.str()? {
        "enabled" => {
            let budget = field.require("budget_tokens")?.positive_integer()?;
            Ok(Thinking::Enabled { budget_tokens: u32::try_from(budget).unwrap_or(u32::MAX) })
        }
        "adaptive" => Ok(Thinking::Adaptive),
        "disabled" => Ok(Thinking::Disabled),
        _ => Err(kind.unsupported("must be `enabled`, `adaptive` or `disabled`.")),
    }
}

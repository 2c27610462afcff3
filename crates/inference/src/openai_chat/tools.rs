//! Tools, the choice among them, and the schema of the answer.

use serde_json::{Map, Value, json};

use super::cache::cache_ttl;
use crate::wire::field::Field;
use crate::{BadRequest, Model, OutputSchema, Tool, ToolChoice};

/// Tools of one request at most, as OpenAI has it.
const MAX_TOOLS: usize = 128;

/// Tools as the model gets them, and how it must use them.
pub(super) fn tools_of(
    body: &Map<String, Value>,
    model: &Model,
) -> Result<(Vec<Tool>, Option<ToolChoice>), BadRequest> {
    let mut tools = Vec::new();
    if let Some(field) = Field::of_body(body, "tools") {
        tools = offered_tools(&field, model)?;
    }
    let choice = match Field::of_body(body, "tool_choice") {
        Some(field) => read_choice(&field, model, &mut tools)?,
        None => None,
    };
    // Some SDKs always send a choice.
    Ok(if tools.is_empty() { (tools, None) } else { (tools, choice) })
}

fn offered_tools(field: &Field<'_>, model: &Model) -> Result<Vec<Tool>, BadRequest> {
    let elements = field.array()?;
    if elements.len() == 0 {
        return Ok(Vec::new());
    }
    if !model.capabilities.tools {
        return Err(field.unsupported(format_args!(
            "cannot be used with `{}`: this model has no tools.",
            model.id
        )));
    }
    if elements.len() > MAX_TOOLS {
        let message =
            format!("`{field}` holds {} tools: send at most {MAX_TOOLS}.", elements.len());
        return Err(BadRequest::new("array_above_max_length", field.to_string(), message));
    }
    let mut tools: Vec<Tool> = Vec::with_capacity(elements.len());
    for element in elements {
        let tool = read_tool(&element, model)?;
        if tools.iter().any(|other| other.name == tool.name) {
            return Err(element.invalid(format_args!(
                "is a second tool named `{}`: names must differ.",
                tool.name
            )));
        }
        tools.push(tool);
    }
    Ok(tools)
}

fn read_tool(field: &Field<'_>, model: &Model) -> Result<Tool, BadRequest> {
    field.object()?;
    let kind = field.require("type")?;
    if kind.str()? != "function" {
        return Err(kind.unsupported(format_args!(
            "must be `function`: `{}` takes no other kind of tool.",
            model.id
        )));
    }
    let function = field.require("function")?;
    function.object()?;
    let name_field = function.require("name")?;
    let name = checked_name(&name_field)?.to_owned();
    let description = function.get("description").map(|field| field.str()).transpose()?;
    let input_schema = match function.get("parameters") {
        Some(parameters) => object_schema(parameters.object()?.clone()),
        None => object_schema(Map::new()),
    };
    let strict = function.get("strict").map(|field| field.bool()).transpose()?;
    Ok(Tool {
        name,
        description: description.filter(|text| !text.trim().is_empty()).map(str::to_owned),
        input_schema,
        // Some SDKs always send `strict`; a model without it still follows the schema as well as it can.
        strict: strict.filter(|_| model.capabilities.structured_output),
        cache: cache_ttl(field)?.or(cache_ttl(&function)?),
    })
}

/// A schema of arguments, which models want to say that it is of an object.
fn object_schema(mut schema: Map<String, Value>) -> Value {
    if schema.is_empty() {
        schema.insert("type".to_owned(), "object".into());
        schema.insert("properties".to_owned(), json!({}));
    } else if !schema.contains_key("type") {
        schema.insert("type".to_owned(), "object".into());
    }
    Value::Object(schema)
}

/// A name of 1 to 64 letters, digits, `_` and `-`: the rule of OpenAI and of Converse alike.
pub(super) fn checked_name<'a>(field: &Field<'a>) -> Result<&'a str, BadRequest> {
    let name = field.str()?;
    let is_valid = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if is_valid {
        Ok(name)
    } else {
        Err(field.invalid("must be 1 to 64 letters, digits, `_` and `-`."))
    }
}

/// The choice; `tools` keeps only those that `allowed_tools` names.
fn read_choice(
    field: &Field<'_>,
    model: &Model,
    tools: &mut Vec<Tool>,
) -> Result<Option<ToolChoice>, BadRequest> {
    let choice = match field.value() {
        Value::String(_) => match read_mode(field)? {
            choice @ (ToolChoice::None | ToolChoice::Auto) => return Ok(Some(choice)),
            choice => choice,
        },
        Value::Object(_) => {
            let kind = field.require("type")?;
            match kind.str()? {
                "function" => ToolChoice::Tool(chosen_tool(field, tools)?),
                "allowed_tools" => {
                    let allowed = field.require("allowed_tools")?;
                    let names = allowed.require("tools")?;
                    let mut kept = Vec::new();
                    for name in names.array()? {
                        kept.push(chosen_tool(&name, tools)?);
                    }
                    tools.retain(|tool| kept.contains(&tool.name));
                    match read_mode(&allowed.require("mode")?)? {
                        ToolChoice::Auto => return Ok(Some(ToolChoice::Auto)),
                        choice => choice,
                    }
                }
                _ => {
                    return Err(kind.unsupported(format_args!(
                        "must be `function` or `allowed_tools` with `{}`.",
                        model.id
                    )));
                }
            }
        }
        _ => return Err(field.wrong_type("a string or an object")),
    };
    if tools.is_empty() {
        return Err(field.invalid("asks for a tool, but `tools` is empty."));
    }
    if !model.capabilities.forced_tool_choice {
        return Err(field.unsupported(format_args!(
            "must be `auto` or `none`: `{}` cannot be made to use a tool.",
            model.id
        )));
    }
    Ok(Some(choice))
}

fn read_mode(field: &Field<'_>) -> Result<ToolChoice, BadRequest> {
    match field.str()? {
        "none" => Ok(ToolChoice::None),
        "auto" => Ok(ToolChoice::Auto),
        "required" => Ok(ToolChoice::Any),
        _ => Err(field
            .invalid("must be `none`, `auto`, `required`, or an object that names a function.")),
    }
}

/// The name in `{"type": "function", "function": {"name": ..}}`, which must be that of a tool.
fn chosen_tool(field: &Field<'_>, tools: &[Tool]) -> Result<String, BadRequest> {
    let function = field.require("function")?;
    let name_field = function.require("name")?;
    let name = name_field.str()?;
    if !tools.iter().any(|tool| tool.name == name) {
        return Err(name_field.invalid("is not the name of one of `tools`."));
    }
    Ok(name.to_owned())
}

/// The schema that the answer must match, if one is asked for.
pub(super) fn output_schema_of(
    body: &Map<String, Value>,
    model: &Model,
) -> Result<Option<OutputSchema>, BadRequest> {
    let Some(format) = Field::of_body(body, "response_format") else {
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
    let definition = format.require("json_schema")?;
    definition.object()?;
    let name_field = definition.require("name")?;
    let name = checked_name(&name_field)?.to_owned();
    let schema_field = definition.require("schema")?;
    let schema = Value::Object(schema_field.object()?.clone());
    let description = definition.get("description").map(|field| field.str()).transpose()?;
    let description = description.filter(|text| !text.trim().is_empty()).map(str::to_owned);
    Ok(Some(OutputSchema { name, description, schema }))
}

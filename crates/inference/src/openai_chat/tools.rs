//! Tools, the choice among them, and the schema of the answer.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::BadRequest;
use crate::wire::field::Field;
use crate::{ContentBlock, Message, Model, OutputSchema, Tool, ToolChoice};

/// Tools of one request at most, as OpenAI has it.
const MAX_TOOLS: usize = 128;

/// Tools as the model gets them, and how it must use them.
///
/// Converse has no `tool_choice: none` and wants tools whenever the conversation holds tool calls.
/// So `none` leaves the tools out where it can, else offers them without a choice; and calls of tools
/// that the request no longer offers get a stand-in, so that an old conversation can go on.
pub(super) fn tools_of(
    body: &Map<String, Value>,
    model: &Model,
    messages: &[Message],
) -> Result<(Vec<Tool>, Option<ToolChoice>), BadRequest> {
    let mut tools = Vec::new();
    if let Some(field) = Field::of_body(body, "tools") {
        tools = offered_tools(&field, model)?;
    }
    let choice = match Field::of_body(body, "tool_choice") {
        Some(field) => read_choice(&field, model, &tools)?,
        None => Choice::Unset,
    };
    let used = used_tools(messages);
    if matches!(choice, Choice::None) && used.is_empty() {
        return Ok((Vec::new(), None));
    }
    for name in used {
        if !tools.iter().any(|tool| tool.name == name) {
            tools.push(stand_in(name));
        }
    }
    let choice = match choice {
        Choice::Unset | Choice::None => None,
        Choice::Given(_) if tools.is_empty() => None,
        Choice::Given(choice) => Some(choice),
    };
    Ok((tools, choice))
}

enum Choice {
    Unset,
    None,
    Given(ToolChoice),
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
        cache: None,
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

fn read_choice(field: &Field<'_>, model: &Model, tools: &[Tool]) -> Result<Choice, BadRequest> {
    let choice = match field.value() {
        Value::String(text) => match text.as_str() {
            "none" => return Ok(Choice::None),
            "auto" => return Ok(Choice::Given(ToolChoice::Auto)),
            "required" => ToolChoice::Any,
            _ => {
                return Err(field.invalid(
                    "must be `none`, `auto`, `required`, or an object that names a function.",
                ));
            }
        },
        Value::Object(_) => {
            let kind = field.require("type")?;
            if kind.str()? != "function" {
                return Err(
                    kind.unsupported(format_args!("must be `function` with `{}`.", model.id))
                );
            }
            let function = field.require("function")?;
            let name_field = function.require("name")?;
            let name = name_field.str()?;
            if !tools.iter().any(|tool| tool.name == name) {
                return Err(name_field.invalid("is not the name of one of `tools`."));
            }
            ToolChoice::Tool(name.to_owned())
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
    Ok(Choice::Given(choice))
}

/// Names of the tools that the conversation calls, in order of first use.
fn used_tools(messages: &[Message]) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    let blocks = messages.iter().flat_map(|message| &message.content);
    blocks
        .filter_map(|block| match block {
            ContentBlock::ToolUse { name, .. } => Some(name.as_str()),
            _ => None,
        })
        .filter(|name| seen.insert(*name))
        .collect()
}

fn stand_in(name: &str) -> Tool {
    Tool {
        name: name.to_owned(),
        description: Some("Used earlier in this conversation; no longer available.".to_owned()),
        input_schema: object_schema(Map::new()),
        strict: None,
        cache: None,
    }
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

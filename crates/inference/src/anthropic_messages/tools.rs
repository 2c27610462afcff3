//! Tools, and the choice among them.

use serde_json::{Map, Value};

use super::content::cache_of;
use crate::wire::field::Field;
use crate::{BadRequest, Model, Tool, ToolChoice};

/// The tools that the client runs and describes itself.
pub(super) fn tools_of(body: &Map<String, Value>, model: &Model) -> Result<Vec<Tool>, BadRequest> {
    let Some(field) = Field::of_body(body, "tools") else {
        return Ok(Vec::new());
    };
    let elements = field.array()?;
    if elements.len() > 0 && !model.capabilities.tools {
        return Err(field.unsupported(format_args!(
            "cannot be used with `{}`: this model has no tools.",
            model.id
        )));
    }
    let mut tools: Vec<Tool> = Vec::with_capacity(elements.len());
    for element in elements {
        let tool = read_tool(&element, model)?;
        if tools.iter().any(|other| other.name == tool.name) {
            let name = &tool.name;
            return Err(element
                .invalid(format_args!("is a second tool named `{name}`: names must differ.")));
        }
        tools.push(tool);
    }
    Ok(tools)
}

fn read_tool(field: &Field<'_>, model: &Model) -> Result<Tool, BadRequest> {
    field.object()?;
    if let Some(kind) = field.get("type")
        && kind.str()? != "custom"
    {
        let name: String = kind.str()?.chars().take(64).collect();
        return Err(kind.unsupported(format_args!(
            "`{name}` is Anthropic's own kind of tool, which `{}` does not have behind this gateway: describe it as a tool with `name`, `description` and `input_schema`, or use a model that speaks the Messages API.",
            model.id
        )));
    }
    let schema = field.require("input_schema")?;
    schema.object()?;
    Ok(Tool {
        name: checked_name(&field.require("name")?)?.to_owned(),
        description: field
            .get("description")
            .map(|it| it.str())
            .transpose()?
            .filter(|it| !it.is_empty())
            .map(str::to_owned),
        input_schema: schema.value().clone(),
        strict: field.get("strict").map(|strict| strict.bool()).transpose()?,
        cache: cache_of(field, model)?,
    })
}

fn checked_name<'a>(field: &Field<'a>) -> Result<&'a str, BadRequest> {
    let name = field.str()?;
    let is_valid = (1..=128).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if is_valid {
        Ok(name)
    } else {
        Err(field.invalid("must be 1 to 128 letters (a-z, A-Z), digits, `_` and `-`."))
    }
}

/// How the model must use the tools, and whether it may call several at once.
pub(super) fn choice_of(
    body: &Map<String, Value>,
    model: &Model,
    tools: &[Tool],
) -> Result<(Option<ToolChoice>, Option<bool>), BadRequest> {
    let Some(field) = Field::of_body(body, "tool_choice") else {
        return Ok((None, None));
    };
    let kind = field.require("type")?;
    let choice = match kind.str()? {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Any,
        "none" => ToolChoice::None,
        "tool" => {
            let name = field.require("name")?;
            if !tools.iter().any(|tool| name.value() == tool.name.as_str()) {
                return Err(name.invalid("must be the name of one of `tools`."));
            }
            ToolChoice::Tool(name.str()?.to_owned())
        }
        _ => return Err(kind.invalid("must be `auto`, `any`, `tool` or `none`.")),
    };
    if matches!(choice, ToolChoice::Any | ToolChoice::Tool(_)) {
        if tools.is_empty() {
            return Err(field.invalid("wants a tool to be used, but there are no `tools`."));
        }
        if !model.capabilities.forced_tool_choice {
            return Err(field.unsupported(format_args!(
                "must be `auto` or `none`: `{}` cannot be made to use a tool.",
                model.id
            )));
        }
    }
    let parallel = match field.get("disable_parallel_tool_use") {
        Some(disabled) => disabled.bool()?.then_some(false),
        None => None,
    };
    if tools.is_empty() { Ok((None, None)) } else { Ok((Some(choice), parallel)) }
}

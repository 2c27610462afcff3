//! Tools, and the choice among them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::wire::field::Field;
use crate::{BadRequest, Model, Tool, ToolChoice};

/// Tools of one request at most, as OpenAI has it.
const MAX_TOOLS: usize = 128;

/// The one member of a custom tool's input, where the provider knows functions only.
pub(super) const CUSTOM_INPUT: &str = "input";

/// Tools that agents offer without being asked, and that no provider of another protocol has.
const DISPENSABLE: [&str; 9] = [
    "apply_patch",
    "image_generation",
    "local_shell",
    "programmatic_tool_calling",
    "shell",
    "tool_search",
    "web_search",
    "web_search_2025_08_26",
    "web_search_preview",
];

/// Tools of the client, or that only describe what the client does: the provider runs nothing for them.
const CLIENT_SIDE: [&str; 7] =
    ["apply_patch", "custom", "function", "local_shell", "namespace", "shell", "tool_search"];

/// Whether the provider's own server runs the tool, and may have the model read what it finds.
pub(super) fn runs_at_the_provider(tool: &Value) -> bool {
    !tool.get("type").and_then(Value::as_str).is_some_and(|kind| CLIENT_SIDE.contains(&kind))
}

/// Whether the request offers tools that OpenAI's own servers have and other servers of its protocol
/// lack: all but functions and custom tools, or tools that only come in the middle of the conversation.
pub(super) fn are_hosted(body: &Map<String, Value>) -> bool {
    let array = |key| body.get(key).and_then(Value::as_array).into_iter().flatten();
    let is_of = |value: &Value, kinds: &[&str]| {
        value.get("type").and_then(Value::as_str).is_some_and(|kind| kinds.contains(&kind))
    };
    array("tools").any(|tool| !is_of(tool, &["function", "custom"]))
        || array("input").any(|item| is_of(item, &["additional_tools"]))
}

/// How the client knows a tool that the model calls by one name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ClientTool {
    pub(super) is_custom: bool,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

/// The tools that a request offers, by the name under which the model gets them.
pub(super) type Toolbox = BTreeMap<String, ClientTool>;

/// What a request offers; what makes no sense is not in it.
pub(super) fn toolbox_of(body: &Map<String, Value>) -> Toolbox {
    let mut toolbox = Toolbox::new();
    let items = Field::of_body(body, "input");
    let items = items.as_ref().and_then(|items| items.array().ok()).into_iter().flatten();
    let mut add = |field: &Field<'_>| {
        let _ = each_tool(field, &mut |tool, namespace| {
            let kind = tool.get("type").and_then(|kind| kind.str().ok());
            if let Some(name_field) = tool.get("name")
                && let Ok(flat) = flat_name(namespace, &name_field)
                && let Ok(name) = name_field.str()
            {
                let is_custom = kind == Some("custom");
                let namespace = namespace.map(str::to_owned);
                toolbox.insert(flat, ClientTool { is_custom, namespace, name: name.to_owned() });
            }
            Ok(())
        });
    };
    if let Some(tools) = Field::of_body(body, "tools") {
        add(&tools);
    }
    for item in items {
        if let Some(tools) = additional_tools(&item) {
            add(&tools);
        }
    }
    toolbox
}

/// The tools of an `additional_tools` item.
fn additional_tools<'f>(item: &'f Field<'f>) -> Option<Field<'f>> {
    let is_one = item.value().get("type").and_then(Value::as_str) == Some("additional_tools");
    item.get("tools").filter(|_| is_one)
}

/// Calls `visit` with each tool of an array and the namespace that it stands in.
fn each_tool(
    tools: &Field<'_>,
    visit: &mut impl FnMut(&Field<'_>, Option<&str>) -> Result<(), BadRequest>,
) -> Result<(), BadRequest> {
    for tool in tools.array()? {
        tool.object()?;
        if tool.require("type")?.str()? != "namespace" {
            visit(&tool, None)?;
            continue;
        }
        let namespace = tool.require("name")?.str()?;
        for inner in tool.require("tools")?.array()? {
            inner.object()?;
            visit(&inner, Some(namespace))?;
        }
    }
    Ok(())
}

/// The name of 1 to 64 letters, digits, `_` and `-` by which the model knows a tool.
///
/// A tool in a namespace is `<namespace>__<name>`, shortened and marked with a hash of the whole if that is too
/// long: always the same, since earlier calls in the conversation have to get it as well.
pub(super) fn flat_name(namespace: Option<&str>, name: &Field<'_>) -> Result<String, BadRequest> {
    const MAX: usize = 64;
    let text = name.str()?;
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    let Some(namespace) = namespace else {
        if (1..=MAX).contains(&text.len()) && text.bytes().all(is_valid) {
            return Ok(text.to_owned());
        }
        return Err(name.invalid("must be 1 to 64 letters, digits, `_` and `-`."));
    };
    let whole = format!("{namespace}__{text}");
    if whole.len() <= MAX && whole.bytes().all(is_valid) {
        return Ok(whole);
    }
    // FNV-1a: no secret, only a difference.
    let hash = whole
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let mark = format!("_{hash:08x}");
    let valid = |letter: char| u8::try_from(letter).is_ok_and(is_valid);
    let start = whole.chars().map(|letter| if valid(letter) { letter } else { '_' });
    Ok(start.take(MAX - mark.len()).chain(mark.chars()).collect())
}

/// Tools as the model gets them, and how it must use them.
pub(super) fn tools_of(
    body: &Map<String, Value>,
    model: &Model,
) -> Result<(Vec<Tool>, Option<ToolChoice>), BadRequest> {
    let mut offer = Offer { model, tools: Vec::new(), left_out: Vec::new() };
    if let Some(tools) = Field::of_body(body, "tools") {
        offer.add(&tools)?;
    }
    if let Some(input) = Field::of_body(body, "input").filter(|input| input.value().is_array()) {
        for item in input.array()? {
            if let Some(tools) = additional_tools(&item) {
                offer.add(&tools)?;
            }
        }
    }
    let choice = match Field::of_body(body, "tool_choice") {
        Some(field) => offer.choose(&field)?,
        None => None,
    };
    Ok((offer.tools, choice))
}

struct Offer<'m> {
    model: &'m Model,
    tools: Vec<Tool>,
    /// Kinds of tools that the model cannot have.
    left_out: Vec<String>,
}

impl Offer<'_> {
    fn add(&mut self, tools: &Field<'_>) -> Result<(), BadRequest> {
        each_tool(tools, &mut |tool, namespace| self.add_tool(tool, namespace))?;
        if self.tools.len() > MAX_TOOLS {
            let message =
                format!("`{tools}` holds {} tools: send at most {MAX_TOOLS}.", self.tools.len());
            return Err(BadRequest::new("array_above_max_length", tools.to_string(), message));
        }
        Ok(())
    }

    fn add_tool(&mut self, field: &Field<'_>, namespace: Option<&str>) -> Result<(), BadRequest> {
        let kind_field = field.require("type")?;
        let is_custom = match kind_field.str()? {
            "function" => false,
            "custom" => true,
            kind if DISPENSABLE.contains(&kind) => {
                self.left_out.push(kind.to_owned());
                return Ok(());
            }
            _ => {
                return Err(kind_field.unsupported(format_args!(
                    "must be `function` or `custom`: `{}` has no such tool.",
                    self.model.id
                )));
            }
        };
        if !self.model.capabilities.tools {
            return Err(field.unsupported(format_args!(
                "cannot be used with `{}`: this model has no tools.",
                self.model.id
            )));
        }
        let name_field = field.require("name")?;
        let name = flat_name(namespace, &name_field)?;
        if self.tools.iter().any(|other| other.name == name) {
            return Err(
                field.invalid(format_args!("is a second tool named `{name}`: names must differ."))
            );
        }
        let description = field.get("description").map(|it| it.str()).transpose()?;
        let description = description.filter(|text| !text.trim().is_empty()).map(str::to_owned);
        self.tools.push(if is_custom {
            Tool {
                name,
                description: with_format(description, field)?,
                input_schema: custom_schema(),
                strict: None,
                cache: None,
            }
        } else {
            let strict = field.get("strict").map(|it| it.bool()).transpose()?;
            let parameters = match field.get("parameters") {
                Some(parameters) => parameters.object()?.clone(),
                None => Map::new(),
            };
            Tool {
                name,
                description,
                input_schema: object_schema(parameters),
                // A model without it still follows the schema as well as it can.
                strict: strict.filter(|_| self.model.capabilities.structured_output),
                cache: None,
            }
        });
        Ok(())
    }

    fn choose(&mut self, field: &Field<'_>) -> Result<Option<ToolChoice>, BadRequest> {
        let choice = match field.value() {
            Value::String(text) => match text.as_str() {
                "none" => ToolChoice::None,
                "auto" => ToolChoice::Auto,
                "required" => ToolChoice::Any,
                _ => {
                    return Err(field.invalid(
                        "must be `none`, `auto`, `required`, or an object that names a tool.",
                    ));
                }
            },
            Value::Object(_) => self.choose_by_object(field)?,
            _ => return Err(field.wrong_type("a string or an object")),
        };
        let is_forced = matches!(choice, ToolChoice::Any | ToolChoice::Tool(_));
        if self.tools.is_empty() {
            return match (is_forced, self.left_out.first()) {
                (false, _) => Ok(None),
                (true, None) => Err(field.invalid("asks for a tool, but `tools` is empty.")),
                (true, Some(kind)) => Err(field.unsupported(format_args!(
                    "asks for a tool, but `{}` has no `{kind}`.",
                    self.model.id
                ))),
            };
        }
        if is_forced && !self.model.capabilities.forced_tool_choice {
            return Err(field.unsupported(format_args!(
                "must be `auto` or `none`: `{}` cannot be made to use a tool.",
                self.model.id
            )));
        }
        Ok(Some(choice))
    }

    fn choose_by_object(&mut self, field: &Field<'_>) -> Result<ToolChoice, BadRequest> {
        let kind_field = field.require("type")?;
        match kind_field.str()? {
            "function" | "custom" => self.named(field).map(ToolChoice::Tool),
            "allowed_tools" => {
                let mut allowed = Vec::new();
                for tool in field.require("tools")?.array()? {
                    // Tools that were left out are not there to be chosen.
                    let is_left_out = tool
                        .get("type")
                        .and_then(|kind| kind.str().ok())
                        .is_some_and(|kind| self.left_out.iter().any(|other| other == kind));
                    if !is_left_out {
                        allowed.push(self.named(&tool)?);
                    }
                }
                self.tools.retain(|tool| allowed.contains(&tool.name));
                let mode = field.require("mode")?;
                match mode.str()? {
                    "auto" => Ok(ToolChoice::Auto),
                    "required" => Ok(ToolChoice::Any),
                    _ => Err(mode.invalid("must be `auto` or `required`.")),
                }
            }
            _ => Err(kind_field.unsupported(format_args!(
                "must be `function`, `custom` or `allowed_tools` with `{}`.",
                self.model.id
            ))),
        }
    }

    /// The offered tool that an object names.
    fn named(&self, field: &Field<'_>) -> Result<String, BadRequest> {
        let name_field = field.require("name")?;
        let namespace = field.get("namespace").map(|it| it.str()).transpose()?;
        let name = flat_name(namespace, &name_field)?;
        if self.tools.iter().any(|tool| tool.name == name) {
            Ok(name)
        } else {
            Err(name_field.invalid("is not the name of one of `tools`."))
        }
    }
}

/// A custom tool's description, with the format that its input must have.
fn with_format(
    description: Option<String>,
    tool: &Field<'_>,
) -> Result<Option<String>, BadRequest> {
    let Some(format) = tool.get("format") else {
        return Ok(description);
    };
    let kind = format.require("type")?;
    match kind.str()? {
        "text" => Ok(description),
        "grammar" => {
            let syntax = format.require("syntax")?.str()?;
            let definition = format.require("definition")?.str()?;
            let mut text = description.unwrap_or_default();
            if !text.is_empty() {
                text.push_str("\n\n");
            }
            text.push_str("`input` must match this grammar (");
            text.push_str(syntax);
            text.push_str("):\n");
            text.push_str(definition);
            Ok(Some(text))
        }
        _ => Err(kind.invalid("must be `text` or `grammar`.")),
    }
}

fn custom_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            CUSTOM_INPUT: {"type": "string", "description": "The whole input of the tool, as plain text."},
        },
        "required": [CUSTOM_INPUT],
        "additionalProperties": false,
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

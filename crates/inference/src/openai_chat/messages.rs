//! The conversation.

use serde_json::{Map, Value};

use super::image::image_of;
use super::tools::checked_name;
use crate::BadRequest;
use crate::wire::field::Field;
use crate::{
    ContentBlock, ImageFormat, Message, Model, Role, Source, SystemBlock, ToolResultContent,
};

/// A conversation as Converse wants it.
pub(super) struct Conversation {
    /// What `system` and `developer` messages say, wherever they stand.
    pub(super) system: Vec<SystemBlock>,
    /// Turns; roles alternate, starting with the user.
    pub(super) messages: Vec<Message>,
}

/// Reads `messages`.
///
/// Messages of one side that follow each other become one turn, so that the results of parallel
/// tool calls stand together. Blank texts are left out, since Bedrock refuses them.
pub(super) fn conversation_of(
    body: &Map<String, Value>,
    model: &Model,
) -> Result<Conversation, BadRequest> {
    let mut reader = Reader {
        model,
        system: Vec::new(),
        messages: Vec::new(),
        unanswered: Vec::new(),
        foreign_ids: Vec::new(),
    };
    let Some(field) = Field::of_body(body, "messages") else {
        return Err(BadRequest::new(
            "missing_required_parameter",
            "messages",
            "Missing required field `messages`.",
        ));
    };
    for message in field.array()? {
        reader.read(&message)?;
    }
    reader.refuse_unanswered(&field)?;
    match reader.messages.first().map(|message| message.role) {
        Some(Role::User) => Ok(Conversation { system: reader.system, messages: reader.messages }),
        Some(Role::Assistant) => Err(field.invalid(format_args!(
            "must start with a `user` message (after `system` and `developer` ones): `{}` cannot speak first.",
            model.id
        ))),
        None => Err(field.invalid("must hold at least one `user` message that is not empty.")),
    }
}

struct Reader<'m> {
    model: &'m Model,
    system: Vec<SystemBlock>,
    messages: Vec<Message>,
    /// Ids of tool calls of the last assistant turn that have no result yet.
    unanswered: Vec<String>,
    /// Ids that Converse would refuse; each is replaced by one made of its place in this list.
    foreign_ids: Vec<String>,
}

/// A piece of content that any side may send.
enum Part {
    Text(String),
    Image { format: ImageFormat, bytes: Vec<u8> },
}

impl Reader<'_> {
    fn read(&mut self, message: &Field<'_>) -> Result<(), BadRequest> {
        let role = message.require("role")?;
        match role.str()? {
            "system" | "developer" => self.read_system(message),
            "user" => self.read_user(message),
            "assistant" => self.read_assistant(message),
            "tool" => self.read_tool_result(message),
            _ => Err(role
                .unsupported("`function` is no longer used: answer tool calls with role `tool`.")),
        }
    }

    fn read_system(&mut self, message: &Field<'_>) -> Result<(), BadRequest> {
        for part in self.parts(&message.require("content")?)? {
            match part {
                Part::Text(text) => self.system.push(SystemBlock::Text(text)),
                Part::Image { .. } => return Err(message.invalid("may hold text only.")),
            }
        }
        Ok(())
    }

    fn read_user(&mut self, message: &Field<'_>) -> Result<(), BadRequest> {
        self.refuse_unanswered(message)?;
        let content = message.require("content")?;
        let blocks: Vec<_> = self
            .parts(&content)?
            .into_iter()
            .map(|part| match part {
                Part::Text(text) => ContentBlock::Text(text),
                Part::Image { format, bytes } => {
                    ContentBlock::Image { format, source: Source::Bytes(bytes) }
                }
            })
            .collect();
        if blocks.is_empty() {
            return Err(content.invalid("is empty: send some text."));
        }
        self.push(Role::User, blocks);
        Ok(())
    }

    fn read_assistant(&mut self, message: &Field<'_>) -> Result<(), BadRequest> {
        self.refuse_unanswered(message)?;
        let mut blocks = reasoning_of(message)?;
        if let Some(content) = message.get("content") {
            for part in self.parts(&content)? {
                match part {
                    Part::Text(text) => blocks.push(ContentBlock::Text(text)),
                    Part::Image { .. } => return Err(content.invalid("may hold text only.")),
                }
            }
        } else if let Some(refusal) = message.get("refusal") {
            blocks.extend(text_of(&refusal)?.map(ContentBlock::Text));
        }
        if message.get("function_call").is_some() {
            return Err(message.unsupported("holds the old `function_call`: use `tool_calls`."));
        }
        if let Some(calls) = message.get("tool_calls") {
            for call in calls.array()? {
                blocks.push(self.tool_use(&call)?);
            }
        }
        if !blocks.is_empty() {
            self.push(Role::Assistant, blocks);
        }
        Ok(())
    }

    fn tool_use(&mut self, call: &Field<'_>) -> Result<ContentBlock, BadRequest> {
        call.object()?;
        if !self.model.capabilities.tools {
            return Err(call.unsupported(format_args!(
                "cannot be used with `{}`: this model has no tools.",
                self.model.id
            )));
        }
        if let Some(kind) = call.get("type")
            && kind.str()? != "function"
        {
            return Err(
                kind.unsupported(format_args!("must be `function` with `{}`.", self.model.id))
            );
        }
        let id_field = call.require("id")?;
        let id = id_field.str()?;
        if self.unanswered.iter().any(|other| other == id) {
            return Err(
                id_field.invalid("occurs twice among the calls of one turn: ids must differ.")
            );
        }
        self.unanswered.push(id.to_owned());
        let function = call.require("function")?;
        let name = checked_name(&function.require("name")?)?.to_owned();
        let input = match function.get("arguments") {
            Some(arguments) => read_arguments(&arguments)?,
            None => Value::Object(Map::new()),
        };
        Ok(ContentBlock::ToolUse { id: self.provider_id(id), name, input })
    }

    fn read_tool_result(&mut self, message: &Field<'_>) -> Result<(), BadRequest> {
        let id_field = message.require("tool_call_id")?;
        let id = id_field.str()?;
        let Some(place) = self.unanswered.iter().position(|other| other == id) else {
            return Err(id_field.invalid(
                "answers no open tool call: it must be the id of one of the `tool_calls` of the assistant message before it.",
            ));
        };
        self.unanswered.remove(place);
        let mut content = Vec::new();
        if let Some(field) = message.get("content") {
            content.extend(self.parts(&field)?.into_iter().map(|part| match part {
                Part::Text(text) => ToolResultContent::Text(text),
                Part::Image { format, bytes } => {
                    ToolResultContent::Image { format, source: Source::Bytes(bytes) }
                }
            }));
        }
        let id = self.provider_id(id);
        self.push(Role::User, vec![ContentBlock::ToolResult { id, content, is_error: false }]);
        Ok(())
    }

    /// Every call must be answered before anyone else speaks; Bedrock's own message for it names
    /// neither the field nor the id.
    fn refuse_unanswered(&self, field: &Field<'_>) -> Result<(), BadRequest> {
        if self.unanswered.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = self.unanswered.iter().map(|id| format!("`{id}`")).collect();
        Err(field.invalid(format_args!(
            "leaves tool calls without an answer: after the assistant's `tool_calls`, send a `tool` message for each of {}.",
            ids.join(", ")
        )))
    }

    fn parts(&self, content: &Field<'_>) -> Result<Vec<Part>, BadRequest> {
        if content.value().is_string() {
            return Ok(text_of(content)?.map(Part::Text).into_iter().collect());
        }
        let mut parts = Vec::new();
        for part in content.array()? {
            let kind = part.require("type")?;
            match kind.str()? {
                "text" => parts.extend(text_of(&part.require("text")?)?.map(Part::Text)),
                "refusal" => parts.extend(text_of(&part.require("refusal")?)?.map(Part::Text)),
                "image_url" if self.model.capabilities.images => {
                    let (format, bytes) = image_of(&part)?;
                    parts.push(Part::Image { format, bytes });
                }
                "image_url" => {
                    return Err(part.unsupported(format_args!(
                        "is an image, and `{}` reads text only.",
                        self.model.id
                    )));
                }
                other => {
                    let other: String = other.chars().take(64).collect();
                    return Err(kind.unsupported(format_args!(
                        "`{other}` is not available with `{}`.",
                        self.model.id
                    )));
                }
            }
        }
        Ok(parts)
    }

    fn push(&mut self, role: Role, mut blocks: Vec<ContentBlock>) {
        match self.messages.last_mut() {
            Some(last) if last.role == role => last.content.append(&mut blocks),
            _ => self.messages.push(Message { role, content: blocks }),
        }
    }

    /// `id` if Converse takes it (1 to 64 of `[a-zA-Z0-9_.:-]`), else a stand-in that is the same for
    /// a call and its result; ids of other providers can be longer and hold anything.
    fn provider_id(&mut self, id: &str) -> String {
        let is_valid = (1..=64).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte));
        if is_valid {
            return id.to_owned();
        }
        let place = self.foreign_ids.iter().position(|other| other == id).unwrap_or_else(|| {
            self.foreign_ids.push(id.to_owned());
            self.foreign_ids.len() - 1
        });
        format!("weir_call_{place}")
    }
}

/// A text, unless it is blank.
fn text_of(field: &Field<'_>) -> Result<Option<String>, BadRequest> {
    let text = field.str()?;
    Ok((!text.trim().is_empty()).then(|| text.to_owned()))
}

fn read_arguments(field: &Field<'_>) -> Result<Value, BadRequest> {
    let text = field.str()?;
    if text.trim().is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(Value::Object(object)),
        _ => Err(field.invalid("must be the text of a JSON object.")),
    }
}

/// Signed reasoning of an earlier answer (`thinking_blocks`, as answers of this gateway carry them).
/// Models insist on getting it back unchanged before their tool calls; unsigned reasoning is left
/// out, since they refuse it.
fn reasoning_of(message: &Field<'_>) -> Result<Vec<ContentBlock>, BadRequest> {
    let Some(blocks) = message.get("thinking_blocks") else {
        return Ok(Vec::new());
    };
    let mut reasoning = Vec::new();
    for block in blocks.array()? {
        if let (Some(text), Some(signature)) = (block.get("thinking"), block.get("signature")) {
            reasoning.push(ContentBlock::Reasoning {
                text: text.str()?.to_owned(),
                signature: Some(signature.str()?.to_owned()),
            });
        }
    }
    Ok(reasoning)
}

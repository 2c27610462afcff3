//! The conversation.

use serde_json::{Map, Value};

use super::cache::cache_ttl;
use super::media::{Media, MediaReader};
use super::read::{reasoning_text, thinking_block};
use super::tools::checked_name;
use crate::wire::field::Field;
use crate::{
    BadRequest, CacheTtl, ContentBlock, Message, Model, Role, SystemBlock, ToolResultContent,
    Upload,
};

/// A conversation in canonical form.
pub(super) struct Conversation {
    /// What `system` and `developer` messages say, wherever they stand.
    pub(super) system: Vec<SystemBlock>,
    /// Turns; roles alternate.
    pub(super) messages: Vec<Message>,
}

/// Reads `messages`.
///
/// Messages of one side that follow each other become one turn, so that the results of parallel
/// tool calls stand together.
pub(super) fn conversation_of(
    body: &Map<String, Value>,
    model: &Model,
    uploads: &[(String, Upload)],
) -> Result<Conversation, BadRequest> {
    let mut reader = Reader {
        model,
        media: MediaReader { model, uploads },
        system: Vec::new(),
        messages: Vec::new(),
        unanswered: Vec::new(),
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
    if reader.messages.is_empty() {
        return Err(field.invalid("must hold at least one `user` message that is not empty."));
    }
    Ok(Conversation { system: reader.system, messages: reader.messages })
}

struct Reader<'m> {
    model: &'m Model,
    media: MediaReader<'m>,
    system: Vec<SystemBlock>,
    messages: Vec<Message>,
    /// Ids of tool calls of the last assistant turn that have no result yet.
    unanswered: Vec<String>,
}

/// A piece of content that any side may send.
enum Part {
    Text(String),
    Media(Media),
    CachePoint(CacheTtl),
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
            self.system.push(match part {
                Part::Text(text) => SystemBlock::Text(text),
                Part::CachePoint(ttl) => SystemBlock::CachePoint(ttl),
                Part::Media(_) => return Err(message.invalid("may hold text only.")),
            });
        }
        self.system.extend(cache_ttl(message)?.map(SystemBlock::CachePoint));
        Ok(())
    }

    fn read_user(&mut self, message: &Field<'_>) -> Result<(), BadRequest> {
        self.refuse_unanswered(message)?;
        let content = message.require("content")?;
        let mut blocks: Vec<_> = self
            .parts(&content)?
            .into_iter()
            .map(|part| match part {
                Part::Text(text) => ContentBlock::Text(text),
                Part::CachePoint(ttl) => ContentBlock::CachePoint(ttl),
                Part::Media(Media::Image { format, source }) => {
                    ContentBlock::Image { format, source }
                }
                Part::Media(Media::Document { format, name, source }) => ContentBlock::Document {
                    format,
                    name,
                    source,
                    context: None,
                    has_citations: false,
                },
            })
            .collect();
        if blocks.is_empty() {
            return Err(content.invalid("is empty: send some text."));
        }
        blocks.extend(cache_ttl(message)?.map(ContentBlock::CachePoint));
        self.push(Role::User, blocks);
        Ok(())
    }

    fn read_assistant(&mut self, message: &Field<'_>) -> Result<(), BadRequest> {
        self.refuse_unanswered(message)?;
        let mut blocks = reasoning_of(message)?;
        if let Some(content) = message.get("content") {
            for part in self.parts(&content)? {
                blocks.push(match part {
                    Part::Text(text) => ContentBlock::Text(text),
                    Part::CachePoint(ttl) => ContentBlock::CachePoint(ttl),
                    Part::Media(_) => return Err(content.invalid("may hold text only.")),
                });
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
            blocks.extend(cache_ttl(message)?.map(ContentBlock::CachePoint));
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
        let id = id_field.str()?.to_owned();
        if self.unanswered.contains(&id) {
            return Err(
                id_field.invalid("occurs twice among the calls of one turn: ids must differ.")
            );
        }
        self.unanswered.push(id.clone());
        let function = call.require("function")?;
        let name = checked_name(&function.require("name")?)?.to_owned();
        let input = match function.get("arguments") {
            Some(arguments) => read_arguments(&arguments)?,
            None => Value::Object(Map::new()),
        };
        Ok(ContentBlock::ToolUse { id, name, input })
    }

    fn read_tool_result(&mut self, message: &Field<'_>) -> Result<(), BadRequest> {
        let id_field = message.require("tool_call_id")?;
        let id = id_field.str()?.to_owned();
        let Some(place) = self.unanswered.iter().position(|other| *other == id) else {
            return Err(id_field.invalid(
                "answers no open tool call: it must be the id of one of the `tool_calls` of the assistant message before it.",
            ));
        };
        self.unanswered.remove(place);
        let mut content = Vec::new();
        let mut cache = cache_ttl(message)?;
        if let Some(field) = message.get("content") {
            for part in self.parts(&field)? {
                content.push(match part {
                    Part::Text(text) => ToolResultContent::Text(text),
                    Part::Media(Media::Image { format, source }) => {
                        ToolResultContent::Image { format, source }
                    }
                    Part::Media(Media::Document { format, name, source }) => {
                        ToolResultContent::Document { format, name, source }
                    }
                    // A result is kept as a whole or not at all.
                    Part::CachePoint(ttl) => {
                        cache = Some(ttl);
                        continue;
                    }
                });
            }
        }
        let mut blocks = vec![ContentBlock::ToolResult { id, content, is_error: false }];
        blocks.extend(cache.map(ContentBlock::CachePoint));
        self.push(Role::User, blocks);
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
                kind @ ("text" | "refusal") => {
                    parts.extend(text_of(&part.require(kind)?)?.map(Part::Text));
                }
                "image_url" => parts.push(Part::Media(self.media.image(&part)?)),
                "file" => parts.push(Part::Media(self.media.file(&part)?)),
                other => {
                    let other: String = other.chars().take(64).collect();
                    return Err(kind.unsupported(format_args!(
                        "`{other}` is not available with `{}`.",
                        self.model.id
                    )));
                }
            }
            parts.extend(cache_ttl(&part)?.map(Part::CachePoint));
        }
        Ok(parts)
    }

    fn push(&mut self, role: Role, mut blocks: Vec<ContentBlock>) {
        match self.messages.last_mut() {
            Some(last) if last.role == role => last.content.append(&mut blocks),
            _ => self.messages.push(Message { role, content: blocks }),
        }
    }
}

/// A text, unless it is empty.
fn text_of(field: &Field<'_>) -> Result<Option<String>, BadRequest> {
    let text = field.str()?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
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

/// Reasoning of an earlier answer: `thinking_blocks`, as answers of this gateway carry them, else the
/// bare text. Models insist on getting signed blocks back unchanged before their tool calls.
fn reasoning_of(message: &Field<'_>) -> Result<Vec<ContentBlock>, BadRequest> {
    let mut reasoning = Vec::new();
    if let Some(blocks) = message.get("thinking_blocks") {
        for block in blocks.array()? {
            let Some(read) = thinking_block(block.value()) else {
                return Err(block.invalid(
                    "must be a block of an earlier answer: `thinking` with `thinking` and `signature`, or `redacted_thinking` with `data`.",
                ));
            };
            reasoning.push(read);
        }
    }
    if reasoning.is_empty() {
        let text = message.value().as_object().and_then(reasoning_text);
        reasoning.extend(text.map(|text| ContentBlock::Reasoning { text, signature: None }));
    }
    Ok(reasoning)
}

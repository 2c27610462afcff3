//! The conversation.

use serde_json::{Map, Value, json};

use super::media::{file_of, image_of};
use super::tools::{CUSTOM_INPUT, flat_name};
use super::{ResponsesRequest, seal};
use crate::wire::field::Field;
use crate::{
    BadRequest, CacheTtl, ContentBlock, Message, Model, Role, Source, SystemBlock,
    ToolResultContent,
};

/// A conversation in canonical form.
#[derive(Default)]
pub(super) struct Conversation {
    /// What `instructions` and `system` and `developer` messages say, wherever they stand.
    pub(super) system: Vec<SystemBlock>,
    /// Turns; roles alternate, starting with the user.
    pub(super) messages: Vec<Message>,
}

/// Reads `instructions` and `input`. Items of one side that follow each other become one turn.
pub(super) fn conversation_of(
    request: &ResponsesRequest,
    body: &Map<String, Value>,
    model: &Model,
) -> Result<Conversation, BadRequest> {
    let mut reader =
        Reader { request, model, conversation: Conversation::default(), unanswered: Vec::new() };
    if let Some(instructions) = Field::of_body(body, "instructions") {
        reader.conversation.system.push(SystemBlock::Text(instructions.str()?.to_owned()));
    }
    let Some(input) = Field::of_body(body, "input") else {
        let message = "`input` is empty: send a text or at least one item.";
        return Err(BadRequest::new("missing_required_parameter", "input", message));
    };
    if let Some(text) = input.value().as_str() {
        reader.push(Role::User, vec![ContentBlock::Text(text.to_owned())]);
    } else {
        for item in input.array()? {
            reader.read(&item)?;
        }
    }
    if !reader.unanswered.is_empty() {
        let ids: Vec<_> = reader.unanswered.iter().map(|id| format!("`{id}`")).collect();
        return Err(input.invalid(format_args!(
            "holds tool calls without an output: send a `function_call_output` (or `custom_tool_call_output`) for each of {}.",
            ids.join(", ")
        )));
    }
    let conversation = reader.conversation;
    match conversation.messages.first().map(|message| message.role) {
        Some(Role::User) => Ok(conversation),
        Some(Role::Assistant) => Err(input.invalid(format_args!(
            "must start with a `user` message (after `system` and `developer` ones): `{}` cannot speak first.",
            model.id
        ))),
        None => Err(input.invalid("must hold at least one message of the user.")),
    }
}

/// A piece of content that any side may send.
enum Part {
    Text(String),
    Other(ContentBlock),
    CachePoint(CacheTtl),
}

struct Reader<'r> {
    request: &'r ResponsesRequest,
    model: &'r Model,
    conversation: Conversation,
    /// Ids of tool calls that have no output yet.
    unanswered: Vec<String>,
}

impl Reader<'_> {
    fn read(&mut self, item: &Field<'_>) -> Result<(), BadRequest> {
        let kind = match item.get("type") {
            Some(kind) => kind.str()?,
            None if item.get("role").is_some() => "message",
            None => "item_reference",
        };
        match kind {
            "message" => self.read_message(item),
            "reasoning" => self.read_reasoning(item),
            "function_call" => {
                let input = read_arguments(&item.require("arguments")?)?;
                self.read_call(item, input)
            }
            "custom_tool_call" => {
                let input = item.require("input")?.str()?.to_owned();
                self.read_call(item, json!({ CUSTOM_INPUT: input }))
            }
            "function_call_output" | "custom_tool_call_output" => self.read_output(item),
            // Read with the tools.
            "additional_tools" => Ok(()),
            other => {
                let other: String = other.chars().take(64).collect();
                Err(item.unsupported(format_args!(
                    "is of type `{other}`, which is not available with `{}`: leave the item out.",
                    self.model.id
                )))
            }
        }
    }

    fn read_message(&mut self, item: &Field<'_>) -> Result<(), BadRequest> {
        let role_field = item.require("role")?;
        let role = match role_field.str()? {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" | "developer" => return self.read_system(item),
            other => {
                let other: String = other.chars().take(64).collect();
                return Err(role_field.invalid(format_args!(
                    "must be `user`, `assistant`, `system` or `developer`, not `{other}`."
                )));
            }
        };
        let parts = self.parts(&item.require("content")?)?;
        self.push(role, parts.into_iter().map(Part::into_block).collect());
        Ok(())
    }

    fn read_system(&mut self, item: &Field<'_>) -> Result<(), BadRequest> {
        for part in self.parts(&item.require("content")?)? {
            self.conversation.system.push(match part {
                Part::Text(text) => SystemBlock::Text(text),
                Part::CachePoint(ttl) => SystemBlock::CachePoint(ttl),
                Part::Other(_) => {
                    return Err(item.unsupported(
                        "may hold text only: put images and files into a `user` message.",
                    ));
                }
            });
        }
        Ok(())
    }

    /// What another provider encrypted means nothing to this one, and its summary is not what the model
    /// thought.
    fn read_reasoning(&mut self, item: &Field<'_>) -> Result<(), BadRequest> {
        if let Some(encrypted) = item.get("encrypted_content") {
            let encrypted_text = encrypted.str()?;
            if !seal::is_sealed(encrypted_text) {
                return Ok(());
            }
            let block = seal::open(encrypted_text).ok_or_else(|| {
                encrypted.invalid("was changed: send the item back as you got it, or leave it out.")
            })?;
            self.push(Role::Assistant, vec![block]);
            return Ok(());
        }
        let mut text = String::new();
        for key in ["content", "summary"] {
            let Some(parts) = item.get(key).filter(|_| text.is_empty()) else {
                continue;
            };
            for part in parts.array()? {
                let piece = part.require("text")?.str()?;
                if !text.is_empty() && !piece.is_empty() {
                    text.push_str("\n\n");
                }
                text.push_str(piece);
            }
        }
        if !text.is_empty() {
            self.push(Role::Assistant, vec![ContentBlock::Reasoning { text, signature: None }]);
        }
        Ok(())
    }

    fn read_call(&mut self, item: &Field<'_>, input: Value) -> Result<(), BadRequest> {
        let id = item.require("call_id")?.str()?.to_owned();
        let namespace = item.get("namespace").map(|field| field.str()).transpose()?;
        let name = flat_name(namespace, &item.require("name")?)?;
        self.unanswered.push(id.clone());
        self.push(Role::Assistant, vec![ContentBlock::ToolUse { id, name, input }]);
        Ok(())
    }

    fn read_output(&mut self, item: &Field<'_>) -> Result<(), BadRequest> {
        let id_field = item.require("call_id")?;
        let id = id_field.str()?;
        let Some(place) = self.unanswered.iter().position(|other| other == id) else {
            return Err(id_field.invalid(
                "answers no open tool call: send the call before it, or the `previous_response_id` of the response that has it.",
            ));
        };
        self.unanswered.remove(place);
        let output = item.require("output")?;
        let mut content = Vec::new();
        for part in self.parts(&output)? {
            content.push(match part {
                Part::Text(text) => ToolResultContent::Text(text),
                Part::Other(ContentBlock::Image { format, source }) => {
                    ToolResultContent::Image { format, source }
                }
                Part::Other(ContentBlock::Document { format, name, source, .. }) => {
                    ToolResultContent::Document { format, name, source }
                }
                // It comes with the next message at the latest.
                Part::Other(_) | Part::CachePoint(_) => continue,
            });
        }
        let result = ContentBlock::ToolResult { id: id.to_owned(), content, is_error: false };
        self.push_result(result);
        Ok(())
    }

    fn parts(&self, content: &Field<'_>) -> Result<Vec<Part>, BadRequest> {
        if let Some(text) = content.value().as_str() {
            return Ok(vec![Part::Text(text.to_owned())]);
        }
        if !content.value().is_array() {
            return Err(content.wrong_type("a string or an array of content parts"));
        }
        let mut parts = Vec::new();
        for part in content.array()? {
            let kind = part.require("type")?;
            parts.push(match kind.str()? {
                "input_text" | "output_text" | "text" => {
                    Part::Text(part.require("text")?.str()?.to_owned())
                }
                "refusal" => Part::Text(part.require("refusal")?.str()?.to_owned()),
                "input_image" => {
                    let (format, source) = image_of(&part, self.request, self.model)?;
                    Part::Other(ContentBlock::Image { format, source })
                }
                "input_file" => self.file(&part)?,
                other => {
                    let other: String = other.chars().take(64).collect();
                    return Err(kind.unsupported(format_args!(
                        "`{other}` is not available with `{}`.",
                        self.model.id
                    )));
                }
            });
            parts.extend(self.cache_point(&part)?);
        }
        Ok(parts)
    }

    fn file(&self, part: &Field<'_>) -> Result<Part, BadRequest> {
        let (format, name, source) = file_of(part, self.request, self.model)?;
        let (context, has_citations) = (None, false);
        let source = match source {
            Source::Bytes(bytes) if bytes.is_empty() => {
                return Err(part.invalid("is an empty file."));
            }
            source => source,
        };
        Ok(Part::Other(ContentBlock::Document { format, name, source, context, has_citations }))
    }

    /// `prompt_cache_breakpoint`. It asks for a time that the cache lasts at least: half an hour and
    /// more is an hour here.
    fn cache_point(&self, part: &Field<'_>) -> Result<Option<Part>, BadRequest> {
        let Some(breakpoint) = part.get("prompt_cache_breakpoint") else {
            return Ok(None);
        };
        breakpoint.object()?;
        let capabilities = &self.model.capabilities;
        let ttl = match breakpoint.get("ttl") {
            Some(_) if capabilities.prompt_caching_1h => CacheTtl::OneHour,
            _ => CacheTtl::FiveMinutes,
        };
        Ok(capabilities.prompt_caching.then_some(Part::CachePoint(ttl)))
    }

    fn push(&mut self, role: Role, mut blocks: Vec<ContentBlock>) {
        if blocks.is_empty() {
            return;
        }
        match self.conversation.messages.last_mut() {
            Some(last) if last.role == role => last.content.append(&mut blocks),
            _ => self.conversation.messages.push(Message { role, content: blocks }),
        }
    }

    /// Results come before anything else that the user says in that turn: models want them right after the calls.
    fn push_result(&mut self, result: ContentBlock) {
        match self.conversation.messages.last_mut() {
            Some(last) if last.role == Role::User => {
                let is_result =
                    |block: &ContentBlock| matches!(block, ContentBlock::ToolResult { .. });
                let place = last.content.iter().rposition(is_result).map_or(0, |place| place + 1);
                last.content.insert(place, result);
            }
            _ => self.push(Role::User, vec![result]),
        }
    }
}

impl Part {
    fn into_block(self) -> ContentBlock {
        match self {
            Self::Text(text) => ContentBlock::Text(text),
            Self::Other(block) => block,
            Self::CachePoint(ttl) => ContentBlock::CachePoint(ttl),
        }
    }
}

fn read_arguments(field: &Field<'_>) -> Result<Value, BadRequest> {
    let text = field.str()?;
    if text.trim().is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(Value::Object(object)),
        _ => Ok(json!({ "arguments": text })),
    }
}

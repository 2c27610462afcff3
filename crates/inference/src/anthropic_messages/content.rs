//! The conversation.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use crate::wire::field::Field;
use crate::{
    BadRequest, CacheTtl, ContentBlock, DocumentFormat, ImageFormat, Message, Model, Role, Source,
    SystemBlock, ToolResultContent,
};

/// Takes base64 with and without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a document is called that has no title.
const UNTITLED: &str = "document";

/// A conversation in canonical form.
pub(super) struct Conversation {
    pub(super) system: Vec<SystemBlock>,
    pub(super) messages: Vec<Message>,
}

/// Reads `system` and `messages`. Messages of one side that follow each other become one turn, as the
/// API itself has it.
pub(super) fn conversation_of(
    body: &Map<String, Value>,
    model: &Model,
) -> Result<Conversation, BadRequest> {
    let mut reader = Reader { model, system: Vec::new(), messages: Vec::new() };
    if let Some(system) = Field::of_body(body, "system") {
        reader.read_system(&system)?;
    }
    let Some(messages) = Field::of_body(body, "messages") else {
        let message = "Missing required field `messages`.";
        return Err(BadRequest::new("missing_required_parameter", "messages", message));
    };
    for message in messages.array()? {
        reader.read_message(&message)?;
    }
    let Reader { system, messages: mut turns, .. } = reader;
    if turns.first().is_none_or(|turn| turn.role != Role::User) {
        return Err(messages.invalid("must start with a `user` message that is not empty."));
    }
    if turns.last().is_some_and(|turn| turn.role == Role::Assistant) && !model.capabilities.prefill
    {
        return Err(messages.unsupported(format_args!(
            "must end with a `user` message: `{}` does not go on with an answer that was begun for it.",
            model.id
        )));
    }
    // The mark at the top stands for one on the last block.
    let top = match Field::of_body(body, "cache_control") {
        Some(field) => taken(read_ttl(&field)?, model),
        None => None,
    };
    if let (Some(ttl), Some(last)) = (top, turns.last_mut())
        && !matches!(last.content.last(), Some(ContentBlock::CachePoint(_)))
    {
        last.content.push(ContentBlock::CachePoint(ttl));
    }
    Ok(Conversation { system, messages: turns })
}

/// How long the prompt up to `block` is to be cached, if `model` can.
pub(super) fn cache_of(block: &Field<'_>, model: &Model) -> Result<Option<CacheTtl>, BadRequest> {
    let Some(field) = block.get("cache_control") else {
        return Ok(None);
    };
    Ok(taken(read_ttl(&field)?, model))
}

fn read_ttl(field: &Field<'_>) -> Result<CacheTtl, BadRequest> {
    let kind = field.require("type")?;
    if kind.str()? != "ephemeral" {
        return Err(kind.invalid("must be `ephemeral`."));
    }
    let Some(ttl) = field.get("ttl") else {
        return Ok(CacheTtl::FiveMinutes);
    };
    match ttl.str()? {
        "5m" => Ok(CacheTtl::FiveMinutes),
        "1h" => Ok(CacheTtl::OneHour),
        _ => Err(ttl.invalid("must be `5m` or `1h`.")),
    }
}

fn taken(ttl: CacheTtl, model: &Model) -> Option<CacheTtl> {
    let can = &model.capabilities;
    can.prompt_caching.then_some(match ttl {
        CacheTtl::OneHour if can.prompt_caching_1h => CacheTtl::OneHour,
        _ => CacheTtl::FiveMinutes,
    })
}

struct Reader<'m> {
    model: &'m Model,
    system: Vec<SystemBlock>,
    messages: Vec<Message>,
}

impl Reader<'_> {
    fn read_system(&mut self, content: &Field<'_>) -> Result<(), BadRequest> {
        if content.value().is_string() {
            self.system.push(SystemBlock::Text(content.str()?.to_owned()));
            return Ok(());
        }
        if !content.value().is_array() {
            return Err(content.wrong_type("a string or an array of text blocks"));
        }
        for block in content.array()? {
            let kind = block.require("type")?;
            if kind.str()? != "text" {
                return Err(self.unknown(&kind, "system prompts of this model hold text only"));
            }
            self.system.push(SystemBlock::Text(block.require("text")?.str()?.to_owned()));
            self.system.extend(cache_of(&block, self.model)?.map(SystemBlock::CachePoint));
        }
        Ok(())
    }

    fn read_message(&mut self, message: &Field<'_>) -> Result<(), BadRequest> {
        let content = message.require("content")?;
        let role = match message.require("role")?.str()? {
            "system" => return self.read_system(&content),
            "assistant" => Role::Assistant,
            _ => Role::User,
        };
        let mut blocks = Vec::new();
        if content.value().is_string() {
            blocks.push(ContentBlock::Text(content.str()?.to_owned()));
        } else {
            for block in content.array()? {
                blocks.push(self.block(&block, role)?);
                blocks.extend(self.mark_after(&block)?);
            }
        }
        match self.messages.last_mut() {
            Some(last) if last.role == role => last.content.append(&mut blocks),
            _ if blocks.is_empty() => {}
            _ => self.messages.push(Message { role, content: blocks }),
        }
        Ok(())
    }

    /// The cache point after a block: its own, or that of something within it.
    fn mark_after(&self, block: &Field<'_>) -> Result<Option<ContentBlock>, BadRequest> {
        let mut ttl = cache_of(block, self.model)?;
        let source = block.get("source");
        let inner = source.as_ref().unwrap_or(block).get("content");
        if let Some(content) = inner.filter(|content| content.value().is_array()) {
            for part in content.array()? {
                ttl = ttl.or(cache_of(&part, self.model)?);
            }
        }
        Ok(ttl.map(ContentBlock::CachePoint))
    }

    fn block(&self, block: &Field<'_>, role: Role) -> Result<ContentBlock, BadRequest> {
        let kind = block.require("type")?;
        let text =
            |name| -> Result<String, BadRequest> { Ok(block.require(name)?.str()?.to_owned()) };
        match (kind.str()?, role) {
            ("text", _) => Ok(ContentBlock::Text(text("text")?)),
            ("image", Role::User) => {
                let (format, source) = self.image(block)?;
                Ok(ContentBlock::Image { format, source })
            }
            ("document", Role::User) => {
                let Document { format, name, source } = self.document(block)?;
                let citations = block.get("citations");
                let is_cited = citations.as_ref().and_then(|citations| citations.get("enabled"));
                Ok(ContentBlock::Document {
                    format,
                    name,
                    source,
                    context: block
                        .get("context")
                        .map(|it| it.str())
                        .transpose()?
                        .map(str::to_owned),
                    has_citations: is_cited.map_or(Ok(false), |enabled| enabled.bool())?,
                })
            }
            ("tool_result", Role::User) => self.tool_result(block),
            ("tool_use", Role::Assistant) => {
                self.check_tools(block)?;
                let input = match block.get("input") {
                    Some(input) => {
                        input.object()?;
                        input.value().clone()
                    }
                    None => Value::Object(Map::new()),
                };
                Ok(ContentBlock::ToolUse { id: text("id")?, name: text("name")?, input })
            }
            ("thinking", Role::Assistant) => {
                let signature = block.get("signature").map(|it| it.str()).transpose()?;
                Ok(ContentBlock::Reasoning {
                    text: text("thinking")?,
                    // Thinking of models that sign nothing has an empty one.
                    signature: signature.filter(|it| !it.is_empty()).map(str::to_owned),
                })
            }
            ("redacted_thinking", Role::Assistant) => {
                Ok(ContentBlock::RedactedReasoning { data: text("data")? })
            }
            ("image" | "document" | "tool_result", Role::Assistant) => {
                Err(kind.invalid("may stand in messages of the user only."))
            }
            ("tool_use" | "thinking" | "redacted_thinking", Role::User) => {
                Err(kind.invalid("may stand in messages of the assistant only."))
            }
            _ => Err(self.unknown(&kind, "it takes text, images, documents, tools and thinking")),
        }
    }

    fn tool_result(&self, block: &Field<'_>) -> Result<ContentBlock, BadRequest> {
        self.check_tools(block)?;
        let id = block.require("tool_use_id")?.str()?.to_owned();
        let is_error = block.get("is_error").map_or(Ok(false), |field| field.bool())?;
        let mut content = Vec::new();
        match block.get("content") {
            None => {}
            Some(field) if field.value().is_string() => {
                content.push(ToolResultContent::Text(field.str()?.to_owned()));
            }
            Some(field) => {
                if !field.value().is_array() {
                    return Err(field.wrong_type("a string or an array of content blocks"));
                }
                for part in field.array()? {
                    content.push(self.result_part(&part)?);
                }
            }
        }
        Ok(ContentBlock::ToolResult { id, content, is_error })
    }

    fn result_part(&self, part: &Field<'_>) -> Result<ToolResultContent, BadRequest> {
        let kind = part.require("type")?;
        match kind.str()? {
            "text" => Ok(ToolResultContent::Text(part.require("text")?.str()?.to_owned())),
            "image" => {
                let (format, source) = self.image(part)?;
                Ok(ToolResultContent::Image { format, source })
            }
            "document" => {
                let Document { format, name, source } = self.document(part)?;
                Ok(ToolResultContent::Document { format, name, source })
            }
            _ => Err(self.unknown(&kind, "results of tools hold text, images and documents")),
        }
    }

    fn check_tools(&self, block: &Field<'_>) -> Result<(), BadRequest> {
        if self.model.capabilities.tools {
            return Ok(());
        }
        Err(block.unsupported(format_args!(
            "cannot be used with `{}`: this model has no tools.",
            self.model.id
        )))
    }

    fn image(&self, block: &Field<'_>) -> Result<(ImageFormat, Source), BadRequest> {
        if !self.model.capabilities.images {
            return Err(
                block.unsupported(format_args!("is an image, and `{}` reads none.", self.model.id))
            );
        }
        let source = block.require("source")?;
        let kind = source.require("type")?;
        match kind.str()? {
            "base64" => {
                let media = source.require("media_type")?;
                let format = ImageFormat::of_media_type(media.str()?)
                    .ok_or_else(|| media.invalid("must be a PNG, JPEG, GIF or WebP image."))?;
                Ok((format, Source::Bytes(bytes_of(&source.require("data")?)?)))
            }
            "url" => {
                let url = source.require("url")?.str()?;
                Ok((image_format_of_url(url), Source::Url(url.to_owned())))
            }
            "file" => Err(not_uploaded(&source)),
            _ => Err(self.unknown(&kind, "sources are `base64`, `url` and `file`")),
        }
    }

    fn document(&self, block: &Field<'_>) -> Result<Document, BadRequest> {
        if !self.model.capabilities.documents {
            return Err(block.unsupported(format_args!(
                "is a document, and `{}` reads none: send its text.",
                self.model.id
            )));
        }
        let title = block.get("title").map(|title| title.str()).transpose()?;
        let name = title.filter(|title| !title.is_empty()).unwrap_or(UNTITLED).to_owned();
        let source = block.require("source")?;
        let kind = source.require("type")?;
        let (format, source) = match kind.str()? {
            "base64" => {
                let media = source.require("media_type")?;
                let format = DocumentFormat::of_media_type(media.str()?).ok_or_else(|| {
                    media.invalid("is no media type of documents that models read.")
                })?;
                (format, Source::Bytes(bytes_of(&source.require("data")?)?))
            }
            "text" => {
                (DocumentFormat::Txt, Source::Text(source.require("data")?.str()?.to_owned()))
            }
            "content" => {
                (DocumentFormat::Txt, Source::Text(self.text_of(&source.require("content")?)?))
            }
            "url" => (DocumentFormat::Pdf, Source::Url(source.require("url")?.str()?.to_owned())),
            "file" => return Err(not_uploaded(&source)),
            _ => {
                return Err(self
                    .unknown(&kind, "sources are `base64`, `text`, `content`, `url` and `file`"));
            }
        };
        Ok(Document { format, name, source })
    }

    /// The content of a document made of blocks.
    fn text_of(&self, content: &Field<'_>) -> Result<String, BadRequest> {
        if content.value().is_string() {
            return Ok(content.str()?.to_owned());
        }
        let mut texts = Vec::new();
        for block in content.array()? {
            let kind = block.require("type")?;
            if kind.str()? != "text" {
                return Err(self.unknown(&kind, "documents made of blocks hold text only"));
            }
            texts.push(block.require("text")?.str()?.to_owned());
        }
        Ok(texts.join("\n\n"))
    }

    fn unknown(&self, kind: &Field<'_>, rule: &str) -> BadRequest {
        let name: String = kind.value().as_str().unwrap_or_default().chars().take(64).collect();
        kind.unsupported(format_args!(
            "`{name}` is not available with `{}`: {rule}.",
            self.model.id
        ))
    }
}

struct Document {
    format: DocumentFormat,
    name: String,
    source: Source,
}

/// A URL does not say what it leads to; its ending is a hint.
fn image_format_of_url(url: &str) -> ImageFormat {
    let path = url.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let extension = path.rsplit('.').next().unwrap_or_default();
    ImageFormat::of_media_type(&format!("image/{extension}")).unwrap_or(ImageFormat::Jpeg)
}

fn not_uploaded(source: &Field<'_>) -> BadRequest {
    let message = format!("`{source}.file_id` names no file that was uploaded to this gateway.");
    BadRequest::value(format!("{source}.file_id"), message)
}

fn bytes_of(field: &Field<'_>) -> Result<Vec<u8>, BadRequest> {
    match BASE64.decode(field.str()?) {
        Ok(bytes) if bytes.is_empty() => Err(field.invalid("is empty.")),
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(field.invalid(format_args!("is not valid base64: {error}."))),
    }
}

//! Content blocks of the dialect, in canonical form.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use crate::wire::field::Field;
use crate::{
    BadRequest, CacheTtl, ContentBlock, DocumentFormat, ImageFormat, Message, Model, Role, Source,
    SystemBlock, ToolResultContent, Upload,
};

/// Takes base64 with and without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) struct Reader<'r> {
    pub(super) model: &'r Model,
    pub(super) uploads: &'r [Upload],
}

impl Reader<'_> {
    /// The one member of a union, which is written as an object.
    pub(super) fn only_member<'a>(
        field: &'a Field<'_>,
    ) -> Result<(&'a str, Field<'a>), BadRequest> {
        let mut members =
            field.object()?.keys().filter_map(|key| Some((key.as_str(), field.get(key)?)));
        match (members.next(), members.next()) {
            (Some(member), None) => Ok(member),
            _ => Err(field.invalid("must hold exactly one member, which says what it is.")),
        }
    }

    pub(super) fn cache_ttl(field: &Field<'_>) -> Result<CacheTtl, BadRequest> {
        field.object()?;
        match field.get("ttl").map(|ttl| ttl.str()).transpose()? {
            None | Some("5m") => Ok(CacheTtl::FiveMinutes),
            Some("1h") => Ok(CacheTtl::OneHour),
            Some(_) => Err(field.invalid("must have a `ttl` of `5m` or `1h`.")),
        }
    }

    pub(super) fn system(&self, body: &Map<String, Value>) -> Result<Vec<SystemBlock>, BadRequest> {
        let Some(system) = Field::of_body(body, "system") else {
            return Ok(Vec::new());
        };
        let mut blocks = Vec::new();
        for block in system.array()? {
            let (kind, value) = Self::only_member(&block)?;
            blocks.push(match kind {
                "text" => SystemBlock::Text(value.str()?.to_owned()),
                "cachePoint" => SystemBlock::CachePoint(Self::cache_ttl(&value)?),
                _ => return Err(self.not_here(&value)),
            });
        }
        Ok(blocks)
    }

    pub(super) fn messages(&self, body: &Map<String, Value>) -> Result<Vec<Message>, BadRequest> {
        let Some(messages) = Field::of_body(body, "messages") else {
            return Ok(Vec::new());
        };
        let mut turns = Vec::new();
        for message in messages.array()? {
            let role_field = message.require("role")?;
            let role = match role_field.str()? {
                "user" => Role::User,
                "assistant" => Role::Assistant,
                "system" => return Err(self.not_here(&role_field)),
                _ => return Err(role_field.invalid("must be `user` or `assistant`.")),
            };
            let content = message.require("content")?;
            let content =
                content.array()?.map(|block| self.block(&block)).collect::<Result<_, _>>()?;
            turns.push(Message { role, content });
        }
        Ok(turns)
    }

    /// Something that Converse has and other protocols do not, or not in this form.
    fn not_here(&self, field: &Field<'_>) -> BadRequest {
        field.unsupported(format_args!("is not available with `{}`.", self.model.id))
    }

    fn block(&self, block: &Field<'_>) -> Result<ContentBlock, BadRequest> {
        let (kind, value) = Self::only_member(block)?;
        Ok(match kind {
            "text" => ContentBlock::Text(value.str()?.to_owned()),
            "image" => {
                let (format, source) = self.image(&value)?;
                ContentBlock::Image { format, source }
            }
            "document" => {
                let (format, name, source) = self.document(&value)?;
                let citations = value.get("citations");
                let has_citations = match citations.as_ref().and_then(|field| field.get("enabled"))
                {
                    Some(field) => field.bool()?,
                    None => false,
                };
                let context = value.get("context").map(|field| field.str()).transpose()?;
                let context = context.map(str::to_owned);
                ContentBlock::Document { format, name, source, context, has_citations }
            }
            "cachePoint" => ContentBlock::CachePoint(Self::cache_ttl(&value)?),
            "toolUse" => {
                if let Some(kind) = value.get("type") {
                    return Err(self.not_here(&kind));
                }
                ContentBlock::ToolUse {
                    id: value.require("toolUseId")?.str()?.to_owned(),
                    name: value.require("name")?.str()?.to_owned(),
                    input: value.require("input")?.value().clone(),
                }
            }
            "toolResult" => self.tool_result(&value)?,
            "reasoningContent" => {
                let (kind, value) = Self::only_member(&value)?;
                match kind {
                    "reasoningText" => ContentBlock::Reasoning {
                        text: value.require("text")?.str()?.to_owned(),
                        signature: value
                            .get("signature")
                            .map(|field| field.str().map(str::to_owned))
                            .transpose()?,
                    },
                    "redactedContent" => {
                        ContentBlock::RedactedReasoning { data: value.str()?.to_owned() }
                    }
                    _ => return Err(self.not_here(&value)),
                }
            }
            _ => return Err(self.not_here(&value)),
        })
    }

    fn tool_result(&self, result: &Field<'_>) -> Result<ContentBlock, BadRequest> {
        let mut content = Vec::new();
        for part in result.require("content")?.array()? {
            let (kind, value) = Self::only_member(&part)?;
            content.push(match kind {
                "text" => ToolResultContent::Text(value.str()?.to_owned()),
                "json" => ToolResultContent::Json(value.value().clone()),
                "image" => {
                    let (format, source) = self.image(&value)?;
                    ToolResultContent::Image { format, source }
                }
                "document" => {
                    let (format, name, source) = self.document(&value)?;
                    ToolResultContent::Document { format, name, source }
                }
                _ => return Err(self.not_here(&value)),
            });
        }
        let status = result.get("status").map(|field| field.str()).transpose()?;
        Ok(ContentBlock::ToolResult {
            id: result.require("toolUseId")?.str()?.to_owned(),
            content,
            is_error: status == Some("error"),
        })
    }

    fn image(&self, image: &Field<'_>) -> Result<(ImageFormat, Source), BadRequest> {
        if !self.model.capabilities.images {
            return Err(
                image.unsupported(format_args!("is an image, and `{}` reads none.", self.model.id))
            );
        }
        let format_field = image.require("format")?;
        let format = ImageFormat::of_media_type(&format!("image/{}", format_field.str()?))
            .ok_or_else(|| format_field.invalid("must be `png`, `jpeg`, `gif` or `webp`."))?;
        let source = image.require("source")?;
        let (kind, value) = Self::only_member(&source)?;
        Ok((format, self.source(kind, &value)?))
    }

    fn document(
        &self,
        document: &Field<'_>,
    ) -> Result<(DocumentFormat, String, Source), BadRequest> {
        if !self.model.capabilities.documents {
            return Err(document
                .unsupported(format_args!("is a document, and `{}` reads none.", self.model.id)));
        }
        let name = document.require("name")?.str()?.to_owned();
        let source = document.require("source")?;
        let (kind, value) = Self::only_member(&source)?;
        let source = match kind {
            "text" => Source::Text(value.str()?.to_owned()),
            "content" => {
                let mut pieces = Vec::new();
                for piece in value.array()? {
                    pieces.push(piece.require("text")?.str()?.to_owned());
                }
                Source::Text(pieces.join("\n\n"))
            }
            kind => self.source(kind, &value)?,
        };
        let format = match document.get("format") {
            Some(field) => DocumentFormat::of_extension(field.str()?)
                .ok_or_else(|| field.invalid("is no format of documents that is known here."))?,
            None if matches!(source, Source::Text(_)) => DocumentFormat::Txt,
            None => return Err(document.invalid("must say its `format`.")),
        };
        Ok((format, name, source))
    }

    fn source(&self, kind: &str, value: &Field<'_>) -> Result<Source, BadRequest> {
        match kind {
            "bytes" => match BASE64.decode(value.str()?) {
                Ok(bytes) if bytes.is_empty() => Err(value.invalid("is empty.")),
                Ok(bytes) => Ok(Source::Bytes(bytes)),
                Err(error) => Err(BadRequest::new(
                    "invalid_base64",
                    value.to_string(),
                    format!("`{value}` does not hold valid base64: {error}."),
                )),
            },
            "s3Location" => {
                let uri = value.require("uri")?.str()?;
                if let Some(upload) = self.uploads.iter().find(|it| it.s3_uri == uri) {
                    return Ok(Source::Bytes(upload.bytes.to_vec()));
                }
                let bucket_owner = value.get("bucketOwner").map(|field| field.str()).transpose()?;
                Ok(Source::S3 {
                    uri: uri.to_owned(),
                    bucket_owner: bucket_owner.map(str::to_owned),
                })
            }
            _ => Err(self.not_here(value)),
        }
    }
}

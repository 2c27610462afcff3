//! Parsing: what the gateway itself relies on, whatever the model.

use serde_json::{Map, Value};

use super::{bound, canonical, forward, render};
use crate::wire::affinity::PromptStart;
use crate::wire::body::{members_of, refuse_lookalikes, utf8};
use crate::wire::field::Field;
use crate::wire::json::parse_object;
use crate::wire::members::Members;
use crate::{
    AnswerHead, AnswerRenderer, BadRequest, Dialect, GenerateRequest, Model, ModelRequest,
    Protocol, ProviderRequest, TokenBound, Upload,
};

/// Fields by which the gateway judges a call. A key that differs from one only by case is refused:
/// a provider that ignores case would read another value than the one that was checked.
const JUDGED: [&str; 8] = [
    "additionalModelRequestFields",
    "inferenceConfig",
    "messages",
    "performanceConfig",
    "promptVariables",
    "requestMetadata",
    "serviceTier",
    "toolConfig",
];

/// The same within these fields.
const JUDGED_WITHIN: [(&str, &str); 4] = [
    ("inferenceConfig", "maxTokens"),
    ("performanceConfig", "latency"),
    ("serviceTier", "type"),
    ("toolConfig", "tools"),
];

/// A request to `POST /model/{id}/converse` or `/converse-stream`, with its original bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct ConverseRequest {
    pub(super) text: String,
    pub(super) members: Members,
    pub(super) body: Map<String, Value>,
    pub(super) model: String,
    is_streaming: bool,
    pub(super) max_tokens: Option<u64>,
    /// Uploaded files that the conversation refers to, with their bytes.
    pub(super) uploads: Vec<Upload>,
}

impl ConverseRequest {
    /// Reads a request from any bytes; never panics. `model` is the id of the URL, decoded.
    pub fn parse(model: &str, is_streaming: bool, body: &[u8]) -> Result<Self, BadRequest> {
        if model.contains(":prompt/") {
            let message = "Prompts of Bedrock's prompt management cannot be called: name a model, and send the prompt itself.";
            return Err(BadRequest::unsupported("modelId", message));
        }
        if model.trim().is_empty() {
            return Err(BadRequest::value("modelId", "The path names no model."));
        }
        let (text, members, body) = read_object(body)?;
        refuse_all_lookalikes(&body)?;
        if let Some(field) = Field::of_body(&body, "promptVariables") {
            return Err(field.unsupported(
                "belongs to prompts of Bedrock's prompt management, which cannot be called.",
            ));
        }
        check_messages(&body)?;
        let max_tokens = match Field::of_body(&body, "inferenceConfig") {
            Some(config) => {
                config.object()?;
                config.get("maxTokens").map(|field| field.positive_integer()).transpose()?
            }
            None => None,
        };
        Ok(Self {
            text,
            members,
            body,
            model: model.to_owned(),
            is_streaming,
            max_tokens,
            uploads: Vec::new(),
        })
    }

    /// The ids of uploaded files that the conversation refers to, each once: pictures and documents
    /// whose `s3Location` is in `bucket`, where the gateway keeps the files of `tenant_id`.
    ///
    /// # Errors
    /// If it refers to anything else in that bucket.
    pub fn upload_ids(&self, bucket: &str, tenant_id: &str) -> Result<Vec<String>, BadRequest> {
        let mut ids = Vec::new();
        if let Some(messages) = self.body.get("messages") {
            collect_upload_ids(messages, bucket, tenant_id, &mut ids)?;
        }
        Ok(ids)
    }

    /// The request with the uploaded files that it refers to; it does so by their URIs. Models that read from S3 by
    /// themselves still get the reference; others get the bytes in its place.
    #[must_use]
    pub fn with_uploads(self, uploads: Vec<Upload>) -> Self {
        Self { uploads, ..self }
    }
}

/// Reads a JSON object strictly: its text, where its members stand, and its values.
pub(super) fn read_object(
    body: &[u8],
) -> Result<(String, Members, Map<String, Value>), BadRequest> {
    let text = utf8(body)?;
    let object = parse_object(text)?;
    let members = members_of(text)?;
    Ok((text.to_owned(), members, object))
}

fn refuse_all_lookalikes(body: &Map<String, Value>) -> Result<(), BadRequest> {
    refuse_lookalikes(body, &JUDGED)?;
    for (outer, name) in JUDGED_WITHIN {
        if let Some(object) = body.get(outer).and_then(Value::as_object) {
            refuse_lookalikes(object, &[name])?;
        }
    }
    Ok(())
}

/// Messages need a role and content blocks; what is in them is for the model's own API to judge.
pub(super) fn check_messages(body: &Map<String, Value>) -> Result<(), BadRequest> {
    let Some(messages) = Field::of_body(body, "messages") else {
        let message = "Missing required field `messages`: send at least one message.";
        return Err(BadRequest::new("missing_required_parameter", "messages", message));
    };
    let messages_array = messages.array()?;
    if messages_array.len() == 0 {
        let message = "`messages` is empty: send at least one message.";
        return Err(BadRequest::new("empty_array", "messages", message));
    }
    for message in messages_array {
        message.object()?;
        message.require("role")?.str()?;
        for block in message.require("content")?.array()? {
            block.object()?;
        }
    }
    Ok(())
}

fn collect_upload_ids(
    value: &Value,
    bucket: &str,
    tenant_id: &str,
    ids: &mut Vec<String>,
) -> Result<(), BadRequest> {
    match value {
        Value::Array(elements) => {
            for element in elements {
                collect_upload_ids(element, bucket, tenant_id, ids)?;
            }
        }
        Value::Object(object) => {
            for (key, value) in object {
                let uri = value.get("uri").and_then(Value::as_str);
                if let (true, Some(uri)) = (key == "s3Location", uri) {
                    if let Some(id) = upload_id(uri, bucket, tenant_id)?
                        && !ids.iter().any(|other| other == id)
                    {
                        ids.push(id.to_owned());
                    }
                } else {
                    collect_upload_ids(value, bucket, tenant_id, ids)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// The file's id, if `uri` is in the uploads bucket.
fn upload_id<'a>(
    uri: &'a str,
    bucket: &str,
    tenant_id: &str,
) -> Result<Option<&'a str>, BadRequest> {
    let Some(key) = uri
        .strip_prefix("s3://")
        .and_then(|rest| rest.strip_prefix(bucket))
        .filter(|key| key.is_empty() || key.starts_with('/'))
    else {
        return Ok(None);
    };
    let id = key
        .strip_prefix("/tenant=")
        .and_then(|rest| rest.strip_prefix(tenant_id))
        .and_then(|rest| rest.strip_prefix('/'))
        .filter(|id| !id.is_empty() && !id.contains('/'));
    id.map(Some).ok_or_else(|| {
        let shown: String = uri.chars().take(200).collect();
        let message =
            format!("`{shown}` is none of your uploaded files: upload it with `POST /v1/files`.");
        BadRequest::new("file_not_found", "messages", message)
    })
}

impl GenerateRequest for ConverseRequest {
    fn dialect(&self) -> Dialect {
        Dialect::BedrockConverse
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn is_streaming(&self) -> bool {
        self.is_streaming
    }

    fn native_protocol(&self) -> Protocol {
        Protocol::Converse
    }

    fn bound(
        &self,
        model: &Model,
        default_max_tokens: Option<u32>,
    ) -> Result<TokenBound, BadRequest> {
        bound::bound(self, model, default_max_tokens)
    }

    fn to_canonical(&self, model: &Model, max_tokens: u32) -> Result<ModelRequest, BadRequest> {
        canonical::to_canonical(self, model, max_tokens)
    }

    fn forward(&self, model: &Model, max_tokens: u32) -> Result<ProviderRequest, BadRequest> {
        Ok(forward::forward(self, model, max_tokens))
    }

    /// The system prompt and the messages before the first answer: later turns only add to them.
    fn affinity_key(&self) -> Option<String> {
        let mut start = PromptStart::default();
        start.add(self.body.get("system").unwrap_or(&Value::Null));
        let messages = self.body.get("messages").and_then(Value::as_array);
        for message in messages.into_iter().flatten() {
            if message.get("role").and_then(Value::as_str) == Some("assistant") {
                break;
            }
            start.add(message.get("content").unwrap_or(&Value::Null));
        }
        Some(start.key())
    }

    fn renderer(&self, _: AnswerHead) -> Box<dyn AnswerRenderer> {
        let paths = self.body.get("additionalModelResponseFieldPaths").and_then(Value::as_array);
        let tells_stop_sequence =
            paths.is_some_and(|paths| paths.iter().any(|path| path == "/stop_sequence"));
        Box::new(render::Renderer::new(tells_stop_sequence))
    }
}

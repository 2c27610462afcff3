//! Parsing: what the gateway itself relies on, whatever the model.

use serde_json::{Map, Value};

use super::media::{embed, upload_id};
use crate::wire::body::{Body, model_of};
use crate::wire::field::Field;
use crate::wire::members::Members;
use crate::{BadRequest, Upload};

/// Fields by which the gateway judges a call.
pub(super) const JUDGED: [&str; 9] = [
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "model",
    "n",
    "service_tier",
    "stream",
    "stream_options",
    "tools",
];

/// A request to `POST /v1/chat/completions`, with its original bytes.
///
/// Parsing checks its syntax and what limits, prices and routing depend on. Whether the rest makes
/// sense is for the model's own API to say, or for [`to_canonical`](super::to_canonical).
#[derive(Debug, Clone, PartialEq)]
pub struct ChatRequest {
    body: Body,
    model: String,
    is_streaming: bool,
    includes_usage: bool,
    max_output_tokens: Option<u64>,
    choices: u32,
    uploads: Vec<(String, Upload)>,
}

impl ChatRequest {
    /// Reads a request from any bytes; never panics.
    pub fn parse(body: &[u8]) -> Result<Self, BadRequest> {
        let body = Body::parse(body, &JUDGED)?;
        let object = &body.object;
        let model = model_of(object)?;
        check_messages(object)?;
        let is_streaming = match Field::of_body(object, "stream") {
            Some(field) => field.bool()?,
            None => false,
        };
        let includes_usage = includes_usage(object, is_streaming)?;
        let max_output_tokens = max_output_tokens(object)?;
        let choices = choices(object)?;
        Ok(Self {
            body,
            model,
            is_streaming,
            includes_usage,
            max_output_tokens,
            choices,
            uploads: Vec::new(),
        })
    }

    /// The model that the caller wants, as it named it; not empty.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Whether the answer is to be streamed.
    pub fn is_streaming(&self) -> bool {
        self.is_streaming
    }

    /// Whether the caller wants a last chunk with the usage (`stream_options.include_usage`).
    pub(super) fn includes_usage(&self) -> bool {
        self.includes_usage
    }

    /// The caller's maximum of output tokens (`max_completion_tokens`, or `max_tokens` as it was called); not 0.
    pub(super) fn max_output_tokens(&self) -> Option<u64> {
        self.max_output_tokens
    }

    /// How many answers the caller wants (`n`), 1 to 128.
    pub(super) fn choices(&self) -> u32 {
        self.choices
    }

    /// The uploaded files that it names: `file_id` of `file` parts, and `weir://uploads/<id>` as the URL of
    /// a picture. Each once, in order.
    pub fn upload_ids(&self) -> Vec<String> {
        let mut ids = Vec::new();
        for id in self.parts().filter_map(upload_id) {
            if !ids.iter().any(|known| known == id) {
                ids.push(id.to_owned());
            }
        }
        ids
    }

    /// The request with the files that it names, by their ids.
    #[must_use]
    pub fn with_uploads(self, uploads: Vec<(String, Upload)>) -> Self {
        Self { uploads, ..self }
    }

    /// The files that it names, as far as they were given.
    pub(super) fn uploads(&self) -> &[(String, Upload)] {
        &self.uploads
    }

    /// `messages` with the files themselves in place of their ids; `None` if there are none.
    pub(super) fn embedded_messages(&self) -> Option<String> {
        if self.uploads.is_empty() {
            return None;
        }
        let mut messages = self.body.object.get("messages")?.clone();
        for message in messages.as_array_mut()? {
            let parts = message.get_mut("content").and_then(Value::as_array_mut);
            parts.into_iter().flatten().for_each(|part| embed(part, &self.uploads));
        }
        Some(messages.to_string())
    }

    fn parts(&self) -> impl Iterator<Item = &Value> {
        let messages =
            self.body.object.get("messages").and_then(Value::as_array).into_iter().flatten();
        messages.filter_map(|message| message.get("content")?.as_array()).flatten()
    }

    /// The original text.
    pub(super) fn text(&self) -> &str {
        &self.body.text
    }

    pub(super) fn members(&self) -> &Members {
        &self.body.members
    }

    pub(super) fn body(&self) -> &Map<String, Value> {
        &self.body.object
    }
}

fn check_messages(body: &Map<String, Value>) -> Result<(), BadRequest> {
    let Some(messages) = Field::of_body(body, "messages") else {
        let message = "Missing required field `messages`: send at least one message.";
        return Err(BadRequest::new("missing_required_parameter", "messages", message));
    };
    let messages_array = messages.array()?;
    if messages_array.len() == 0 {
        return Err(BadRequest::new(
            "empty_array",
            "messages",
            "`messages` is empty: send at least one message.",
        ));
    }
    for message in messages_array {
        check_message(&message)?;
    }
    Ok(())
}

fn check_message(message: &Field<'_>) -> Result<(), BadRequest> {
    message.object()?;
    let role_field = message.require("role")?;
    let role = role_field.str()?;
    match role {
        "developer" | "system" | "user" | "assistant" | "function" => {}
        "tool" => {
            message.require("tool_call_id")?.str()?;
        }
        _ => {
            let role: String = role.chars().take(64).collect();
            return Err(role_field.invalid(format_args!(
                "must be `developer`, `system`, `user`, `assistant` or `tool`, not `{role}`."
            )));
        }
    }
    let Some(content) = message.get("content") else {
        return Ok(());
    };
    if content.value().is_string() {
        return Ok(());
    }
    if !content.value().is_array() {
        return Err(content.wrong_type("a string or an array of content parts"));
    }
    for part in content.array()? {
        part.object()?;
        part.require("type")?.str()?;
    }
    Ok(())
}

fn includes_usage(body: &Map<String, Value>, is_streaming: bool) -> Result<bool, BadRequest> {
    let Some(options) = Field::of_body(body, "stream_options") else {
        return Ok(false);
    };
    options.object()?;
    if !is_streaming {
        return Err(options.invalid("may be set only when `stream` is true."));
    }
    options.get("include_usage").map_or(Ok(false), |field| field.bool())
}

fn max_output_tokens(body: &Map<String, Value>) -> Result<Option<u64>, BadRequest> {
    let new = Field::of_body(body, "max_completion_tokens");
    let old = Field::of_body(body, "max_tokens");
    match (new, old) {
        (Some(_), Some(old)) => {
            Err(old
                .invalid("and `max_completion_tokens` are both set: keep `max_completion_tokens`."))
        }
        (Some(field), None) | (None, Some(field)) => field.positive_integer().map(Some),
        (None, None) => Ok(None),
    }
}

fn choices(body: &Map<String, Value>) -> Result<u32, BadRequest> {
    let Some(field) = Field::of_body(body, "n") else {
        return Ok(1);
    };
    let choices = field.positive_integer()?;
    u32::try_from(choices).ok().filter(|choices| *choices <= 128).ok_or_else(|| {
        BadRequest::new(
            "integer_above_max_value",
            "n",
            format!("`n` must be at most 128, not {choices}."),
        )
    })
}

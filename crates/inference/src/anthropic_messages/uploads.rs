//! Uploaded files that a request names: `"source": {"type": "file", "file_id": ".."}`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::MessagesRequest;
use super::nested::{in_elements, in_member};
use crate::wire::json::parse_object;
use crate::wire::members::Members;
use crate::{BadRequest, Upload};

impl MessagesRequest {
    /// The ids of the uploads that the messages name, in order, each once.
    pub fn upload_ids(&self) -> Vec<String> {
        let mut ids = Vec::new();
        let messages = self.body.get("messages").and_then(Value::as_array);
        for message in messages.into_iter().flatten() {
            collect(message.get("content"), &mut ids);
        }
        ids
    }

    /// The request with the bytes of its uploads in it, so that it can be sent to any model. All else of
    /// its text stays as it is. An id that is not among `uploads` is refused.
    pub fn with_uploads(mut self, uploads: &[(String, Upload)]) -> Result<Self, BadRequest> {
        let ids = self.upload_ids();
        if ids.is_empty() {
            return Ok(self);
        }
        if let Some(id) = ids.iter().find(|id| uploads.iter().all(|(known, _)| known != *id)) {
            let id: String = id.chars().take(128).collect();
            let message = format!(
                "There is no file `{id}`: it was never uploaded to this gateway, or is gone. Upload it, and name it by the id that the upload returns."
            );
            return Err(BadRequest::new("file_not_found", "messages", message));
        }
        let in_messages = |text: &str| {
            in_elements(text, |it| Some(in_member(it, "content", |it| in_blocks(it, uploads))))
        };
        self.text = in_member(&self.text, "messages", in_messages);
        self.body = parse_object(&self.text)?;
        self.members = Members::of(&self.text).map_err(|error| {
            BadRequest::body("invalid_json", format!("The body is not valid JSON: {error}."))
        })?;
        Ok(self)
    }
}

fn collect(content: Option<&Value>, ids: &mut Vec<String>) {
    for block in content.and_then(Value::as_array).into_iter().flatten() {
        if let Some(id) = block.get("source").and_then(file_id)
            && !ids.iter().any(|known| known == id)
        {
            ids.push(id.to_owned());
        }
        if block.get("type").is_some_and(|kind| kind == "tool_result") {
            collect(block.get("content"), ids);
        }
    }
}

fn file_id(source: &Value) -> Option<&str> {
    source.get("type").filter(|kind| *kind == "file")?;
    source.get("file_id")?.as_str()
}

/// Content blocks with the uploads in them, results of tools included.
fn in_blocks(content: &str, uploads: &[(String, Upload)]) -> String {
    let in_source = |source: &str| {
        let value: Value = serde_json::from_str(source).unwrap_or_default();
        let found = file_id(&value).and_then(|id| uploads.iter().find(|(known, _)| known == id));
        found.map_or_else(|| source.to_owned(), |(_, upload)| source_of(upload).to_string())
    };
    let in_part = |part: &str| in_member(part, "source", in_source);
    in_elements(content, |block| {
        let in_result = |result: &str| in_elements(result, |part| Some(in_part(part)));
        Some(in_member(&in_part(block), "content", in_result))
    })
}

fn source_of(upload: &Upload) -> Value {
    let media_type = upload.media_type.split(';').next().unwrap_or_default().trim();
    match str::from_utf8(&upload.bytes) {
        Ok(text) if media_type.starts_with("text/") => {
            json!({"type": "text", "media_type": "text/plain", "data": text})
        }
        _ => json!({
            "type": "base64",
            "media_type": media_type,
            "data": STANDARD.encode(&upload.bytes),
        }),
    }
}

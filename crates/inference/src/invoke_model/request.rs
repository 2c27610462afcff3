//! Parsing, and the request as the pipeline sees it.

use serde_json::{Map, Value};

use super::{bound, forward, headers};
use crate::anthropic_messages::{Framing, MessagesRequest, Renderer};
use crate::wire::affinity::PromptStart;
use crate::wire::body::utf8;
use crate::wire::json::parse_object;
use crate::{
    AnswerHead, AnswerRenderer, BadRequest, Dialect, GenerateRequest, Model, ModelRequest,
    Protocol, ProviderRequest, TokenBound, Upload,
};

/// A request to `POST /model/{id}/invoke` or `/invoke-with-response-stream`, with its original bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct InvokeRequest {
    pub(super) model: String,
    pub(super) is_streaming: bool,
    pub(super) text: String,
    pub(super) body: Map<String, Value>,
    /// The same as a Messages request, if it is one.
    pub(super) messages: Option<MessagesRequest>,
}

impl InvokeRequest {
    /// Reads a request from any bytes; never panics. `model` and `is_streaming` are what its path says;
    /// of `headers` (lower case) those are looked at that begin with `x-amzn-bedrock-`.
    pub fn parse(
        model: &str,
        is_streaming: bool,
        body: &[u8],
        headers: &[(String, String)],
    ) -> Result<Self, BadRequest> {
        if model.trim().is_empty() {
            let message = "The path names no model: `/model/{id}/invoke`.";
            return Err(BadRequest::new("missing_required_parameter", "modelId", message));
        }
        headers::check(headers)?;
        let text = utf8(body)?;
        let body = parse_object(text)?;
        let messages = if body.contains_key("anthropic_version") {
            Some(MessagesRequest::of_invoke(text, body.clone(), model, is_streaming)?)
        } else {
            None
        };
        Ok(Self { model: model.to_owned(), is_streaming, text: text.to_owned(), body, messages })
    }

    /// The uploads that it names; see [`MessagesRequest::upload_ids`].
    pub fn upload_ids(&self) -> Vec<String> {
        self.messages.as_ref().map(MessagesRequest::upload_ids).unwrap_or_default()
    }

    /// The request with the uploads in it; see [`MessagesRequest::with_uploads`].
    pub fn with_uploads(mut self, uploads: &[(String, Upload)]) -> Result<Self, BadRequest> {
        if let Some(messages) = self.messages.take() {
            let messages = messages.with_uploads(uploads)?;
            messages.text().clone_into(&mut self.text);
            self.body = parse_object(&self.text)?;
            self.messages = Some(messages);
        }
        Ok(self)
    }

    /// The Messages request that this is for `model`: not for a model whose registry entry says that its
    /// JSON is another, whatever the body says.
    pub(super) fn as_messages(&self, model: &Model) -> Option<&MessagesRequest> {
        let is_foreign = model.speaks(Protocol::InvokeModel) && model.body.is_some();
        self.messages.as_ref().filter(|_| !is_foreign)
    }
}

impl GenerateRequest for InvokeRequest {
    fn dialect(&self) -> Dialect {
        Dialect::BedrockInvoke
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn is_streaming(&self) -> bool {
        self.is_streaming
    }

    fn native_protocol(&self) -> Protocol {
        Protocol::InvokeModel
    }

    fn bound(
        &self,
        model: &Model,
        default_max_tokens: Option<u32>,
    ) -> Result<TokenBound, BadRequest> {
        match self.as_messages(model) {
            Some(messages) => messages.bound_on(model, model.speaks(Protocol::InvokeModel)),
            None => bound::bound(self, model, default_max_tokens),
        }
    }

    fn to_canonical(&self, model: &Model, max_tokens: u32) -> Result<ModelRequest, BadRequest> {
        match &self.messages {
            Some(messages) => messages.to_canonical(model, max_tokens),
            None => Err(bound::not_in_its_json(model)),
        }
    }

    fn forward(&self, model: &Model, max_tokens: u32) -> Result<ProviderRequest, BadRequest> {
        Ok(forward::forward(self, model, max_tokens))
    }

    fn affinity_key(&self) -> Option<String> {
        if let Some(messages) = &self.messages {
            return messages.affinity_key();
        }
        let mut start = PromptStart::default();
        for value in self.body.values() {
            start.add(value);
        }
        Some(start.key())
    }

    fn renderer(&self, head: AnswerHead) -> Box<dyn AnswerRenderer> {
        Box::new(Renderer::new(Framing::Chunks, head))
    }
}

//! The dialect as one of the gateway's.

use serde_json::Value;

use super::{ChatRenderer, ChatRequest, bound, forward_body, to_canonical};
use crate::wire::affinity::PromptStart;
use crate::wire::field::Field;
use crate::{
    AnswerHead, AnswerRenderer, BadRequest, Dialect, GenerateRequest, Model, ModelRequest,
    Operation, Protocol, ProviderRequest, TokenBound,
};

impl GenerateRequest for ChatRequest {
    fn dialect(&self) -> Dialect {
        Dialect::OpenaiChat
    }

    fn model(&self) -> &str {
        Self::model(self)
    }

    fn is_streaming(&self) -> bool {
        Self::is_streaming(self)
    }

    fn native_protocol(&self) -> Protocol {
        Protocol::OpenaiChat
    }

    fn bound(
        &self,
        model: &Model,
        default_max_tokens: Option<u32>,
    ) -> Result<TokenBound, BadRequest> {
        bound(self, model, default_max_tokens)
    }

    fn to_canonical(&self, model: &Model, max_tokens: u32) -> Result<ModelRequest, BadRequest> {
        to_canonical(self, model, max_tokens)
    }

    fn forward(&self, model: &Model, max_tokens: u32) -> Result<ProviderRequest, BadRequest> {
        Ok(ProviderRequest {
            protocol: Protocol::OpenaiChat,
            operation: Operation::Invoke,
            is_streaming: self.is_streaming(),
            headers: Vec::new(),
            body: forward_body(self, model, max_tokens),
        })
    }

    /// `prompt_cache_key`, else the messages before the first answer: later turns only add to them.
    fn affinity_key(&self) -> Option<String> {
        let key = Field::of_body(self.body(), "prompt_cache_key").and_then(|key| key.str().ok());
        if let Some(key) = key.filter(|key| !key.is_empty()) {
            return Some(key.to_owned());
        }
        let mut start = PromptStart::default();
        let messages = self.body().get("messages").and_then(Value::as_array);
        for message in messages.into_iter().flatten() {
            if message.get("role").and_then(Value::as_str) == Some("assistant") {
                break;
            }
            start.add(message.get("content").unwrap_or(&Value::Null));
        }
        Some(start.key())
    }

    fn renderer(&self, head: AnswerHead) -> Box<dyn AnswerRenderer> {
        Box::new(ChatRenderer::new(head, self.includes_usage()))
    }
}

//! `POST /v1/messages/count_tokens`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use metering::TokenUsage;
use serde_json::{Map, Value, json};

use super::request::Endpoint;
use super::{MessagesRequest, bound, canonical, forward};
use crate::protocol::unreadable;
use crate::wire::members::{Edit, Member};
use crate::{
    AnswerHead, BadRequest, Dialect, GenerateRequest as _, Model, Operation, Protocol,
    ProviderAnswer, ProviderError, ProviderErrorKind, ProviderRequest, TokenBound, UnaryRequest,
    Upload,
};

/// A request for the number of input tokens that a message would have.
///
/// A model with `count_tokens` that speaks Messages is asked with the client's own bytes; on Bedrock,
/// others are asked by `CountTokens`. For all the rest no provider is asked: the answer is an estimate
/// by bytes, which errs to the high side.
#[derive(Debug, Clone, PartialEq)]
pub struct CountTokensRequest(MessagesRequest);

impl CountTokensRequest {
    /// Reads a request from any bytes, as [`MessagesRequest::parse`] does; it needs no `max_tokens`.
    pub fn parse(body: &[u8], headers: &[(String, String)]) -> Result<Self, BadRequest> {
        MessagesRequest::read(body, headers, Endpoint::CountTokens).map(Self)
    }

    /// The uploads that it names; see [`MessagesRequest::upload_ids`].
    pub fn upload_ids(&self) -> Vec<String> {
        self.0.upload_ids()
    }

    /// The request with the uploads in it; see [`MessagesRequest::with_uploads`].
    pub fn with_uploads(self, uploads: &[(String, Upload)]) -> Result<Self, BadRequest> {
        self.0.with_uploads(uploads).map(Self)
    }

    /// The body of an `InvokeModel` call that this would count for.
    fn invoke_body(&self, model: &Model) -> String {
        let request = &self.0;
        let edit = |member: &Member| match member.key.as_str() {
            "model" | "stream" | "anthropic_version" => Edit::Drop,
            key if forward::is_dropped(model, key) => Edit::Drop,
            _ => Edit::Keep,
        };
        let mut additions = vec![("anthropic_version", "\"bedrock-2023-05-31\"".to_owned())];
        if request.max_tokens.is_none() {
            additions.push(("max_tokens", "1".to_owned()));
        }
        let betas = forward::betas_of(&request.betas, model);
        if !betas.is_empty() && !request.body.contains_key("anthropic_beta") {
            additions.push(("anthropic_beta", Value::from(betas).to_string()));
        }
        request.members.rewrite(&request.text, edit, &additions)
    }
}

impl UnaryRequest for CountTokensRequest {
    fn dialect(&self) -> Dialect {
        Dialect::AnthropicCountTokens
    }

    fn model(&self) -> Option<&str> {
        Some(self.0.model())
    }

    fn calls(&self, model: &Model) -> Result<Vec<(ProviderRequest, TokenBound)>, BadRequest> {
        bound::bound(&self.0, model, model.speaks(Protocol::AnthropicMessages))?;
        if !model.capabilities.count_tokens {
            return Ok(Vec::new());
        }
        let of_bedrock = |protocol, input: Value| ProviderRequest {
            protocol,
            operation: Operation::CountTokens,
            is_streaming: false,
            headers: Vec::new(),
            body: json!({"input": input}).to_string().into(),
        };
        let request = if model.speaks(Protocol::AnthropicMessages) {
            forward::forward(&self.0, model, Operation::CountTokens)
        } else if model.speaks(Protocol::InvokeModel) {
            let body = STANDARD.encode(self.invoke_body(model));
            of_bedrock(Protocol::InvokeModel, json!({"invokeModel": {"body": body}}))
        } else if let Some(codec) =
            Protocol::Converse.codec().filter(|_| model.speaks(Protocol::Converse))
        {
            let canonical = canonical::to_canonical(&self.0, model, None)?;
            let body = codec.write(&canonical, model, false)?.body;
            let mut body: Map<String, Value> = serde_json::from_slice(&body).unwrap_or_default();
            let counted = ["messages", "system", "toolConfig", "additionalModelRequestFields"];
            body.retain(|name, _| counted.contains(&name.as_str()));
            of_bedrock(Protocol::Converse, json!({"converse": body}))
        } else {
            return Ok(Vec::new());
        };
        Ok(vec![(request, TokenBound::default())])
    }

    fn usage(&self, _: &Model, _: &ProviderAnswer) -> Option<TokenUsage> {
        None
    }

    fn render(
        &self,
        model: &Model,
        _: &AnswerHead,
        answers: &[ProviderAnswer],
    ) -> Result<Bytes, ProviderError> {
        let count = match answers.first() {
            None => bound::input_of(&self.0, model).1,
            Some(answer) => {
                let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                ["input_tokens", "inputTokens"]
                    .iter()
                    .find_map(|name| body.get(name).and_then(Value::as_u64))
                    .ok_or_else(|| {
                        unreadable(
                            ProviderErrorKind::Internal,
                            "the provider's answer has no count",
                        )
                    })?
            }
        };
        Ok(json!({"input_tokens": count}).to_string().into())
    }
}

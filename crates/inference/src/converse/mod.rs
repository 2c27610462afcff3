//! Bedrock's Converse API
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>).
//!
//! As a dialect of clients: [`ConverseRequest`] keeps its original bytes, and models that speak Converse
//! get them with next to nothing changed, so whatever is new in the API passes. Any other model gets a
//! translation, in which
//!
//! - unknown top-level fields are ignored, and so are `requestMetadata`, `performanceConfig`,
//!   `additionalModelResponseFieldPaths` (but for `/stop_sequence`) and the beta flags in
//!   `additionalModelRequestFields`;
//! - what else has no counterpart is refused: video, sound, content for guardrails, search results,
//!   citations, system messages in mid-conversation, fields of a model's own, and `guardrailConfig`, for a
//!   policy must never be skipped.
//!
//! Whatever the model, prompts of Bedrock's prompt management are refused, and so is what costs more than
//! the price book says or sets another maximum than the one that is checked.
//!
//! As a protocol of providers: [`ConverseCodec`] asks models by it. What Converse alone insists on is settled here, for clients of
//! every other dialect:
//!
//! - turns alternate and start with the user: messages of one side that follow each other become one;
//! - blank texts are left out; ids of tool calls and names of documents are put in the characters that
//!   it takes; JSON results of tools that are no objects become text;
//! - tools are offered whenever the conversation holds calls of tools, if need be by stand-ins;
//! - reasoning goes back only where the model signed it and shows any, since others refuse it.
//!
//! Left out in silence on models without the capability, since they are hints: cache points, effort,
//! sampling parameters (`temperature`, `top_p`, `top_k`), adaptive and disabled thinking, a tool's `strict`.

mod bound;
mod canonical;
mod content;
mod forward;
mod read;
mod render;
mod request;
mod stream;
#[cfg(test)]
mod tests;
mod unary;
mod write;

use bytes::Bytes;
use serde_json::Value;

use crate::{
    BadRequest, Codec, Model, ModelRequest, ModelResponse, Operation, Protocol, ProviderAnswer,
    ProviderError, ProviderRequest, StreamReader,
};

pub use request::ConverseRequest;
pub use unary::{ConverseCountTokensRequest, GuardrailRequest};

/// Asks models by `Converse` and `ConverseStream`. The model's name stands in the URL, and labels for
/// Bedrock's logs are the adapter's: neither is in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConverseCodec;

impl Codec for ConverseCodec {
    fn write(
        &self,
        request: &ModelRequest,
        model: &Model,
        is_streaming: bool,
    ) -> Result<ProviderRequest, BadRequest> {
        let body = Value::Object(write::body(request, model)?);
        Ok(provider_request(Operation::Invoke, is_streaming, body.to_string()))
    }

    fn read(&self, _: &Model, answer: &ProviderAnswer) -> Result<ModelResponse, ProviderError> {
        read::response(answer)
    }

    fn stream(&self, _: &Model) -> Box<dyn StreamReader> {
        Box::new(stream::Reader::default())
    }
}

fn provider_request(
    operation: Operation,
    is_streaming: bool,
    body: impl Into<Bytes>,
) -> ProviderRequest {
    ProviderRequest {
        protocol: Protocol::Converse,
        operation,
        is_streaming,
        headers: Vec::new(),
        body: body.into(),
    }
}

//! The provider's side of a call: what its wire carries, whoever asked.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::anthropic_messages::MessagesCodec;
use crate::converse::ConverseCodec;
use crate::invoke_model::InvokeCodec;
use crate::json_template::TemplateCodec;
use crate::openai_chat::ChatCodec;
use crate::openai_responses::ResponsesCodec;
use crate::{
    BadRequest, Event, Model, ModelRequest, ModelResponse, ProviderError, ProviderErrorKind,
};

/// A wire format by which a provider is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Bedrock's `Converse` and `ConverseStream`.
    Converse,
    /// OpenAI Chat Completions.
    OpenaiChat,
    /// OpenAI Responses.
    OpenaiResponses,
    /// Anthropic Messages.
    AnthropicMessages,
    /// Bedrock's `InvokeModel`, in the model vendor's own JSON.
    InvokeModel,
    /// Plain JSON by a template of the registry, for SageMaker endpoints of their own kind.
    JsonTemplate,
    /// OpenAI embeddings.
    OpenaiEmbeddings,
    /// Cohere/Jina-style reranking.
    Rerank,
    /// Bedrock's `ApplyGuardrail`: the model is a guardrail.
    BedrockGuardrail,
    /// Bedrock's `Rerank`. Its body names the model by ARN, which only the adapter knows: the codec writes
    /// the string `{{model_arn}}` as `modelArn`, and the adapter puts the ARN in its place.
    BedrockRerank,
}

impl Protocol {
    /// Its name in logs, documents and the registry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Converse => "converse",
            Self::OpenaiChat => "openai_chat",
            Self::OpenaiResponses => "openai_responses",
            Self::AnthropicMessages => "anthropic_messages",
            Self::InvokeModel => "invoke_model",
            Self::JsonTemplate => "json_template",
            Self::OpenaiEmbeddings => "openai_embeddings",
            Self::Rerank => "rerank",
            Self::BedrockGuardrail => "bedrock_guardrail",
            Self::BedrockRerank => "bedrock_rerank",
        }
    }

    /// Who writes its requests and reads its answers for clients of other dialects; `None` where bytes
    /// are only passed on or answers come at once ([`UnaryRequest`](crate::UnaryRequest)).
    pub fn codec(self) -> Option<&'static dyn Codec> {
        match self {
            Self::Converse => Some(&ConverseCodec),
            Self::OpenaiChat => Some(&ChatCodec),
            Self::OpenaiResponses => Some(&ResponsesCodec),
            Self::AnthropicMessages => Some(&MessagesCodec),
            Self::InvokeModel => Some(&InvokeCodec),
            Self::JsonTemplate => Some(&TemplateCodec),
            Self::OpenaiEmbeddings
            | Self::Rerank
            | Self::BedrockGuardrail
            | Self::BedrockRerank => None,
        }
    }
}

/// What is asked of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// An answer of the model: text, vectors, pictures, scores, as the protocol says.
    Invoke,
    /// The number of tokens of a prompt.
    CountTokens,
    /// A guardrail's verdict.
    ApplyGuardrail {
        /// The guardrail.
        id: String,
        /// Its version.
        version: String,
    },
}

/// One request as it goes to a provider; its adapter knows the path, the credentials and the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderRequest {
    /// The wire format of `body`.
    pub protocol: Protocol,
    /// What is asked.
    pub operation: Operation,
    /// Whether the answer is to be streamed.
    pub is_streaming: bool,
    /// The client's headers that belong to the protocol, lower case, for example `anthropic-beta`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// One answer of a provider that came whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProviderAnswer {
    /// The provider's id of the call.
    pub provider_request_id: Option<String>,
    /// Headers that say something about the answer, lower case: content type, token counts.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl ProviderAnswer {
    /// The header of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A whole piece of a provider's stream: an event of server-sent events, or a message of Amazon's
/// event streams.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Frame {
    /// Its bytes as they came, framing included.
    pub bytes: Bytes,
    /// What it says, in canonical form; empty for what has no such form.
    pub events: Vec<Event>,
    /// The error that it reports; nothing of the answer follows.
    pub error: Option<ProviderError>,
}

/// Reads a stream, however its bytes are cut.
///
/// All frames together hold all bytes that came, in order; a frame too long to be held passes in
/// pieces, unread. Garbage is an error of kind [`Interrupted`](ProviderErrorKind::Interrupted), never a panic.
pub trait StreamReader: Send {
    /// Takes bytes, and returns the frames that they complete.
    fn push(&mut self, bytes: &[u8]) -> Vec<Frame>;

    /// What is left when the provider has closed the stream: what was held back, and an error if the
    /// answer never came to its end.
    fn finish(&mut self) -> Vec<Frame>;
}

/// Writes requests and reads answers of one wire format.
pub trait Codec: Send + Sync {
    /// The request, for a client that spoke another dialect. What the protocol or the model cannot do is refused.
    fn write(
        &self,
        request: &ModelRequest,
        model: &Model,
        is_streaming: bool,
    ) -> Result<ProviderRequest, BadRequest>;

    /// A whole answer. [`Internal`](ProviderErrorKind::Internal) if it makes no sense.
    fn read(&self, model: &Model, answer: &ProviderAnswer) -> Result<ModelResponse, ProviderError>;

    /// A reader of one streamed answer.
    fn stream(&self, model: &Model) -> Box<dyn StreamReader>;
}

/// An answer in which nothing makes sense, or that never came to its end.
pub(crate) fn unreadable(kind: ProviderErrorKind, message: impl Into<String>) -> ProviderError {
    ProviderError {
        kind,
        message: message.into(),
        provider_request_id: None,
        may_have_run: true,
        retry_after: None,
    }
}

//! The client's side of a call: what a client's API is, whatever runs the model.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use metering::TokenUsage;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    BadRequest, Event, Fault, Frame, Model, ModelRequest, ModelResponse, Protocol, ProviderAnswer,
    ProviderError, ProviderRequest, TokenBound,
};

/// An API that clients speak. Each route of the gateway has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `POST /v1/chat/completions`
    OpenaiChat,
    /// `POST /v1/responses`
    OpenaiResponses,
    /// `POST /v1/embeddings`
    OpenaiEmbeddings,
    /// `POST /v1/rerank`, as Cohere and Jina have it.
    Rerank,
    /// `POST /v1/messages`
    AnthropicMessages,
    /// `POST /v1/messages/count_tokens`
    AnthropicCountTokens,
    /// `POST /bedrock/model/{id}/converse` and `/converse-stream`
    BedrockConverse,
    /// `POST /bedrock/model/{id}/invoke` and `/invoke-with-response-stream`
    BedrockInvoke,
    /// `POST /bedrock/model/{id}/count-tokens`
    BedrockCountTokens,
    /// `POST /bedrock/guardrail/{id}/version/{version}/apply`
    BedrockGuardrail,
    /// The gateway's own routes, for example `/v1/models`.
    Gateway,
}

/// Whose SDKs read an answer: it decides the shape of errors and headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// `{"error": {"message", "type", "param", "code"}}`
    Openai,
    /// `{"type": "error", "error": {"type", "message"}, "request_id"}`
    Anthropic,
    /// `x-amzn-errortype` and `{"message"}`
    Aws,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 11] = [
        Self::OpenaiChat,
        Self::OpenaiResponses,
        Self::OpenaiEmbeddings,
        Self::Rerank,
        Self::AnthropicMessages,
        Self::AnthropicCountTokens,
        Self::BedrockConverse,
        Self::BedrockInvoke,
        Self::BedrockCountTokens,
        Self::BedrockGuardrail,
        Self::Gateway,
    ];

    /// Its name in usage records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenaiChat => "openai.chat_completions",
            Self::OpenaiResponses => "openai.responses",
            Self::OpenaiEmbeddings => "openai.embeddings",
            Self::Rerank => "cohere.rerank",
            Self::AnthropicMessages => "anthropic.messages",
            Self::AnthropicCountTokens => "anthropic.count_tokens",
            Self::BedrockConverse => "aws.bedrock.converse",
            Self::BedrockInvoke => "aws.bedrock.invoke_model",
            Self::BedrockCountTokens => "aws.bedrock.count_tokens",
            Self::BedrockGuardrail => "aws.bedrock.apply_guardrail",
            Self::Gateway => "weir",
        }
    }

    /// Whose SDKs speak it.
    pub fn family(self) -> Family {
        match self {
            Self::OpenaiChat
            | Self::OpenaiResponses
            | Self::OpenaiEmbeddings
            | Self::Rerank
            | Self::Gateway => Family::Openai,
            Self::AnthropicMessages | Self::AnthropicCountTokens => Family::Anthropic,
            Self::BedrockConverse
            | Self::BedrockInvoke
            | Self::BedrockCountTokens
            | Self::BedrockGuardrail => Family::Aws,
        }
    }

    /// `content-type` of a streamed answer.
    pub fn stream_content_type(self) -> &'static str {
        match self.family() {
            Family::Openai | Family::Anthropic => "text/event-stream",
            Family::Aws => "application/vnd.amazon.eventstream",
        }
    }

    /// What keeps an idle stream open without saying anything; Amazon's event streams have nothing.
    pub fn keep_alive(self) -> Option<Bytes> {
        match self {
            Self::AnthropicMessages => {
                Some(Bytes::from_static(b"event: ping\ndata: {\"type\": \"ping\"}\n\n"))
            }
            _ if self.family() == Family::Aws => None,
            _ => Some(Bytes::from_static(b": keep-alive\n\n")),
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No dialect has that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no dialect")]
pub struct UnknownDialect(String);

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(text: &str) -> Result<Self, UnknownDialect> {
        let named = Self::ALL.into_iter().find(|dialect| dialect.as_str() == text);
        named.ok_or_else(|| UnknownDialect(text.to_owned()))
    }
}

/// What an answer is headed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerHead {
    /// The gateway's id of the call, without the dialect's prefix.
    pub call_id: String,
    /// When it was made, in Unix seconds.
    pub created: i64,
    /// The model, as the client named it.
    pub model: String,
    /// Input tokens that are likely, for dialects that report them before the provider does.
    pub likely_input: u64,
}

/// A request for a generated answer, parsed once, with its original bytes.
///
/// Parsing checks what the gateway itself relies on; whether the rest makes sense is for the model's
/// own API to say, or for [`to_canonical`](Self::to_canonical).
pub trait GenerateRequest: fmt::Debug + Send + Sync {
    /// The API that it came by.
    fn dialect(&self) -> Dialect;

    /// The model that the client wants, as it named it; not empty.
    fn model(&self) -> &str;

    /// Whether the answer is to be streamed.
    fn is_streaming(&self) -> bool;

    /// The protocol that these bytes are of: a model that speaks it gets them as they are.
    fn native_protocol(&self) -> Protocol;

    /// Whether `model` gets these bytes as they are: it speaks their protocol, with all that they use of it.
    fn is_forwarded_to(&self, model: &Model) -> bool {
        model.speaks(self.native_protocol())
    }

    /// How many tokens the call can consume at most on `model`, judged without a tokenizer: bytes
    /// bound tokens. `default_max_tokens` is the tenant's, for requests that name no maximum.
    fn bound(
        &self,
        model: &Model,
        default_max_tokens: Option<u32>,
    ) -> Result<TokenBound, BadRequest>;

    /// The canonical form, for a model that speaks another protocol. What cannot be honoured is
    /// refused, never lost in silence; each module lists its exceptions.
    fn to_canonical(&self, model: &Model, max_tokens: u32) -> Result<ModelRequest, BadRequest>;

    /// The client's own bytes for a model that speaks the protocol itself, with nothing changed but
    /// what must be: the model's name, a missing maximum, usage of streams, fields in `drop_fields`.
    fn forward(&self, model: &Model, max_tokens: u32) -> Result<ProviderRequest, BadRequest>;

    /// What ties the turns of one conversation together, so that they meet the same target and its
    /// prompt cache: what the client says (a session or cache key), else the start of the prompt.
    fn affinity_key(&self) -> Option<String>;

    /// Who writes the answer.
    fn renderer(&self, head: AnswerHead) -> Box<dyn AnswerRenderer>;
}

/// Writes one answer in the client's dialect: translated ([`response`](Self::response), or
/// [`event`](Self::event) and [`finish`](Self::finish)) or forwarded.
pub trait AnswerRenderer: Send {
    /// A whole translated answer.
    fn response(&mut self, response: &ModelResponse) -> Bytes;

    /// What to send for an event of a translated stream; may be empty.
    fn event(&mut self, event: &Event) -> Bytes;

    /// What to send when a translated stream has come to its end.
    fn finish(&mut self) -> Bytes;

    /// What to send in place of the rest when a stream of either kind broke: an error event in the
    /// dialect's shape.
    fn interrupt(&mut self, fault: &Fault) -> Bytes;

    /// A frame of a forwarded stream, as it may pass: whole, edited or empty.
    fn forwarded(&mut self, frame: &Frame) -> Bytes {
        frame.bytes.clone()
    }

    /// What to send when a forwarded stream has come to its end, if the provider left something out.
    fn finish_forwarded(&mut self) -> Bytes {
        Bytes::new()
    }

    /// A whole forwarded answer, as it may pass.
    fn forwarded_response(&mut self, body: Bytes) -> Bytes {
        body
    }

    /// Once the answer is complete: what the client may refer to later, if it asked for that.
    fn to_store(&mut self) -> Option<StoredResponse> {
        None
    }
}

/// A response that a client may refer to later (`previous_response_id`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredResponse {
    /// Its id, as the client knows it.
    pub id: String,
    /// The items of the whole conversation before the answer, in the dialect's form.
    pub input: Vec<Value>,
    /// The response object, `output` included.
    pub response: Value,
}

/// A request that is answered at once, by one provider call or by several: embeddings, reranking,
/// token counts, guardrails.
pub trait UnaryRequest: fmt::Debug + Send + Sync {
    /// The API that it came by.
    fn dialect(&self) -> Dialect;

    /// The model that the client wants, as it named it; `None` for what needs no model.
    fn model(&self) -> Option<&str>;

    /// The provider calls that it takes on `model`, in order, each with what it can consume at most.
    fn calls(&self, model: &Model) -> Result<Vec<(ProviderRequest, TokenBound)>, BadRequest>;

    /// What the provider says that one call consumed, if it says so.
    fn usage(&self, model: &Model, answer: &ProviderAnswer) -> Option<TokenUsage>;

    /// The client's answer, of the answers of all calls in order.
    fn render(
        &self,
        model: &Model,
        head: &AnswerHead,
        answers: &[ProviderAnswer],
    ) -> Result<Bytes, ProviderError>;
}

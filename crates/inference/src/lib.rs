//! Calls of models: the canonical form in which all dialects meet, the dialects, and what each
//! model can do.

mod alias;
pub mod anthropic_messages;
mod canonical;
mod catalog;
pub mod converse;
mod dialect;
pub mod embeddings;
mod fault;
#[cfg(any(test, feature = "fixtures"))]
pub mod fixtures;
pub mod invoke_model;
pub mod json_template;
mod lifecycle;
mod meter;
mod model;
pub mod openai_chat;
pub mod openai_responses;
mod protocol;
mod provider;
pub mod rerank;
mod upload;
mod validation;
mod wire;

pub use alias::{Alias, AliasStore, RetryPolicy, Step, Target};
pub use canonical::{
    CacheTtl, ContentBlock, DocumentFormat, Event, ImageFormat, InferenceParameters, Message,
    ModelRequest, ModelResponse, OutputSchema, Role, Source, StopReason, SystemBlock, Thinking,
    Tool, ToolChoice, ToolResultContent,
};
pub use catalog::{Catalog, CatalogStore, ReadCatalogError};
pub use dialect::{
    AnswerHead, AnswerRenderer, Dialect, Family, GenerateRequest, StoredResponse, UnaryRequest,
    UnknownDialect,
};
pub use fault::{BadRequest, Fault, FaultKind};
pub use lifecycle::{EndOfLife, Stage};
pub use meter::{OutputMeter, TokenBound, estimated_tokens};
pub use model::{
    BodyFormat, Capabilities, Estimate, Model, ProviderAuth, ProviderConfig, ProviderKind,
};
pub use protocol::{
    Codec, Frame, Operation, Protocol, ProviderAnswer, ProviderRequest, StreamReader,
};
pub use provider::{
    ByteStream, ProviderAdapter, ProviderCall, ProviderError, ProviderErrorKind, ProviderResponse,
};
pub use upload::Upload;
pub use validation::InvalidEntry;

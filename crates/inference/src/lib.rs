//! Calls of models: the canonical form in which all dialects meet, the dialects, and what each
//! model can do.

mod canonical;
mod catalog;
mod model;
pub mod openai_chat;
mod provider;

pub use canonical::{
    ContentBlock, Event, ImageFormat, InferenceParameters, Message, ModelRequest, ModelResponse,
    OutputSchema, Role, StopReason, Tool, ToolChoice, ToolResultContent,
};
pub use catalog::{Catalog, CatalogStore, ReadCatalogError};
pub use model::{Capabilities, Estimate, Model, Protocol};
pub use provider::{
    ByteStream, EventStream, ForwardedResponse, Provider, ProviderCall, ProviderError,
    ProviderErrorKind,
};

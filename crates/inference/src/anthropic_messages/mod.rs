//! Anthropic Messages (<https://docs.anthropic.com/en/api/messages>), as clients send it and as providers
//! take it.
//!
//! A request keeps its original bytes: a model that speaks Messages gets them with nothing changed but the
//! model's name and what the registry says (`drop_fields`, `anthropic_beta`), so whatever is new in the
//! API passes. (Thinking without a signature is taken out: a model that signs nothing answered an earlier turn,
//! and one that does would refuse the whole conversation.) Any other model gets a translation, in which
//!
//! - unknown top-level fields are ignored, and so are hints: `metadata`, `context_management`,
//!   `thinking.display`, `diagnostics`, `container`, and a tool's `eager_input_streaming`, `defer_loading`,
//!   `input_examples` and `allowed_callers`;
//! - `temperature`, `top_p` and `top_k` are left out for models without `sampling_parameters` (or `top_k`),
//!   `output_config.effort` for models without `reasoning_effort`, adaptive thinking for models without
//!   `thinking`, `cache_control` for models without `prompt_caching`;
//! - `max_tokens` above the model's maximum counts as that maximum. The field is required, so clients send
//!   what their favourite model can do, and mean "as many as it takes";
//! - system messages in mid-conversation join the system prompt, in order;
//! - a `cache_control` within a tool's result or a document's content counts for the whole of it;
//! - what else the model or the gateway cannot do is refused: tools that Anthropic itself runs or trains
//!   for (`web_search_20250305`, `bash_20250124`, ..), MCP servers, search results, content of unknown type.
//!
//! Whatever the model, fields are refused that would let a call leave its tenant's limits: `fallbacks` and the
//! advisor tool name other models, `speed: fast` has no price here, and others refer to the provider's
//! account, which all tenants share.

mod answer;
mod bound;
mod canonical;
mod codec;
mod content;
mod count;
mod error;
mod events;
mod forward;
mod nested;
mod render;
mod request;
#[cfg(test)]
mod tests;
mod tools;
mod uploads;

pub use codec::MessagesCodec;
pub use count::CountTokensRequest;
pub use request::MessagesRequest;

pub(crate) use answer::read_message;
pub(crate) use events::{EventReader, metrics_of};
pub(crate) use forward::{betas_of, without_unsigned};
pub(crate) use render::{Framing, Renderer};

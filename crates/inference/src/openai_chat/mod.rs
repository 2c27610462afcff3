//! The OpenAI Chat Completions dialect
//! (<https://platform.openai.com/docs/api-reference/chat/create>).
//!
//! A request is parsed once, and its original bytes are kept. What follows depends on the model:
//!
//! 1. [`ChatRequest::parse`] checks what the gateway itself relies on.
//! 2. [`bound`] says how many tokens the call can consume at most, for admission.
//! 3. [`to_canonical`] translates it for a [`Converse`](crate::Protocol::Converse) model and refuses
//!    what cannot be honoured there; [`forward_body`] instead takes the original bytes for a model
//!    that speaks the dialect itself, and changes only what it must.
//! 4. [`render_response`] and [`StreamRenderer`] write canonical answers; [`UsageScanner`] and
//!    [`usage_of_body`] read the usage off answers that are passed on as they are.
//!
//! Steps 1 to 3 can refuse; take them all before anything is reserved.

mod bound;
mod cache;
mod canonical;
mod codec;
mod error;
mod forward;
mod generate;
mod media;
mod messages;
mod read;
mod reader;
mod renderer;
mod request;
mod response;
mod scan;
mod stream;
#[cfg(test)]
mod tests;
mod tools;

pub use bound::bound;
pub use canonical::to_canonical;
pub use codec::ChatCodec;
pub(crate) use codec::decimal;
pub use error::{ErrorBody, error_event, error_of_provider};
pub use forward::forward_body;
pub use renderer::ChatRenderer;
pub use request::ChatRequest;
pub use response::render_response;
pub use scan::{UsageScanner, usage_of_body};
pub use stream::{DONE, KEEP_ALIVE, StreamRenderer};

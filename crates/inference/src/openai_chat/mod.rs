//! The OpenAI Chat Completions dialect
//! (<https://platform.openai.com/docs/api-reference/chat/create>), as clients speak it
//! ([`ChatRequest`]) and as providers do ([`ChatCodec`]).
//!
//! A request is parsed once, and its original bytes are kept. [`ChatRequest::parse`] checks what the
//! gateway itself relies on. For a model that speaks the dialect itself the bytes are passed on and only
//! what must be is changed; for any other model the request is translated, and what cannot be honoured
//! is refused. What is left out or taken beyond OpenAI's own fields is told at `to_canonical` in
//! `canonical.rs`, and at [`ChatCodec`] for the way to providers.
//!
//! Reasoning, for which the dialect has no field of its own, travels as it does in vLLM and `LiteLLM`: its
//! text in `reasoning_content`, and signed or hidden blocks, which a client sends back to let the model
//! go on from them, in `thinking_blocks`.

mod bound;
mod cache;
mod canonical;
mod codec;
mod forward;
mod generate;
mod media;
mod messages;
mod read;
mod reader;
mod renderer;
mod request;
mod response;
mod stream;
#[cfg(test)]
mod tests;
mod tools;

use bound::bound;
use canonical::to_canonical;
pub use codec::ChatCodec;
pub(crate) use codec::decimal;
use forward::forward_body;
use renderer::ChatRenderer;
pub use request::ChatRequest;
use response::render_response;
use stream::{DONE, StreamRenderer};

//! OpenAI Responses (<https://platform.openai.com/docs/api-reference/responses/create>), both as a
//! dialect that clients speak and as a protocol that providers speak.
//!
//! # Clients
//! [`ResponsesRequest`] parses a request. If it refers to stored responses
//! ([`ResponsesRequest::stored_ids`]), [`ResponsesRequest::with_history`] puts their items in its
//! place; if it names uploaded files, [`ResponsesRequest::with_uploads`] gives it their bytes. Then it
//! is bounded, and translated or forwarded.
//!
//! Providers are asked to store nothing (`store: false`): what a client may refer to later is kept by
//! the gateway, for each tenant apart. Every id that is handed out for that is made of the call's own
//! id: `resp_<call>`, and `msg_<call>_<n>`, `fc_<call>_<n>`, `rs_<call>_<n>` for output item `n`. So an
//! `item_reference` says which response holds its item, and no index is needed.
//!
//! What is refused, ignored or changed:
//!
//! - `background`, `conversation` and `prompt` need a state that the gateway does not keep: refused.
//! - A request that offers tools which only OpenAI's own servers know is translated even for a model that speaks
//!   this protocol, unless its registry entry has `hosted_tools`.
//! - Tools that the model's own server would run cannot run behind another protocol. Those that agents
//!   offer without being asked (web search, tool search, shells, patches, pictures) are left out then,
//!   unless `tool_choice` insists on them; all others are refused.
//! - `custom` tools become functions with one text, `input`, and their grammar is told to the model; the
//!   answer has `custom_tool_call` items again. Tools in a `namespace` are called
//!   `<namespace>__<name>` on the way.
//! - Arguments of an earlier call that are no JSON object (a model was cut off in them) are passed on as
//!   `{"arguments": "<text>"}`, so that the conversation can go on.
//! - `reasoning` items that a provider's own server encrypted mean nothing to another: left out when
//!   translated. Those of this gateway carry signed thinking in `encrypted_content`, and always do if
//!   there is a signature: without it the next turn would fail.
//! - Hints are ignored when translated: `truncation`, `context_management`, `text.verbosity`, image
//!   `detail`, `metadata`, `user`, prompt cache keys and, on models that lack them, `reasoning.effort`, a
//!   tool's `strict` and prompt cache breakpoints; `reasoning.summary`, since thinking that a model
//!   shows is always passed on; `include`, except log probabilities.
//! - `parallel_tool_calls: false` is a hint to models behind Converse, which cannot be told: agents send it
//!   unasked, and take parallel calls all the same.
//! - Fields that are not known here are ignored, since SDKs add them often.
//!
//! # Providers
//! [`ResponsesCodec`] writes requests and reads answers.

mod bound;
mod canonical;
mod codec;
mod forward;
mod input;
mod items;
mod media;
mod render;
mod request;
mod seal;
mod stored;
mod terminal;
#[cfg(test)]
mod tests;
mod tools;

pub use codec::ResponsesCodec;
pub use request::ResponsesRequest;
pub use stored::{InputItemsQuery, deleted, input_items};

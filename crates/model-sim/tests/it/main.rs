//! The simulator seen from outside: by the AWS SDK, and by a plain HTTP client.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a helper that finds nothing fails its test"
)]

mod access;
mod chat_completions;
mod control;
mod converse;
mod support;

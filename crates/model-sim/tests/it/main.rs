//! The simulator seen from outside: by the AWS SDK, and by a plain HTTP client.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a helper that finds nothing fails its test"
)]

mod access;
mod anthropic;
mod chat_completions;
mod compatible;
mod control;
mod converse;
mod faults;
mod invoke;
mod responses;
mod sagemaker;
mod scripts;
mod support;

//! Statements and months, from outside.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod closing;
mod documents;
mod histories;
mod statements;
mod support;

//! Converse and `ConverseStream`.
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>

mod answer;
mod request;
mod validate;

pub(crate) use answer::Converse;
pub(crate) use request::{parse, tally};

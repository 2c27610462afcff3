//! Bedrock's `InvokeModel` and `InvokeModelWithResponseStream`: a model's own JSON
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html>).
//!
//! A body with `anthropic_version` is a Messages request whose path names the model: it can be translated
//! for any model, under the rules of [`anthropic_messages`](crate::anthropic_messages). Any other body
//! is in the JSON of one vendor and goes to models that speak it, with nothing changed but a maximum
//! that is missing; [`BodyFormat::Native`](crate::BodyFormat) says where limits stand in it.
//!
//! Headers that would change the price (`x-amzn-bedrock-service-tier`, `-performanceconfig-latency`) or that
//! promise a guardrail are refused, not lost in silence.

mod bound;
mod codec;
mod forward;
mod headers;
mod pointer;
mod request;
#[cfg(test)]
mod tests;

pub use codec::InvokeCodec;
pub use request::InvokeRequest;

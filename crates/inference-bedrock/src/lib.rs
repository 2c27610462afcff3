//! Amazon Bedrock as an [`inference::ProviderAdapter`]: every operation in signed bytes.
//!
//! - The runtime: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html>
//! - OpenAI's and Anthropic's APIs on it: <https://docs.aws.amazon.com/bedrock/latest/userguide/endpoints.html>
//! - Rerank: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_agent-runtime_Rerank.html>

mod address;
mod bedrock;
mod metadata;
#[cfg(test)]
mod model_sim_tests;

pub use bedrock::Bedrock;

//! Endpoints of Amazon `SageMaker` as an [`inference::ProviderAdapter`].
//!
//! - Whole: <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html>
//! - Streamed: <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpointWithResponseStream.html>

#[cfg(test)]
mod model_sim_tests;
mod payload;
mod sagemaker;

pub use sagemaker::Sagemaker;

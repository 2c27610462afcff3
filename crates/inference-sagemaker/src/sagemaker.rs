//! The adapter itself.

use std::sync::Arc;

use aws_transport::{Aws, Service, path_segment, unbuildable};
use http::Request;
use http::header::CONTENT_TYPE;
use inference::{
    Operation, ProviderAdapter, ProviderCall, ProviderError, ProviderErrorKind, ProviderRequest,
    ProviderResponse,
};

use crate::payload::payloads;

/// What the container's answer is; the stream around it has a type of its own.
const INNER_CONTENT_TYPE: &str = "x-amzn-sagemaker-content-type";

/// Amazon `SageMaker`'s endpoints, called under one session per tenant.
#[derive(Debug, Clone)]
pub struct Sagemaker {
    aws: Arc<Aws>,
}

impl Sagemaker {
    /// Calls endpoints through `aws`.
    pub fn new(aws: Arc<Aws>) -> Self {
        Self { aws }
    }
}

impl ProviderAdapter for Sagemaker {
    async fn send(
        &self,
        call: &ProviderCall<'_>,
        request: ProviderRequest,
    ) -> Result<ProviderResponse, ProviderError> {
        if request.operation != Operation::Invoke {
            return Err(unbuildable(
                "an endpoint of SageMaker neither counts tokens nor applies guardrails: correct the registry",
            ));
        }
        let is_streaming = request.is_streaming;
        let request = http_request(call, request)?;
        let response =
            self.aws.send(call, Service::SagemakerRuntime, request).await.map_err(found)?;
        Ok(if is_streaming { unwrapped(response) } else { response })
    }
}

fn http_request(
    call: &ProviderCall<'_>,
    request: ProviderRequest,
) -> Result<Request<bytes::Bytes>, ProviderError> {
    let action = if request.is_streaming { "invocations-response-stream" } else { "invocations" };
    let endpoint = path_segment(&call.model.provider_model_id);
    let mut builder = Request::post(format!("/endpoints/{endpoint}/{action}"));
    let is_passed_on = |name: &str| {
        matches!(name, "accept" | "content-type") || name.starts_with("x-amzn-sagemaker-")
    };
    for (name, value) in request.headers.iter().filter(|(name, _)| is_passed_on(name)) {
        builder = builder.header(name, value);
    }
    // A provider's entry may name an inference component, for one.
    for (name, value) in &call.provider.headers {
        builder = builder.header(name, value);
    }
    if !request.headers.iter().any(|(name, _)| name == CONTENT_TYPE.as_str()) {
        builder = builder.header(CONTENT_TYPE, "application/json");
    }
    builder.body(request.body).map_err(unbuildable)
}

/// `SageMaker` says that there is no such endpoint as if the request were wrong.
fn found(error: ProviderError) -> ProviderError {
    let message = error.message.to_ascii_lowercase();
    if error.kind == ProviderErrorKind::InvalidRequest
        && message.starts_with("endpoint ")
        && message.contains("not found")
    {
        return ProviderError { kind: ProviderErrorKind::ModelNotFound, ..error };
    }
    error
}

/// The answer as the container gave it, without the frames around its bytes.
fn unwrapped(response: ProviderResponse) -> ProviderResponse {
    let ProviderResponse { provider_request_id, mut headers, body } = response;
    headers.retain(|(name, _)| name != CONTENT_TYPE.as_str());
    for (name, _) in &mut headers {
        if name == INNER_CONTENT_TYPE {
            CONTENT_TYPE.as_str().clone_into(name);
        }
    }
    let body = payloads(body, provider_request_id.clone());
    ProviderResponse { provider_request_id, headers, body }
}

#[cfg(test)]
#[path = "sagemaker_tests.rs"]
pub(crate) mod tests;

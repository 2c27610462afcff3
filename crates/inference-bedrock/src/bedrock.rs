//! The adapter itself.

use std::sync::Arc;

use aws_transport::{Aws, unbuildable};
use bytes::Bytes;
use http::Request;
use http::header::CONTENT_TYPE;
use inference::{
    Protocol, ProviderAdapter, ProviderCall, ProviderError, ProviderErrorKind, ProviderRequest,
    ProviderResponse,
};
use serde_json::Value;

use crate::address::address;
use crate::metadata;

/// The header that carries the request's metadata, except in Converse.
const METADATA_HEADER: &str = "x-amzn-bedrock-request-metadata";

/// The version of Anthropic's API that is spoken where the client names none.
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// What stands for the model's ARN in the body of a Rerank request, and where.
const MODEL_ARN: &str = "{{model_arn}}";
const MODEL_ARN_AT: &str =
    "/rerankingConfiguration/bedrockRerankingConfiguration/modelConfiguration/modelArn";

/// Amazon Bedrock, called under one session per tenant.
#[derive(Debug, Clone)]
pub struct Bedrock {
    aws: Arc<Aws>,
}

impl Bedrock {
    /// Calls Bedrock through `aws`.
    pub fn new(aws: Arc<Aws>) -> Self {
        Self { aws }
    }

    fn http_request(
        &self,
        call: &ProviderCall<'_>,
        path: String,
        request: ProviderRequest,
    ) -> Result<Request<Bytes>, ProviderError> {
        let ProviderRequest { protocol, headers, body, .. } = request;
        let mut of_client = None;
        let mut builder = Request::post(path);
        for (name, value) in &headers {
            if name == METADATA_HEADER {
                of_client = Some(value.as_str());
            } else if is_passed_on(name) {
                builder = builder.header(name, value);
            }
        }
        for (name, value) in &call.provider.headers {
            builder = builder.header(name, value);
        }
        let has = |name: &str| headers.iter().any(|(it, _)| it == name);
        if !has(CONTENT_TYPE.as_str()) {
            builder = builder.header(CONTENT_TYPE, "application/json");
        }
        if protocol == Protocol::AnthropicMessages && !has("anthropic-version") {
            builder = builder.header("anthropic-version", ANTHROPIC_VERSION);
        }
        let body = match protocol {
            Protocol::Converse if request.operation == inference::Operation::Invoke => {
                metadata::inserted(call, body)
            }
            Protocol::BedrockRerank => with_model_arn(body, &self.aws.model_arn(call)),
            _ => {
                builder = builder.header(METADATA_HEADER, metadata::header(call, of_client));
                body
            }
        };
        builder.body(body).map_err(unbuildable)
    }
}

impl ProviderAdapter for Bedrock {
    async fn send(
        &self,
        call: &ProviderCall<'_>,
        request: ProviderRequest,
    ) -> Result<ProviderResponse, ProviderError> {
        let Some((service, path)) = address(&call.model.provider_model_id, &request) else {
            return Err(unbuildable(format!(
                "Bedrock cannot be asked in `{}`: correct the registry",
                request.protocol.as_str()
            )));
        };
        let is_about_guardrail =
            matches!(request.operation, inference::Operation::ApplyGuardrail { .. });
        let request = self.http_request(call, path, request)?;
        self.aws.send(call, service, request).await.map_err(|error| {
            // What is not found is the guardrail then, which the client named.
            if is_about_guardrail && error.kind == ProviderErrorKind::ModelNotFound {
                return ProviderError { kind: ProviderErrorKind::InvalidRequest, ..error };
            }
            error
        })
    }
}

/// Whether a client's header belongs to what Bedrock's protocols say.
fn is_passed_on(name: &str) -> bool {
    matches!(name, "accept" | "content-type")
        || name.starts_with("anthropic-")
        || name.starts_with("x-amzn-bedrock-")
}

/// A Rerank request for the model of that ARN, which only the adapter knows.
fn with_model_arn(body: Bytes, arn: &str) -> Bytes {
    let Ok(mut request) = serde_json::from_slice::<Value>(&body) else { return body };
    match request.pointer_mut(MODEL_ARN_AT) {
        Some(Value::String(text)) if text == MODEL_ARN => arn.clone_into(text),
        _ => return body,
    }
    request.to_string().into()
}

#[cfg(test)]
#[path = "bedrock_tests.rs"]
mod tests;

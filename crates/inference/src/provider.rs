//! The port to whoever runs the model.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use tenancy::{ProjectId, TenantContext};

use crate::{Model, ProviderConfig, ProviderRequest};

/// Bytes of an answer, as the provider sent them. Nothing follows an error.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, ProviderError>> + Send>>;

/// Whose call of which model it is, for credentials, attribution and the provider's own logs.
#[derive(Debug, Clone)]
pub struct ProviderCall<'a> {
    /// Whose call it is.
    pub context: &'a TenantContext,
    /// The project that it is made for; its session is tagged with it.
    pub project_id: Option<&'a ProjectId>,
    /// Who runs the model.
    pub provider: &'a ProviderConfig,
    /// The model to call.
    pub model: &'a Model,
    /// Every model of the tenant's allowlist that is in the registry: what its session may reach.
    /// Those of other providers are among them.
    pub allowed_models: &'a [std::sync::Arc<Model>],
    /// Which state of the tenant's entitlements `allowed_models` is; sessions of another are not reused.
    pub entitlement_version: u64,
    /// The gateway's id of the call, sent along as request metadata.
    pub call_id: &'a str,
}

/// The head of a provider's answer, and its body as it comes; only successes get here.
pub struct ProviderResponse {
    /// The provider's id of the call.
    pub provider_request_id: Option<String>,
    /// Headers that say something about the answer, lower case: content type, token counts.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: ByteStream,
}

/// Sends requests to one kind of provider. It knows addresses, credentials and signatures, and
/// nothing of what bodies mean. Nothing is retried: every attempt is a provider call of its own.
pub trait ProviderAdapter: Send + Sync {
    /// Sends `request` and returns when the head of the answer is there. On AWS it goes under a
    /// session that can reach `allowed_models` only.
    fn send(
        &self,
        call: &ProviderCall<'_>,
        request: ProviderRequest,
    ) -> impl Future<Output = Result<ProviderResponse, ProviderError>> + Send;
}

/// A call that the provider did not complete.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the provider answered {kind:?}: {message}")]
pub struct ProviderError {
    /// What went wrong, for status and retry.
    pub kind: ProviderErrorKind,
    /// What the provider said; safe to show to the caller for `InvalidRequest`, else for logs.
    pub message: String,
    /// The provider's id of the call.
    pub provider_request_id: Option<String>,
    /// Whether the provider may have done (and billed) work: true once the request was on the wire
    /// and no clean refusal came back.
    pub may_have_run: bool,
    /// How long the provider wants to be left alone (`Retry-After`).
    pub retry_after: Option<Duration>,
}

impl ProviderError {
    /// Whether the refusal is about the prompt's length; Bedrock has no exception of its own for it,
    /// and clients act on OpenAI's code (they shorten the conversation).
    pub fn is_about_length(&self) -> bool {
        const SIGNS: [&str; 5] = [
            "too long",
            "context length",
            "context window",
            "too many input tokens",
            "too many total text bytes",
        ];
        let message = self.message.to_ascii_lowercase();
        self.kind == ProviderErrorKind::InvalidRequest
            && SIGNS.iter().any(|sign| message.contains(sign))
    }
}

/// What went wrong at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProviderErrorKind {
    /// The request is wrong for this model.
    InvalidRequest,
    /// The session may not call this model.
    AccessDenied,
    /// The provider does not know the model.
    ModelNotFound,
    /// The provider's rate limit.
    Throttled,
    /// The provider's quota.
    QuotaExceeded,
    /// The model took too long.
    Timeout,
    /// The model failed.
    ModelError,
    /// The provider cannot serve now.
    Unavailable,
    /// The provider failed.
    Internal,
    /// The connection broke, before or in the stream.
    Interrupted,
}

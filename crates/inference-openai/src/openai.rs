//! The adapter itself.

use std::sync::Arc;

use aws_transport::{Aws, Meaning, Refusal, Secret, Secrets, unbuildable};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Request};
use inference::{
    Protocol, ProviderAdapter, ProviderAuth, ProviderCall, ProviderError, ProviderErrorKind,
    ProviderRequest, ProviderResponse,
};

use crate::address::{Misconfigured, url};

/// The version of Anthropic's API that is spoken where the client names none.
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// Servers that speak OpenAI's API, or Anthropic's beside it.
///
/// The key is read from Secrets Manager under the tenant's session, so a tenant reaches only the
/// servers that its models are behind.
#[derive(Debug)]
pub struct OpenaiCompatible {
    aws: Arc<Aws>,
    secrets: Secrets,
}

impl OpenaiCompatible {
    /// Reads keys through `aws`, and sends requests through its connections.
    pub fn new(aws: Arc<Aws>) -> Self {
        Self { secrets: Secrets::new(Arc::clone(&aws)), aws }
    }

    async fn key<'a>(
        &self,
        call: &ProviderCall<'a>,
    ) -> Result<Option<(&'a ProviderAuth, Secret)>, ProviderError> {
        match &call.provider.auth {
            None => Ok(None),
            Some(auth) => Ok(Some((auth, self.secrets.get(call, &auth.secret).await?))),
        }
    }
}

impl ProviderAdapter for OpenaiCompatible {
    async fn send(
        &self,
        call: &ProviderCall<'_>,
        request: ProviderRequest,
    ) -> Result<ProviderResponse, ProviderError> {
        // One key opens all models of a server, so IAM cannot tell them apart.
        if !call.allowed_models.iter().any(|model| model.id == call.model.id) {
            return Err(Meaning::refused(ProviderErrorKind::AccessDenied)
                .error("the model is not on the tenant's allowlist"));
        }
        let key = self.key(call).await?;
        let request = http_request(call, request, key.as_ref()).map_err(unbuildable)?;
        self.aws.connection().send(request).await.map_err(|refusal| match key {
            Some((auth, secret)) => {
                if refusal.status == Some(401) {
                    self.secrets.forget(call, &auth.secret);
                }
                without_key(of_gateway(refusal), &secret)
            }
            None => of_gateway(refusal),
        })
    }
}

fn http_request(
    call: &ProviderCall<'_>,
    request: ProviderRequest,
    key: Option<&(&ProviderAuth, Secret)>,
) -> Result<Request<Bytes>, Misconfigured> {
    let provider = call.provider;
    let uri = url(provider, request.protocol, &request.operation)?;
    let mut built = Request::new(request.body);
    *built.method_mut() = http::Method::POST;
    *built.uri_mut() = uri;
    let headers = built.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let accepted = if request.is_streaming { "text/event-stream" } else { "application/json" };
    headers.insert(ACCEPT, HeaderValue::from_static(accepted));
    if request.protocol == Protocol::AnthropicMessages {
        headers.insert("anthropic-version", HeaderValue::from_static(ANTHROPIC_VERSION));
    }
    let of_client = request.headers.iter().filter(|(name, _)| is_passed_on(name));
    for (name, value) in of_client {
        // A client's header that makes no header has been left out by whoever read it.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    for (name, value) in &provider.headers {
        let (name, value) = HeaderName::try_from(name)
            .ok()
            .zip(HeaderValue::try_from(value).ok())
            .ok_or_else(|| Misconfigured::new(provider, &format!("its header `{name}` is none")))?;
        headers.insert(name, value);
    }
    if let Some((auth, secret)) = key {
        let value = format!("{}{}", auth.prefix, secret.expose());
        let (name, mut value) = HeaderName::try_from(&auth.header)
            .ok()
            .zip(HeaderValue::try_from(value).ok())
            .ok_or_else(|| {
                Misconfigured::new(provider, "its key makes no header: see `auth` and the secret")
            })?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(built)
}

/// Whether a client's header belongs to what the protocols say.
fn is_passed_on(name: &str) -> bool {
    name == "accept" || name.starts_with("anthropic-") || name == "openai-beta"
}

/// The error of a refusal. A key that is not taken is the gateway's fault, not the caller's.
fn of_gateway(refusal: Refusal) -> ProviderError {
    let error = refusal.error;
    match refusal.status {
        Some(401) => ProviderError {
            kind: ProviderErrorKind::Internal,
            message: format!("the provider did not take the gateway's key: {}", error.message),
            ..error
        },
        _ => error,
    }
}

/// The error, should the server have repeated the key in it.
fn without_key(error: ProviderError, secret: &Secret) -> ProviderError {
    let message = error.message.replace(secret.expose(), "[key]");
    ProviderError { message, ..error }
}

#[cfg(test)]
#[path = "openai_tests.rs"]
pub(crate) mod tests;

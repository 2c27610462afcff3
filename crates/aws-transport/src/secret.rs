//! Keys of other providers, from Secrets Manager.

use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};
use http::Request;
use inference::{ProviderCall, ProviderError, ProviderErrorKind as Kind};
use serde::Deserialize;
use tenancy::TenantId;

use crate::aws::{Aws, Service};
use crate::cache::{Cache, Kept};
use crate::error::{Meaning, unbuildable};

/// How long a secret is used before it is read again: as long as a rotated one may stay in use.
const LIFETIME: Duration = Duration::from_mins(5);

/// Secrets kept at once.
const CAPACITY: usize = 512;

/// Bytes of an answer of Secrets Manager at most: a secret has 64 KB.
const MAX_ANSWER_BYTES: usize = 512 * 1_024;

/// A secret's text, which no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, to be sent to where it belongs.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Who may use a secret, and by which state of its entitlements.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct SecretKey {
    tenant_id: TenantId,
    region: String,
    id: String,
    entitlement_version: u64,
}

impl SecretKey {
    fn new(call: &ProviderCall<'_>, region: &str, id: &str) -> Self {
        Self {
            tenant_id: call.context.tenant_id.clone(),
            region: region.to_owned(),
            id: id.to_owned(),
            entitlement_version: call.entitlement_version,
        }
    }
}

/// Secrets, read under the session of the tenant that needs them: IAM refuses those of providers
/// that the tenant may not use.
#[derive(Debug)]
pub struct Secrets {
    aws: Arc<Aws>,
    cache: SecretCache,
}

type Lookup = Cache<SecretKey, Secret, ProviderError>;

struct SecretCache(Lookup);

impl std::fmt::Debug for SecretCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretCache")
    }
}

impl Secrets {
    /// Reads through `aws`.
    pub fn new(aws: Arc<Aws>) -> Self {
        Self { aws, cache: SecretCache(Cache::new(CAPACITY)) }
    }

    /// The secret `id`, an ARN or a name, for `call`.
    pub async fn get(&self, call: &ProviderCall<'_>, id: &str) -> Result<Secret, ProviderError> {
        let key = SecretKey::new(call, self.region(id), id);
        let now = self.aws.connection().now();
        // Asked for even when the secret is kept: whoever has no session gets no secret either.
        let session = self.aws.session(call).await?;
        let load = || {
            let (aws, key) = (Arc::clone(&self.aws), key.clone());
            async move {
                let request = get_secret_value(&key.id).map_err(unbuildable)?;
                let answer = aws
                    .send_as(&session, Service::SecretsManager, &key.region, request)
                    .await
                    .map_err(|refusal| of_refusal(&refusal.error))?;
                let secret = read(answer.body).await?;
                let expires_at = now + LIFETIME;
                Ok(Kept { value: secret, expires_at, refresh_at: expires_at })
            }
            .boxed()
        };
        Ok(self.cache.0.get(&key, now, load).await?.value)
    }

    /// Drops the secret, because the provider did not take it.
    pub fn forget(&self, call: &ProviderCall<'_>, id: &str) {
        self.cache.0.forget(&SecretKey::new(call, self.region(id), id));
    }

    /// The Region of a secret: its ARN's, or the stack's own.
    fn region<'a>(&'a self, id: &'a str) -> &'a str {
        let of_arn = id.strip_prefix("arn:").and_then(|rest| rest.split(':').nth(2));
        of_arn.unwrap_or(self.aws.own_region())
    }
}

fn get_secret_value(id: &str) -> Result<Request<Bytes>, BoxError> {
    let body = serde_json::json!({"SecretId": id}).to_string();
    Ok(Request::post("/")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "secretsmanager.GetSecretValue")
        .body(Bytes::from(body))?)
}

async fn read(mut body: inference::ByteStream) -> Result<Secret, ProviderError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        secret_string: String,
    }

    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece.map_err(|error| of_refusal(&error))?);
        if bytes.len() > MAX_ANSWER_BYTES {
            break;
        }
    }
    match serde_json::from_slice::<Answer>(&bytes) {
        Ok(answer) if !answer.secret_string.trim().is_empty() => {
            Ok(Secret(answer.secret_string.trim().to_owned()))
        }
        _ => Err(Meaning::refused(Kind::Internal)
            .error("the provider's secret has no text: put the key into it as plain text")),
    }
}

/// The error of a call whose key could not be read: the provider has not been asked.
fn of_refusal(error: &ProviderError) -> ProviderError {
    let kind = match error.kind {
        Kind::AccessDenied => Kind::AccessDenied,
        Kind::Throttled | Kind::Timeout | Kind::Unavailable | Kind::Interrupted => {
            Kind::Unavailable
        }
        _ => Kind::Internal,
    };
    let error = Meaning::refused(kind)
        .error(format!("the provider's secret could not be read: {}", error.message));
    tracing::error!(%error, "Secrets Manager gave no secret");
    error
}

#[cfg(test)]
#[path = "secret_tests.rs"]
mod tests;

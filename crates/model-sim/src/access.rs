//! Asks the local stack whether the signer of a request may do what it asks.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::Fault;

/// A verified permission is not asked for again for so long.
const PERMISSION_TTL: Duration = Duration::from_secs(10);
/// Permissions kept before the expired ones are dropped.
const MAX_PERMISSIONS: usize = 10_000;
/// Region of a request that names none in its signature.
const DEFAULT_REGION: &str = "us-east-1";
const ACCOUNT: &str = "000000000000";
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html>
const PROFILE_PREFIXES: [&str; 8] =
    ["us.", "us-gov.", "eu.", "apac.", "au.", "jp.", "in.", "global."];

/// A request as it was signed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signed<'a> {
    /// Path as sent, still percent-encoded.
    pub(crate) path: &'a str,
    /// All headers.
    pub(crate) headers: &'a HeaderMap,
    /// The body's bytes.
    pub(crate) body: &'a Bytes,
}

impl Signed<'_> {
    /// The access key that signed the request.
    pub(crate) fn access_key_id(&self) -> Option<&str> {
        self.credential_scope().next()
    }

    /// The Region it was signed for.
    fn region(&self) -> &str {
        self.credential_scope().nth(2).unwrap_or(DEFAULT_REGION)
    }

    /// `<access key>/<date>/<Region>/bedrock/aws4_request`, split.
    fn credential_scope(&self) -> impl Iterator<Item = &str> {
        let authorization = self.header(header::AUTHORIZATION.as_str()).unwrap_or_default();
        let scope =
            authorization.split_once("Credential=").map(|(_, rest)| rest.split([',', ' ']).next());
        scope.flatten().into_iter().flat_map(|scope| scope.split('/'))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// What a request wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Whatever calls a model and is answered at once.
    Invoke,
    /// The same, streamed.
    InvokeStreamed,
    /// `CountTokens`.
    CountTokens,
    /// `ApplyGuardrail`.
    ApplyGuardrail,
    /// `Rerank`, which names no resource.
    Rerank,
    /// `InvokeEndpoint` of `SageMaker`.
    InvokeEndpoint,
    /// `InvokeEndpointWithResponseStream` of `SageMaker`.
    InvokeEndpointStreamed,
}

impl Action {
    /// Its name in IAM.
    fn name(self) -> &'static str {
        match self {
            Self::Invoke => "bedrock:InvokeModel",
            Self::InvokeStreamed => "bedrock:InvokeModelWithResponseStream",
            Self::CountTokens => "bedrock:CountTokens",
            Self::ApplyGuardrail => "bedrock:ApplyGuardrail",
            Self::Rerank => "bedrock:Rerank",
            Self::InvokeEndpoint => "sagemaker:InvokeEndpoint",
            Self::InvokeEndpointStreamed => "sagemaker:InvokeEndpointWithResponseStream",
        }
    }

    /// The ARN of what it acts on.
    fn resource(self, region: &str, id: &str) -> String {
        if self == Self::Rerank {
            "*".to_owned()
        } else if id.starts_with("arn:") {
            id.to_owned()
        } else if matches!(self, Self::InvokeEndpoint | Self::InvokeEndpointStreamed) {
            format!("arn:aws:sagemaker:{region}:{ACCOUNT}:endpoint/{}", id.to_lowercase())
        } else if self == Self::ApplyGuardrail {
            format!("arn:aws:bedrock:{region}:{ACCOUNT}:guardrail/{id}")
        } else if PROFILE_PREFIXES.iter().any(|prefix| id.starts_with(prefix)) {
            format!("arn:aws:bedrock:{region}:{ACCOUNT}:inference-profile/{id}")
        } else {
            format!("arn:aws:bedrock:{region}::foundation-model/{id}")
        }
    }
}

/// The way to the local stack's IAM.
#[derive(Debug)]
pub(crate) struct Access {
    authority: Option<Authority>,
}

impl Access {
    /// Asks `authorize_url`, or nobody.
    ///
    /// # Errors
    /// When no HTTP client can be built.
    pub(crate) fn new(authorize_url: Option<String>) -> Result<Self, reqwest::Error> {
        let authority = match authorize_url {
            None => None,
            Some(url) => {
                let client = reqwest::Client::builder()
                    .no_proxy()
                    .timeout(Duration::from_secs(10))
                    .build()?;
                Some(Authority { url, client, permissions: Mutex::default() })
            }
        };
        Ok(Self { authority })
    }

    /// Rules whether the signer may do `action` to the model or guardrail `id`.
    pub(crate) async fn check(&self, signed: Signed<'_>, action: Action, id: &str) -> Ruling {
        match &self.authority {
            None => Ruling { principal_arn: None, verdict: Ok(()) },
            Some(authority) => authority.check(signed, action, id).await,
        }
    }
}

/// Whether a request may proceed, and whose it is.
#[derive(Debug)]
pub(crate) struct Ruling {
    /// The session that signed, when the signature was verified.
    pub(crate) principal_arn: Option<String>,
    /// `AccessDeniedException` when it may not proceed, `InternalServerException` when nobody could tell: never open.
    pub(crate) verdict: Result<(), Fault>,
}

impl From<Fault> for Ruling {
    fn from(fault: Fault) -> Self {
        Self { principal_arn: None, verdict: Err(fault) }
    }
}

#[derive(Debug)]
struct Authority {
    url: String,
    client: reqwest::Client,
    permissions: Mutex<HashMap<PermissionKey, Permission>>,
}

/// The session token tells apart sessions that reuse an access key id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct PermissionKey {
    access_key_id: String,
    session_token: String,
    action: &'static str,
    resource: String,
}

#[derive(Debug, Clone)]
struct Permission {
    principal_arn: Option<String>,
    verified_at: Instant,
}

#[derive(Debug, Serialize)]
struct Question<'a> {
    method: &'static str,
    path: &'a str,
    headers: BTreeMap<&'a str, String>,
    body_sha256: String,
    action: &'a str,
    resource: &'a str,
}

#[derive(Debug, Deserialize)]
struct Verdict {
    allowed: bool,
    principal_arn: Option<String>,
    reason: Option<String>,
}

impl Authority {
    async fn check(&self, signed: Signed<'_>, action: Action, id: &str) -> Ruling {
        let Some(access_key_id) = signed.access_key_id() else {
            return Fault::access_denied("Missing Authentication Token").into();
        };
        let key = PermissionKey {
            access_key_id: access_key_id.to_owned(),
            session_token: signed.header("x-amz-security-token").unwrap_or_default().to_owned(),
            action: action.name(),
            resource: action.resource(signed.region(), id),
        };
        if let Some(permission) = self.permission(&key) {
            return Ruling { principal_arn: permission.principal_arn, verdict: Ok(()) };
        }
        match self.ask(signed, &key).await {
            Err(error) => {
                let error = error.without_url();
                Fault::internal(format!("model-sim: no answer from the authorize URL: {error}"))
                    .into()
            }
            Ok(verdict) if verdict.allowed => {
                self.remember(key, verdict.principal_arn.clone());
                Ruling { principal_arn: verdict.principal_arn, verdict: Ok(()) }
            }
            Ok(verdict) => {
                let denial = denial(&key, &verdict);
                Ruling { principal_arn: verdict.principal_arn, verdict: Err(denial) }
            }
        }
    }

    async fn ask(&self, signed: Signed<'_>, key: &PermissionKey) -> reqwest::Result<Verdict> {
        let mut headers = BTreeMap::<&str, String>::new();
        for (name, value) in signed.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            let joined = headers.entry(name.as_str()).or_default();
            if !joined.is_empty() {
                joined.push(',');
            }
            joined.push_str(&value);
        }
        let question = Question {
            method: "POST",
            path: signed.path,
            headers,
            body_sha256: hex(&Sha256::digest(signed.body)),
            action: key.action,
            resource: &key.resource,
        };
        let body = serde_json::to_vec(&question).unwrap_or_default();
        let request =
            self.client.post(&self.url).header(header::CONTENT_TYPE, "application/json").body(body);
        let answer = request.send().await?.error_for_status()?.bytes().await?;
        Ok(serde_json::from_slice(&answer).unwrap_or_else(|error| Verdict {
            allowed: false,
            principal_arn: None,
            reason: Some(format!("the authorize URL gave no verdict: {error}")),
        }))
    }

    fn permission(&self, key: &PermissionKey) -> Option<Permission> {
        let permissions = self.permissions.lock().unwrap_or_else(PoisonError::into_inner);
        permissions
            .get(key)
            .filter(|permission| permission.verified_at.elapsed() < PERMISSION_TTL)
            .cloned()
    }

    fn remember(&self, key: PermissionKey, principal_arn: Option<String>) {
        let mut permissions = self.permissions.lock().unwrap_or_else(PoisonError::into_inner);
        if permissions.len() >= MAX_PERMISSIONS {
            permissions.retain(|_, permission| permission.verified_at.elapsed() < PERMISSION_TTL);
        }
        permissions.insert(key, Permission { principal_arn, verified_at: Instant::now() });
    }
}

fn denial(key: &PermissionKey, verdict: &Verdict) -> Fault {
    let user = verdict.principal_arn.as_deref().unwrap_or("anonymous");
    let reason = verdict.reason.as_deref().unwrap_or("no policy allows it");
    Fault::access_denied(format!(
        "User: {user} is not authorized to perform: {} on resource: {} because {reason}",
        key.action, key.resource
    ))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue};
    use bytes::Bytes;

    use super::{Action, Signed, hex};

    #[track_caller]
    fn check(action: Action, id: &str, expected: &str) {
        assert_eq!(action.resource("us-east-1", id), expected);
    }

    #[test]
    fn a_profile_is_told_from_a_model_by_its_prefix() {
        check(
            Action::Invoke,
            "amazon.nova-pro-v1:0",
            "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0",
        );
        check(
            Action::Invoke,
            "us.x.y",
            "arn:aws:bedrock:us-east-1:000000000000:inference-profile/us.x.y",
        );
        check(
            Action::Invoke,
            "global.x.y",
            "arn:aws:bedrock:us-east-1:000000000000:inference-profile/global.x.y",
        );
        check(Action::Invoke, "arn:aws:bedrock:x", "arn:aws:bedrock:x");
        check(
            Action::InvokeEndpoint,
            "Llama-chat",
            "arn:aws:sagemaker:us-east-1:000000000000:endpoint/llama-chat",
        );
        check(Action::Rerank, "cohere.rerank-v3-5:0", "*");
        check(
            Action::ApplyGuardrail,
            "gr1",
            "arn:aws:bedrock:us-east-1:000000000000:guardrail/gr1",
        );
    }

    #[test]
    fn the_signature_names_key_and_region() {
        let mut headers = HeaderMap::new();
        let value = "AWS4-HMAC-SHA256 Credential=AKIA1/20261123/eu-west-1/bedrock/aws4_request, SignedHeaders=host";
        headers.insert("authorization", HeaderValue::from_static(value));
        let signed = Signed { path: "/", headers: &headers, body: &Bytes::new() };
        assert_eq!((signed.access_key_id(), signed.region()), (Some("AKIA1"), "eu-west-1"));
        headers.insert("authorization", HeaderValue::from_static("Bearer x"));
        let signed = Signed { path: "/", headers: &headers, body: &Bytes::new() };
        assert_eq!((signed.access_key_id(), signed.region()), (None, "us-east-1"));
    }

    #[test]
    fn digests_are_lower_case_hexadecimal() {
        assert_eq!(hex(&[0, 0xab, 0xff]), "00abff");
    }
}

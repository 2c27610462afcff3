//! Sessions of tenants, from STS.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_sdk_sts::Client;
use aws_sdk_sts::config::Builder;
use aws_sdk_sts::config::timeout::TimeoutConfig;
use aws_sdk_sts::error::{DisplayErrorContext, ProvideErrorMetadata as _, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::types::Tag;
use aws_smithy_async::time::SharedTimeSource;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use inference::ProviderCall;

use crate::policy::{MAX_POLICY_CHARACTERS, Place, RoleArn, is_plain_id, session_policy};
use crate::session_cache::{REFRESH_AHEAD, Session, SessionCache, SessionKey};

/// How long a session lasts: all that role chaining allows, which this is under Lambda.
const DURATION_S: u16 = 3_600;

/// STS answers in milliseconds; a call that has to wait for it longer is better off with an error.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Sessions kept at once; some 4 KB each.
const CAPACITY: usize = 512;

/// Up to this many seconds are added to [`REFRESH_AHEAD`], so that what started together does not
/// refresh together.
const JITTER_S: u64 = 60;

/// Why a call has no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SessionError {
    /// The model is not one that the session may reach, so STS was not asked.
    #[error("the model is not on the tenant's allowlist")]
    ModelNotAllowed,
    /// The policy and the tags are too much for STS.
    #[error("the session policy is too large")]
    PolicyTooLarge,
    /// STS did not answer, or asks to come back later.
    #[error("STS could not be reached")]
    Unavailable,
    /// STS refused: the role or its trust is wrong.
    #[error("STS refused the session")]
    Refused,
}

/// Where sessions come from.
pub(crate) struct Sessions {
    sts: Client,
    role_arn: String,
    place: Place,
    time: SharedTimeSource,
    cache: SessionCache,
}

impl Sessions {
    pub(crate) fn new(
        sdk_config: &SdkConfig,
        role: RoleArn,
        region: String,
        time: SharedTimeSource,
    ) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .build();
        Self {
            sts: Client::from_conf(Builder::from(sdk_config).timeout_config(timeouts).build()),
            role_arn: role.arn,
            place: Place { partition: role.partition, region, account_id: role.account_id },
            time,
            cache: SessionCache::new(CAPACITY),
        }
    }

    /// The session under which to make `call`, and what to [forget](Self::forget) if Bedrock does
    /// not take it.
    ///
    /// It reaches the tenant's whole allowlist, and it is IAM that refuses any other model under it.
    /// If the allowlist is too long for a session policy, the session reaches the called model alone:
    /// then each model has a session of its own, and only allowed ones get one.
    pub(crate) async fn get(
        &self,
        call: &ProviderCall<'_>,
    ) -> Result<(SessionKey, Session), SessionError> {
        let called = call.model.provider_model_id.as_str();
        if call.allowed_models.is_empty() || !is_plain_id(called) {
            return Err(SessionError::ModelNotAllowed);
        }

        let whole = self
            .key(call, call.allowed_models.iter().map(|model| model.provider_model_id.as_str()));
        let single = self.key(call, [called]);
        // A session of the one model says that STS already found the whole allowlist too large.
        if whole.policy.len() <= MAX_POLICY_CHARACTERS && !self.cache.contains(&single) {
            match self.load(whole).await {
                Err(SessionError::PolicyTooLarge) => {}
                outcome => return outcome,
            }
        }
        if !call.allowed_models.iter().any(|model| model.provider_model_id == called) {
            return Err(SessionError::ModelNotAllowed);
        }
        self.load(single).await
    }

    /// Drops a session that Bedrock no longer takes.
    pub(crate) fn forget(&self, key: &SessionKey) {
        self.cache.forget(key);
    }

    fn key<'a>(
        &self,
        call: &ProviderCall<'_>,
        ids: impl IntoIterator<Item = &'a str>,
    ) -> SessionKey {
        SessionKey {
            tenant_id: call.context.tenant_id.clone(),
            lob_id: call.context.lob_id.clone(),
            entitlement_version: call.entitlement_version,
            policy: session_policy(&self.place, ids),
        }
    }

    async fn load(&self, key: SessionKey) -> Result<(SessionKey, Session), SessionError> {
        let session = self.cache.get(&key, self.time.now(), || self.assume_role(&key)).await?;
        Ok((key, session))
    }

    fn assume_role(&self, key: &SessionKey) -> BoxFuture<'static, Result<Session, SessionError>> {
        let tenant_id = key.tenant_id.clone();
        let tags = [("tenant_id", key.tenant_id.as_str()), ("lob_id", key.lob_id.as_str())]
            .into_iter()
            .filter_map(|(key, value)| Tag::builder().key(key).value(value).build().ok())
            .collect();
        let request = self
            .sts
            .assume_role()
            .role_arn(&self.role_arn)
            .role_session_name(format!("t-{}", key.tenant_id))
            .set_tags(Some(tags))
            .transitive_tag_keys("tenant_id")
            .policy(&key.policy)
            .duration_seconds(DURATION_S.into());
        async move {
            let output = request.send().await.map_err(|error| {
                // Logged here, once, however many calls wait for this session.
                tracing::error!(%tenant_id, error = %DisplayErrorContext(&error), "STS gave no session");
                session_error(&error)
            })?;
            let credentials = output.credentials().ok_or(SessionError::Refused)?;
            let expires_at = SystemTime::try_from(*credentials.expiration()).map_err(|_| SessionError::Refused)?;
            Ok(Session {
                credentials: Credentials::new(
                    credentials.access_key_id(),
                    credentials.secret_access_key(),
                    Some(credentials.session_token().to_owned()),
                    Some(expires_at),
                    "tenant-session",
                ),
                expires_at,
                refresh_at: refresh_at(expires_at),
            })
        }
        .boxed()
    }
}

fn refresh_at(expires_at: SystemTime) -> SystemTime {
    // Every `RandomState` has keys of its own, which is random enough to spread load.
    let jitter = Duration::from_secs(RandomState::new().hash_one(()) % (JITTER_S + 1));
    expires_at.checked_sub(REFRESH_AHEAD + jitter).unwrap_or(expires_at)
}

fn session_error(error: &SdkError<AssumeRoleError>) -> SessionError {
    match error {
        SdkError::ServiceError(refusal) => match refusal.err() {
            AssumeRoleError::PackedPolicyTooLargeException(_) => SessionError::PolicyTooLarge,
            other => {
                let is_transient = refusal.raw().status().is_server_error()
                    || other.code().is_some_and(|code| {
                        code.starts_with("Throttl") || code == "RequestLimitExceeded"
                    });
                if is_transient { SessionError::Unavailable } else { SessionError::Refused }
            }
        },
        SdkError::ConstructionFailure(_) => SessionError::Refused,
        _ => SessionError::Unavailable,
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;

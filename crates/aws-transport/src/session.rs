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
use inference::{Model, ProviderCall};
use tenancy::{LobId, ProjectId, TenantContext, TenantId};

use crate::cache::{Cache, Kept};
use crate::policy::{
    MAX_POLICY_CHARACTERS, Place, RoleArn, call_policy, is_nameable, uploads_arn, uploads_policy,
};

/// How long a session lasts: all that role chaining allows, which this is under Lambda.
const DURATION_S: u16 = 3_600;

/// STS answers in milliseconds; a call that has to wait for it longer is better off with an error.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Sessions kept at once; some 4 KB each.
const CAPACITY: usize = 512;

/// How long before its end a session is replaced; the calls that start meanwhile still have it.
const REFRESH_AHEAD: Duration = Duration::from_mins(5);

/// Up to this many seconds are added to [`REFRESH_AHEAD`], so that what started together does not
/// refresh together.
const JITTER_S: u64 = 60;

/// Why a call has no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
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

/// All that a session depends on. Two calls share a session only if they agree in all of it, so
/// no session reaches a tenant, a state of its entitlements or a model that it was not made for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SessionKey {
    tenant_id: TenantId,
    lob_id: LobId,
    project_id: Option<ProjectId>,
    entitlement_version: u64,
    /// The session policy: of all that is allowed, or of one model.
    policy: String,
}

/// A tenant's session.
#[derive(Debug, Clone)]
pub struct Session {
    pub(crate) key: SessionKey,
    /// What it signs with.
    pub credentials: Credentials,
    pub(crate) expires_at: SystemTime,
}

/// Where sessions come from.
pub(crate) struct Sessions {
    sts: Client,
    role_arn: String,
    place: Place,
    uploads_bucket: Option<String>,
    time: SharedTimeSource,
    cache: Cache<SessionKey, Credentials, SessionError>,
}

impl Sessions {
    pub(crate) fn new(
        sdk_config: &SdkConfig,
        role: RoleArn,
        region: String,
        uploads_bucket: Option<String>,
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
            uploads_bucket,
            time,
            cache: Cache::new(CAPACITY),
        }
    }

    /// Where the provider of `call` is.
    pub(crate) fn place(&self, call: &ProviderCall<'_>) -> Place {
        let region = call.provider.region.as_ref().unwrap_or(&self.place.region).clone();
        Place { region, ..self.place.clone() }
    }

    /// The session under which to make `call`, which is to be [forgotten](Self::forget) if it is not
    /// taken.
    ///
    /// It reaches all that the tenant may use of the provider, and it is IAM that refuses anything
    /// else under it. If that is too much for a session policy, the session reaches the called model
    /// alone: then each model has a session of its own, and only allowed ones get one.
    pub(crate) async fn of_call(&self, call: &ProviderCall<'_>) -> Result<Session, SessionError> {
        if !is_nameable(call.provider.kind, call.model) {
            return Err(SessionError::ModelNotAllowed);
        }
        let place = self.place(call);
        let of_provider = of_provider(call);
        if of_provider.is_empty() {
            return Err(SessionError::ModelNotAllowed);
        }
        let whole = self.key(call, &place, of_provider);
        let single = self.key(call, &place, vec![call.model]);
        // A session of the one model says that STS already found the whole allowlist too large.
        let is_known_too_large = whole != single && self.cache.contains(&single);
        if whole.policy.len() <= MAX_POLICY_CHARACTERS && !is_known_too_large {
            match self.load(whole).await {
                Err(SessionError::PolicyTooLarge) => {}
                outcome => return outcome,
            }
        }
        if !call.allowed_models.iter().any(|model| model.id == call.model.id) {
            return Err(SessionError::ModelNotAllowed);
        }
        self.load(single).await
    }

    /// The session under which the tenant's uploads are written and read, good for `at_least` longer.
    pub(crate) async fn of_uploads(
        &self,
        context: &TenantContext,
        bucket: &str,
        at_least: Duration,
    ) -> Result<Session, SessionError> {
        let key = SessionKey {
            tenant_id: context.tenant_id.clone(),
            lob_id: context.lob_id.clone(),
            project_id: None,
            // The tenant's own files depend on no entitlement.
            entitlement_version: 0,
            policy: uploads_policy(&uploads_arn(&self.place, bucket, &context.tenant_id)),
        };
        let session = self.load(key.clone()).await?;
        if session.expires_at >= self.time.now() + at_least {
            return Ok(session);
        }
        self.cache.forget(&key);
        self.load(key).await
    }

    /// Drops a session that is no longer taken.
    pub(crate) fn forget(&self, session: &Session) {
        self.cache.forget(&session.key);
    }

    fn key(&self, call: &ProviderCall<'_>, place: &Place, models: Vec<&Model>) -> SessionKey {
        let tenant_id = &call.context.tenant_id;
        let uploads =
            self.uploads_bucket.as_ref().map(|bucket| uploads_arn(place, bucket, tenant_id));
        SessionKey {
            tenant_id: tenant_id.clone(),
            lob_id: call.context.lob_id.clone(),
            project_id: call.project_id.cloned(),
            entitlement_version: call.entitlement_version,
            policy: call_policy(place, call.provider, models, uploads.as_deref()),
        }
    }

    async fn load(&self, key: SessionKey) -> Result<Session, SessionError> {
        let kept = self.cache.get(&key, self.time.now(), || self.assume_role(&key)).await?;
        Ok(Session { key, credentials: kept.value, expires_at: kept.expires_at })
    }

    fn assume_role(
        &self,
        key: &SessionKey,
    ) -> BoxFuture<'static, Result<Kept<Credentials>, SessionError>> {
        let tenant_id = key.tenant_id.clone();
        let project = key.project_id.as_ref().map(|id| ("project_id", id.as_str()));
        let tags = [("tenant_id", key.tenant_id.as_str()), ("lob_id", key.lob_id.as_str())]
            .into_iter()
            .chain(project)
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
            Ok(Kept {
                value: Credentials::new(
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

/// The allowed models that the provider of `call` runs.
fn of_provider<'a>(call: &ProviderCall<'a>) -> Vec<&'a Model> {
    let models = call.allowed_models.iter().map(AsRef::as_ref);
    models.filter(|model: &&Model| model.provider == call.provider.id).collect()
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

//! The REQUEST authorizer of the REST API and the WebSocket API: who calls, for which tenant, with which
//! rights, until when.
//!
//! It verifies the bearer token and answers with a policy and the context that every other function
//! believes. It says nothing about limits or models: those are decided afresh on every call.

mod aws;
mod caller;
mod environment;
mod event;
mod fetch;
mod issuer;
mod jwks;
mod policy;
mod refusal;
#[cfg(test)]
mod tests;
mod token;

use tenancy::{Directory, Status, TenantContext, TenantId};

use crate::aws::Roles;
use crate::caller::Caller;
use crate::issuer::Issuers;
use crate::jwks::KeyCache;
use crate::policy::{Authorized, Stage};
use crate::refusal::{Denial, Fault, InvalidToken, Refusal, chain};
use crate::token::UnverifiedToken;

pub use crate::aws::{
    AskStsError, AwsTokens, HttpSts, IdentityRequest, InsecureStsUrl, InvalidAwsTokens, Sts,
    StsAnswer,
};
pub use crate::environment::{StartError, unix_now};
pub use crate::event::{AuthorizerRequest, RequestContext};
pub use crate::fetch::{FetchJwksError, HttpJwks, JwksSource, https_client};
pub use crate::issuer::UserPool;
pub use crate::policy::AuthorizerResponse;
pub use crate::refusal::AuthorizerError;

/// What one execution environment keeps between invocations.
#[derive(Debug)]
pub struct State<D, J, S> {
    directory: D,
    issuers: Issuers,
    keys: KeyCache<J>,
    roles: Roles<S>,
}

impl<D: Directory, J: JwksSource, S: Sts> State<D, J, S> {
    /// Knows nobody yet: issuers, keys and roles are looked up when a token needs them.
    pub fn new(directory: D, jwks: J, user_pool: UserPool, sts: S, aws_tokens: AwsTokens) -> Self {
        Self {
            directory,
            issuers: Issuers::new(user_pool),
            keys: KeyCache::new(jwks),
            roles: Roles::new(sts, aws_tokens),
        }
    }
}

/// Answers one request; `now` is in Unix seconds.
///
/// # Errors
/// [`AuthorizerError::Unauthorized`] if there is no valid token (the client reads 401), and
/// [`AuthorizerError::Fault`] if that cannot be found out (500). A caller who is known but may not
/// call gets a policy that denies (403).
pub async fn handle(
    state: &State<impl Directory, impl JwksSource, impl Sts>,
    request: AuthorizerRequest,
    now: u64,
) -> Result<AuthorizerResponse, AuthorizerError> {
    let callable = Stage::of_method(&request.method_arn).map_err(|fault| fail(&fault))?;
    match authorize(state, &request, now).await {
        Ok(authorized) => Ok(AuthorizerResponse::allow(callable, &authorized)),
        Err(Refusal::InvalidToken(invalid)) => {
            tracing::info!(reason = invalid.as_str(), "token refused");
            Err(AuthorizerError::Unauthorized)
        }
        Err(Refusal::Denied { denial, tenant_id }) => {
            let tenant_id = tenant_id.as_ref().map(TenantId::as_str);
            tracing::warn!(reason = denial.as_str(), tenant_id, "caller denied");
            Ok(AuthorizerResponse::deny(callable, denial))
        }
        Err(Refusal::Fault(fault)) => Err(fail(&fault)),
    }
}

fn fail(fault: &Fault) -> AuthorizerError {
    tracing::error!(error = chain(fault), "the caller could not be authorized");
    AuthorizerError::Fault
}

/// The request's caller, if it may call at all.
async fn authorize(
    state: &State<impl Directory, impl JwksSource, impl Sts>,
    request: &AuthorizerRequest,
    now: u64,
) -> Result<Authorized, Refusal> {
    let token = request.bearer_token()?;
    let (caller, expires_at) = if token.starts_with(aws::PREFIX) {
        let verified = state.roles.verify(token, now).await?;
        (caller::of_aws_role(&state.directory, &verified.session).await?, verified.expires_at)
    } else {
        of_jwt(state, token, now).await?
    };
    let denial = match state.directory.tenant(&caller.tenant_id).await? {
        Some(tenant) if tenant.status == Status::Active => {
            let context = TenantContext {
                tenant_id: caller.tenant_id,
                lob_id: tenant.lob_id,
                principal: caller.principal,
                roles: caller.roles,
                scopes: caller.scopes,
            };
            return Ok(Authorized { context, expires_at });
        }
        Some(_) => Denial::SuspendedTenant,
        None => Denial::UnknownTenant,
    };
    Err(Refusal::Denied { denial, tenant_id: Some(caller.tenant_id) })
}

/// The caller that an issuer's token is about, and when the token ends.
async fn of_jwt(
    state: &State<impl Directory, impl JwksSource, impl Sts>,
    token: &str,
    now: u64,
) -> Result<(Caller, u64), Refusal> {
    let token = UnverifiedToken::parse(token)?;
    let issuer = state.issuers.find(&state.directory, token.unverified_issuer(), now).await?;
    let issuer = issuer.ok_or(InvalidToken::UnknownIssuer)?;
    token.require_algorithm(issuer.algorithm())?;
    let key = state
        .keys
        .find(issuer.jwks_url(), token.unverified_key_id(), issuer.algorithm(), now)
        .await?;
    let claims = token.verify(issuer.name(), issuer.algorithm(), &key, now)?;
    let caller = caller::caller(&state.directory, &issuer, &claims).await?;
    Ok((caller, claims.expires_at()))
}

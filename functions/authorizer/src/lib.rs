//! The REQUEST authorizer of the REST API and the WebSocket API: who calls, for which tenant, with which
//! rights, until when.
//!
//! It verifies the bearer token and answers with a policy and the context that every other function
//! believes. It says nothing about limits or models: those are decided afresh on every call.

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

use crate::issuer::Issuers;
use crate::jwks::KeyCache;
use crate::policy::{Authorized, Stage};
use crate::refusal::{Denial, Fault, InvalidToken, Refusal, chain};
use crate::token::UnverifiedToken;

pub use crate::environment::{StartError, unix_now};
pub use crate::event::{AuthorizerRequest, RequestContext};
pub use crate::fetch::{FetchJwksError, HttpJwks, JwksSource};
pub use crate::issuer::UserPool;
pub use crate::policy::AuthorizerResponse;
pub use crate::refusal::AuthorizerError;

/// What one execution environment keeps between invocations.
#[derive(Debug)]
pub struct State<D, S> {
    directory: D,
    issuers: Issuers,
    keys: KeyCache<S>,
}

impl<D: Directory, S: JwksSource> State<D, S> {
    /// Knows nobody yet: issuers and keys are looked up when a token needs them.
    pub fn new(directory: D, jwks: S, user_pool: UserPool) -> Self {
        Self { directory, issuers: Issuers::new(user_pool), keys: KeyCache::new(jwks) }
    }
}

/// Answers one request; `now` is in Unix seconds.
///
/// # Errors
/// [`AuthorizerError::Unauthorized`] if there is no valid token (the client reads 401), and
/// [`AuthorizerError::Fault`] if that cannot be found out (500). A caller who is known but may not
/// call gets a policy that denies (403).
pub async fn handle(
    state: &State<impl Directory, impl JwksSource>,
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
    state: &State<impl Directory, impl JwksSource>,
    request: &AuthorizerRequest,
    now: u64,
) -> Result<Authorized, Refusal> {
    let token = UnverifiedToken::parse(request.bearer_token()?)?;
    let issuer = state.issuers.find(&state.directory, token.unverified_issuer(), now).await?;
    let issuer = issuer.ok_or(InvalidToken::UnknownIssuer)?;
    token.require_algorithm(issuer.algorithm())?;
    let key = state
        .keys
        .find(issuer.jwks_url(), token.unverified_key_id(), issuer.algorithm(), now)
        .await?;
    let claims = token.verify(issuer.name(), issuer.algorithm(), &key, now)?;
    let caller = caller::caller(&state.directory, &issuer, &claims).await?;
    let denial = match state.directory.tenant(&caller.tenant_id).await? {
        Some(tenant) if tenant.status == Status::Active => {
            let context = TenantContext {
                tenant_id: caller.tenant_id,
                lob_id: tenant.lob_id,
                principal: caller.principal,
                roles: caller.roles,
                scopes: caller.scopes,
            };
            return Ok(Authorized { context, expires_at: claims.expires_at() });
        }
        Some(_) => Denial::SuspendedTenant,
        None => Denial::UnknownTenant,
    };
    Err(Refusal::Denied { denial, tenant_id: Some(caller.tenant_id) })
}

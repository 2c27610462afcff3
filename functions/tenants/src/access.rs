//! What is there for a caller, and what it may do there.
//!
//! Another tenant's anything is not there; what is the caller's own, and not for its role, is refused.

use administration::{AdministrationStore, TenantState};
use http_api::{ApiError, store_failed};
use tenancy::{Permission, Place, TenantContext, TenantId};

use crate::State;
use crate::audit;

/// A tenant that is there for the caller.
#[derive(Debug, Clone)]
pub(crate) struct Visible {
    pub(crate) id: TenantId,
    pub(crate) now: TenantState,
}

impl Visible {
    /// Where it is.
    pub(crate) fn place(&self) -> Place<'_> {
        Place::Tenant(&self.id, &self.now.document.lob_id)
    }

    /// As the API's paths name what is below it.
    pub(crate) fn subject(&self, below: &str) -> String {
        if below.is_empty() {
            format!("tenants/{}", self.id)
        } else {
            format!("tenants/{}/{below}", self.id)
        }
    }
}

/// The tenant of a path, if the caller has `permission` for it; who has not is noted as having tried `action`.
///
/// # Errors
/// 404 if it is not there for the caller, 403 if it may not.
pub(crate) async fn tenant_for<P>(
    state: &State<impl AdministrationStore, P>,
    context: &TenantContext,
    id: &str,
    permission: Permission,
    action: &str,
) -> Result<Visible, ApiError> {
    let tenant = visible(state, context, id).await?.ok_or_else(|| unknown(id))?;
    match context.require_at(permission, tenant.place()) {
        Ok(()) => Ok(tenant),
        Err(denied) => {
            let subject = tenant.subject("");
            Err(audit::refused(state, context, action, &subject, denied.into()).await)
        }
    }
}

/// The tenant of a path, if there is one and the caller can know of it.
pub(crate) async fn visible<P>(
    state: &State<impl AdministrationStore, P>,
    context: &TenantContext,
    id: &str,
) -> Result<Option<Visible>, ApiError> {
    let Ok(id) = id.parse::<TenantId>() else { return Ok(None) };
    let found = state.store.tenant(&id).await.map_err(store_failed)?;
    let found = found.map(|now| Visible { id, now });
    Ok(found.filter(|tenant| context.sees(tenant.place())))
}

/// There is no such tenant, or it is not the caller's to know of: to the caller the same.
pub(crate) fn unknown(id: &str) -> ApiError {
    ApiError::not_found("tenant", id)
}

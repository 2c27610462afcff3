//! Who may see and change whose limits.
//!
//! What belongs to another tenant or line of business is not there; what is the caller's own, and
//! not for its role, is refused.

use admission::{LimitOwner, LimitSet, LimitStore};
use http_api::ApiError;
use tenancy::{Permission, Place, TenantContext};

/// What a caller wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// See it.
    Read,
    /// Change it, or grant a raise of it.
    Manage,
    /// Ask for a raise of it.
    Request,
}

/// The limits of `owner`, if the caller may do with them what it wants.
///
/// # Errors
/// 404 if they are not the caller's to see, 403 if they are not its to change.
pub(crate) async fn limits_for(
    store: &impl LimitStore,
    context: &TenantContext,
    owner: &LimitOwner,
    wish: Wish,
) -> Result<LimitSet, ApiError> {
    let found = store.limits(owner).await.map_err(|error| ApiError::store_failed(&error))?;
    let visible = found.filter(|set| is_within(context, owner, set));
    let Some(set) = visible else {
        return Err(ApiError::not_found("scope", &owner.to_string()));
    };
    let permission = permission(owner, wish);
    match (owner.tenant_id(), &set.lob_id) {
        (Some(tenant_id), Some(lob_id)) => {
            context.require_at(permission, Place::Tenant(tenant_id, lob_id))?;
        }
        _ => context.require(permission)?,
    }
    Ok(set)
}

/// Whether the caller may see how the limits of `owner`, which are within its reach, are set.
pub(crate) fn may_read(context: &TenantContext, owner: &LimitOwner) -> bool {
    context.require(permission(owner, Wish::Read)).is_ok()
}

/// Whether `owner` is the caller's own, or below what the caller runs.
fn is_within(context: &TenantContext, owner: &LimitOwner, set: &LimitSet) -> bool {
    match owner {
        LimitOwner::Org => true,
        LimitOwner::Lob(lob) => context.sees(Place::Lob(lob)),
        _ => match (owner.tenant_id(), &set.lob_id) {
            (Some(tenant), _) if *tenant == context.tenant_id => is_own_part(context, owner),
            (Some(tenant), Some(lob)) => context.sees(Place::Tenant(tenant, lob)),
            _ => false,
        },
    }
}

/// Whether a part of the caller's own tenant is the caller's to know of: those who may not see how the
/// tenant's limits are set know of no other principal.
fn is_own_part(context: &TenantContext, owner: &LimitOwner) -> bool {
    match owner {
        LimitOwner::Principal(_, id) => {
            *id == context.principal.id || context.require(Permission::ReadLimits).is_ok()
        }
        _ => true,
    }
}

fn permission(owner: &LimitOwner, wish: Wish) -> Permission {
    match (wish, owner) {
        (Wish::Request, _) => Permission::RequestRaise,
        (Wish::Read, LimitOwner::Org) => Permission::ReadOrgUsage,
        (Wish::Read, LimitOwner::Lob(_)) => Permission::ReadLobUsage,
        (Wish::Read, _) => Permission::ReadLimits,
        (Wish::Manage, LimitOwner::Org) => Permission::ManageOrgLimits,
        (Wish::Manage, LimitOwner::Lob(_)) => Permission::ManageLobLimits,
        (Wish::Manage, LimitOwner::Tenant(_)) => Permission::ManageTenantLimits,
        (Wish::Manage, _) => Permission::ManageMemberLimits,
    }
}

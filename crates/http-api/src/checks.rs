//! What is checked before a tenant is changed, whichever function changes it.

use std::collections::BTreeSet;

use administration::{AdministrationStore, TenantDocument};
use inference::FaultKind;
use tenancy::{ModelId, Permission, Place, Role, TenantContext, TenantId};

use crate::ApiError;
use crate::answer::{conflict, invalid, store_failed};

/// Checks that every model that is new in a document is registered. One that was taken from the registry
/// since stays: it can be called no more, and its tenants' documents go on meaning the same.
pub async fn are_registered(
    store: &impl AdministrationStore,
    document: &TenantDocument,
    before: Option<&TenantDocument>,
) -> Result<(), ApiError> {
    let known: BTreeSet<&ModelId> =
        before.into_iter().flat_map(TenantDocument::names).map(|(_, id)| id).collect();
    let new: Vec<_> = document.names().filter(|(_, id)| !known.contains(id)).collect();
    if new.is_empty() {
        return Ok(());
    }
    let registered = store.models().await.map_err(store_failed)?;
    let mut unknown = new.into_iter().filter(|(_, id)| !registered.contains(*id)).peekable();
    let Some((field, _)) = unknown.peek().copied() else { return Ok(()) };
    let names: Vec<String> = unknown
        .filter(|(of, _)| *of == field)
        .take(10)
        .map(|(_, model)| format!("`{model}`"))
        .collect();
    let message = format!("There is no such model in the registry: {}.", names.join(", "));
    Err(invalid(field, message))
}

/// Checks that a new tenant can have an id.
pub async fn is_free(
    store: &impl AdministrationStore,
    tenant_id: &TenantId,
) -> Result<(), ApiError> {
    if store.tenant(tenant_id).await.map_err(store_failed)?.is_some() {
        return Err(conflict("id_taken", "This id is taken. Choose another one."));
    }
    if store.is_retired(tenant_id).await.map_err(store_failed)? {
        let message = "A tenant of this id was off-boarded, and its id names it for ever in bills and audit trail. Choose another one.";
        return Err(conflict("id_retired", message));
    }
    Ok(())
}

/// Checks that a new tenant's line of business is there, and is the caller's to make tenants in.
pub async fn takes_tenants(
    store: &impl AdministrationStore,
    context: &TenantContext,
    document: &TenantDocument,
) -> Result<(), ApiError> {
    let lob_id = &document.lob_id;
    let is_permitted = context.require_at(Permission::ManageTenants, Place::Lob(lob_id)).is_ok();
    let lob = store.lob(lob_id).await.map_err(store_failed)?;
    if lob.is_none() || !is_permitted {
        return Err(invalid("lob_id", format!("There is no line of business `{lob_id}`.")));
    }
    Ok(())
}

/// Whether the caller may give or take each of `roles` at a place.
pub fn may_decide(
    context: &TenantContext,
    place: Place<'_>,
    roles: &BTreeSet<Role>,
) -> Result<(), ApiError> {
    let own = context.roles_at(place);
    let above = roles.iter().find(|role| !own.iter().any(|own| own.may_grant(**role)));
    let Some(role) = above else { return Ok(()) };
    let message = format!(
        "Your role does not permit you to give or take the role `{}`: it sees further than yours.",
        role.as_str()
    );
    Err(ApiError::new(FaultKind::PermissionDenied, "permission_denied", message))
}

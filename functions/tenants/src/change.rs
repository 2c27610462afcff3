//! Changes of a tenant: its document, its status, and how it was before.

use std::collections::BTreeSet;

use administration::{
    AdministrationStore, Difference, ModelRequest, Suspension, Task, TenantChange, TenantDocument,
    TenantState, UserPool, differences, read_tenant,
};
use http::{Response, StatusCode};
use http_api::{
    ApiError, Ask, Body, answer, are_registered, changed_meanwhile, invalid, invalid_field,
    is_creating, is_free, matches, object, object_if_any, refuse_unknown, says_known, store_failed,
    take_text, takes_tenants, version, with_etag,
};
use inference::FaultKind;
use serde_json::{Map, Value, json};
use tenancy::{Permission, Status, TenantContext, TenantId};

use crate::State;
use crate::access::{Visible, tenant_for, unknown, visible};
use crate::answer::check_text;
use crate::audit;
use crate::tenants::{said, shown};

/// `PUT /v1/tenants/{tenant_id}`
///
/// What is written at once is all that counts afterwards: the tenant, how it is in this version, who
/// changed it, and a note that its meter is still to be told. Whoever finds the note later tells it.
pub(crate) async fn set(
    state: &State<impl AdministrationStore, impl UserPool>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&["dry_run"])?;
    let is_dry_run = ask.flag("dry_run")?;
    if visible(state, context, id).await?.is_none() {
        return create(state, context, id, ask, is_dry_run).await;
    }
    let action = "tenant.changed";
    let tenant = tenant_for(state, context, id, Permission::ManageProfile, action).await?;
    matches(ask, tenant.now.version, !is_dry_run)?;
    let document = read_tenant(object(ask)?, &said(&tenant)).map_err(invalid_field)?;
    apply(state, context, tenant, document, (action, is_dry_run)).await
}

/// `POST /v1/tenants/{tenant_id}/rollback`
pub(crate) async fn roll_back(
    state: &State<impl AdministrationStore, impl UserPool>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&["dry_run"])?;
    let is_dry_run = ask.flag("dry_run")?;
    let action = "tenant.rolled_back";
    let tenant = tenant_for(state, context, id, Permission::ManageProfile, action).await?;
    matches(ask, tenant.now.version, !is_dry_run)?;
    let version = version(ask)?;
    let found = state.store.version(&tenant.id, version).await.map_err(store_failed)?;
    let Some(found) = found else {
        let message = format!(
            "There is no version {version} of this tenant's document. GET ../history lists its versions."
        );
        return Err(invalid("version", message));
    };
    apply(state, context, tenant, found.document.normal(), (action, is_dry_run)).await
}

/// Makes a tenant what `document` says, or shows what that would change.
async fn apply(
    state: &State<impl AdministrationStore, impl UserPool>,
    context: &TenantContext,
    tenant: Visible,
    document: TenantDocument,
    (action, is_dry_run): (&str, bool),
) -> Result<Response<Body>, ApiError> {
    let changes = differences(&tenant.now.document, &document);
    let permitted = permitted(context, &tenant, &changes);
    if let Err(error) = permitted {
        return Err(audit::refused(state, context, action, &tenant.subject(""), error).await);
    }
    if document.lob_id != tenant.now.document.lob_id {
        let message = "A tenant is moved to another line of business by a task of its own, not by its document: its limits, bills and administrators go with it. Leave `lob_id` as it is.";
        return Err(invalid("lob_id", message));
    }
    are_registered(&state.store, &document, Some(&tenant.now.document)).await?;
    if is_dry_run || changes.is_empty() {
        let after = TenantState { document, ..tenant.now };
        let after = Visible { now: after, ..tenant };
        return Ok(changed(StatusCode::OK, context, &after, &changes, is_dry_run));
    }
    let (status, suspension) = (tenant.now.status, tenant.now.suspension.clone());
    let values = (json!(tenant.now.document), json!(document));
    let change = NewState { document, status, suspension, granted: None, values };
    let after = write(state, context, &tenant.id, Some(tenant.now), (action, change)).await?;
    Ok(changed(after.1, context, &after.0, &changes, false))
}

/// Whether the caller may change these fields.
fn permitted(
    context: &TenantContext,
    tenant: &Visible,
    changes: &[Difference],
) -> Result<(), ApiError> {
    let Err(denied) = context.require_at(Permission::ManageTenants, tenant.place()) else {
        return Ok(());
    };
    let is_own = |change: &&Difference| TenantDocument::OWN_FIELDS.contains(&change.field());
    let others: BTreeSet<_> =
        changes.iter().filter(|it| !is_own(it)).map(|it| format!("`{}`", it.field())).collect();
    if others.is_empty() {
        return Ok(());
    }
    let message = format!(
        "A tenant decides on its contact, branding, projects and aliases itself. {} can be changed by administrators of its line of business only: {denied}.",
        others.into_iter().collect::<Vec<_>>().join(", ")
    );
    Err(ApiError::new(FaultKind::PermissionDenied, "permission_denied", message))
}

/// Makes a tenant that is not there, if its id is free.
async fn create(
    state: &State<impl AdministrationStore, impl UserPool>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
    is_dry_run: bool,
) -> Result<Response<Body>, ApiError> {
    // Who makes no tenants cannot tell one that is another's from one that is not there.
    if context.require(Permission::ManageTenants).is_err() {
        return Err(unknown(id));
    }
    let id: TenantId = match id.parse() {
        Ok(id) => id,
        Err(error) => return Err(invalid("tenant_id", format!("{error}."))),
    };
    // Who wants to change one learns the same of another's and of none. Who makes one has to learn that its id is taken.
    if says_known(ask) {
        return Err(unknown(id.as_str()));
    }
    is_free(&state.store, &id).await?;
    is_creating(ask, !is_dry_run)?;
    let mut said = Map::new();
    said.insert("object".into(), "tenant".into());
    said.insert("tenant_id".into(), json!(id));
    said.insert("status".into(), json!(Status::Active));
    let document = read_tenant(object(ask)?, &said).map_err(invalid_field)?;
    takes_tenants(&state.store, context, &document).await?;
    are_registered(&state.store, &document, None).await?;
    let changes = differences(&Value::Object(Map::new()), &document);
    if is_dry_run {
        let (status, suspension) = (Status::Active, None);
        let now = TenantState { version: 0, status, suspension, document, is_changing: false };
        let after = Visible { id, now };
        return Ok(changed(StatusCode::OK, context, &after, &changes, true));
    }
    let values = (Value::Null, json!(document));
    let change =
        NewState { document, status: Status::Active, suspension: None, granted: None, values };
    let (after, status) = write(state, context, &id, None, ("tenant.created", change)).await?;
    let status = if status == StatusCode::OK { StatusCode::CREATED } else { status };
    Ok(changed(status, context, &after, &changes, false))
}

/// `POST /v1/tenants/{tenant_id}/suspend`
pub(crate) async fn suspend(
    state: &State<impl AdministrationStore, impl UserPool>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    set_status(state, context, id, ask, Status::Suspended).await
}

/// `POST /v1/tenants/{tenant_id}/resume`
pub(crate) async fn resume(
    state: &State<impl AdministrationStore, impl UserPool>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    set_status(state, context, id, ask, Status::Active).await
}

/// Serves a tenant or not, from the next call on: the version in its meter refuses calls that were
/// admitted by what the tenant was before.
async fn set_status(
    state: &State<impl AdministrationStore, impl UserPool>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
    status: Status,
) -> Result<Response<Body>, ApiError> {
    ask.only(&[])?;
    let is_suspending = status == Status::Suspended;
    let action = if is_suspending { "tenant.suspended" } else { "tenant.resumed" };
    let tenant = tenant_for(state, context, id, Permission::ManageTenants, action).await?;
    // Whoever stops a tenant need not know what else was changed; who says so is held to it.
    matches(ask, tenant.now.version, false)?;
    let mut body = object_if_any(ask)?;
    let reason = take_text(&mut body, "reason")?.unwrap_or_default();
    refuse_unknown(&body)?;
    check_text("reason", &reason)?;
    if is_suspending && reason.trim().is_empty() {
        return Err(invalid("reason", "Say why: who asks later reads it here and in the history."));
    }
    if tenant.now.status == status {
        return Ok(changed(StatusCode::OK, context, &tenant, &[], false));
    }
    let by = context.principal.id.clone();
    let suspension =
        is_suspending.then(|| Suspension { reason: reason.clone(), since: (state.now)(), by });
    let values =
        (json!({"status": tenant.now.status}), json!({"status": status, "reason": reason}));
    let changes = differences(&json!({"status": tenant.now.status}), &json!({"status": status}));
    let document = tenant.now.document.clone();
    let change = NewState { document, status, suspension, granted: None, values };
    let after = write(state, context, &tenant.id, Some(tenant.now), (action, change)).await?;
    Ok(changed(after.1, context, &after.0, &changes, false))
}

/// What a tenant is to be, and what the audit entry says of it.
pub(crate) struct NewState {
    pub(crate) document: TenantDocument,
    pub(crate) status: Status,
    pub(crate) suspension: Option<Suspension>,
    /// The request that is granted by it.
    pub(crate) granted: Option<ModelRequest>,
    pub(crate) values: (Value, Value),
}

/// Writes a change and makes it effective: 202 if that is not done yet.
pub(crate) async fn write(
    state: &State<impl AdministrationStore, impl UserPool>,
    context: &TenantContext,
    id: &TenantId,
    before: Option<TenantState>,
    (action, new): (&str, NewState),
) -> Result<(Visible, StatusCode), ApiError> {
    let version = before.as_ref().map_or(0, |before| before.version).saturating_add(1);
    let mut entry = audit::entry(state, context, action, format!("tenants/{id}"), new.values);
    entry.version = Some(version);
    let unfinished = audit::begun(state, Task::RenewTenant { tenant_id: id.clone() });
    let change = TenantChange {
        tenant_id: id.clone(),
        before,
        document: new.document,
        status: new.status,
        suspension: new.suspension,
        granted: new.granted,
        unfinished,
        entry,
    };
    if !state.store.change_tenant(&change).await.map_err(store_failed)? {
        return Err(changed_meanwhile());
    }
    let is_effective = audit::finished(state, &change.unfinished).await;
    tracing::info!(tenant_id = %id, version, action, is_effective, "tenant changed");
    let TenantChange { document, status, suspension, .. } = change;
    let now = TenantState { version, status, suspension, document, is_changing: !is_effective };
    let status = if is_effective { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((Visible { id: id.clone(), now }, status))
}

fn changed(
    status: StatusCode,
    context: &TenantContext,
    tenant: &Visible,
    changes: &[Difference],
    is_dry_run: bool,
) -> Response<Body> {
    let mut body = shown(context, tenant);
    body.insert("changes".into(), json!(changes));
    body.insert("is_dry_run".into(), is_dry_run.into());
    with_etag(answer(status, &Value::Object(body)), tenant.now.version)
}

//! OIDC issuers whose tokens are accepted: a tenant's own, and those of the organisation.
//!
//! An issuer is one owner's. Whoever has it is not told to anybody else, and the user pool is nobody's to
//! register. In paths it is named by the base64url of its `iss`, which API Gateway carries as it is.

use std::collections::BTreeSet;

use administration::{
    AdministrationStore, InvalidField, RegisteredIssuer, UserPool, check_issuer, strict,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::try_join_all;
use http::{Response, StatusCode};
use http_api::{
    ApiError, Ask, Body, answer, changed_meanwhile, conflict, invalid, invalid_field, is_creating,
    matches, may_decide, object, page, shortened, store_failed, with_etag,
};
use serde_json::{Map, Value, json};
use tenancy::{Issuer, Permission, Place, Role, TenantContext, TenantId};

use crate::State;
use crate::access::{Visible, tenant_for};
use crate::audit;

/// Issuers of one tenant.
const MAX_OF_TENANT: usize = 20;
/// Issuers of the organisation.
const MAX_OF_ORG: usize = 100;
/// Values, tenants, roles and audiences that a registration names, each.
const MAX_NAMED: usize = 200;
/// What GET shows beside it, and may be sent back.
const SHOWN: [&str; 5] = ["object", "issuer_id", "version", "changed_at", "changed_by"];

/// Whose issuers: a tenant's, or the organisation's.
#[derive(Debug)]
enum Owner {
    Tenant(Box<Visible>),
    Org,
}

impl Owner {
    /// Who has `permission` there; who has not is noted as having tried `action`.
    async fn of<P>(
        state: &State<impl AdministrationStore, P>,
        context: &TenantContext,
        tenant_id: Option<&str>,
        permission: Permission,
        action: &str,
    ) -> Result<Self, ApiError> {
        if let Some(id) = tenant_id {
            let tenant = tenant_for(state, context, id, permission, action).await?;
            return Ok(Self::Tenant(Box::new(tenant)));
        }
        match context.require_at(permission, Place::Org) {
            Ok(()) => Ok(Self::Org),
            Err(denied) => {
                Err(audit::refused(state, context, action, "issuers", denied.into()).await)
            }
        }
    }

    fn tenant_id(&self) -> Option<&TenantId> {
        match self {
            Self::Tenant(tenant) => Some(&tenant.id),
            Self::Org => None,
        }
    }

    fn subject(&self, id: &str) -> String {
        match self {
            Self::Tenant(tenant) => tenant.subject(&format!("issuers/{id}")),
            Self::Org => format!("issuers/{id}"),
        }
    }

    fn max(&self) -> usize {
        if matches!(self, Self::Org) { MAX_OF_ORG } else { MAX_OF_TENANT }
    }

    /// Whether the caller may give each of the roles that an issuer gives.
    fn may_decide(&self, context: &TenantContext, issuer: &Issuer) -> Result<(), ApiError> {
        let roles: BTreeSet<Role> =
            issuer.roles.values().chain(&issuer.role).chain(&issuer.may_grant).copied().collect();
        match self {
            Self::Tenant(tenant) => may_decide(context, tenant.place(), &roles),
            // Who may here at all runs the organisation, and gives every role.
            Self::Org => Ok(()),
        }
    }
}

/// `GET /v1/issuers`, `GET /v1/tenants/{tenant_id}/issuers`
pub(crate) async fn list<P>(
    state: &State<impl AdministrationStore, P>,
    context: &TenantContext,
    tenant_id: Option<&str>,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&[])?;
    let permission = Permission::ReadCallers;
    let owner = Owner::of(state, context, tenant_id, permission, "issuers.list").await?;
    let issuers = state.store.issuers(owner.tenant_id()).await.map_err(store_failed)?;
    let data: Vec<_> = issuers.iter().map(shown).collect();
    Ok(page(&data, None))
}

/// `GET ../issuers/{issuer_id}`
pub(crate) async fn show<P>(
    state: &State<impl AdministrationStore, P>,
    context: &TenantContext,
    tenant_id: Option<&str>,
    issuer_id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&[])?;
    let permission = Permission::ReadCallers;
    let owner = Owner::of(state, context, tenant_id, permission, "issuer.read").await?;
    let found = own(state, &owner, issuer_id).await?.1.ok_or_else(|| unknown(issuer_id))?;
    Ok(with_etag(answer(StatusCode::OK, &shown(&found)), found.version))
}

/// `PUT ../issuers/{issuer_id}`
pub(crate) async fn set(
    state: &State<impl AdministrationStore, impl UserPool>,
    context: &TenantContext,
    tenant_id: Option<&str>,
    issuer_id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&[])?;
    let (permission, action) = (Permission::ManageCallers, "issuer.set");
    let owner = Owner::of(state, context, tenant_id, permission, action).await?;
    let name = name_of(issuer_id).ok_or_else(|| {
        let message = "An issuer is named by the base64url of its `iss`, without padding: printf %s https://login.example | basenc --base64url | tr -d '=\\n'.";
        invalid("issuer_id", message)
    })?;
    let (count, before) = own(state, &owner, issuer_id).await?;
    match &before {
        Some(before) => matches(ask, before.version, true)?,
        None => is_creating(ask, true)?,
    }
    let issuer = wanted(state, &owner, &name, ask)?;
    for issuer in before.iter().map(|before| &before.issuer).chain([&issuer]) {
        if let Err(error) = owner.may_decide(context, issuer) {
            let subject = owner.subject(issuer_id);
            return Err(audit::refused(state, context, action, &subject, error).await);
        }
    }
    knows_tenants(state, &issuer).await?;
    if let Some(before) = before.as_ref().filter(|before| before.issuer == issuer) {
        return Ok(with_etag(answer(StatusCode::OK, &shown(before)), before.version));
    }
    if before.is_none() && count >= owner.max() {
        let message =
            format!("There are {} issuers already, which is as many as can be.", owner.max());
        return Err(conflict("too_many_issuers", message));
    }
    if name == state.pool.issuer() {
        return Err(taken());
    }
    let version = before.as_ref().map_or(0, |before| before.version).saturating_add(1);
    let (changed_at, changed_by) = ((state.now)(), context.principal.id.clone());
    let registered = RegisteredIssuer { issuer, version, changed_at, changed_by };
    let values =
        (before.as_ref().map_or(Value::Null, |it| json!(it.issuer)), json!(registered.issuer));
    let mut entry = audit::entry(state, context, action, owner.subject(issuer_id), values);
    entry.version = Some(version);
    let seen = before.as_ref().map(|before| before.version);
    if !state.store.put_issuer(&registered, seen, &entry).await.map_err(store_failed)? {
        return Err(if seen.is_some() { changed_meanwhile() } else { taken() });
    }
    tracing::info!(
        tenant_id = owner.tenant_id().map(TenantId::as_str),
        issuer_id,
        action,
        "issuer changed"
    );
    let status = if seen.is_none() { StatusCode::CREATED } else { StatusCode::OK };
    Ok(with_etag(answer(status, &shown(&registered)), version))
}

/// `DELETE ../issuers/{issuer_id}`
pub(crate) async fn remove<P>(
    state: &State<impl AdministrationStore, P>,
    context: &TenantContext,
    tenant_id: Option<&str>,
    issuer_id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&[])?;
    let (permission, action) = (Permission::ManageCallers, "issuer.removed");
    let owner = Owner::of(state, context, tenant_id, permission, action).await?;
    let found = own(state, &owner, issuer_id).await?.1.ok_or_else(|| unknown(issuer_id))?;
    matches(ask, found.version, false)?;
    if let Err(error) = owner.may_decide(context, &found.issuer) {
        let subject = owner.subject(issuer_id);
        return Err(audit::refused(state, context, action, &subject, error).await);
    }
    let values = (json!(found.issuer), Value::Null);
    let entry = audit::entry(state, context, action, owner.subject(issuer_id), values);
    if !state.store.delete_issuer(&found, &entry).await.map_err(store_failed)? {
        return Err(changed_meanwhile());
    }
    tracing::info!(
        tenant_id = owner.tenant_id().map(TenantId::as_str),
        issuer_id,
        action,
        "issuer changed"
    );
    let body = json!({"object": "issuer", "issuer_id": issuer_id, "deleted": true});
    Ok(answer(StatusCode::OK, &body))
}

/// How many issuers there are, and the one of that id.
async fn own<P>(
    state: &State<impl AdministrationStore, P>,
    owner: &Owner,
    issuer_id: &str,
) -> Result<(usize, Option<RegisteredIssuer>), ApiError> {
    let name = name_of(issuer_id);
    let issuers = state.store.issuers(owner.tenant_id()).await.map_err(store_failed)?;
    let count = issuers.len();
    Ok((count, issuers.into_iter().find(|it| Some(&it.issuer.issuer) == name.as_ref())))
}

/// What a body registers, checked.
fn wanted<P>(
    state: &State<impl AdministrationStore, P>,
    owner: &Owner,
    name: &str,
    ask: &Ask<'_>,
) -> Result<Issuer, ApiError> {
    let mut body = object(ask)?;
    for shown in SHOWN {
        body.remove(shown);
    }
    fixed(
        &mut body,
        "issuer",
        Some(name),
        "It is what the path names. Leave it out, or say the same.",
    )?;
    let message = match owner {
        Owner::Tenant(_) => "It is the path's tenant. Leave it out, or say the same.",
        Owner::Org => {
            "An issuer of one tenant is registered at /v1/tenants/{tenant_id}/issuers. Here, `tenant_claim` and `tenants` say whose callers they are."
        }
    };
    fixed(&mut body, "tenant_id", owner.tenant_id().map(TenantId::as_str), message)?;
    if matches!(owner, Owner::Tenant(_)) {
        for field in ["tenant_claim", "tenants"] {
            if body.contains_key(field) {
                let message = "All callers of a tenant's issuer are the tenant's. Leave it out.";
                return Err(invalid(field, message));
            }
        }
    }
    let is_large = |value: &Value| match value {
        Value::Array(list) => list.len() > MAX_NAMED,
        Value::Object(table) => table.len() > MAX_NAMED,
        _ => false,
    };
    if let Some((field, _)) = body.iter().find(|(_, value)| is_large(value)) {
        return Err(invalid(shortened(field), format!("It has {MAX_NAMED} entries at most.")));
    }
    let issuer = strict(body).map_err(|error| {
        // A field within a table or list is named by the whole.
        let end = error.field.find(['.', '[']).unwrap_or(error.field.len());
        invalid_field(InvalidField { field: error.field.chars().take(end).collect(), ..error })
    })?;
    check_issuer(&issuer, state.allow_local_issuers)
        .map_err(|(field, message)| invalid(field, format!("{message}.").replace("..", ".")))?;
    Ok(issuer)
}

/// Sets a field that is not the body's to decide.
fn fixed(
    body: &mut Map<String, Value>,
    field: &str,
    value: Option<&str>,
    message: &str,
) -> Result<(), ApiError> {
    match body.get(field) {
        Some(given) if given.as_str() != value || value.is_none() => {
            return Err(invalid(field, message));
        }
        _ => {}
    }
    if let Some(value) = value {
        body.insert(field.to_owned(), value.into());
    }
    Ok(())
}

/// Checks that the tenants of a table are there, lest a slip of the pen waits for a tenant of that name.
async fn knows_tenants<P>(
    state: &State<impl AdministrationStore, P>,
    issuer: &Issuer,
) -> Result<(), ApiError> {
    let tenants: BTreeSet<&TenantId> = issuer.tenants.values().collect();
    let found = try_join_all(tenants.iter().map(|id| state.store.tenant(id)));
    let found = found.await.map_err(store_failed)?;
    match tenants.iter().zip(found).find(|(_, found)| found.is_none()) {
        None => Ok(()),
        Some((id, _)) => Err(invalid("tenants", format!("There is no tenant `{id}`."))),
    }
}

fn name_of(issuer_id: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(issuer_id).ok()?).ok()
}

fn taken() -> ApiError {
    let message = "This issuer is registered already, and not by you. One issuer's tokens speak for one owner: use another issuer, or ask who runs the organisation.";
    conflict("issuer_taken", message)
}

fn unknown(issuer_id: &str) -> ApiError {
    ApiError::not_found("issuer", &shortened(issuer_id))
}

fn shown(registered: &RegisteredIssuer) -> Value {
    let mut body = Map::new();
    body.insert("object".into(), "issuer".into());
    body.insert("issuer_id".into(), URL_SAFE_NO_PAD.encode(&registered.issuer.issuer).into());
    if let Value::Object(fields) = json!(registered) {
        body.extend(fields);
    }
    Value::Object(body)
}

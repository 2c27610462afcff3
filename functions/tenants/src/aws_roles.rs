//! AWS roles that call for a tenant.

use std::collections::BTreeSet;

use administration::{AdministrationStore, new_aws_role};
use http::{Response, StatusCode};
use http_api::{
    ApiError, Ask, Body, answer, conflict, invalid, may_decide, object_if_any, page,
    refuse_unknown, store_failed, take_text,
};
use serde_json::{Map, Value, json};
use tenancy::{AwsRole, Permission, Role, TenantContext};

use crate::State;
use crate::access::tenant_for;
use crate::answer::invalid_caller;
use crate::audit;

/// Roles of one tenant.
const MAX_ROLES: usize = 100;

/// `GET /v1/tenants/{tenant_id}/aws-roles`
pub(crate) async fn list<P>(
    state: &State<impl AdministrationStore, P>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&[])?;
    let tenant = tenant_for(state, context, id, Permission::ReadCallers, "aws_roles.list").await?;
    let roles = state.store.aws_roles(&tenant.id).await.map_err(store_failed)?;
    let data: Vec<_> = roles.iter().map(shown).collect();
    Ok(page(&data, None))
}

/// `PUT /v1/tenants/{tenant_id}/aws-roles/{account_id}/{role_name}`
pub(crate) async fn set<P>(
    state: &State<impl AdministrationStore, P>,
    context: &TenantContext,
    id: &str,
    (account_id, role_name): (&str, &str),
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&[])?;
    let action = "aws_role.set";
    let tenant = tenant_for(state, context, id, Permission::ManageCallers, action).await?;
    let mut body = object_if_any(ask)?;
    let role = role(&mut body)?;
    let role_id = take_text(&mut body, "role_id")?;
    refuse_unknown(&body)?;
    let wanted = new_aws_role(account_id, role_name, role_id.as_deref(), &tenant.id, role);
    let wanted = wanted.map_err(invalid_caller)?;
    if let Err(error) = may_decide(context, tenant.place(), &BTreeSet::from([role])) {
        let subject = tenant.subject("aws-roles");
        return Err(audit::refused(state, context, action, &subject, error).await);
    }
    let roles = state.store.aws_roles(&tenant.id).await.map_err(store_failed)?;
    let is_same = |it: &&AwsRole| it.account_id == account_id && it.role_name == role_name;
    let before = roles.iter().find(is_same);
    if before == Some(&wanted) {
        return Ok(answer(StatusCode::OK, &shown(&wanted)));
    }
    if before.is_none() && roles.len() >= MAX_ROLES {
        let message = format!("A tenant has {MAX_ROLES} AWS roles at most.");
        return Err(conflict("too_many_roles", message));
    }
    if let Some(before) = before
        && let Err(error) = may_decide(context, tenant.place(), &BTreeSet::from([before.role]))
    {
        let subject = tenant.subject("aws-roles");
        return Err(audit::refused(state, context, action, &subject, error).await);
    }
    let subject = tenant.subject(&format!("aws-roles/{account_id}/{role_name}"));
    let values = (before.map_or(Value::Null, |role| json!(role)), json!(wanted));
    let entry = audit::entry(state, context, action, subject, values);
    if !state.store.put_aws_role(&wanted, &entry).await.map_err(store_failed)? {
        let message = "This role is registered already, and not for this tenant. A role works for one tenant: use another role.";
        return Err(conflict("role_taken", message));
    }
    tracing::info!(tenant_id = %tenant.id, account_id, role_name, action, "AWS role changed");
    let status = if before.is_none() { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer(status, &shown(&wanted)))
}

/// `DELETE /v1/tenants/{tenant_id}/aws-roles/{account_id}/{role_name}`
pub(crate) async fn remove<P>(
    state: &State<impl AdministrationStore, P>,
    context: &TenantContext,
    id: &str,
    (account_id, role_name): (&str, &str),
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&[])?;
    let action = "aws_role.removed";
    let tenant = tenant_for(state, context, id, Permission::ManageCallers, action).await?;
    let name = format!("{account_id}/{role_name}");
    let unknown = || ApiError::not_found("AWS role", &name);
    let roles = state.store.aws_roles(&tenant.id).await.map_err(store_failed)?;
    let found = roles.iter().find(|it| it.account_id == account_id && it.role_name == role_name);
    let role = found.ok_or_else(unknown)?;
    if let Err(error) = may_decide(context, tenant.place(), &BTreeSet::from([role.role])) {
        let subject = tenant.subject("aws-roles");
        return Err(audit::refused(state, context, action, &subject, error).await);
    }
    let subject = tenant.subject(&format!("aws-roles/{name}"));
    let entry = audit::entry(state, context, action, subject, (json!(role), Value::Null));
    if !state.store.delete_aws_role(role, &entry).await.map_err(store_failed)? {
        return Err(unknown());
    }
    tracing::info!(tenant_id = %tenant.id, account_id, role_name, action, "AWS role changed");
    Ok(answer(
        StatusCode::OK,
        &json!({"object": "aws_role", "account_id": account_id, "role_name": role_name, "deleted": true}),
    ))
}

fn role(body: &mut Map<String, Value>) -> Result<Role, ApiError> {
    match take_text(body, "role")? {
        None => Ok(Role::Machine),
        Some(name) => name.parse().map_err(|_| {
            let names = Role::ALL.map(Role::as_str).join(", ");
            invalid("role", format!("One of {names}; machine, if it is left out."))
        }),
    }
}

fn shown(role: &AwsRole) -> Value {
    let mut body = json!(role);
    if let Some(fields) = body.as_object_mut() {
        fields.insert("object".into(), "aws_role".into());
    }
    body
}

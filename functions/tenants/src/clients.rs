//! Machine clients: made, listed, removed, given new secrets.
//!
//! The making of a client is noted before the user pool makes it; the note goes away in the write that
//! registers it. A client whose note is still there was registered by nobody, and the schedule removes
//! it: it could call nothing, and its secret was told to nobody.

use std::collections::BTreeSet;

use administration::{
    AdministrationStore, MachineClient, Task, UserPool, UserPoolError, new_client_name, scopes_of,
};
use http::{Response, StatusCode};
use http_api::{
    ApiError, Ask, Body, answer, conflict, invalid, object, object_if_any, page, refuse_unknown,
    store_failed, take_flag, take_text,
};
use inference::FaultKind;
use serde_json::{Map, Value, json};
use tenancy::{Permission, Role, Scope, TenantContext};

use crate::State;
use crate::access::{Visible, tenant_for};
use crate::answer::invalid_caller;
use crate::audit;

/// Clients of one tenant: a user pool has room for a thousand to begin with.
const MAX_CLIENTS: usize = 50;
/// Secrets that a client can have at the same time.
const MAX_SECRETS: usize = 2;

/// `GET /v1/tenants/{tenant_id}/clients`
pub(crate) async fn list<P>(
    state: &State<impl AdministrationStore, P>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&[])?;
    let tenant = tenant_for(state, context, id, Permission::ReadCallers, "clients.list").await?;
    let clients = state.store.clients(&tenant.id).await.map_err(store_failed)?;
    let data: Vec<_> = clients.iter().map(|client| Value::Object(shown(client))).collect();
    Ok(page(&data, None))
}

/// `POST /v1/tenants/{tenant_id}/clients`
pub(crate) async fn create(
    state: &State<impl AdministrationStore, impl UserPool>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&[])?;
    let action = "client.created";
    let tenant = tenant_for(state, context, id, Permission::ManageCallers, action).await?;
    let (name, role, scopes) = wanted(ask)?;
    let clients = state.store.clients(&tenant.id).await.map_err(store_failed)?;
    if clients.len() >= MAX_CLIENTS {
        let message = format!(
            "A tenant has {MAX_CLIENTS} machine clients at most. Delete one that is not used any more."
        );
        return Err(conflict("too_many_clients", message));
    }
    let pool_name = format!("{}.{}", tenant.id, (state.new_id)());
    let task = Task::CreateClient { tenant_id: tenant.id.clone(), pool_name: pool_name.clone() };
    let unfinished = audit::begun(state, task);
    let begun = state.store.begin(&tenant.id, &unfinished, None).await.map_err(store_failed)?;
    if !begun {
        return Err(being_changed());
    }
    let made = state.pool.create_client(&pool_name, &scopes).await.map_err(store_failed)?;
    let client = MachineClient {
        client_id: made.client_id,
        name,
        scopes,
        role,
        created_at: Some((state.now)()),
        created_by: Some(context.principal.id.clone()),
    };
    let subject = tenant.subject(&format!("clients/{}", client.client_id));
    let entry = audit::entry(state, context, action, subject, (Value::Null, json!(client)));
    let issuer = state.pool.issuer();
    let registered =
        state.store.register_client(&tenant.id, issuer, &client, &unfinished, &entry).await;
    if !registered.map_err(store_failed)? {
        // It took so long that somebody cleared it away.
        return Err(being_changed());
    }
    tracing::info!(tenant_id = %tenant.id, client_id = client.client_id, action, "client changed");
    let mut body = shown(&client);
    body.insert("client_secret".into(), made.secret.expose().into());
    Ok(answer(StatusCode::CREATED, &Value::Object(body)))
}

/// `DELETE /v1/tenants/{tenant_id}/clients/{client_id}`
pub(crate) async fn remove(
    state: &State<impl AdministrationStore, impl UserPool>,
    context: &TenantContext,
    id: &str,
    client_id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&[])?;
    let action = "client.removed";
    let tenant = tenant_for(state, context, id, Permission::ManageCallers, action).await?;
    let client = own_client(state, &tenant, client_id).await?;
    let subject = tenant.subject(&format!("clients/{}", client.client_id));
    let entry = audit::entry(state, context, action, subject, (json!(client), Value::Null));
    let task =
        Task::DeleteClient { tenant_id: tenant.id.clone(), client_id: client.client_id.clone() };
    let unfinished = audit::begun(state, task);
    let removed =
        state.store.unregister_client(&tenant.id, &client.client_id, &unfinished, &entry).await;
    if !removed.map_err(store_failed)? {
        return Err(unknown(client_id));
    }
    let is_done = audit::finished(state, &unfinished).await;
    tracing::info!(tenant_id = %tenant.id, client_id = client.client_id, action, is_done, "client changed");
    let status = if is_done { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(answer(status, &json!({"object": "client", "client_id": client.client_id, "deleted": true})))
}

/// `POST /v1/tenants/{tenant_id}/clients/{client_id}/rotate`
pub(crate) async fn rotate(
    state: &State<impl AdministrationStore, impl UserPool>,
    context: &TenantContext,
    id: &str,
    client_id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&[])?;
    let action = "client.rotated";
    let tenant = tenant_for(state, context, id, Permission::ManageCallers, action).await?;
    let client = own_client(state, &tenant, client_id).await?;
    let mut body = object_if_any(ask)?;
    let drop = match take_text(&mut body, "drop")?.as_deref() {
        None => None,
        Some("older") => Some(true),
        Some("newer") => Some(false),
        Some(_) => return Err(invalid("drop", "This is `older` or `newer`.")),
    };
    let adds = take_flag(&mut body, "add", true)?;
    refuse_unknown(&body)?;
    let client_id = client.client_id.as_str();
    let secrets = match state.pool.secrets_of(client_id).await {
        Err(UserPoolError::Unsupported) => {
            let message = "This user pool holds one secret for each client. Create a second client, let the program change over to it, and delete this one.";
            return Err(conflict("rotation_unsupported", message));
        }
        other => other.map_err(store_failed)?,
    };
    if drop.is_none() && adds && secrets.len() >= MAX_SECRETS {
        let message = "The client has two secrets already, the one before the last rotation among them. Say which one goes: {\"drop\": \"older\"} or {\"drop\": \"newer\"}.";
        return Err(conflict("two_secrets", message));
    }
    if drop.is_some() && secrets.len() < MAX_SECRETS {
        return Err(invalid(
            "drop",
            "The client has one secret, which it needs. Leave `drop` out.",
        ));
    }
    let dropped = drop.and_then(|older| if older { secrets.first() } else { secrets.last() });
    let subject = tenant.subject(&format!("clients/{client_id}"));
    let values = (
        json!({"secrets": secrets.len()}),
        json!({"drop": drop.map(|older| if older { "older" } else { "newer" }), "add": adds}),
    );
    let entry = audit::entry(state, context, action, subject, values);
    let task = Task::RotateClient { tenant_id: tenant.id.clone(), client_id: client_id.to_owned() };
    let unfinished = audit::begun(state, task);
    let begun = state.store.begin(&tenant.id, &unfinished, Some(&entry)).await;
    if !begun.map_err(store_failed)? {
        return Err(being_changed());
    }
    let outcome = exchange(state, client_id, dropped, adds).await;
    // Whatever came of it, it is over; if the note stays, the schedule takes it away.
    audit::finished(state, &unfinished).await;
    let secret = outcome?;
    tracing::info!(tenant_id = %tenant.id, client_id, action, "client changed");
    let mut body = shown(&client);
    body.extend(secret.map(|secret| ("client_secret".to_owned(), secret.expose().into())));
    Ok(answer(StatusCode::OK, &Value::Object(body)))
}

/// Takes a secret from a client, and gives it another one.
async fn exchange(
    state: &State<impl AdministrationStore, impl UserPool>,
    client_id: &str,
    dropped: Option<&String>,
    adds: bool,
) -> Result<Option<administration::Secret>, ApiError> {
    if let Some(secret_id) = dropped {
        state.pool.delete_secret(client_id, secret_id).await.map_err(store_failed)?;
    }
    if adds {
        return state.pool.add_secret(client_id).await.map(Some).map_err(store_failed);
    }
    Ok(None)
}

fn wanted(ask: &Ask<'_>) -> Result<(String, Role, BTreeSet<String>), ApiError> {
    let mut body = object(ask)?;
    let name = take_text(&mut body, "name")?.unwrap_or_default();
    let name = new_client_name(&name).map_err(invalid_caller)?;
    let role = match take_text(&mut body, "role")? {
        None => Ok(Role::Machine),
        Some(name) => name.parse().map_err(|_| ()),
    };
    let role = role.ok().filter(|role| !scopes_of(*role).is_empty()).ok_or_else(|| {
        invalid("role", "This is `machine`, which calls models, or `provisioner`, which brings people by SCIM; machine, if it is left out.")
    })?;
    let permitted = scopes_of(role);
    let names: Vec<_> = permitted.iter().map(|scope| scope.as_str()).collect();
    let needed = format!("A list of at least one of {}; leave it out for all.", names.join(", "));
    let scopes = match body.remove("scopes") {
        None => permitted.iter().copied().collect(),
        Some(Value::Array(given)) => {
            let scope = |value: &Value| {
                let scope = value.as_str()?.parse::<Scope>().ok()?;
                permitted.contains(&scope).then_some(scope)
            };
            given.iter().map(scope).collect::<Option<BTreeSet<_>>>().unwrap_or_default()
        }
        Some(_) => BTreeSet::new(),
    };
    if scopes.is_empty() {
        return Err(invalid("scopes", needed));
    }
    refuse_unknown(&body)?;
    Ok((name, role, scopes.into_iter().map(|scope| scope.as_str().to_owned()).collect()))
}

/// The tenant's client of that id.
async fn own_client<P>(
    state: &State<impl AdministrationStore, P>,
    tenant: &Visible,
    client_id: &str,
) -> Result<MachineClient, ApiError> {
    let clients = state.store.clients(&tenant.id).await.map_err(store_failed)?;
    clients
        .into_iter()
        .find(|client| client.client_id == client_id)
        .ok_or_else(|| unknown(client_id))
}

fn unknown(client_id: &str) -> ApiError {
    ApiError::not_found("machine client", client_id)
}

fn being_changed() -> ApiError {
    let message = "The client is being changed. Try again in a minute.";
    ApiError::new(FaultKind::Conflict, "being_changed", message)
}

fn shown(client: &MachineClient) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("object".into(), "client".into());
    if let Value::Object(fields) = json!(client) {
        body.extend(fields);
    }
    body
}

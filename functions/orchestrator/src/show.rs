//! Tasks as they are shown, and the secrets that came of them.

use administration::{AdministrationStore, UserPool};
use admission::AuditEntry;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Response, StatusCode};
use http_api::{
    ApiError, Ask, Body, after, answer, conflict, cursor, invalid, limit, page, refused,
    store_failed,
};
use inference::FaultKind;
use lake::ObjectStore;
use orchestration::{State as TaskState, Task, TaskStore};
use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use tenancy::{LobId, Permission, Place, TenantContext, TenantId};

use crate::State;

/// Entries of a page at most.
const MAX_ENTRIES: usize = 100;
/// Tasks that are looked at for one page at most: of those, a filter may leave none.
const MAX_EXAMINED: usize = 500;
/// Set in a task's output once its secrets were told.
const TOLD: &str = "credentials_told";
/// Attempts to write a task that is written elsewhere at the same moment.
pub(crate) const MAX_TRIES: usize = 5;

/// Where a task is.
pub(crate) fn place(task: &Task) -> Place<'_> {
    Place::Tenant(&task.tenant_id, &task.lob_id)
}

/// A task that is there for the caller, who has `permission` for it; who has not is noted as having tried
/// `action`.
///
/// # Errors
/// 404 if it is not there for the caller, 403 if it may not.
pub(crate) async fn task_for<P, W, O>(
    state: &State<impl AdministrationStore, impl TaskStore, P, W, O>,
    context: &TenantContext,
    id: &str,
    permission: Permission,
    action: &str,
) -> Result<Task, ApiError> {
    let unknown = || ApiError::not_found("task", id);
    if !is_id(id) {
        return Err(unknown());
    }
    let task = state.tasks.task(id).await.map_err(store_failed)?.ok_or_else(unknown)?;
    if !context.sees(place(&task)) {
        return Err(unknown());
    }
    match context.require_at(permission, place(&task)) {
        Ok(()) => Ok(task),
        Err(denied) => {
            let entry = entry(state, context, action, format!("tasks/{id}"));
            Err(refused(&state.store, entry, denied.into()).await)
        }
    }
}

/// Whether a text is as ids of tasks are.
fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it))
}

/// An entry of what is about to be done.
pub(crate) fn entry<S, T, P, W, O>(
    state: &State<S, T, P, W, O>,
    context: &TenantContext,
    action: &str,
    subject: String,
) -> AuditEntry {
    AuditEntry::of(context, (state.new_id)(), (state.now)(), action, subject)
}

/// `GET /v1/tasks/{task_id}`
pub(crate) async fn one<P, W, O>(
    state: &State<impl AdministrationStore, impl TaskStore, P, W, O>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&[])?;
    let task = task_for(state, context, id, Permission::ReadConfiguration, "task.read").await?;
    Ok(answer(StatusCode::OK, &Value::Object(shown(&task))))
}

/// A task, without what it was asked for: that names people.
pub(crate) fn shown(task: &Task) -> Map<String, Value> {
    let (done, total) = task.progress();
    let mut output = task.output.clone();
    if let Some(output) = output.as_object_mut() {
        output.remove(TOLD);
    }
    let fields = json!({
        "object": "task",
        "task_id": task.task_id,
        "kind": task.kind,
        "tenant_id": task.tenant_id,
        "lob_id": task.lob_id,
        "state": task.state,
        "progress": {"done": done, "total": total},
        "steps": task.steps,
        "error": task.error,
        "output": output,
        "cancel_requested": task.cancel_requested,
        "requested_by": task.requested_by.principal_id,
        "created_at": task.created_at,
        "updated_at": task.heartbeat_at,
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// `GET /v1/tasks`
pub(crate) async fn list<P, W, O>(
    state: &State<impl AdministrationStore, impl TaskStore, P, W, O>,
    context: &TenantContext,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&["lob_id", "tenant_id", "state", "limit", "cursor"])?;
    let lob_id = match ask.get("lob_id") {
        None => context.lob_id.clone(),
        Some(text) => {
            text.parse::<LobId>().map_err(|error| invalid("lob_id", format!("{error}.")))?
        }
    };
    let tenant_id = ask.get("tenant_id").map(str::parse::<TenantId>).transpose();
    let tenant_id = tenant_id.map_err(|error| invalid("tenant_id", format!("{error}.")))?;
    let wanted = ask.get("state").map(|text| TaskState::deserialize(json!(text))).transpose();
    let wanted = wanted.map_err(|_| {
        let message =
            "This is one of queued, running, waiting, compensating, succeeded, failed, cancelled.";
        invalid("state", message)
    })?;
    let (limit, mut before) = (limit(ask, 20, MAX_ENTRIES)?, after(ask)?);
    let permission = Permission::ReadConfiguration;
    let mut tenant_id = tenant_id;
    if context.require_at(permission, Place::Lob(&lob_id)).is_err() {
        if lob_id != context.lob_id {
            return Err(ApiError::not_found("line of business", lob_id.as_str()));
        }
        // Who sees no more than their own tenant sees how that was made.
        let own = &context.tenant_id;
        if let Err(denied) = context.require_at(permission, Place::Tenant(own, &lob_id)) {
            let entry = entry(state, context, "tasks.list", format!("tenants/{own}/tasks"));
            return Err(refused(&state.store, entry, denied.into()).await);
        }
        if let Some(other) = tenant_id.filter(|id| id != own) {
            return Err(ApiError::not_found("tenant", other.as_str()));
        }
        tenant_id = Some(own.clone());
    }
    let is_wanted = |task: &Task| {
        wanted.is_none_or(|state| state == task.state)
            && tenant_id.as_ref().is_none_or(|id| *id == task.tenant_id)
    };
    let (mut data, mut examined) = (Vec::new(), 0);
    loop {
        let found = state.tasks.tasks_of(&lob_id, before.as_deref(), limit).await;
        let found = found.map_err(store_failed)?;
        examined += found.len();
        let is_last = found.len() < limit;
        for task in &found {
            before = Some(task.position());
            data.extend(is_wanted(task).then(|| Value::Object(shown(task))));
            if data.len() == limit {
                break;
            }
        }
        if is_last && data.len() < limit {
            return Ok(page(&data, None));
        }
        if data.len() == limit || examined >= MAX_EXAMINED {
            let next = before.map(|position| cursor(&position));
            return Ok(page(&data, next.as_deref()));
        }
    }
}

/// `GET /v1/tasks/{task_id}/evidence`
///
/// What an off-boarding has signed, to the byte, with what it is checked by.
pub(crate) async fn evidence<P, W>(
    state: &State<impl AdministrationStore, impl TaskStore, P, W, impl ObjectStore>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&[])?;
    let permission = Permission::ReadConfiguration;
    let task = task_for(state, context, id, permission, "task.evidence").await?;
    let Some(key) = task.output.get("evidence").and_then(Value::as_str) else {
        let message = "An off-boarding has evidence once it has succeeded.";
        return Err(conflict("no_evidence", message));
    };
    let stem = key.trim_end_matches(".json");
    let (signature, public_key) = (format!("{stem}.sig"), format!("{stem}.pub.pem"));
    let papers = &state.papers;
    let found = tokio::try_join!(papers.get(key), papers.get(&signature), papers.get(&public_key));
    let (Some(evidence), Some(signature), Some(public_key)) = found.map_err(store_failed)? else {
        return Err(ApiError::not_found("evidence of task", id));
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let body = json!({
        "object": "offboarding_evidence_pack",
        "task_id": id,
        "tenant_id": task.tenant_id,
        "evidence": text(&evidence),
        "signature": STANDARD.encode(signature),
        "public_key": text(&public_key),
    });
    Ok(answer(StatusCode::OK, &body))
}

/// `POST /v1/tasks/{task_id}/credentials`
///
/// The secrets of the machine clients that a task made, told once, to whoever asked for the task. That they
/// are told is written before they are.
pub(crate) async fn credentials<W, O>(
    state: &State<impl AdministrationStore, impl TaskStore, impl UserPool, W, O>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&[])?;
    let action = "task.credentials_told";
    let task = task_for(state, context, id, Permission::ManageTenants, action).await?;
    let requester = &task.requested_by;
    let is_own = (&requester.principal_id, &requester.tenant_id)
        == (&context.principal.id, &context.tenant_id);
    if !is_own {
        let message = "The secrets of a task are told to whoever asked for it, and to nobody else. Make a machine client of your own: POST /v1/tenants/{tenant_id}/clients.";
        let error = ApiError::new(FaultKind::PermissionDenied, "permission_denied", message);
        let entry = entry(state, context, action, format!("tasks/{id}"));
        return Err(refused(&state.store, entry, error).await);
    }
    if task.state != TaskState::Succeeded {
        let message = "A task has credentials once it has succeeded.";
        return Err(conflict("task_not_succeeded", message));
    }
    if task.output.get(TOLD).is_some() {
        let message = "The secrets were told, once. Give the client a new one: POST /v1/tenants/{tenant_id}/clients/{client_id}/rotate.";
        return Err(conflict("credentials_told", message));
    }
    let made = task.output.get("clients").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut data = Vec::new();
    for client in made {
        let client_id = client.get("client_id").and_then(Value::as_str).unwrap_or_default();
        let secret = state.pool.secret_of(client_id).await.map_err(store_failed)?;
        data.push(json!({
            "object": "client",
            "client_id": client_id,
            "name": client.get("name"),
            "client_secret": secret.expose(),
        }));
    }
    let mut task = task;
    if let Some(output) = task.output.as_object_mut() {
        output.insert(TOLD.to_owned(), true.into());
    }
    task.version = task.version.saturating_add(1);
    let entry = entry(state, context, action, format!("tasks/{id}"));
    if !state.tasks.save(&task, Some(&entry)).await.map_err(store_failed)? {
        let message = "The secrets are being told to another request.";
        return Err(conflict("credentials_told", message));
    }
    Ok(page(&data, None))
}

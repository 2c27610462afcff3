//! Tasks are asked for, and called off.

use administration::AdministrationStore;
use admission::AuditEntry;
use audit::sha256;
use http::{HeaderName, Response, StatusCode, header};
use http_api::{
    ApiError, Ask, Body, answer, are_registered, conflict, invalid, invalid_field, is_free,
    may_decide, object, refused, store_failed, takes_tenants, with_header,
};
use inference::FaultKind;
use orchestration::{
    Created, Kind, Onboarding, Request, Requester, State as TaskState, Task, TaskStore, Way,
    Workflow,
};
use serde_json::{Value, json};
use tenancy::{LobId, Permission, Place, Role, TenantContext, TenantId};

use crate::State;
use crate::show::{MAX_TRIES, entry, shown, task_for};

/// Names a request, so that it can be sent again without being done again (IETF draft
/// `draft-ietf-httpapi-idempotency-key-header`).
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Characters of such a key.
const MAX_KEY: usize = 255;

/// What is asked for, in words of a task.
struct Wanted {
    tenant_id: TenantId,
    kind: Kind,
    /// The line of business that the tenant is of, or is to be of.
    lob_id: LobId,
    input: Value,
}

/// `POST /v1/tasks`
pub(crate) async fn create<P, O>(
    state: &State<impl AdministrationStore, impl TaskStore, P, impl Workflow, O>,
    context: &TenantContext,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&["dry_run"])?;
    let is_dry_run = ask.flag("dry_run")?;
    let action = "task.created";
    if let Err(denied) = context.require(Permission::ManageTenants) {
        let entry = entry(state, context, action, "tasks".to_owned());
        return Err(refused(&state.store, entry, denied.into()).await);
    }
    let named = idempotency_key(ask)?.map(|key| task_id(context, key));
    let (tenant_id, request) = Request::read(object(ask)?).map_err(invalid_field)?;
    if let Some(task_id) = &named
        && let Some(found) = state.tasks.task(task_id).await.map_err(store_failed)?
    {
        return again(state, &found, &tenant_id, &request).await;
    }
    let checked = checked(state, context, tenant_id, request).await;
    let wanted = match checked {
        Ok(wanted) => wanted,
        Err(error) => {
            let entry = entry(state, context, action, "tasks".to_owned());
            return Err(refused(&state.store, entry, error).await);
        }
    };
    let task = task_of(state, context, named, wanted);
    if is_dry_run {
        let mut body = shown(&task);
        body.insert("is_dry_run".to_owned(), true.into());
        return Ok(answer(StatusCode::OK, &Value::Object(body)));
    }
    let entry = AuditEntry {
        after: json!({"kind": task.kind, "tenant_id": task.tenant_id, "lob_id": task.lob_id}),
        ..entry(state, context, action, format!("tasks/{}", task.task_id))
    };
    match state.tasks.create(&task, &entry).await.map_err(store_failed)? {
        Created::New => {}
        // Two requests with one key crossed.
        Created::Existing(found) => return accepted(state, &found).await,
        Created::Busy(other) => {
            let message = format!(
                "The tenant `{}` has another task that is not over: `{other}`. Wait for it, or cancel it.",
                task.tenant_id
            );
            return Err(conflict("tenant_busy", message));
        }
    }
    tracing::info!(task_id = task.task_id, tenant_id = %task.tenant_id, kind = ?task.kind, "task created");
    accepted(state, &task).await
}

/// Sets a task going that may not be yet, and says where it is.
async fn accepted<S, T, P, O>(
    state: &State<S, T, P, impl Workflow, O>,
    task: &Task,
) -> Result<Response<Body>, ApiError> {
    if task.state == TaskState::Queued
        && let Err(error) = state.workflow.start(&task.task_id, task.version).await
    {
        // It is written, so the schedule sets it going.
        tracing::error!(task_id = task.task_id, %error, "a task could not be set going");
    }
    let body = Value::Object(shown(task));
    let place = format!("/v1/tasks/{}", task.task_id);
    Ok(with_header(answer(StatusCode::ACCEPTED, &body), header::LOCATION, &place))
}

/// The answer to a request that was there before, by its key.
async fn again<S, T, P, O>(
    state: &State<S, T, P, impl Workflow, O>,
    found: &Task,
    tenant_id: &TenantId,
    request: &Request,
) -> Result<Response<Body>, ApiError> {
    let is_same = found.tenant_id == *tenant_id
        && found.kind == request.kind()
        && match request {
            Request::Onboard(wanted) => found.input == json!(wanted),
            Request::Offboard => true,
            Request::Move(to) => found.lob_id == *to,
        };
    if !is_same {
        let message =
            "This Idempotency-Key was sent with another request. A new request needs a new key.";
        return Err(conflict("idempotency_key_reused", message));
    }
    accepted(state, found).await
}

/// The key that a request names itself by.
fn idempotency_key<'a>(ask: &Ask<'a>) -> Result<Option<&'a str>, ApiError> {
    let Some(key) = ask.header(&IDEMPOTENCY_KEY) else { return Ok(None) };
    if key.is_empty() || key.len() > MAX_KEY || !key.bytes().all(|it| it.is_ascii_graphic()) {
        let message =
            format!("This has 1 to {MAX_KEY} visible ASCII characters, for example a UUID.");
        return Err(invalid("Idempotency-Key", message));
    }
    Ok(Some(key))
}

/// The id of the task that a caller's key asks for. Keys of others are others'.
fn task_id(context: &TenantContext, key: &str) -> String {
    let caller = json!([context.tenant_id, context.principal.id, key]);
    let mut id = sha256(caller.to_string().as_bytes());
    id.truncate(32);
    id
}

fn task_of<S, T, P, W, O>(
    state: &State<S, T, P, W, O>,
    context: &TenantContext,
    named: Option<String>,
    wanted: Wanted,
) -> Task {
    let requested_by = Requester {
        principal_id: context.principal.id.clone(),
        principal_kind: Some(context.principal.kind),
        tenant_id: context.tenant_id.clone(),
        roles: context.roles.clone(),
    };
    let task_id = named.unwrap_or_else(state.new_id);
    let Wanted { tenant_id, kind, lob_id, input } = wanted;
    Task::new(task_id, kind, tenant_id, lob_id, requested_by, (state.now)(), input)
}

/// What is asked for, if the caller may ask for it and it can be done as things stand.
async fn checked<T, P, W, O>(
    state: &State<impl AdministrationStore, T, P, W, O>,
    context: &TenantContext,
    tenant_id: TenantId,
    request: Request,
) -> Result<Wanted, ApiError> {
    let kind = request.kind();
    if let Request::Onboard(wanted) = request {
        may_onboard(state, context, &tenant_id, &wanted).await?;
        let lob_id = wanted.document.lob_id.clone();
        return Ok(Wanted { tenant_id, kind, lob_id, input: json!(wanted) });
    }
    let found = state.store.tenant(&tenant_id).await.map_err(store_failed)?;
    let unknown = || ApiError::not_found("tenant", tenant_id.as_str());
    let from = found.ok_or_else(unknown)?.document.lob_id;
    let place = Place::Tenant(&tenant_id, &from);
    if !context.sees(place) {
        return Err(unknown());
    }
    context.require_at(Permission::ManageTenants, place)?;
    if tenant_id == context.tenant_id {
        let message =
            "This is the tenant that you call for. Somebody of another one has to do that.";
        return Err(conflict("own_tenant", message));
    }
    let Request::Move(to) = request else {
        // What is taken away does not come back: whoever runs the organisation decides on that.
        context.require_at(Permission::ManageTenants, Place::Org)?;
        return Ok(Wanted { tenant_id, kind, lob_id: from, input: Value::Null });
    };
    let is_permitted = context.require_at(Permission::ManageTenants, Place::Lob(&to)).is_ok();
    let lob = state.store.lob(&to).await.map_err(store_failed)?;
    if lob.is_none() || !is_permitted {
        return Err(invalid("lob_id", format!("There is no line of business `{to}`.")));
    }
    if to == from {
        return Err(invalid("lob_id", "The tenant is of this line of business already."));
    }
    Ok(Wanted { tenant_id, kind, lob_id: to.clone(), input: json!(Way { from, to }) })
}

async fn may_onboard<T, P, W, O>(
    state: &State<impl AdministrationStore, T, P, W, O>,
    context: &TenantContext,
    tenant_id: &TenantId,
    wanted: &Onboarding,
) -> Result<(), ApiError> {
    let within = |error: ApiError| {
        let field = error.fault().param.as_ref().map(|field| format!("tenant.{field}"));
        match field {
            Some(field) => invalid(field, error.fault().message.clone()),
            None => error,
        }
    };
    takes_tenants(&state.store, context, &wanted.document).await.map_err(within)?;
    is_free(&state.store, tenant_id).await?;
    are_registered(&state.store, &wanted.document, None).await.map_err(within)?;
    let place = Place::Tenant(tenant_id, &wanted.document.lob_id);
    let people = wanted.users.iter().flat_map(|person| person.roles.iter().copied());
    let roles = people.chain(wanted.aws_roles.iter().map(|it| it.role));
    let programs = wanted.clients.iter().map(|_| Role::Machine);
    may_decide(context, place, &roles.chain(programs).collect())
}

/// `POST /v1/tasks/{task_id}/cancel`
///
/// Whoever does its next step takes back what was done.
pub(crate) async fn cancel<P, W, O>(
    state: &State<impl AdministrationStore, impl TaskStore, P, W, O>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&[])?;
    let action = "task.cancel_requested";
    for _ in 0..MAX_TRIES {
        let mut task = task_for(state, context, id, Permission::ManageTenants, action).await?;
        if task.is_over() {
            return Err(conflict("task_over", "The task is over, so nothing can be called off."));
        }
        if task.is_committed() {
            let message =
                "The task has done what cannot be taken back any more, and goes on to its end.";
            return Err(conflict("task_committed", message));
        }
        if task.cancel_requested {
            return Ok(answer(StatusCode::ACCEPTED, &Value::Object(shown(&task))));
        }
        task.cancel_requested = true;
        task.version = task.version.saturating_add(1);
        let entry = entry(state, context, action, format!("tasks/{id}"));
        if state.tasks.save(&task, Some(&entry)).await.map_err(store_failed)? {
            return Ok(answer(StatusCode::ACCEPTED, &Value::Object(shown(&task))));
        }
    }
    let message = "The task is being written. Try again in a moment.";
    Err(ApiError::new(FaultKind::Conflict, "being_changed", message))
}

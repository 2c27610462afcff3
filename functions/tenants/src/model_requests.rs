//! Models that tenants ask for: any member asks, whoever sets the tenant's list decides.

use std::collections::BTreeSet;

use administration::{AdministrationStore, ModelRequest, UserPool};
use admission::RequestStatus;
use http::{Response, StatusCode};
use http_api::{
    ApiError, Ask, Body, after, answer, changed_meanwhile, conflict, invalid, limit, object,
    object_if_any, page_of, refuse_unknown, store_failed, take_text,
};
use inference::FaultKind;
use serde_json::{Map, Value, json};
use tenancy::{ModelId, Permission, TenantContext};

use crate::State;
use crate::access::{Visible, tenant_for, unknown};
use crate::answer::check_text;
use crate::audit;
use crate::change::{NewState, write};

/// Requests of one tenant that nobody has decided on.
const MAX_OPEN: usize = 100;
/// Times that granting is tried when the tenant changes meanwhile.
const MAX_TRIES: usize = 3;

/// `GET /v1/tenants/{tenant_id}/model-requests`: all of them for those who see what the tenant is, else the
/// caller's own.
pub(crate) async fn list<P>(
    state: &State<impl AdministrationStore, P>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&["status", "limit", "cursor"])?;
    let (limit, after) = (limit(ask, 50, 100)?, after(ask)?);
    let status = match ask.get("status") {
        None => None,
        Some("requested") => Some(RequestStatus::Requested),
        Some("approved") => Some(RequestStatus::Approved),
        Some("rejected") => Some(RequestStatus::Rejected),
        Some(_) => {
            return Err(invalid("status", "This is `requested`, `approved` or `rejected`."));
        }
    };
    let action = "model_requests.list";
    let tenant = tenant_for(state, context, id, Permission::ReadTenant, action).await?;
    let sees_all = context.require_at(Permission::ReadConfiguration, tenant.place()).is_ok();
    let mut found = state.store.model_requests(&tenant.id).await.map_err(store_failed)?;
    found.retain(|request| {
        (sees_all || request.is_of(context))
            && status.is_none_or(|status| request.status == status)
            && after.as_ref().is_none_or(|after| request.id < *after)
    });
    let shown = |request: &ModelRequest| Value::Object(shown(&tenant, request));
    Ok(page_of(&found, limit, |request| request.id.clone(), shown))
}

/// `POST /v1/tenants/{tenant_id}/model-requests`
pub(crate) async fn ask<P>(
    state: &State<impl AdministrationStore, P>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&[])?;
    let action = "model_request.requested";
    let tenant = tenant_for(state, context, id, Permission::RequestModel, action).await?;
    let mut body = object(ask)?;
    let model = take_text(&mut body, "model")?.unwrap_or_default();
    let reason = said(&mut body, "reason")?;
    refuse_unknown(&body)?;
    let Some(reason) = reason else {
        return Err(invalid("reason", "Say what for: whoever decides reads it."));
    };
    let unregistered = || invalid("model", "There is no such model in the registry.");
    let model: ModelId = model.parse().map_err(|_| unregistered())?;
    if !state.store.models().await.map_err(store_failed)?.contains(&model) {
        return Err(unregistered());
    }
    if tenant.now.document.models.contains(&model) {
        return Err(conflict("on_list_already", "The tenant has this model on its list."));
    }
    let found = state.store.model_requests(&tenant.id).await.map_err(store_failed)?;
    let open = || found.iter().filter(|request| request.status == RequestStatus::Requested);
    if let Some(request) = open().find(|request| request.model == model) {
        let message = format!("The tenant asks for this model already: request `{}`.", request.id);
        return Err(conflict("requested_already", message));
    }
    if open().count() >= MAX_OPEN {
        let message =
            format!("A tenant asks for {MAX_OPEN} models at most. Have some decided on first.");
        return Err(conflict("too_many_requests", message));
    }
    let request = ModelRequest {
        id: (state.new_id)(),
        model,
        reason,
        requested_by: context.principal.id.clone(),
        requested_by_tenant: context.tenant_id.clone(),
        requested_at: (state.now)(),
        status: RequestStatus::Requested,
        decided_by: None,
        decided_at: None,
        note: None,
    };
    let entry = audit::entry(
        state,
        context,
        action,
        subject(&tenant, &request),
        (Value::Null, json!(request)),
    );
    let is_asked = state.store.put_model_request(&tenant.id, &request, &entry).await;
    if !is_asked.map_err(store_failed)? {
        return Err(unknown(id));
    }
    Ok(answer(StatusCode::CREATED, &Value::Object(shown(&tenant, &request))))
}

/// `POST /v1/tenants/{tenant_id}/model-requests/{request_id}/approve` and `/reject`
pub(crate) async fn decide(
    state: &State<impl AdministrationStore, impl UserPool>,
    context: &TenantContext,
    (id, request_id): (&str, &str),
    is_approval: bool,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&[])?;
    let mut body = object_if_any(ask)?;
    let note = said(&mut body, "note")?;
    refuse_unknown(&body)?;
    let action = if is_approval { "model_request.approved" } else { "model_request.rejected" };
    for _ in 0..MAX_TRIES {
        let tenant = tenant_for(state, context, id, Permission::ManageTenants, action).await?;
        let found = state.store.model_requests(&tenant.id).await.map_err(store_failed)?;
        let Some(asked) = found.into_iter().find(|request| request.id == request_id) else {
            return Err(ApiError::not_found("request for a model", request_id));
        };
        if asked.status != RequestStatus::Requested {
            return Err(conflict("already_decided", "Somebody decided on this request already."));
        }
        if is_approval && asked.is_of(context) {
            let message = "Nobody grants their own request. Ask another administrator.";
            let error = ApiError::new(FaultKind::PermissionDenied, "own_request", message);
            let subject = subject(&tenant, &asked);
            return Err(audit::refused(state, context, action, &subject, error).await);
        }
        let decided = ModelRequest {
            status: if is_approval { RequestStatus::Approved } else { RequestStatus::Rejected },
            decided_by: Some(context.principal.id.clone()),
            decided_at: Some((state.now)()),
            note: note.clone(),
            ..asked.clone()
        };
        if is_approval {
            match grant(state, context, tenant, decided).await {
                // Somebody changed something else meanwhile, or decided first.
                Err(error) if error.fault().kind == FaultKind::PreconditionFailed => {}
                decided => return decided,
            }
            continue;
        }
        let values = (json!(asked), json!(decided));
        let entry = audit::entry(state, context, action, subject(&tenant, &decided), values);
        let is_done = state.store.put_model_request(&tenant.id, &decided, &entry).await;
        if is_done.map_err(store_failed)? {
            return Ok(answer(StatusCode::OK, &Value::Object(shown(&tenant, &decided))));
        }
    }
    Err(changed_meanwhile())
}

/// Puts a model on the list of the tenant that asked for it, as the tenant's next version.
async fn grant(
    state: &State<impl AdministrationStore, impl UserPool>,
    context: &TenantContext,
    tenant: Visible,
    decided: ModelRequest,
) -> Result<Response<Body>, ApiError> {
    let model = &decided.model;
    if !state.store.models().await.map_err(store_failed)?.contains(model) {
        let message =
            format!("The model `{model}` is in the registry no more. Reject the request.");
        return Err(conflict("not_registered", message));
    }
    let lob_id = &tenant.now.document.lob_id;
    let lob = state.store.lob(lob_id).await.map_err(store_failed)?;
    let of_lob = lob.and_then(|lob| lob.document.models);
    if of_lob.is_some_and(|models: BTreeSet<ModelId>| !models.contains(model)) {
        let message = format!(
            "The line of business `{lob_id}` does not call `{model}`. An administrator of the organisation puts it on the `models` of the line of business first."
        );
        return Err(conflict("not_of_lob", message));
    }
    let mut document = tenant.now.document.clone();
    let before = json!({"models": document.models});
    document.models.insert(model.clone());
    let after = json!({"models": document.models, "model_request": decided});
    let new = NewState {
        document,
        status: tenant.now.status,
        suspension: tenant.now.suspension.clone(),
        granted: Some(decided.clone()),
        values: (before, after),
    };
    let Visible { id, now } = tenant;
    let action = "model_request.approved";
    let (tenant, status) = write(state, context, &id, Some(now), (action, new)).await?;
    Ok(answer(status, &Value::Object(shown(&tenant, &decided))))
}

/// A text that the body has, if it has one.
fn said(body: &mut Map<String, Value>, name: &str) -> Result<Option<String>, ApiError> {
    let text = take_text(body, name)?.filter(|text| !text.trim().is_empty());
    if let Some(text) = &text {
        check_text(name, text)?;
    }
    Ok(text)
}

fn subject(tenant: &Visible, request: &ModelRequest) -> String {
    tenant.subject(&format!("model-requests/{}", request.id))
}

fn shown(tenant: &Visible, request: &ModelRequest) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("object".into(), "model_request".into());
    body.insert("tenant_id".into(), json!(tenant.id));
    if let Value::Object(fields) = json!(request) {
        body.extend(fields);
    }
    body
}

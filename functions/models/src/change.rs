//! Entries are registered, changed, put back and brought into stages.

use std::collections::BTreeSet;

use administration::AdministrationStore;
use admission::AuditEntry;
use http::{Response, StatusCode};
use http_api::{
    ApiError, Ask, Body, answer, changed_meanwhile, conflict, invalid, invalid_field, is_creating,
    matches, object, refuse_unknown, refused, store_failed, version, with_etag,
};
use inference::{FaultKind, Stage};
use registry::{
    Change, ModelEntry, RegistryStore, StageProblem, Versioned, moved, read_model, restored,
};
use serde_json::{Value, json};
use tenancy::{ModelId, Permission, TenantContext};

use crate::State;
use crate::show::{model, shown};

/// `PUT /v1/registry/models/{model_id}`
pub(crate) async fn set(
    state: &State<impl AdministrationStore, impl RegistryStore>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&["dry_run"])?;
    let is_dry_run = ask.flag("dry_run")?;
    let audit = permitted(state, context, "model.set", id).await?;
    let id: ModelId = id.parse().map_err(|error| invalid("model_id", format!("{error}.")))?;
    let before = state.registry.model(&id).await.map_err(store_failed)?;
    match &before {
        Some(before) => matches(ask, before.version, !is_dry_run)?,
        None => is_creating(ask, !is_dry_run)?,
    }
    let was = before.as_ref().map(|before| &before.entry);
    let by = &context.principal.id;
    let entry = read_model(object(ask)?, &id, was, by, (state.now)()).map_err(invalid_field)?;
    write(state, (before, entry), audit, is_dry_run).await
}

/// `POST /v1/registry/models/{model_id}/rollback`
pub(crate) async fn roll_back(
    state: &State<impl AdministrationStore, impl RegistryStore>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&["dry_run"])?;
    let is_dry_run = ask.flag("dry_run")?;
    let audit = permitted(state, context, "model.rolled_back", id).await?;
    let before = model(state, id).await?;
    matches(ask, before.version, !is_dry_run)?;
    let version = version(ask)?;
    let id = &before.entry.model.id;
    let found = state.registry.versions(id, version.saturating_add(1), 1).await;
    let found = found.map_err(store_failed)?.pop().filter(|found| found.version == version);
    let Some(earlier) = found else {
        let message = format!(
            "There is no version {version} of this model. GET ../history lists its versions."
        );
        return Err(invalid("version", message));
    };
    let entry = restored(&before.entry, &earlier.entry, &context.principal.id);
    write(state, (Some(before), entry.map_err(invalid_field)?), audit, is_dry_run).await
}

/// `POST /v1/registry/models/{model_id}/stage`
pub(crate) async fn stage(
    state: &State<impl AdministrationStore, impl RegistryStore>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&["dry_run"])?;
    let is_dry_run = ask.flag("dry_run")?;
    let audit = permitted(state, context, "model.stage", id).await?;
    let before = model(state, id).await?;
    // Whoever approves has read what they approve.
    matches(ask, before.version, !is_dry_run)?;
    let mut body = object(ask)?;
    let to = body.remove("stage").and_then(|stage| serde_json::from_value::<Stage>(stage).ok());
    let Some(to) = to else {
        return Err(invalid("stage", "This is `approved`, `deprecated` or `retired`."));
    };
    refuse_unknown(&body)?;
    match moved(&before.entry, to, &context.principal.id, (state.now)()) {
        Ok(entry) => write(state, (Some(before), entry), audit, is_dry_run).await,
        Err(problem @ StageProblem::NoWay { .. }) => {
            Err(conflict("no_way_to_stage", problem.to_string()))
        }
        Err(problem @ StageProblem::OwnEntry) => {
            let error =
                ApiError::new(FaultKind::PermissionDenied, "own_entry", problem.to_string());
            Err(refused(&state.store, audit, error).await)
        }
    }
}

/// The audit entry of what the caller is about to do, if it may; a refusal is noted.
async fn permitted<R>(
    state: &State<impl AdministrationStore, R>,
    context: &TenantContext,
    action: &str,
    id: &str,
) -> Result<AuditEntry, ApiError> {
    let subject = format!("registry/models/{id}");
    let entry = AuditEntry::of(context, (state.new_id)(), (state.now)(), action, subject);
    match context.require(Permission::ManageModels) {
        Ok(()) => Ok(entry),
        Err(denied) => Err(refused(&state.store, entry, denied.into()).await),
    }
}

/// Writes an entry, or shows what it would be. One that says the same as before is not written.
async fn write<S>(
    state: &State<S, impl RegistryStore>,
    (before, entry): (Option<Versioned>, ModelEntry),
    audit: AuditEntry,
    is_dry_run: bool,
) -> Result<Response<Body>, ApiError> {
    let models = state.registry.models().await.map_err(store_failed)?;
    let registered: BTreeSet<ModelId> = models.into_iter().map(|it| it.entry.model.id).collect();
    entry.check_names(&registered).map_err(invalid_field)?;
    if let Some(before) = &before {
        let by = before.entry.written_by.clone();
        if before.entry == (ModelEntry { written_by: by, ..entry.clone() }) {
            return Ok(answered(StatusCode::OK, before, is_dry_run));
        }
    }
    let was = before.as_ref().map_or(Value::Null, |before| json!(before.entry));
    let audit = AuditEntry { before: was, after: json!(entry), ..audit };
    let change = Change::new(before, entry, audit);
    if is_dry_run {
        return Ok(answered(StatusCode::OK, &change.after, true));
    }
    if !state.registry.change(&change).await.map_err(store_failed)? {
        return Err(changed_meanwhile());
    }
    let status = if change.before.is_none() { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answered(status, &change.after, false))
}

fn answered(status: StatusCode, version: &Versioned, is_dry_run: bool) -> Response<Body> {
    let mut body = shown(version);
    if is_dry_run {
        body.insert("is_dry_run".into(), true.into());
        return answer(status, &Value::Object(body));
    }
    with_etag(answer(status, &Value::Object(body)), version.version)
}

//! Entries are registered, changed, put back, taken away; models brought into stages, and deployed.

use std::collections::BTreeSet;

use admission::AuditEntry;
use http::{Response, StatusCode};
use http_api::{
    ApiError, Ask, Body, answer, changed_meanwhile, conflict, invalid, invalid_field, is_creating,
    matches, object, refuse_unknown, refused, store_failed, take_text, version, with_etag,
};
use inference::{Alias, FaultKind, Stage};
use registry::{
    Change, Kind, ModelEntry, RegistryStore, Removal, StageProblem, Versioned, WHOLE, deployed,
    moved,
};
use serde_json::{Value, json};
use tenancy::{ModelId, Permission, TenantContext};

use crate::show::{Shown, entry, shown};
use crate::{Ports, State};

/// `PUT /v1/registry/models/{model_id}`, `PUT /v1/registry/aliases/{alias}`
pub(crate) async fn set<E: Shown, P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&["dry_run"])?;
    let is_dry_run = ask.flag("dry_run")?;
    let audit = permitted_at(state, context, (E::KIND, "set"), id).await?;
    let refuse = |error: tenancy::InvalidId| invalid(E::KIND.parameter(), format!("{error}."));
    let id: ModelId = id.parse().map_err(refuse)?;
    let before = state.registry.entry::<E>(&id).await.map_err(store_failed)?;
    match &before {
        Some(before) => matches(ask, before.version, !is_dry_run)?,
        None => is_creating(ask, !is_dry_run)?,
    }
    let was = before.as_ref().map(|before| &before.entry);
    let by = &context.principal.id;
    let entry = E::read(object(ask)?, &id, was, by, (state.now)()).map_err(invalid_field)?;
    write(state, (before, entry), audit, is_dry_run).await
}

/// `DELETE /v1/registry/aliases/{alias}`
pub(crate) async fn remove<E: Shown, P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&[])?;
    let audit = permitted_at(state, context, (E::KIND, "removed"), id).await?;
    let before = entry::<E, _>(state, id).await?;
    matches(ask, before.version, true)?;
    let audit = AuditEntry { before: json!(before.entry), ..audit };
    let removal = Removal { before, audit };
    if !state.registry.remove(&removal).await.map_err(store_failed)? {
        return Err(changed_meanwhile());
    }
    let (object, id) = (E::KIND.as_str(), removal.before.entry.id());
    Ok(answer(StatusCode::OK, &json!({"object": object, "id": id, "deleted": true})))
}

/// `POST ../rollback`
pub(crate) async fn roll_back<E: Shown, P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    let (before, audit, is_dry_run) = begin::<E, _>(state, context, "rolled_back", id, ask).await?;
    let version = version(ask)?;
    let id = before.entry.id();
    let found = state.registry.versions::<E>(id, version.saturating_add(1), 1).await;
    let found = found.map_err(store_failed)?.pop().filter(|found| found.version == version);
    let Some(earlier) = found else {
        let message = format!(
            "There is no version {version} of this {}. GET ../history lists its versions.",
            E::KIND.as_str()
        );
        return Err(invalid("version", message));
    };
    let entry = before.entry.restored(&earlier.entry, &context.principal.id);
    write(state, (Some(before), entry.map_err(invalid_field)?), audit, is_dry_run).await
}

/// `POST /v1/registry/models/{model_id}/stage`
pub(crate) async fn stage<P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    // Whoever approves has read what they approve.
    let (before, audit, is_dry_run) =
        begin::<ModelEntry, _>(state, context, "stage", id, ask).await?;
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

/// `POST /v1/registry/aliases/{alias}/deploy`
pub(crate) async fn deploy<P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    let (before, audit, is_dry_run) =
        begin::<Alias, _>(state, context, "deployed", id, ask).await?;
    let mut body = object(ask)?;
    let model = take_text(&mut body, "model")?.unwrap_or_default();
    let share = body
        .remove("share")
        .map_or(Some(WHOLE), |share| share.as_u64().and_then(|share| u32::try_from(share).ok()));
    refuse_unknown(&body)?;
    let unregistered = || invalid("model", "There is no such model in the registry.");
    let model: ModelId = model.parse().map_err(|_| unregistered())?;
    let found = state.registry.entry::<ModelEntry>(&model).await.map_err(store_failed)?;
    let found = found.ok_or_else(unregistered)?;
    let now = found.entry.model.stage_at((state.now)().as_millisecond());
    if !now.is_callable() {
        let message = format!("The model `{model}` is {}: nobody calls it.", now.as_str());
        return Err(conflict("not_callable", message));
    }
    // What is no number is no share.
    let alias =
        deployed(&before.entry, &model, share.unwrap_or_default()).map_err(invalid_field)?;
    write(state, (Some(before), alias), audit, is_dry_run).await
}

/// What every change of what is there begins with: the entry as it is, which the caller has seen, the audit
/// entry of `action`, and whether it is only to be shown.
async fn begin<E: Shown, P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    action: &str,
    id: &str,
    ask: &Ask<'_>,
) -> Result<(Versioned<E>, AuditEntry, bool), ApiError> {
    ask.only(&["dry_run"])?;
    let is_dry_run = ask.flag("dry_run")?;
    let audit = permitted_at(state, context, (E::KIND, action), id).await?;
    let before = entry::<E, _>(state, id).await?;
    matches(ask, before.version, !is_dry_run)?;
    Ok((before, audit, is_dry_run))
}

/// The audit entry of what the caller is about to do to an entry, if it may.
async fn permitted_at<P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    (kind, action): (Kind, &str),
    id: &str,
) -> Result<AuditEntry, ApiError> {
    let (action, subject) =
        (format!("{}.{action}", kind.as_str()), format!("registry/{}/{id}", kind.path()));
    permitted(state, context, &action, subject).await
}

/// The audit entry of what the caller is about to do, if it may; a refusal is noted.
pub(crate) async fn permitted<P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    action: &str,
    subject: String,
) -> Result<AuditEntry, ApiError> {
    let entry = AuditEntry::of(context, (state.new_id)(), (state.now)(), action, subject);
    match context.require(Permission::ManageModels) {
        Ok(()) => Ok(entry),
        Err(denied) => Err(refused(&state.store, entry, denied.into()).await),
    }
}

/// Writes an entry, or shows what it would be. One that says the same as before is not written.
async fn write<E: Shown, P: Ports>(
    state: &State<P>,
    (before, entry): (Option<Versioned<E>>, E),
    audit: AuditEntry,
    is_dry_run: bool,
) -> Result<Response<Body>, ApiError> {
    let models = state.registry.entries::<ModelEntry>().await.map_err(store_failed)?;
    let registered: BTreeSet<ModelId> = models.into_iter().map(|it| it.entry.model.id).collect();
    entry.check_names(&registered).map_err(invalid_field)?;
    if let Some(before) = before.as_ref().filter(|before| before.entry.says(&entry)) {
        return Ok(answered(StatusCode::OK, before, is_dry_run));
    }
    let was = before.as_ref().map_or(Value::Null, |before| json!(before.entry));
    let audit = AuditEntry { before: was, after: json!(entry), ..audit };
    let change = if before.is_some() {
        Change::new(before, entry, audit)
    } else {
        let last = state.registry.versions::<E>(entry.id(), u64::MAX, 1).await;
        let last = last.map_err(store_failed)?.pop().map_or(0, |last| last.version);
        Change::registration(last, entry, audit)
    };
    if is_dry_run {
        return Ok(answered(StatusCode::OK, &change.after, true));
    }
    if !state.registry.change(&change).await.map_err(store_failed)? {
        return Err(changed_meanwhile());
    }
    let status = if change.before.is_none() { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answered(status, &change.after, false))
}

fn answered<E: Shown>(
    status: StatusCode,
    version: &Versioned<E>,
    is_dry_run: bool,
) -> Response<Body> {
    let mut body = shown(version);
    if is_dry_run {
        body.insert("is_dry_run".into(), true.into());
        return answer(status, &Value::Object(body));
    }
    with_etag(answer(status, &Value::Object(body)), version.version)
}

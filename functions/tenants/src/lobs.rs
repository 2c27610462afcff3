//! Lines of business.

use administration::{
    AdministrationStore, Difference, LobChange, LobDocument, LobState, Task, UserPool, differences,
    read_lob,
};
use futures::future::try_join_all;
use http::{Response, StatusCode};
use http_api::{
    ApiError, Ask, Body, after, answer, changed_meanwhile, cursor, invalid, invalid_field,
    is_creating, limit, matches, object, page, store_failed, with_etag,
};
use serde_json::{Map, Value, json};
use tenancy::{LobId, Permission, Place, TenantContext};

use crate::State;
use crate::audit;

/// Entries of a page at most.
const MAX_ENTRIES: usize = 100;

/// `GET /v1/lobs`
pub(crate) async fn list<P>(
    state: &State<impl AdministrationStore, P>,
    context: &TenantContext,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&["limit", "cursor"])?;
    let limit = limit(ask, 50, MAX_ENTRIES)?;
    let after: Option<LobId> = match after(ask)?.map(|text| text.parse()) {
        Some(Err(_)) => {
            return Err(invalid("cursor", "This is `next_cursor` of the page before."));
        }
        after => after.and_then(Result::ok),
    };
    if let Err(denied) = context.require(Permission::ReadLob) {
        return Err(audit::refused(state, context, "lobs.list", "lobs", denied.into()).await);
    }
    let mut ids = if context.require_at(Permission::ReadLob, Place::Org).is_ok() {
        state.store.lobs(after.as_ref(), limit).await.map_err(store_failed)?
    } else {
        let own = context.lob_id.clone();
        Some(own).filter(|own| after.is_none_or(|after| *own > after)).into_iter().collect()
    };
    let has_more = ids.len() > limit;
    ids.truncate(limit);
    let states = ids.iter().map(|id| state.store.lob(id));
    let states = try_join_all(states).await.map_err(store_failed)?;
    let found = ids.iter().zip(states);
    let data: Vec<_> =
        found.filter_map(|(id, now)| Some(Value::Object(shown(id, &now?)))).collect();
    let next = if has_more { ids.last().map(|id| cursor(id.as_str())) } else { None };
    Ok(page(&data, next.as_deref()))
}

/// `GET /v1/lobs/{lob_id}`
pub(crate) async fn show<P>(
    state: &State<impl AdministrationStore, P>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&[])?;
    let Some((id, now)) = visible(state, context, id).await? else { return Err(unknown(id)) };
    if let Err(denied) = context.require_at(Permission::ReadLob, Place::Lob(&id)) {
        let subject = format!("lobs/{id}");
        return Err(audit::refused(state, context, "lob.read", &subject, denied.into()).await);
    }
    let body = Value::Object(shown(&id, &now));
    Ok(with_etag(answer(StatusCode::OK, &body), now.version))
}

/// `PUT /v1/lobs/{lob_id}`
pub(crate) async fn set(
    state: &State<impl AdministrationStore, impl UserPool>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&["dry_run"])?;
    let is_dry_run = ask.flag("dry_run")?;
    let is_permitted = context.require_at(Permission::ManageLobs, Place::Org);
    let (id, before) = match (visible(state, context, id).await?, is_permitted) {
        (Some((id, now)), Ok(())) => (id, Some(now)),
        (Some((id, _)), Err(denied)) => {
            let subject = format!("lobs/{id}");
            return Err(
                audit::refused(state, context, "lob.changed", &subject, denied.into()).await
            );
        }
        (None, Ok(())) => match id.parse() {
            Ok(id) => (id, None),
            Err(error) => return Err(invalid("lob_id", format!("{error}."))),
        },
        (None, Err(_)) => return Err(unknown(id)),
    };
    match &before {
        Some(now) => matches(ask, now.version, !is_dry_run)?,
        None => is_creating(ask, !is_dry_run)?,
    }
    let document = read_lob(object(ask)?, &said(&id)).map_err(invalid_field)?;
    let changes = match &before {
        Some(now) => differences(&now.document, &document),
        None => differences(&Value::Object(Map::new()), &document),
    };
    let version = before.as_ref().map_or(0, |now| now.version);
    if is_dry_run || changes.is_empty() {
        let is_changing = before.is_some_and(|now| now.is_changing);
        let now = LobState { version, document, is_changing };
        return Ok(changed(StatusCode::OK, &id, &now, &changes, is_dry_run));
    }
    write(state, context, id, before, document, &changes).await
}

/// Writes a change, and tells the tenants.
async fn write(
    state: &State<impl AdministrationStore, impl UserPool>,
    context: &TenantContext,
    id: LobId,
    before: Option<LobState>,
    document: LobDocument,
    changes: &[Difference],
) -> Result<Response<Body>, ApiError> {
    let version = before.as_ref().map_or(0, |now| now.version).saturating_add(1);
    let action = if before.is_some() { "lob.changed" } else { "lob.created" };
    let was = before.as_ref().map_or(Value::Null, |now| json!(now.document));
    let values = (was, json!(document));
    let mut entry = audit::entry(state, context, action, format!("lobs/{id}"), values);
    entry.version = Some(version);
    let is_new = before.is_none();
    let unfinished = audit::begun(state, Task::RenewLob { lob_id: id.clone() });
    let change = LobChange { lob_id: id, before, document, unfinished, entry };
    if !state.store.change_lob(&change).await.map_err(store_failed)? {
        return Err(changed_meanwhile());
    }
    let is_effective = audit::finished(state, &change.unfinished).await;
    let LobChange { lob_id: id, document, .. } = change;
    tracing::info!(lob_id = %id, version, action, is_effective, "line of business changed");
    let now = LobState { version, document, is_changing: !is_effective };
    let status = match (is_effective, is_new) {
        (false, _) => StatusCode::ACCEPTED,
        (true, true) => StatusCode::CREATED,
        (true, false) => StatusCode::OK,
    };
    Ok(changed(status, &id, &now, changes, false))
}

/// The line of business of a path, if there is one and the caller can know of it.
async fn visible<P>(
    state: &State<impl AdministrationStore, P>,
    context: &TenantContext,
    id: &str,
) -> Result<Option<(LobId, LobState)>, ApiError> {
    let Ok(id) = id.parse::<LobId>() else { return Ok(None) };
    if !context.sees(Place::Lob(&id)) {
        return Ok(None);
    }
    let found = state.store.lob(&id).await.map_err(store_failed)?;
    Ok(found.map(|now| (id, now)))
}

fn unknown(id: &str) -> ApiError {
    ApiError::not_found("line of business", id)
}

/// What is shown beside the document, and is not set by it.
fn said(id: &LobId) -> Map<String, Value> {
    let mut said = Map::new();
    said.insert("object".into(), "lob".into());
    said.insert("lob_id".into(), json!(id));
    said
}

fn shown(id: &LobId, now: &LobState) -> Map<String, Value> {
    let mut body = said(id);
    body.insert("version".into(), now.version.into());
    body.insert("is_effective".into(), (!now.is_changing).into());
    if let Value::Object(fields) = json!(now.document) {
        body.extend(fields);
    }
    body
}

fn changed(
    status: StatusCode,
    id: &LobId,
    now: &LobState,
    changes: &[Difference],
    is_dry_run: bool,
) -> Response<Body> {
    let mut body = shown(id, now);
    body.insert("changes".into(), json!(changes));
    body.insert("is_dry_run".into(), is_dry_run.into());
    with_etag(answer(status, &Value::Object(body)), now.version)
}

//! Entries as they are, and as they were.

use std::collections::BTreeMap;

use http::{Response, StatusCode};
use http_api::{
    ApiError, Ask, Body, after, answer, cursor, invalid, limit, page, store_failed, with_etag,
};
use inference::Stage;
use registry::{RegistryStore, Versioned, lineage};
use serde_json::{Map, Value, json};
use tenancy::{Permission, TenantContext};

use crate::State;

/// `GET /v1/registry/models`
pub(crate) async fn list<S>(
    state: &State<S, impl RegistryStore>,
    context: &TenantContext,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&["stage", "limit", "cursor"])?;
    let (limit, after) = (limit(ask, 100, 500)?, after(ask)?);
    let wanted = ask.get("stage").map(|name| {
        let found = Stage::ALL.into_iter().find(|it| it.as_str() == name);
        let message = "This is `draft`, `approved`, `deprecated` or `retired`.";
        found.ok_or_else(|| invalid("stage", message))
    });
    let wanted = wanted.transpose()?;
    context.require(Permission::ReadRegistry)?;
    let models = state.registry.models().await.map_err(store_failed)?;
    let asked = models.iter().filter(|it| {
        let model = &it.entry.model;
        wanted.is_none_or(|wanted| model.stage == wanted)
            && after.as_ref().is_none_or(|after| model.id.as_str() > after.as_str())
    });
    let found: Vec<&Versioned> = asked.take(limit.saturating_add(1)).collect();
    let shown: Vec<Value> = found.iter().take(limit).map(|it| Value::Object(shown(it))).collect();
    let last = found.get(limit.saturating_sub(1)).filter(|_| found.len() > limit);
    Ok(page(&shown, last.map(|it| cursor(it.entry.model.id.as_str())).as_deref()))
}

/// `GET /v1/registry/models/{model_id}`
pub(crate) async fn one<S>(
    state: &State<S, impl RegistryStore>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&[])?;
    context.require(Permission::ReadRegistry)?;
    let found = model(state, id).await?;
    let models = state.registry.models().await.map_err(store_failed)?;
    let entries: BTreeMap<_, _> =
        models.into_iter().map(|it| (it.entry.model.id.clone(), it.entry)).collect();
    let (made_from, made_into) = lineage(&entries, &found.entry.model.id);
    let mut body = shown(&found);
    body.insert("lineage".into(), json!({"made_from": made_from, "made_into": made_into}));
    Ok(with_etag(answer(StatusCode::OK, &Value::Object(body)), found.version))
}

/// `GET /v1/registry/models/{model_id}/history`
pub(crate) async fn history<S>(
    state: &State<S, impl RegistryStore>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&["limit", "cursor"])?;
    let limit = limit(ask, 20, 100)?;
    let before = after(ask)?.map(|text| {
        text.parse().map_err(|_| invalid("cursor", "This is `next_cursor` of the page before."))
    });
    let before = before.transpose()?;
    context.require(Permission::ReadRegistry)?;
    let now = model(state, id).await?;
    let before = before.unwrap_or(u64::MAX).min(now.version.saturating_add(1));
    let id = &now.entry.model.id;
    let found = state.registry.versions(id, before, limit.saturating_add(1)).await;
    let found = found.map_err(store_failed)?;
    let last = found.get(limit.saturating_sub(1)).filter(|_| found.len() > limit);
    let shown: Vec<Value> = found.iter().take(limit).map(|it| Value::Object(shown(it))).collect();
    Ok(page(&shown, last.map(|it| cursor(&it.version.to_string())).as_deref()))
}

/// A registered model by the id of a path.
pub(crate) async fn model<S>(
    state: &State<S, impl RegistryStore>,
    id: &str,
) -> Result<Versioned, ApiError> {
    let unknown = || ApiError::not_found("model", id);
    let id = id.parse().map_err(|_| unknown())?;
    state.registry.model(&id).await.map_err(store_failed)?.ok_or_else(unknown)
}

/// An entry as the API shows it.
pub(crate) fn shown(version: &Versioned) -> Map<String, Value> {
    let mut body = match json!(version) {
        Value::Object(body) => body,
        _ => Map::new(),
    };
    body.insert("object".into(), "model".into());
    // The hot path's entries leave it out if it is so.
    body.insert("stage".into(), json!(version.entry.model.stage));
    body
}

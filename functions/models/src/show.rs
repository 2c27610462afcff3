//! Entries as they are, and as they were.

use std::collections::BTreeMap;

use http::{Response, StatusCode};
use http_api::{
    ApiError, Ask, Body, after, answer, invalid, limit, page_of, store_failed, with_etag,
};
use inference::{Alias, Stage};
use registry::{Entry, ModelEntry, RegistryStore, Versioned, lineage};
use serde_json::{Map, Value, json};
use tenancy::{Permission, TenantContext};

use crate::{Ports, State};

/// How entries of a kind are listed and shown.
pub(crate) trait Shown: Entry {
    /// The filters that lists of them take.
    const FILTERS: &'static [&'static str];

    /// Whether an entry is one of those that were asked for.
    ///
    /// # Errors
    /// A filter makes no sense.
    fn wanted(ask: &Ask<'_>) -> Result<impl Fn(&Self) -> bool + Send, ApiError>;

    /// Adds what is always said of one.
    fn complete(&self, body: &mut Map<String, Value>);

    /// Adds what is said of one by itself.
    fn relate(
        &self,
        registry: &impl RegistryStore,
        body: &mut Map<String, Value>,
    ) -> impl Future<Output = Result<(), ApiError>> + Send;
}

impl Shown for ModelEntry {
    const FILTERS: &'static [&'static str] = &["stage"];

    fn wanted(ask: &Ask<'_>) -> Result<impl Fn(&Self) -> bool + Send, ApiError> {
        let wanted = ask.get("stage").map(|name| {
            let found = Stage::ALL.into_iter().find(|it| it.as_str() == name);
            let message = "This is `draft`, `approved`, `deprecated` or `retired`.";
            found.ok_or_else(|| invalid("stage", message))
        });
        let wanted = wanted.transpose()?;
        Ok(move |entry: &Self| wanted.is_none_or(|wanted| entry.model.stage == wanted))
    }

    fn complete(&self, body: &mut Map<String, Value>) {
        // The hot path's entries leave it out if it is so.
        body.insert("stage".into(), json!(self.model.stage));
    }

    async fn relate(
        &self,
        registry: &impl RegistryStore,
        body: &mut Map<String, Value>,
    ) -> Result<(), ApiError> {
        let models = registry.entries::<Self>().await.map_err(store_failed)?;
        let entries: BTreeMap<_, _> =
            models.into_iter().map(|it| (it.entry.id().clone(), it.entry)).collect();
        let (made_from, made_into) = lineage(&entries, self.id());
        body.insert("lineage".into(), json!({"made_from": made_from, "made_into": made_into}));
        Ok(())
    }
}

impl Shown for Alias {
    const FILTERS: &'static [&'static str] = &["model"];

    fn wanted(ask: &Ask<'_>) -> Result<impl Fn(&Self) -> bool + Send, ApiError> {
        let wanted = ask.get("model").map(str::to_owned);
        Ok(move |entry: &Self| {
            wanted.as_ref().is_none_or(|wanted| entry.models().any(|it| it.as_str() == wanted))
        })
    }

    fn complete(&self, _body: &mut Map<String, Value>) {}

    async fn relate(
        &self,
        _registry: &impl RegistryStore,
        _body: &mut Map<String, Value>,
    ) -> Result<(), ApiError> {
        Ok(())
    }
}

/// `GET /v1/registry/models`, `GET /v1/registry/aliases`
pub(crate) async fn list<E: Shown, P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&[&["limit", "cursor"], E::FILTERS].concat())?;
    let (limit, after) = (limit(ask, 100, 500)?, after(ask)?);
    let is_wanted = E::wanted(ask)?;
    context.require(Permission::ReadRegistry)?;
    let entries = state.registry.entries::<E>().await.map_err(store_failed)?;
    let asked = entries.iter().filter(|it| {
        is_wanted(&it.entry)
            && after.as_ref().is_none_or(|after| it.entry.id().as_str() > after.as_str())
    });
    let found: Vec<&Versioned<E>> = asked.take(limit.saturating_add(1)).collect();
    let position = |it: &&Versioned<E>| it.entry.id().to_string();
    Ok(page_of(&found, limit, position, |it| Value::Object(shown(it))))
}

/// `GET /v1/registry/models/{model_id}`, `GET /v1/registry/aliases/{alias}`
pub(crate) async fn one<E: Shown, P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&[])?;
    context.require(Permission::ReadRegistry)?;
    let found = entry::<E, _>(state, id).await?;
    let mut body = shown(&found);
    found.entry.relate(&state.registry, &mut body).await?;
    Ok(with_etag(answer(StatusCode::OK, &Value::Object(body)), found.version))
}

/// `GET ../history`
pub(crate) async fn history<E: Shown, P: Ports>(
    state: &State<P>,
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
    let now = entry::<E, _>(state, id).await?;
    let before = before.unwrap_or(u64::MAX).min(now.version.saturating_add(1));
    let found = state.registry.versions::<E>(now.entry.id(), before, limit.saturating_add(1)).await;
    let found = found.map_err(store_failed)?;
    Ok(page_of(&found, limit, |it| it.version.to_string(), |it| Value::Object(shown(it))))
}

/// A registered entry by the id of a path.
pub(crate) async fn entry<E: Entry, P: Ports>(
    state: &State<P>,
    id: &str,
) -> Result<Versioned<E>, ApiError> {
    let unknown = || ApiError::not_found(E::KIND.as_str(), id);
    let id = id.parse().map_err(|_| unknown())?;
    state.registry.entry(&id).await.map_err(store_failed)?.ok_or_else(unknown)
}

/// An entry as the API shows it.
pub(crate) fn shown<E: Shown>(version: &Versioned<E>) -> Map<String, Value> {
    let mut body = match json!(version) {
        Value::Object(body) => body,
        _ => Map::new(),
    };
    body.insert("object".into(), E::KIND.as_str().into());
    version.entry.complete(&mut body);
    body
}

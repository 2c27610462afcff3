//! What the organisation has agreed for itself: listed, set, and taken away before it is in force.

use std::cmp::Reverse;

use admission::{AuditEntry, OverridesChange, OverridesWrite};
use http::{Response, StatusCode, header};
use http_api::{
    ApiError, Ask, Body, answer, etag, full, invalid, shortened, store_failed, with_header,
};
use inference::FaultKind;
use metering::{AgreedPrices, OverridesRefused, PriceOverrides};
use serde_json::{Value, json};
use tenancy::{Permission, TenantContext};

use super::{body, moment};
use crate::answer::changed;
use crate::limits::{blank_entry, note_refusal};
use crate::{State, Store};

/// Bytes of all overrides at most: whoever prices calls reads them all, every minute.
const MAX_TOTAL: usize = 1_000_000;

/// What `If-Match` is about.
const SUBJECT: &str = "overrides";

/// `GET /v1/prices/overrides`
pub(crate) async fn list(
    state: &State<impl Store>,
    context: &TenantContext,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    context.require(Permission::ReadPrices)?;
    ask.only(&[])?;
    let agreed = state.store.agreed_prices().await.map_err(store_failed)?;
    let mut overrides: Vec<&PriceOverrides> = agreed.overrides.iter().collect();
    overrides.sort_by_key(|it| Reverse((it.valid_from, &it.version)));
    let now = (state.now)().as_second();
    let data: Vec<Value> = overrides.into_iter().map(|it| described(&agreed, it, now)).collect();
    let answer = answer(StatusCode::OK, &json!({"object": "list", "data": data}));
    Ok(with_header(answer, header::ETAG, &etag(agreed.revision)))
}

/// `PUT /v1/prices/overrides/{version}`
pub(crate) async fn set(
    state: &State<impl Store>,
    context: &TenantContext,
    version: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    let action = "prices.set";
    permit(state, context, action, version).await?;
    ask.only(&[])?;
    crate::answer::require_match(ask, SUBJECT)?;
    let agreed = state.store.agreed_prices().await.map_err(store_failed)?;
    let now = (state.now)().as_second();
    let before = agreed.find(version);
    let wanted = body::wanted(ask, version, before, now)?;
    if before == Some(&wanted) {
        // Whatever it was made from, it is done: a client may not know that it was heard.
        return Ok(shown(StatusCode::OK, &agreed, &wanted, now));
    }
    if !ask.names(agreed.revision) {
        return Err(changed(SUBJECT, Some(agreed.revision)));
    }
    agreed.check_put(&wanted, now).map_err(|error| refused(&error))?;
    if before.map(|it| &it.models) != Some(&wanted.models) {
        check_models(state, &wanted).await?;
    }
    let others = agreed.overrides.iter().filter(|it| it.version != version);
    if others.map(body::size).sum::<usize>().saturating_add(body::size(&wanted)) > MAX_TOTAL {
        let message = format!(
            "All overrides together have {MAX_TOTAL} bytes at most. Name fewer models, or write a price book."
        );
        return Err(invalid("models", message));
    }
    let entry = AuditEntry {
        before: json!(before),
        after: json!(wanted),
        ..entry(state, context, action, version, &agreed)
    };
    let (status, write) = match before {
        None => (StatusCode::CREATED, OverridesWrite::Create(wanted.clone())),
        Some(_) => (StatusCode::OK, OverridesWrite::Replace(wanted.clone())),
    };
    let after = change(state, agreed, write, entry).await?;
    Ok(shown(status, &after, &wanted, now))
}

/// `DELETE /v1/prices/overrides/{version}`
pub(crate) async fn remove(
    state: &State<impl Store>,
    context: &TenantContext,
    version: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    let action = "prices.removed";
    permit(state, context, action, version).await?;
    ask.only(&[])?;
    crate::answer::require_match(ask, SUBJECT)?;
    let agreed = state.store.agreed_prices().await.map_err(store_failed)?;
    let Some(before) = agreed.find(version) else {
        return Err(ApiError::not_found("version of overrides", version));
    };
    if !ask.names(agreed.revision) {
        return Err(changed(SUBJECT, Some(agreed.revision)));
    }
    let now = (state.now)().as_second();
    agreed.check_removal(version, now).map_err(|error| refused(&error))?;
    let entry =
        AuditEntry { before: json!(before), ..entry(state, context, action, version, &agreed) };
    let write = OverridesWrite::Remove(version.to_owned());
    let after = change(state, agreed, write, entry).await?;
    let mut response = Response::new(full(Vec::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(with_header(response, header::ETAG, &etag(after.revision)))
}

/// Checks that the caller may change prices, and notes who was refused to.
async fn permit(
    state: &State<impl Store>,
    context: &TenantContext,
    action: &str,
    version: &str,
) -> Result<(), ApiError> {
    match context.require(Permission::ManagePrices) {
        Ok(()) => Ok(()),
        Err(error) => {
            Err(note_refusal(state, context, action, &subject(version), error.into()).await)
        }
    }
}

/// Makes a change; what there is afterwards.
async fn change(
    state: &State<impl Store>,
    before: AgreedPrices,
    write: OverridesWrite,
    entry: AuditEntry,
) -> Result<AgreedPrices, ApiError> {
    let change = OverridesChange { revision: before.revision, write, entry };
    if !state.store.change_prices(&change).await.map_err(store_failed)? {
        return Err(changed(SUBJECT, None));
    }
    let (action, version) = (&change.entry.action, change.write.version());
    let revision = before.revision.saturating_add(1);
    tracing::info!(action, price_version = version, revision, "prices changed");
    let mut overrides = before.overrides;
    overrides.retain(|it| it.version != version);
    match change.write {
        OverridesWrite::Create(new) | OverridesWrite::Replace(new) => overrides.push(new),
        OverridesWrite::Remove(_) => {}
    }
    Ok(AgreedPrices { revision, overrides })
}

/// Checks that there are such models.
async fn check_models(state: &State<impl Store>, wanted: &PriceOverrides) -> Result<(), ApiError> {
    let catalog = state.store.catalog().await;
    let catalog = catalog.map_err(|error| ApiError::store_failed(&error))?;
    match wanted.models.keys().find(|model| !catalog.models.contains_key(*model)) {
        None => Ok(()),
        Some(model) => {
            let model = shortened(model.as_str());
            let message = format!("There is no model `{model}`. GET /v1/models lists the models.");
            Err(invalid(format!("models.{model}"), message))
        }
    }
}

/// What is in the way of a change: the request if it can be put right, else what was before.
fn refused(error: &OverridesRefused) -> ApiError {
    let message = format!("{error}.");
    match error {
        OverridesRefused::Fixed(_) => {
            ApiError::new(FaultKind::Conflict, "already_in_force", message).never_retried()
        }
        OverridesRefused::EndsInPast | OverridesRefused::EndsWithin(_) => {
            invalid("valid_until", message)
        }
        OverridesRefused::BeginsInPast
        | OverridesRefused::SameBeginning(_)
        | OverridesRefused::BeginsWithin(_) => invalid("valid_from", message),
    }
}

fn subject(version: &str) -> String {
    format!("prices/overrides/{}", shortened(version))
}

/// An entry of what is about to be done.
fn entry(
    state: &State<impl Store>,
    context: &TenantContext,
    action: &str,
    version: &str,
    agreed: &AgreedPrices,
) -> AuditEntry {
    AuditEntry {
        version: Some(agreed.revision.saturating_add(1)),
        ..blank_entry(state, context, action, &subject(version))
    }
}

fn shown(
    status: StatusCode,
    agreed: &AgreedPrices,
    overrides: &PriceOverrides,
    now: i64,
) -> Response<Body> {
    let answer = answer(status, &described(agreed, overrides, now));
    with_header(answer, header::ETAG, &etag(agreed.revision))
}

fn described(agreed: &AgreedPrices, overrides: &PriceOverrides, now: i64) -> Value {
    let in_force = agreed.in_force(now).map(|it| &it.version);
    json!({
        "object": "price_overrides",
        "version": overrides.version,
        "valid_from": moment(overrides.valid_from),
        "valid_until": overrides.valid_until.map(moment),
        "currency": "USD",
        "models": overrides.models,
        "is_in_force": in_force == Some(&overrides.version),
        "is_fixed": overrides.is_fixed(now),
    })
}

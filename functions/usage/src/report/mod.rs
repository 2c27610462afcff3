//! `GET /v1/usage`: what was used, summed by what the caller asks for.

mod csv;
mod query;
pub(crate) mod rows;

use admission::Calendar;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{HeaderName, Response, StatusCode};
use http_api::{ApiError, Ask, Body, answer, invalid, store_failed, with_header, with_type};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tenancy::{LobId, Permission, TenantContext, TenantId};

use self::query::{Dimension, Query, View};
use self::rows::{Key, Rows};
use crate::{State, Store};

pub(crate) async fn show(
    state: &State<impl Store>,
    context: &TenantContext,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    context.require(Permission::ReadOwnUsage)?;
    let query = Query::read(ask, &state.calendar, (state.now)())?;
    context.require(match query.view {
        View::Own => Permission::ReadOwnUsage,
        View::Tenant => Permission::ReadTenantUsage,
        View::Lob => Permission::ReadLobUsage,
        View::Org => Permission::ReadOrgUsage,
    })?;
    let after = query.cursor.as_deref().map(|cursor| read_cursor(cursor, &query, context));
    let after = after.transpose()?;
    let tenants = tenants(state, context, &query).await?;
    let rows = Rows::read(&state.store, &state.calendar, &query, context, tenants).await?;

    let total = rows.total();
    let (page, next) = rows.page(after.as_ref(), query.limit);
    let next = next.map(|key| cursor(&key, &query, context));
    if query.is_csv {
        let text = csv::document(&query.group_by, &page);
        let response = with_type(StatusCode::OK, "text/csv; charset=utf-8", text);
        let name = HeaderName::from_static("x-next-cursor");
        return Ok(match next {
            Some(next) => with_header(response, name, &next),
            None => response,
        });
    }
    let data: Vec<Value> = page.iter().map(|row| rows::shown(&query.group_by, row)).collect();
    let body = json!({
        "object": "list",
        "from": query.from.to_string(),
        "to": query.to.to_string(),
        "time_zone": state.calendar.name(),
        "data": data,
        "total": rows::sums(&total),
        "next_cursor": next,
    });
    Ok(answer(StatusCode::OK, &body))
}

/// The tenants whose usage is asked for.
async fn tenants(
    state: &State<impl Store>,
    context: &TenantContext,
    query: &Query,
) -> Result<Vec<TenantId>, ApiError> {
    let wanted = query.filter(Dimension::Tenant);
    let lobs_wanted = query.filter(Dimension::Lob);
    let tenants = match query.view {
        View::Own | View::Tenant => vec![context.tenant_id.clone()],
        View::Lob | View::Org => {
            let lobs = match query.view {
                View::Org => state.store.lobs().await.map_err(store_failed)?,
                _ => vec![context.lob_id.clone()],
            };
            all_there("line of business", lobs_wanted, &lobs, LobId::as_str)?;
            let mut tenants = Vec::new();
            for lob in lobs.iter().filter(|lob| is_wanted(lobs_wanted, lob.as_str())) {
                tenants.extend(state.store.tenants(lob).await.map_err(store_failed)?);
            }
            tenants
        }
    };
    if matches!(query.view, View::Own | View::Tenant) {
        all_there(
            "line of business",
            lobs_wanted,
            std::slice::from_ref(&context.lob_id),
            LobId::as_str,
        )?;
    }
    all_there("tenant", wanted, &tenants, TenantId::as_str)?;
    Ok(tenants.into_iter().filter(|id| is_wanted(wanted, id.as_str())).collect())
}

fn is_wanted(wanted: Option<&[String]>, id: &str) -> bool {
    wanted.is_none_or(|wanted| wanted.iter().any(|other| other == id))
}

/// Checks that whatever is asked for by name is there for the caller.
fn all_there<T>(
    kind: &str,
    wanted: Option<&[String]>,
    there: &[T],
    name: impl Fn(&T) -> &str,
) -> Result<(), ApiError> {
    let missing =
        wanted.unwrap_or_default().iter().find(|id| !there.iter().any(|it| name(it) == *id));
    missing.map_or(Ok(()), |id| Err(ApiError::not_found(kind, id)))
}

/// Names the row after which the next page begins, for this caller and this query only: what another
/// query would skip by it nobody knows.
fn cursor(key: &Key, query: &Query, context: &TenantContext) -> String {
    let text = json!([fingerprint(query, context), key]).to_string();
    BASE64_URL_SAFE_NO_PAD.encode(text)
}

fn read_cursor(cursor: &str, query: &Query, context: &TenantContext) -> Result<Key, ApiError> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok();
    let read = bytes.and_then(|bytes| serde_json::from_slice::<(String, Key)>(&bytes).ok());
    match read {
        Some((made_for, key)) if made_for == fingerprint(query, context) => Ok(key),
        _ => Err(invalid(
            "cursor",
            "This is no cursor of this query. Repeat the query of the page before, with its `next_cursor`.",
        )),
    }
}

fn fingerprint(query: &Query, context: &TenantContext) -> String {
    let text = format!("{}|{}|{}", context.tenant_id, context.principal.id, query.text);
    let digest = Sha256::digest(text);
    BASE64_URL_SAFE_NO_PAD.encode(digest.get(..12).unwrap_or_default())
}

/// The first moment of a day of the organisation's calendar.
fn midnight(calendar: &Calendar, date: jiff::civil::Date) -> Option<Timestamp> {
    let zone = jiff::tz::TimeZone::get(calendar.name()).ok()?;
    let midnight = date.to_datetime(jiff::civil::Time::midnight());
    zone.to_timestamp(midnight).ok()
}

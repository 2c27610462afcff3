//! Prices: what models cost at some moment, and what the organisation has agreed for itself.

mod body;
mod overrides;

use http::{Response, StatusCode};
use http_api::{ApiError, Ask, Body, answer, invalid};
use jiff::Timestamp;
use metering::ModelInForce;
use serde_json::{Value, json};
use tenancy::{ModelId, Permission, TenantContext};

pub(crate) use self::overrides::{list, remove, set};

use crate::{State, Store};

/// Models of one page at most.
const MAX_MODELS: usize = 500;

/// Bytes of a page's models; of models with many rates, a page holds fewer.
const MAX_PAGE: usize = 900_000;

/// `GET /v1/prices`
pub(crate) async fn show(
    state: &State<impl Store>,
    context: &TenantContext,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    context.require(Permission::ReadPrices)?;
    ask.only(&["model", "at", "limit", "after"])?;
    let at = match ask.get("at") {
        None => (state.now)(),
        Some(text) => text.parse().map_err(|_| {
            invalid("at", "This is a moment in RFC 3339, such as 2026-11-25T00:00:00Z.")
        })?,
    };
    let limit = ask.number("limit", 1, MAX_MODELS, 100)?;
    let model: Option<ModelId> = match ask.get("model") {
        None => None,
        Some(id) => Some(id.parse().map_err(|_| ApiError::not_found("price of a model", id))?),
    };
    let catalog = state.store.catalog().await.map_err(|error| ApiError::store_failed(&error))?;
    let mut prices = catalog.prices().in_force(at.as_second());
    if let Some(model) = &model {
        prices.retain(|it| it.model == model);
        if prices.is_empty() {
            return Err(ApiError::not_found("price of a model", model.as_str()));
        }
    }
    if let Some(after) = ask.get("after") {
        prices.retain(|it| it.model.as_str() > after);
    }
    let page = page(&prices, limit);
    let has_more = page.len() < prices.len();
    let next = prices.get(page.len().saturating_sub(1)).filter(|_| has_more).map(|it| it.model);
    let body = json!({
        "object": "list",
        "at": at,
        "currency": "USD",
        "unit": "pico_usd",
        "data": page,
        "next_after": next,
    });
    Ok(answer(StatusCode::OK, &body))
}

/// The first of `prices`, as they are shown: as many as fit, one at least.
fn page(prices: &[ModelInForce<'_>], limit: usize) -> Vec<Value> {
    let (mut page, mut bytes) = (Vec::new(), 0_usize);
    for it in prices.iter().take(limit) {
        let shown = json!({
            "model": it.model,
            "price_version": it.version(),
            "book": it.book,
            "overrides": it.overrides,
            "rates": it.prices.rates(),
        });
        bytes = bytes.saturating_add(shown.to_string().len());
        if bytes > MAX_PAGE && !page.is_empty() {
            break;
        }
        page.push(shown);
    }
    page
}

/// A moment of Unix seconds; the nearest that there is.
fn moment(seconds: i64) -> Timestamp {
    let nearest = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(seconds).unwrap_or(nearest)
}

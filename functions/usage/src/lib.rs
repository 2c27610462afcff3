//! Usage, limits, prices and bills: what a tenant's people and programs may see of them, and what
//! administrators may change.

mod access;
mod account;
mod answer;
mod entries;
mod environment;
mod limits;
mod months;
mod plans;
mod ports;
mod prices;
mod raises;
mod reconciliations;
mod records;
mod report;
mod route;
mod seed;
mod standing;
mod statements;
mod tasks;
#[cfg(test)]
mod tests;

use std::convert::Infallible;

use admission::{Calendar, finish_change};
use http::{Method, Response, StatusCode};
use http_api::{ApiError, Ask, Body, caller, path, respond, with_type};
use jiff::Timestamp;
use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt as _};
use tenancy::TenantContext;

use crate::route::Route;

pub use crate::environment::{StartError, Tables};
pub use crate::ports::{Billing, DetailReader, FamilyReader, RecordReader, Store};

/// What one execution environment keeps between invocations.
#[derive(Debug)]
pub struct State<S> {
    /// Limits, meters, records, rollups.
    pub store: S,
    /// Where the organisation's days begin.
    pub calendar: Calendar,
    /// The clock.
    pub now: fn() -> Timestamp,
    /// A new id; later ones are greater.
    pub new_id: fn() -> String,
}

/// Answers one request, or the schedule; an error becomes its response here and nowhere else.
///
/// # Errors
/// None: whatever goes wrong is a response.
pub async fn handle(
    state: &State<impl Store>,
    request: Request,
) -> Result<Response<Body>, Infallible> {
    if matches!(request.request_context_ref(), Some(RequestContext::PassThrough)) {
        // No HTTP request: those come with API Gateway's context.
        return Ok(Box::pin(finish_changes(state)).await);
    }
    Ok(respond(&(state.new_id)(), Box::pin(answer(state, &request)).await))
}

async fn answer(state: &State<impl Store>, request: &Request) -> Result<Response<Body>, ApiError> {
    let context = caller(request)?;
    let path = path(request);
    let route = Route::of(&path).ok_or_else(|| ApiError::unknown_route(request.method(), &path))?;
    ApiError::check_method(request.method(), &path, route.methods())?;
    let ask = Ask::of(request)?;
    serve(state, &context, route, request.method(), &ask).await
}

async fn serve(
    state: &State<impl Store>,
    context: &TenantContext,
    route: Route,
    method: &Method,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    match route {
        Route::Usage => Box::pin(report::show(state, context, ask)).await,
        Route::Standing => standing::show(state, context, ask).await,
        Route::Records(call_id) => records::show(state, context, &call_id, ask).await,
        Route::Limits(owner) if method == Method::PUT => {
            Box::pin(limits::set(state, context, &owner, ask)).await
        }
        Route::Limits(owner) => limits::show(state, context, &owner).await,
        Route::History(owner) => limits::history(state, context, &owner, ask).await,
        Route::Raises(owner) if method == Method::POST => {
            raises::request(state, context, &owner, ask).await
        }
        Route::Raises(owner) => raises::list(state, context, &owner).await,
        Route::Decision { owner, raise, is_approval } => {
            Box::pin(raises::decide(state, context, &owner, &raise, is_approval)).await
        }
        Route::Prices => prices::show(state, context, ask).await,
        Route::PriceOverrides => prices::list(state, context, ask).await,
        Route::PriceVersion(version) if method == Method::DELETE => {
            Box::pin(prices::remove(state, context, &version, ask)).await
        }
        Route::PriceVersion(version) => Box::pin(prices::set(state, context, &version, ask)).await,
        Route::Statements => Box::pin(statements::list(state, context, ask)).await,
        Route::Statement(period) => Box::pin(statements::show(state, context, &period, ask)).await,
        Route::Draft(period) => Box::pin(statements::draft(state, context, &period, ask)).await,
        Route::Months => Box::pin(months::list(state, context, ask)).await,
        Route::Month(period) => Box::pin(months::show(state, context, &period, ask)).await,
        Route::Close(period) => Box::pin(months::close(state, context, &period, ask)).await,
        Route::Entries if method == Method::POST => {
            Box::pin(entries::book(state, context, ask)).await
        }
        Route::Entries => Box::pin(entries::list(state, context, ask)).await,
        Route::Plans if method == Method::PUT => Box::pin(plans::set(state, context, ask)).await,
        Route::Plans => Box::pin(plans::list(state, context, ask)).await,
        Route::Reconciliations => Box::pin(reconciliations::list(state, context, ask)).await,
        Route::Reconciliation(period) if method == Method::POST => {
            Box::pin(reconciliations::request(state, context, &period, ask)).await
        }
        Route::Reconciliation(period) => {
            Box::pin(reconciliations::show(state, context, &period, ask)).await
        }
    }
}

/// Finishes the changes of limits that their requests did not live to finish.
async fn finish_changes(state: &State<impl Store>) -> Response<Body> {
    let unfinished = match state.store.unfinished().await {
        Ok(unfinished) => unfinished,
        Err(error) => {
            tracing::error!(%error, "unfinished changes of limits could not be listed");
            return with_type(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "failed");
        }
    };
    for (owner, version) in unfinished {
        match finish_change(&state.store, &owner, version).await {
            Ok(tenants) => {
                tracing::info!(scope = %owner, version, tenants, "a change of limits was finished");
            }
            Err(error) => {
                tracing::error!(scope = %owner, version, %error, "a change of limits could not be finished");
            }
        }
    }
    with_type(StatusCode::OK, "text/plain", "done")
}

//! Lines of business, tenants and who may call for them: seen and changed by their administrators.

mod access;
mod answer;
mod audit;
mod aws_roles;
mod change;
mod clients;
mod environment;
mod issuers;
mod lobs;
mod members;
mod model_requests;
mod route;
mod schedule;
mod tenants;
#[cfg(test)]
mod tests;

use std::convert::Infallible;

use administration::{AdministrationStore, UserPool};
use http::{Method, Response};
use http_api::{ApiError, Ask, Body, caller, path, respond};
use jiff::Timestamp;
use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt as _};
use tenancy::TenantContext;

use crate::route::{OfTenant, Route};

pub use crate::environment::StartError;

/// What one execution environment keeps between invocations.
#[derive(Debug)]
pub struct State<S, P> {
    /// Lines of business, tenants, registrations.
    pub store: S,
    /// People and clients.
    pub pool: P,
    /// Whether keys of issuers may be fetched from this machine, as on a local stack.
    pub allow_local_issuers: bool,
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
    state: &State<impl AdministrationStore, impl UserPool>,
    request: Request,
) -> Result<Response<Body>, Infallible> {
    if matches!(request.request_context_ref(), Some(RequestContext::PassThrough)) {
        // No HTTP request: those come with API Gateway's context.
        return Ok(Box::pin(schedule::finish_tasks(state)).await);
    }
    Ok(respond(&(state.new_id)(), Box::pin(answer(state, &request)).await))
}

async fn answer(
    state: &State<impl AdministrationStore, impl UserPool>,
    request: &Request,
) -> Result<Response<Body>, ApiError> {
    let context = caller(request)?;
    let path = path(request);
    let route = Route::of(&path).ok_or_else(|| ApiError::unknown_route(request.method(), &path))?;
    ApiError::check_method(request.method(), &path, route.methods())?;
    let ask = Ask::of(request)?;
    serve(state, &context, route, request.method(), &ask).await
}

async fn serve(
    state: &State<impl AdministrationStore, impl UserPool>,
    context: &TenantContext,
    route: Route,
    method: &Method,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    let is_put = method == Method::PUT;
    match route {
        Route::Lobs => Box::pin(lobs::list(state, context, ask)).await,
        Route::Lob(id) if is_put => Box::pin(lobs::set(state, context, &id, ask)).await,
        Route::Lob(id) => Box::pin(lobs::show(state, context, &id, ask)).await,
        Route::Issuers => Box::pin(issuers::list(state, context, None, ask)).await,
        Route::Issuer(id) => Box::pin(serve_issuer(state, context, None, &id, method, ask)).await,
        Route::Tenants => Box::pin(tenants::list(state, context, ask)).await,
        Route::Tenant(id, of) => Box::pin(serve_tenant(state, context, &id, of, method, ask)).await,
    }
}

async fn serve_issuer(
    state: &State<impl AdministrationStore, impl UserPool>,
    context: &TenantContext,
    tenant_id: Option<&str>,
    issuer_id: &str,
    method: &Method,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    match *method {
        Method::PUT => Box::pin(issuers::set(state, context, tenant_id, issuer_id, ask)).await,
        Method::DELETE => {
            Box::pin(issuers::remove(state, context, tenant_id, issuer_id, ask)).await
        }
        _ => Box::pin(issuers::show(state, context, tenant_id, issuer_id, ask)).await,
    }
}

async fn serve_tenant(
    state: &State<impl AdministrationStore, impl UserPool>,
    context: &TenantContext,
    id: &str,
    of: OfTenant,
    method: &Method,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    let is_put = method == Method::PUT;
    match of {
        OfTenant::Itself if is_put => Box::pin(change::set(state, context, id, ask)).await,
        OfTenant::Itself => Box::pin(tenants::show(state, context, id, ask)).await,
        OfTenant::History => Box::pin(tenants::history(state, context, id, ask)).await,
        OfTenant::Rollback => Box::pin(change::roll_back(state, context, id, ask)).await,
        OfTenant::Suspend => Box::pin(change::suspend(state, context, id, ask)).await,
        OfTenant::Resume => Box::pin(change::resume(state, context, id, ask)).await,
        OfTenant::Users => Box::pin(members::list(state, context, id, ask)).await,
        OfTenant::User(name) if is_put => {
            Box::pin(members::set(state, context, id, &name, ask)).await
        }
        OfTenant::User(name) => Box::pin(members::remove(state, context, id, &name, ask)).await,
        OfTenant::Clients if method == Method::POST => {
            Box::pin(clients::create(state, context, id, ask)).await
        }
        OfTenant::Clients => Box::pin(clients::list(state, context, id, ask)).await,
        OfTenant::Client(client) => {
            Box::pin(clients::remove(state, context, id, &client, ask)).await
        }
        OfTenant::Rotate(client) => {
            Box::pin(clients::rotate(state, context, id, &client, ask)).await
        }
        OfTenant::AwsRoles => Box::pin(aws_roles::list(state, context, id, ask)).await,
        OfTenant::AwsRole { account_id, role_name } if is_put => {
            Box::pin(aws_roles::set(state, context, id, (&account_id, &role_name), ask)).await
        }
        OfTenant::AwsRole { account_id, role_name } => {
            Box::pin(aws_roles::remove(state, context, id, (&account_id, &role_name), ask)).await
        }
        OfTenant::ModelRequests if method == Method::POST => {
            Box::pin(model_requests::ask(state, context, id, ask)).await
        }
        OfTenant::ModelRequests => Box::pin(model_requests::list(state, context, id, ask)).await,
        OfTenant::ModelRequest { request_id, is_approved } => {
            let request = (id, request_id.as_str());
            Box::pin(model_requests::decide(state, context, request, is_approved, ask)).await
        }
        OfTenant::Issuers => Box::pin(issuers::list(state, context, Some(id), ask)).await,
        OfTenant::Issuer(issuer) => {
            Box::pin(serve_issuer(state, context, Some(id), &issuer, method, ask)).await
        }
    }
}

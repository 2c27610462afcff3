//! Tasks that make, move and take away tenants: asked for, watched, called off.
//!
//! What is asked for is checked here and written as a task; the state machine has `orchestrator-step` do it.

mod environment;
mod request;
mod schedule;
mod show;
#[cfg(test)]
mod tests;

use std::convert::Infallible;

use administration::{AdministrationStore, UserPool};
use http::{Method, Response};
use http_api::{ApiError, Ask, Body, caller, parts, path, respond};
use jiff::Timestamp;
use lake::ObjectStore;
use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt as _};
use orchestration::{TaskStore, Workflow};
use tenancy::TenantContext;

pub use crate::environment::StartError;

/// What one execution environment keeps between invocations.
#[derive(Debug)]
pub struct State<S, T, P, W, O> {
    /// Lines of business, tenants, registrations.
    pub store: S,
    /// Tasks.
    pub tasks: T,
    /// Clients and their secrets.
    pub pool: P,
    /// What has the steps of tasks done.
    pub workflow: W,
    /// The bucket of statements, which evidence is in.
    pub papers: O,
    /// The clock.
    pub now: fn() -> Timestamp,
    /// A new id; later ones are greater.
    pub new_id: fn() -> String,
}

/// What a path asks for. Ids are as the path says them.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Route {
    /// `/v1/tasks`
    Tasks,
    /// `/v1/tasks/{task_id}`
    Task(String),
    /// `../cancel`
    Cancel(String),
    /// `../credentials`
    Credentials(String),
    /// `../evidence`
    Evidence(String),
}

impl Route {
    fn of(path: &str) -> Option<Self> {
        let parts = parts(path)?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        Some(match parts.as_slice() {
            ["tasks"] => Self::Tasks,
            ["tasks", id] => Self::Task((*id).to_owned()),
            ["tasks", id, "cancel"] => Self::Cancel((*id).to_owned()),
            ["tasks", id, "credentials"] => Self::Credentials((*id).to_owned()),
            ["tasks", id, "evidence"] => Self::Evidence((*id).to_owned()),
            _ => return None,
        })
    }

    fn methods(&self) -> &'static [Method] {
        match self {
            Self::Tasks => &[Method::GET, Method::POST],
            Self::Task(_) | Self::Evidence(_) => &[Method::GET],
            Self::Cancel(_) | Self::Credentials(_) => &[Method::POST],
        }
    }
}

/// Answers one request, or the schedule; an error becomes its response here and nowhere else.
///
/// # Errors
/// None: whatever goes wrong is a response.
pub async fn handle(
    state: &State<
        impl AdministrationStore,
        impl TaskStore,
        impl UserPool,
        impl Workflow,
        impl ObjectStore,
    >,
    request: Request,
) -> Result<Response<Body>, Infallible> {
    if matches!(request.request_context_ref(), Some(RequestContext::PassThrough)) {
        // No HTTP request: those come with API Gateway's context.
        return Ok(Box::pin(schedule::restart(state)).await);
    }
    Ok(respond(&(state.new_id)(), Box::pin(answer(state, &request)).await))
}

async fn answer(
    state: &State<
        impl AdministrationStore,
        impl TaskStore,
        impl UserPool,
        impl Workflow,
        impl ObjectStore,
    >,
    request: &Request,
) -> Result<Response<Body>, ApiError> {
    let context: TenantContext = caller(request)?;
    let path = path(request);
    let route = Route::of(&path).ok_or_else(|| ApiError::unknown_route(request.method(), &path))?;
    ApiError::check_method(request.method(), &path, route.methods())?;
    let ask = Ask::of(request)?;
    match route {
        Route::Tasks if request.method() == Method::POST => {
            Box::pin(request::create(state, &context, &ask)).await
        }
        Route::Tasks => Box::pin(show::list(state, &context, &ask)).await,
        Route::Task(id) => Box::pin(show::one(state, &context, &id, &ask)).await,
        Route::Cancel(id) => Box::pin(request::cancel(state, &context, &id, &ask)).await,
        Route::Evidence(id) => Box::pin(show::evidence(state, &context, &id, &ask)).await,
        Route::Credentials(id) => Box::pin(show::credentials(state, &context, &id, &ask)).await,
    }
}

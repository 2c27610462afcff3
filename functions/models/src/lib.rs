//! The registry of models and aliases: registered, changed, approved, deployed and left by administrators; and
//! the schedule that tells tenants of models that end.

mod change;
mod environment;
mod import;
mod show;
#[cfg(test)]
mod tests;

use std::convert::Infallible;

use administration::AdministrationStore;
use events::EventSink;
use http::{Method, Response, StatusCode};
use http_api::{ApiError, Ask, Body, caller, parts, path, respond, with_type};
use inference::Alias;
use jiff::{SignedDuration, Timestamp};
use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt as _};
use registry::{Kind, ModelEntry, ModelList, RegistryStore, tell};
use tenancy::TenantContext;

use crate::show::Shown;

pub use crate::environment::{OnAws, StartError};

/// What is kept back of a run's time for the page of tenants that it is at.
const PAGE_TAKES: SignedDuration = SignedDuration::from_secs(10);

/// The adapters that the function works through, one type per port.
pub trait Ports {
    /// Where refusals are noted, and tenants are read.
    type Store: AdministrationStore;
    /// Entries of models and aliases.
    type Registry: RegistryStore;
    /// Where tenants are told of models that end.
    type Events: EventSink;
    /// What models Bedrock has.
    type Models: ModelList;
}

/// What one execution environment keeps between invocations.
#[derive(Debug)]
pub struct State<P: Ports> {
    /// Where refusals are noted, and tenants are read.
    pub store: P::Store,
    /// Entries of models and aliases.
    pub registry: P::Registry,
    /// Where tenants are told of models that end.
    pub events: P::Events,
    /// What models Bedrock has.
    pub models: P::Models,
    /// The clock.
    pub now: fn() -> Timestamp,
    /// A new id; later ones are greater.
    pub new_id: fn() -> String,
}

/// What a path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Route {
    /// `/v1/registry/import`
    Import,
    /// Below `/v1/registry/models` or `/v1/registry/aliases`.
    Entries(Kind, Of),
}

/// What of a kind. Ids are as the path says them.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Of {
    All,
    /// `/{id}`
    One(String),
    /// `/{id}/history`
    History(String),
    /// `/{id}/rollback`
    Rollback(String),
    /// `/{id}/stage`, of models
    Stage(String),
    /// `/{id}/deploy`, of aliases
    Deploy(String),
}

impl Route {
    fn of(path: &str) -> Option<Self> {
        let parts = parts(path)?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let ["registry", kind, rest @ ..] = parts.as_slice() else { return None };
        if *kind == "import" {
            return rest.is_empty().then_some(Self::Import);
        }
        let kind = [Kind::Model, Kind::Alias].into_iter().find(|it| it.path() == *kind)?;
        let of = match (kind, rest) {
            (_, []) => Of::All,
            (_, [id]) => Of::One((*id).to_owned()),
            (_, [id, "history"]) => Of::History((*id).to_owned()),
            (_, [id, "rollback"]) => Of::Rollback((*id).to_owned()),
            (Kind::Model, [id, "stage"]) => Of::Stage((*id).to_owned()),
            (Kind::Alias, [id, "deploy"]) => Of::Deploy((*id).to_owned()),
            _ => return None,
        };
        Some(Self::Entries(kind, of))
    }

    fn methods(&self) -> &'static [Method] {
        match self {
            Self::Entries(_, Of::All | Of::History(_)) => &[Method::GET],
            Self::Entries(Kind::Model, Of::One(_)) => &[Method::GET, Method::PUT],
            Self::Entries(Kind::Alias, Of::One(_)) => &[Method::GET, Method::PUT, Method::DELETE],
            Self::Import | Self::Entries(_, Of::Rollback(_) | Of::Stage(_) | Of::Deploy(_)) => {
                &[Method::POST]
            }
        }
    }
}

/// Answers one request, or the schedule; an error becomes its response here and nowhere else.
///
/// # Errors
/// None: whatever goes wrong is a response.
pub async fn handle<P: Ports>(
    state: &State<P>,
    request: Request,
) -> Result<Response<Body>, Infallible> {
    if matches!(request.request_context_ref(), Some(RequestContext::PassThrough)) {
        // No HTTP request: those come with API Gateway's context.
        return Ok(Box::pin(tell_of_ends(state, &request)).await);
    }
    Ok(respond(&(state.new_id)(), Box::pin(answer(state, &request)).await))
}

async fn answer<P: Ports>(state: &State<P>, request: &Request) -> Result<Response<Body>, ApiError> {
    let context = caller(request)?;
    let path = path(request);
    let route = Route::of(&path).ok_or_else(|| ApiError::unknown_route(request.method(), &path))?;
    ApiError::check_method(request.method(), &path, route.methods())?;
    let ask = Ask::of(request)?;
    let method = request.method();
    match route {
        Route::Import => Box::pin(import::run(state, &context, &ask)).await,
        Route::Entries(Kind::Model, of) => {
            serve::<ModelEntry, _>(state, &context, of, method, &ask).await
        }
        Route::Entries(Kind::Alias, of) => {
            serve::<Alias, _>(state, &context, of, method, &ask).await
        }
    }
}

/// Tells tenants of the ends of models, as long as the function runs; the next run goes on from there.
async fn tell_of_ends<P: Ports>(state: &State<P>, request: &Request) -> Response<Body> {
    let deadline = request.lambda_context_ref().and_then(|it| i64::try_from(it.deadline).ok());
    let deadline = deadline.and_then(|it| Timestamp::from_millisecond(it).ok());
    let until = deadline.unwrap_or(Timestamp::MAX).saturating_sub(PAGE_TAKES).unwrap_or_default();
    match tell(&state.registry, &state.store, &state.events, state.now, until).await {
        Ok(count) => with_type(StatusCode::OK, "text/plain", format!("{count} told")),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "tenants were not told of models that end");
            with_type(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "failed")
        }
    }
}

async fn serve<E: Shown, P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    of: Of,
    method: &Method,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    match of {
        Of::All => show::list::<E, _>(state, context, ask).await,
        Of::One(id) if method == Method::PUT => {
            Box::pin(change::set::<E, _>(state, context, &id, ask)).await
        }
        Of::One(id) if method == Method::DELETE => {
            Box::pin(change::remove::<E, _>(state, context, &id, ask)).await
        }
        Of::One(id) => show::one::<E, _>(state, context, &id, ask).await,
        Of::History(id) => show::history::<E, _>(state, context, &id, ask).await,
        Of::Rollback(id) => Box::pin(change::roll_back::<E, _>(state, context, &id, ask)).await,
        Of::Stage(id) => Box::pin(change::stage(state, context, &id, ask)).await,
        Of::Deploy(id) => Box::pin(change::deploy(state, context, &id, ask)).await,
    }
}

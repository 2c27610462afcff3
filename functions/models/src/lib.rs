//! The registry of models: registered, changed, approved and left by administrators.

mod change;
mod environment;
mod show;
#[cfg(test)]
mod tests;

use std::convert::Infallible;

use administration::AdministrationStore;
use http::{Method, Response};
use http_api::{ApiError, Ask, Body, caller, parts, path, respond};
use jiff::Timestamp;
use lambda_http::Request;
use registry::RegistryStore;

pub use crate::environment::StartError;

/// What one execution environment keeps between invocations.
#[derive(Debug)]
pub struct State<S, R> {
    /// Where refusals are noted.
    pub store: S,
    /// Entries of models.
    pub registry: R,
    /// The clock.
    pub now: fn() -> Timestamp,
    /// A new id; later ones are greater.
    pub new_id: fn() -> String,
}

/// What a path asks for. Ids are as the path says them.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Route {
    /// `/v1/registry/models`
    Models,
    /// `/v1/registry/models/{model_id}`
    Model(String),
    /// `../history`
    History(String),
    /// `../rollback`
    Rollback(String),
    /// `../stage`
    Stage(String),
}

impl Route {
    fn of(path: &str) -> Option<Self> {
        let parts = parts(path)?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let ["registry", "models", rest @ ..] = parts.as_slice() else { return None };
        Some(match rest {
            [] => Self::Models,
            [id] => Self::Model((*id).to_owned()),
            [id, "history"] => Self::History((*id).to_owned()),
            [id, "rollback"] => Self::Rollback((*id).to_owned()),
            [id, "stage"] => Self::Stage((*id).to_owned()),
            _ => return None,
        })
    }

    fn methods(&self) -> &'static [Method] {
        match self {
            Self::Models | Self::History(_) => &[Method::GET],
            Self::Model(_) => &[Method::GET, Method::PUT],
            Self::Rollback(_) | Self::Stage(_) => &[Method::POST],
        }
    }
}

/// Answers one request; an error becomes its response here and nowhere else.
///
/// # Errors
/// None: whatever goes wrong is a response.
pub async fn handle(
    state: &State<impl AdministrationStore, impl RegistryStore>,
    request: Request,
) -> Result<Response<Body>, Infallible> {
    Ok(respond(&(state.new_id)(), Box::pin(answer(state, &request)).await))
}

async fn answer(
    state: &State<impl AdministrationStore, impl RegistryStore>,
    request: &Request,
) -> Result<Response<Body>, ApiError> {
    let context = caller(request)?;
    let path = path(request);
    let route = Route::of(&path).ok_or_else(|| ApiError::unknown_route(request.method(), &path))?;
    ApiError::check_method(request.method(), &path, route.methods())?;
    let ask = Ask::of(request)?;
    match route {
        Route::Models => show::list(state, &context, &ask).await,
        Route::Model(id) if request.method() == Method::PUT => {
            Box::pin(change::set(state, &context, &id, &ask)).await
        }
        Route::Model(id) => show::one(state, &context, &id, &ask).await,
        Route::History(id) => show::history(state, &context, &id, &ask).await,
        Route::Rollback(id) => Box::pin(change::roll_back(state, &context, &id, &ask)).await,
        Route::Stage(id) => Box::pin(change::stage(state, &context, &id, &ask)).await,
    }
}

//! Every model route: who calls is known, what it may use is reserved, the model is called, and
//! what it used is recorded.

mod cache;
mod call;
mod chat;
mod models;
mod record;
mod state;
mod stream;
mod upstream;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use admission::{EntitlementStore, MeterStore, UsageStore};
use http::{HeaderValue, Method, Response};
use http_api::{ApiError, Body};
use inference::{CatalogStore, Provider};
use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt as _};

pub use cache::Cache;
pub use state::State;

use crate::call::Call;

const CHAT_COMPLETIONS: &str = "/v1/chat/completions";
const MODELS: &str = "/v1/models";

/// Answers one request; an error becomes its response here and nowhere else.
///
/// # Errors
/// None: whatever goes wrong is a response.
pub async fn handle<C, L, P>(
    state: Arc<State<C, L, P>>,
    request: Request,
) -> Result<Response<Body>, Infallible>
where
    C: EntitlementStore + CatalogStore + 'static,
    L: MeterStore + UsageStore + 'static,
    P: Provider + 'static,
{
    let call = Call::begin(&request, (state.now_ms)());
    Ok(match answer(&state, &request, &call).await {
        Ok(mut response) => {
            if let Ok(id) = HeaderValue::from_str(&call.id) {
                response.headers_mut().insert("x-request-id", id);
            }
            response
        }
        Err(error) => {
            tracing::info!(
                call_id = call.id,
                status = error.status().as_u16(),
                code = error.body().code,
                "call refused"
            );
            error.into_response(&call.id)
        }
    })
}

/// One route's answer, with its type erased: the compiler need not see through all of them at once.
type Answer<'a> = Pin<Box<dyn Future<Output = Result<Response<Body>, ApiError>> + Send + 'a>>;

fn answer<'a, C, L, P>(
    state: &'a Arc<State<C, L, P>>,
    request: &'a Request,
    call: &'a Call,
) -> Answer<'a>
where
    C: EntitlementStore + CatalogStore + 'static,
    L: MeterStore + UsageStore + 'static,
    P: Provider + 'static,
{
    let path = path(request);
    match (request.method(), path.as_str()) {
        (&Method::POST, CHAT_COMPLETIONS) => {
            Box::pin(chat::completions(state, request, call.clone()))
        }
        (&Method::GET, MODELS) => Box::pin(models::list(state, request, call)),
        (method, CHAT_COMPLETIONS) => {
            refuse(ApiError::wrong_method(method, CHAT_COMPLETIONS, &Method::POST))
        }
        (method, MODELS) => refuse(ApiError::wrong_method(method, MODELS, &Method::GET)),
        (method, path) => refuse(ApiError::unknown_route(method, path)),
    }
}

fn refuse<'a>(error: ApiError) -> Answer<'a> {
    Box::pin(std::future::ready(Err(error)))
}

/// The path as the API defines it, without stage or base path; as it came where the API has none.
fn path(request: &Request) -> String {
    let path = request.raw_http_path();
    let Some(RequestContext::ApiGatewayV1(context)) = request.request_context_ref() else {
        return path.to_owned();
    };
    if let Some(resource) =
        context.resource_path.as_ref().filter(|resource| !resource.contains('{'))
    {
        return resource.clone();
    }
    let stage = context.stage.as_deref().unwrap_or_default();
    path.strip_prefix('/')
        .and_then(|path| path.strip_prefix(stage))
        .filter(|path| path.starts_with('/'))
        .unwrap_or(path)
        .to_owned()
}

#[cfg(test)]
mod tests;

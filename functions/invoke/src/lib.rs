//! Every model route: from API Gateway's event to the gateway's hot path, and back.

use std::convert::Infallible;
use std::sync::Arc;

use gateway::{Call, HttpRequest, Ports, State, family_of, serve};
use http::Response;
use http_api::{ApiError, Body, caller, path, read};
use lambda_http::{Request, RequestExt as _};

/// Answers one request; an error becomes its response here and nowhere else.
///
/// # Errors
/// None: whatever goes wrong is a response.
pub async fn handle<P: Ports>(
    state: Arc<State<P>>,
    request: Request,
) -> Result<Response<Body>, Infallible> {
    let deadline =
        request.lambda_context_ref().and_then(|context| i64::try_from(context.deadline).ok());
    let call = Call::begin((state.now_ms)(), deadline);
    let (id, path) = (call.id.clone(), path(&request));
    Ok(answer(&state, call, &path, &request).await.unwrap_or_else(|error| {
        let family = family_of(&path);
        tracing::info!(
            call_id = id,
            status = error.fault().status(family).as_u16(),
            code = error.fault().code,
            "call refused"
        );
        error.into_response(family, &id)
    }))
}

async fn answer<P: Ports>(
    state: &Arc<State<P>>,
    call: Call,
    path: &str,
    request: &Request,
) -> Result<Response<Body>, ApiError> {
    let context = caller(request)?;
    let query: Vec<(String, String)> = request
        .query_string_parameters()
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let request = HttpRequest {
        method: request.method(),
        path,
        query: &query,
        headers: request.headers(),
        body: read(request)?,
    };
    serve(state, context, call, request).await
}

#[cfg(test)]
mod tests;

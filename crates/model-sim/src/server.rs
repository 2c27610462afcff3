//! Routes and their state.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

use crate::access::Access;
use crate::error::Fault;
use crate::records::Records;
use crate::{call, control, count_tokens, guardrail};

/// Bedrock's own limit, in bytes.
const MAX_REQUEST: usize = 25_000_000;

/// How the simulator behaves.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where to ask, for each signed request, whether its signer may call the model. The URL gets
    /// `{method, path, headers, body_sha256, action, resource}` and answers `{allowed, principal_arn, reason}`.
    /// `None` lets every request through.
    pub authorize_url: Option<String>,
}

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Sim {
    pub(crate) records: Records,
    pub(crate) access: Access,
}

/// Serves the simulator on `listener` until the future is dropped.
///
/// # Errors
/// When the listener or the client for `authorize_url` cannot be set up.
pub async fn serve(listener: TcpListener, options: Options) -> io::Result<()> {
    let access = Access::new(options.authorize_url).map_err(io::Error::other)?;
    let sim = Arc::new(Sim { records: Records::default(), access });
    // Chunks are small and paced: waiting to fill a packet would distort the pace.
    let listener = listener.tap_io(|connection| _ = connection.set_nodelay(true));
    axum::serve(listener, router(sim)).await
}

fn router(sim: Arc<Sim>) -> Router {
    Router::new()
        .route("/model/{id}/converse", post(call::converse))
        .route("/model/{id}/converse-stream", post(call::converse_stream))
        .route("/model/{id}/count-tokens", post(count_tokens::count_tokens))
        .route("/guardrail/{id}/version/{version}/apply", post(guardrail::apply))
        .route("/openai/v1/chat/completions", post(call::chat_completions))
        .route("/_sim/health", get(control::health))
        .route("/_sim/calls", get(control::calls))
        .route("/_sim/reset", post(control::reset))
        .fallback(unknown_operation)
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .layer(map_response(mark))
        .with_state(sim)
}

async fn mark(mut response: Response) -> Response {
    response.headers_mut().insert("x-model-sim", HeaderValue::from_static("1"));
    response
}

async fn unknown_operation(method: Method, uri: Uri) -> Response {
    let mut fault = Fault::validation(format!("model-sim does not serve {method} {}", uri.path()));
    fault.status = StatusCode::NOT_FOUND;
    "UnknownOperationException".clone_into(&mut fault.exception);
    if uri.path().starts_with("/openai/") { fault.into_openai() } else { fault.into_bedrock() }
}

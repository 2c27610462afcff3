//! Routes and their state.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, Method, Uri};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{any, get, post, put};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

use crate::access::Access;
use crate::error::Fault;
use crate::faults::Faults;
use crate::key::Key;
use crate::line::{Cut, Lines};
use crate::prompt_cache::PromptCache;
use crate::records::Records;
use crate::scripts::Scripts;
use crate::surface::{Errors, Surface};
use crate::{
    anthropic, chat, compatible, control, converse, count_tokens, guardrail, invoke, rerank,
    responses, sagemaker,
};

/// Bedrock's own limit, in bytes.
const MAX_REQUEST: usize = 25_000_000;

/// How the simulator behaves.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where to ask, for each signed request, whether its signer may call the model. The URL gets
    /// `{method, path, headers, body_sha256, action, resource}` and answers `{allowed, principal_arn, reason}`.
    /// `None` lets every request through.
    pub authorize_url: Option<String>,
    /// The key that the OpenAI-compatible paths want; `None` lets every request through.
    pub api_key: Option<String>,
    /// The header that holds this key as it is; `None` stands for `Authorization: Bearer`.
    pub api_key_header: Option<String>,
}

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Sim {
    pub(crate) records: Records,
    pub(crate) access: Access,
    pub(crate) key: Key,
    pub(crate) faults: Faults,
    pub(crate) scripts: Scripts,
    pub(crate) prompt_cache: PromptCache,
    /// Counts how often waits were ended.
    pub(crate) releases: watch::Sender<u64>,
    /// Bound but not listening: whoever connects to it is refused.
    pub(crate) closed: TcpSocket,
}

/// Serves the simulator on `listener` until the future is dropped.
///
/// # Errors
/// When the listener, the closed port or the client for `authorize_url` cannot be set up.
pub async fn serve(listener: TcpListener, options: Options) -> io::Result<()> {
    let closed = TcpSocket::new_v4()?;
    closed.bind(([127, 0, 0, 1], 0).into())?;
    let sim = Arc::new(Sim {
        records: Records::default(),
        access: Access::new(options.authorize_url).map_err(io::Error::other)?,
        key: Key::new(options.api_key, options.api_key_header),
        faults: Faults::default(),
        scripts: Scripts::default(),
        prompt_cache: PromptCache::default(),
        releases: watch::Sender::new(0),
        closed,
    });
    let service = router(sim).into_make_service_with_connect_info::<Cut>();
    axum::serve(Lines(listener), service).await
}

fn router(sim: Arc<Sim>) -> Router {
    Router::new()
        .route("/model/{id}/converse", post(converse::whole))
        .route("/model/{id}/converse-stream", post(converse::stream))
        .route("/model/{id}/invoke", post(invoke::whole))
        .route("/model/{id}/invoke-with-response-stream", post(invoke::stream))
        .route("/model/{id}/count-tokens", post(count_tokens::count_tokens))
        .route("/guardrail/{id}/version/{version}/apply", post(guardrail::apply))
        .route("/rerank", post(rerank::bedrock))
        .route("/openai/v1/chat/completions", post(chat::bedrock))
        .route("/openai/v1/responses", post(responses::bedrock))
        .route("/anthropic/v1/messages", post(anthropic::messages))
        .route("/anthropic/v1/messages/count_tokens", post(anthropic::count_tokens))
        .route("/endpoints/{name}/invocations", post(sagemaker::whole))
        .route("/endpoints/{name}/invocations-response-stream", post(sagemaker::stream))
        .route("/v1/{*operation}", any(compatible::serve))
        .route("/quirk/{quirks}/{*rest}", any(compatible::serve))
        .route("/_sim/health", get(control::health))
        .route("/_sim/calls", get(control::calls))
        .route("/_sim/faults", put(control::put_faults))
        .route("/_sim/scripts/{name}", put(control::put_script).delete(control::delete_script))
        .route("/_sim/release", post(control::release))
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
    let path = uri.path();
    let surface = match path {
        _ if path.starts_with("/openai/") => Surface::OpenAi(Errors::OpenAi),
        _ if path.starts_with("/anthropic/") => Surface::Anthropic,
        _ if path.starts_with("/endpoints/") => Surface::SageMaker,
        _ => Surface::Bedrock,
    };
    let fault = Fault::unknown_operation(format!("model-sim does not serve {method} {path}"));
    surface.refusal(&fault, "unknown")
}

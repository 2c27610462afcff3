//! The Lambda Runtime API, for one process at a time.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use function_bench::Prelude;
use futures::StreamExt as _;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::Result;
use crate::listener::PromptListener;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The function's time limit, in milliseconds from now.
const TIME_LIMIT_MS: u64 = 900_000;

/// A server that one process of a function takes its invocations from.
#[derive(Debug)]
pub(crate) struct RuntimeApi {
    address: SocketAddr,
    waits: mpsc::Receiver<std::result::Result<Waiting, String>>,
    waiting: Option<Waiting>,
    exchange: Arc<Exchange>,
    server: JoinHandle<()>,
}

/// The function has asked for the next invocation.
#[derive(Debug)]
struct Waiting {
    since: Instant,
    hand_over: oneshot::Sender<Bytes>,
}

/// What the server's routes share.
#[derive(Debug)]
struct Exchange {
    waits: mpsc::Sender<std::result::Result<Waiting, String>>,
    asker: Mutex<Option<oneshot::Sender<std::result::Result<Answer, String>>>>,
}

/// What the function answered, and when.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The head of a streamed answer.
    pub(crate) head: Option<Vec<u8>>,
    /// The body.
    pub(crate) body: Vec<u8>,
    /// When the first byte of the body was there.
    pub(crate) first_at: Instant,
    /// When the last was.
    pub(crate) end_at: Instant,
}

impl RuntimeApi {
    pub(crate) async fn serve() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (announce, waits) = mpsc::channel(1);
        let exchange = Arc::new(Exchange { waits: announce, asker: Mutex::default() });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&exchange));
        let listener = PromptListener(listener);
        let server = tokio::spawn(async move { _ = axum::serve(listener, router).await });
        Ok(Self { address, waits, waiting: None, exchange, server })
    }

    /// What the function finds in `AWS_LAMBDA_RUNTIME_API`.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Since when the function has been waiting for its next invocation.
    pub(crate) async fn ready(&mut self) -> Result<Instant> {
        let waiting = match self.waiting.take() {
            Some(waiting) => waiting,
            None => {
                timeout(PATIENCE, self.waits.recv()).await?.ok_or("the Runtime API is closed")??
            }
        };
        let since = waiting.since;
        self.waiting = Some(waiting);
        Ok(since)
    }

    /// Hands `event` to the function, which must be waiting; when that was, and the answer.
    pub(crate) async fn invoke(&mut self, event: Bytes) -> Result<(Instant, Answer)> {
        self.ready().await?;
        let waiting = self.waiting.take().ok_or("the function is not waiting")?;
        let (answer, answered) = oneshot::channel();
        *self.exchange.asker.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        let asked_at = Instant::now();
        waiting.hand_over.send(event).map_err(|_| "the function has hung up")?;
        Ok((asked_at, timeout(PATIENCE, answered).await???))
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Exchange {
    fn answer(&self, answer: std::result::Result<Answer, String>) {
        if let Some(asker) = self.asker.lock().unwrap_or_else(PoisonError::into_inner).take() {
            _ = asker.send(answer);
        }
    }
}

async fn next(State(exchange): State<Arc<Exchange>>) -> Response {
    let (hand_over, handed) = oneshot::channel();
    let waiting = Waiting { since: Instant::now(), hand_over };
    _ = exchange.waits.send(Ok(waiting)).await;
    let Ok(event) = handed.await else { return StatusCode::GONE.into_response() };
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd".to_owned()),
        ("lambda-runtime-deadline-ms", (crate::unix_ms() + TIME_LIMIT_MS).to_string()),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:111122223333:function:bench".to_owned(),
        ),
    ];
    (headers, event).into_response()
}

async fn response(
    State(exchange): State<Arc<Exchange>>,
    headers: HeaderMap,
    body: Body,
) -> StatusCode {
    let is_streamed = headers.contains_key("lambda-runtime-function-response-mode");
    exchange.answer(read(is_streamed, body).await);
    StatusCode::ACCEPTED
}

async fn read(is_streamed: bool, body: Body) -> std::result::Result<Answer, String> {
    let (mut prelude, mut body, mut pieces, mut first_at) =
        (Prelude::default(), Vec::new(), body.into_data_stream(), None);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| format!("the answer broke off: {error}"))?;
        body.extend_from_slice(if is_streamed { prelude.strip(&piece) } else { &piece });
        if first_at.is_none() && !body.is_empty() {
            first_at = Some(Instant::now());
        }
    }
    let end_at = Instant::now();
    Ok(Answer {
        head: prelude.head().map(<[u8]>::to_vec),
        body,
        first_at: first_at.unwrap_or(end_at),
        end_at,
    })
}

async fn error(State(exchange): State<Arc<Exchange>>, body: String) -> StatusCode {
    exchange.answer(Err(format!("the function failed: {body}")));
    StatusCode::ACCEPTED
}

async fn init_error(State(exchange): State<Arc<Exchange>>, body: String) -> StatusCode {
    _ = exchange.waits.send(Err(format!("the function could not start: {body}"))).await;
    StatusCode::ACCEPTED
}

//! One turn: the gateway's hot path, and its answer posted to a connection.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use content::ContentError;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use gateway::{Call, HttpRequest, Ports, family_of, serve};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_api::{ApiError, Body};
use http_body_util::BodyExt as _;
use inference::FaultKind;
use tenancy::TenantContext;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use crate::event::Turn;
use crate::locker::Mail;
use crate::message::{Refusal, Request};
use crate::outbox::{Outbox, Reason};
use crate::{Outside, PostError, State};

/// How often the worker looks whether the client cancelled or came back.
const LOOK: Duration = Duration::from_secs(1);

/// How long a message may take to be posted; three of them are less than the gateway's patience
/// with a client.
const POST_PATIENCE: Duration = Duration::from_secs(8);
const POST_ATTEMPTS: u32 = 3;

/// Bytes that wait to be posted at most; beyond, the gateway has to wait.
const MAX_UNSENT: usize = 512 * 1024;

/// Bytes of a request at most, as over HTTP.
const MAX_BODY: usize = 6 * 1024 * 1024;

/// A request may overtake its parts: for how long they are waited for, all together.
const PARTS_PATIENCE: Duration = Duration::from_secs(10);
const PART_WAIT: Duration = Duration::from_millis(250);

/// Parts that are read at the same time.
const CONCURRENCY: usize = 8;

/// What the gateway answers, as it comes.
enum Output {
    Head(StatusCode, HeaderMap),
    Data(Bytes),
}

/// Runs a turn to its end, whether or not anybody still listens: the provider bills what it
/// produces, and so does the ledger.
pub(crate) async fn run<P: Ports, O: Outside>(
    state: &State<P, O>,
    turn: Turn,
    deadline_ms: Option<i64>,
) -> Result<(), ContentError> {
    let Some(context) = turn.context() else {
        tracing::error!(turn = turn.id, "a turn without a caller was not run");
        return Ok(());
    };
    let Some(request) = state.locker(&context).take_request(&turn).await? else {
        tracing::warn!(turn = turn.id, "a turn that had been run was not run again");
        return Ok(());
    };
    let (sender, outputs) = mpsc::channel(64);
    let courier = Courier {
        state,
        turn: &turn,
        context: &context,
        outbox: Outbox::new(turn.request.clone()),
        connection: Some(turn.connection.clone()),
    };
    let answering = Box::pin(answer(state, &turn, &context, &request, deadline_ms, sender));
    tokio::join!(answering, courier.deliver(outputs));
    Ok(())
}

async fn answer<P: Ports, O: Outside>(
    state: &State<P, O>,
    turn: &Turn,
    context: &TenantContext,
    request: &[u8],
    deadline_ms: Option<i64>,
    sender: mpsc::Sender<Output>,
) {
    let call = Call::begin((state.gateway.now_ms)(), deadline_ms);
    let id = call.id.clone();
    let request = serde_json::from_slice::<Request<'_>>(request);
    let response = match &request {
        Ok(request) => {
            let family = family_of(&request.path);
            let served = served(state, turn, context, call, request).await;
            served.unwrap_or_else(|error| {
                tracing::info!(
                    call_id = id,
                    status = error.fault().status(family).as_u16(),
                    code = error.fault().code,
                    "call refused"
                );
                error.into_response(family, &id)
            })
        }
        Err(error) => ApiError::internal(error).into_response(family_of(""), &id),
    };
    let (head, mut body) = response.into_parts();
    // Whoever receives does so to the end.
    let _ = sender.send(Output::Head(head.status, head.headers)).await;
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(data) = frame.into_data() {
            let _ = sender.send(Output::Data(data)).await;
        }
    }
}

async fn served<P: Ports, O: Outside>(
    state: &State<P, O>,
    turn: &Turn,
    context: &TenantContext,
    call: Call,
    request: &Request<'_>,
) -> Result<Response<Body>, ApiError> {
    let joined = match request.parts {
        Some(parts) => joined(state, turn, context, parts).await?,
        None => Bytes::new(),
    };
    let body = request.body.map_or(&*joined, |body| body.get().as_bytes());
    let headers = headers(request)?;
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    if !query.is_empty() {
        let message = "No route that takes POST has a query. Leave it out of `path`.";
        return Err(ApiError::new(FaultKind::InvalidRequest, "invalid_path", message));
    }
    let request = HttpRequest { method: &Method::POST, path, query: &[], headers: &headers, body };
    serve(&state.gateway, context.clone(), call, request).await
}

/// The request's headers, in which everything is JSON unless it says otherwise.
fn headers(request: &Request<'_>) -> Result<HeaderMap, ApiError> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in &request.headers {
        let (Ok(key), Ok(value)) =
            (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str()))
        else {
            let name: String = name.chars().take(64).collect();
            let message = format!("`{name}` is no header that HTTP knows, or its value is none.");
            return Err(ApiError::new(FaultKind::InvalidRequest, "invalid_header", message));
        };
        headers.insert(key, value);
    }
    Ok(headers)
}

/// The parts in one, and forgotten.
async fn joined<P: Ports, O: Outside>(
    state: &State<P, O>,
    turn: &Turn,
    context: &TenantContext,
    parts: u32,
) -> Result<Bytes, ApiError> {
    let locker = state.locker(context);
    let patience = Instant::now() + PARTS_PATIENCE;
    let part = async |index| loop {
        let found = locker.part(turn, index).await;
        if let Some(part) = found.map_err(|error| ApiError::unavailable(&error))? {
            return Ok(part);
        }
        if Instant::now() >= patience {
            let message = format!(
                "Part {index} of {parts} has not come. Send all parts, and then the request under a new id."
            );
            return Err(ApiError::new(FaultKind::InvalidRequest, "missing_part", message));
        }
        sleep(PART_WAIT).await;
    };
    let mut body = BytesMut::new();
    let mut found = std::pin::pin!(stream::iter(0..parts).map(part).buffered(CONCURRENCY));
    while let Some(part) = found.try_next().await? {
        if body.len() + part.len() > MAX_BODY {
            return Err(ApiError::too_large(MAX_BODY));
        }
        body.extend_from_slice(&part);
    }
    let forgotten = stream::iter(0..parts)
        .map(|index| locker.forget_part(turn, index))
        .buffer_unordered(CONCURRENCY)
        .try_collect::<()>();
    if let Err(error) = forgotten.await {
        tracing::warn!(%error, "parts of a request are kept until they expire");
    }
    Ok(body.freeze())
}

/// Brings an answer to wherever its client is.
struct Courier<'a, P: Ports, O> {
    state: &'a State<P, O>,
    turn: &'a Turn,
    context: &'a TenantContext,
    outbox: Outbox,
    /// Until the client is gone.
    connection: Option<String>,
}

impl<P: Ports, O: Outside> Courier<'_, P, O> {
    async fn deliver(mut self, mut outputs: mpsc::Receiver<Output>) {
        let state = self.state;
        let mut looks = interval_at(Instant::now() + LOOK, LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut posting = None;
        let mut is_over = false;
        loop {
            if posting.is_none()
                && let Some(connection) = self.connection.clone()
                && let Some(message) = self.outbox.next_message()
            {
                posting = Some(Box::pin(post(&state.outside, connection, message)));
            }
            if is_over && posting.is_none() {
                break;
            }
            let has_room = self.connection.is_none() || self.outbox.unsent() < MAX_UNSENT;
            let posted = async {
                match posting.as_mut() {
                    Some(posting) => posting.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                is_posted = posted => {
                    posting = None;
                    if !is_posted {
                        self.connection = None;
                    }
                }
                output = outputs.recv(), if !is_over && has_room => match output {
                    Some(Output::Head(status, headers)) => self.outbox.head(status, &headers),
                    Some(Output::Data(data)) => self.outbox.data(&data),
                    None => {
                        is_over = true;
                        self.outbox.end(Reason::Complete);
                    }
                },
                _ = looks.tick() => if self.look().await {
                    // What was on its way went to where the client is no more.
                    posting = None;
                },
            }
        }
        self.finish().await;
    }

    /// Reads what the client said meanwhile; whether it came back.
    async fn look(&mut self) -> bool {
        let Mail { is_cancelled, is_back } =
            match self.state.locker(self.context).mail(&self.turn.id).await {
                Ok(mail) => mail,
                Err(error) => {
                    tracing::warn!(%error, "a client's wish could not be read");
                    return false;
                }
            };
        if is_cancelled {
            self.outbox.end(Reason::Cancelled);
        }
        let Some(back) = is_back else { return false };
        if self.outbox.rewind(back.after).is_ok() {
            self.connection = Some(back.connection);
        } else {
            let refusal = forgotten().about(&self.turn.request);
            post(&self.state.outside, back.connection, refusal.bytes()).await;
            self.connection = None;
        }
        true
    }

    /// Leaves the answer for a client that comes back later, and looks for one that came just now.
    async fn finish(&mut self) {
        let is_kept = self.state.keeps_answers(self.context).await;
        // An empty one says that the answer has ended.
        let transcript = if is_kept { self.outbox.transcript() } else { Bytes::new() };
        let locker = self.state.locker(self.context);
        if let Err(error) = locker.put_transcript(&self.turn.id, transcript).await {
            tracing::warn!(%error, "an answer is not kept for a client that comes back");
        }
        while self.look().await {
            while let Some(connection) = self.connection.clone()
                && let Some(message) = self.outbox.next_message()
            {
                if !post(&self.state.outside, connection, message).await {
                    self.connection = None;
                }
            }
        }
    }
}

/// Messages that the client wants and that are no longer kept.
pub(crate) fn forgotten() -> Refusal {
    let message = "Those messages are not kept any more, or never were. Ask again, under a new id.";
    Refusal::new("not_kept", message)
}

/// Posts a message; whether it was taken. A client that cannot be reached is as good as gone.
pub(crate) async fn post(outside: &impl Outside, connection: String, message: Bytes) -> bool {
    let mut wait = Duration::from_millis(100);
    for _ in 0..POST_ATTEMPTS {
        let posting = outside.post(&connection, message.clone());
        match timeout(POST_PATIENCE, posting).await {
            Ok(Ok(())) => return true,
            Ok(Err(PostError::Gone)) => return false,
            Ok(Err(PostError::Failed(error))) => {
                tracing::warn!(error, "a message was not posted");
            }
            Err(_) => tracing::warn!("a message was not posted in time"),
        }
        sleep(wait).await;
        wait *= 2;
    }
    false
}

/// The gateway, shared with the tasks that it starts.
pub(crate) type Gateway<P> = Arc<gateway::State<P>>;

//! Answers that are sent as they come.
//!
//! A task of its own reads the provider to the end, whether or not anybody still listens: the
//! provider bills what it produces, and so does the ledger. Nothing of an answer is sent before its
//! first content, so that until then another target may answer in its place.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Response, header};
use http_api::{ApiError, Body};
use http_body::Frame as BodyFrame;
use http_body_util::{BodyExt as _, StreamBody};
use inference::{
    AnswerRenderer, Fault, Frame, ProviderAdapter as _, ProviderError, ProviderErrorKind,
    ProviderRequest, ProviderResponse,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, sleep_until, timeout};

use crate::attempt::{Attempt, Ending};
use crate::engine::Engine;
use crate::generate::{
    Generate, Passing, Payload, attempt_headers, is_anything, provider_error, server_timing,
    timed_out,
};
use crate::state::Ports;

/// Pieces that wait for a client which reads slower than the model writes.
const PIECES_IN_FLIGHT: usize = 64;

/// A client that takes nothing for so long is gone.
const CLIENT_PATIENCE: Duration = Duration::from_secs(30);

/// What is held back at most while an answer has no content; a longer preamble is sent.
const MAX_HELD: usize = 1 << 20;

/// Starts the call, and answers once there is content or a refusal, or once the provider thinks for
/// longer than a heartbeat. Only in the last case can a refusal come too late for a status of its own.
pub(crate) async fn answer<P: Ports>(
    engine: Engine<P>,
    generate: Generate,
) -> Result<Response<Body>, ApiError> {
    let dialect = generate.request.dialect();
    let (accept, accepted) = oneshot::channel();
    let (pieces, received) = mpsc::channel(PIECES_IN_FLIGHT);
    let client = Client {
        accept: Some(accept),
        pieces: Some(pieces),
        keep_alive: dialect.keep_alive(),
        heard: tokio::time::Instant::now(),
    };
    tokio::spawn(run(engine, generate, client));
    let headers = match accepted.await {
        Ok(Ok(headers)) => headers,
        Ok(Err(error)) => return Err(error),
        Err(dropped) => return Err(ApiError::internal(&dropped)),
    };
    let frames = stream::unfold(received, |mut received| async move {
        let piece: Bytes = received.recv().await?;
        Some((Ok::<_, Infallible>(BodyFrame::data(piece)), received))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    *response.headers_mut() = headers;
    let headers = response.headers_mut();
    let content_type = HeaderValue::from_static(dialect.stream_content_type());
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// Whoever waits for the answer.
struct Client {
    /// Until the status is decided.
    accept: Option<oneshot::Sender<Result<HeaderMap, ApiError>>>,
    /// Until the client is gone.
    pieces: Option<mpsc::Sender<Bytes>>,
    /// What keeps the connection open, if the dialect has such a thing.
    keep_alive: Option<Bytes>,
    /// When it last heard of us.
    heard: tokio::time::Instant,
}

impl Client {
    /// Decides for status 200.
    fn accept(&mut self, headers: impl FnOnce() -> HeaderMap) {
        if let Some(accept) = self.accept.take() {
            let _ = accept.send(Ok(headers()));
        }
    }

    /// Sends a piece, unless it is empty or nobody listens.
    async fn send(&mut self, piece: Bytes) {
        let Some(pieces) = self.pieces.as_ref().filter(|_| !piece.is_empty()) else { return };
        self.heard = tokio::time::Instant::now();
        if !matches!(timeout(CLIENT_PATIENCE, pieces.send(piece)).await, Ok(Ok(()))) {
            self.pieces = None;
        }
    }

    /// When it is to hear of us again, whatever the provider does.
    fn next_heartbeat(&self, every: Duration) -> tokio::time::Instant {
        self.heard + every
    }

    async fn heartbeat(&mut self, headers: impl FnOnce() -> HeaderMap) {
        self.heard = tokio::time::Instant::now();
        if let Some(keep_alive) = self.keep_alive.clone() {
            self.accept(headers);
            self.send(keep_alive).await;
        }
    }

    /// Refuses with a status if there is still time, else with an event.
    async fn refuse(&mut self, error: ApiError, renderer: Option<&mut Box<dyn AnswerRenderer>>) {
        match (self.accept.take(), renderer) {
            (Some(accept), _) => {
                let _ = accept.send(Err(error));
            }
            (None, Some(renderer)) => self.send(renderer.interrupt(error.fault())).await,
            (None, None) => {}
        }
    }
}

/// How an attempt ended.
enum Outcome {
    /// The client has it all, or is gone.
    Done(Ending),
    /// It failed before any content.
    Failed(ProviderError, Ending),
}

async fn run<P: Ports>(mut engine: Engine<P>, mut generate: Generate, mut client: Client) {
    let mut renderer = None;
    let answered = attempts(&mut engine, &mut generate, &mut renderer, &mut client).await;
    // While the client still waits, for all that has to be done: the function may be frozen as soon as the
    // answer ends, and it ends when the last sender is dropped.
    engine.shadow.settled().await;
    if let Err(error) = answered {
        client.refuse(error, renderer.as_mut()).await;
    }
}

/// Asks targets until one has answered, and records each attempt.
///
/// # Errors
/// None has: what the client is to read.
async fn attempts<P: Ports>(
    engine: &mut Engine<P>,
    generate: &mut Generate,
    renderer: &mut Option<Box<dyn AnswerRenderer>>,
    client: &mut Client,
) -> Result<(), ApiError> {
    loop {
        let (attempt, payload) = engine.next(generate).await?;
        generate.remember.restart();
        let writer = renderer.insert(generate.request.renderer(generate.head(&attempt)));
        let once = attempt_once(engine, &attempt, payload, generate, writer, client);
        let (error, ending) = match once.await {
            Outcome::Done(ending) => {
                if ending.error.is_none() {
                    engine.state.health.succeeded(&attempt.target.model.id);
                }
                attempt.record(&engine.state, &ending).await;
                return Ok(());
            }
            Outcome::Failed(error, ending) => (error, ending),
        };
        attempt.record(&engine.state, &ending).await;
        let Some(wait) = engine.failed(&attempt.target.model.id, &error) else {
            return Err(ApiError::from(&error));
        };
        sleep(wait).await;
    }
}

/// One attempt, from the request to the end of its answer.
async fn attempt_once<P: Ports>(
    engine: &Engine<P>,
    attempt: &Attempt,
    payload: Payload,
    generate: &mut Generate,
    renderer: &mut Box<dyn AnswerRenderer>,
    client: &mut Client,
) -> Outcome {
    let state = &engine.state;
    let cache = generate.remember.headers();
    let headers = || {
        let mut headers = attempt_headers(attempt, engine.attempts);
        headers.extend(cache.clone());
        headers.insert("server-timing", server_timing(attempt.gateway));
        headers
    };
    let patience = engine.deadline().into();
    let opened = open(engine, attempt, payload.request, client, &headers).await;
    let ProviderResponse { provider_request_id, mut body, .. } = match opened {
        Ok(response) => response,
        Err(error) => {
            let ending = Ending { error: Some(error.clone()), ..Ending::default() };
            return Outcome::Failed(error, ending);
        }
    };

    let mut reader = payload.codec.stream(&attempt.target.model);
    let mut passing = Passing::default();
    let mut ending = Ending { provider_request_id, ..Ending::default() };
    // What is held back until there is content.
    let mut held: Option<Vec<Bytes>> = Some(Vec::new());
    let mut held_bytes = 0;
    let error = 'reading: loop {
        let deadline = if held.is_some() { patience } else { attempt.call.deadline().into() };
        let piece = tokio::select! {
            biased;
            piece = body.next() => piece,
            () = sleep_until(deadline) => Some(Err(timed_out())),
            () = sleep_until(client.next_heartbeat(state.heartbeat)) => {
                client.heartbeat(&headers).await;
                continue;
            }
        };
        let (frames, is_over) = match piece {
            Some(Ok(bytes)) => (reader.push(&bytes), false),
            Some(Err(error)) => break Some(error),
            None => (reader.finish(), true),
        };
        for frame in frames {
            for event in &frame.events {
                passing.see(event);
            }
            if let Some(error) = frame.error {
                break 'reading Some(error);
            }
            let is_content = frame.events.iter().any(inference::Event::is_content);
            let output = write(renderer, &frame, payload.is_forwarded);
            generate.remember.piece(&output);
            // A client may refer to an answer as soon as it has it.
            if let Some(stored) = renderer.to_store() {
                generate.remember.store(state, &engine.context, stored).await;
            }
            let Some(waiting) = &mut held else {
                client.send(output).await;
                continue;
            };
            held_bytes += output.len();
            waiting.push(output);
            if is_content || held_bytes > MAX_HELD {
                ending.first_content = Some(Instant::now());
                client.accept(headers);
                for output in held.take().into_iter().flatten() {
                    client.send(output).await;
                }
            }
        }
        if is_over {
            break (!passing.has_stopped).then(never_ended);
        }
    };

    ending.usage = passing.usage.filter(is_anything);
    ending.is_interim = error.is_some() && !passing.has_stopped;
    ending.error.clone_from(&error);
    if held.is_none() || ending.usage.is_some() {
        ending.seen_output = Some(passing.meter.estimate());
    }
    match error {
        Some(error) if held.is_some() => Outcome::Failed(error, ending),
        Some(error) => {
            client.send(renderer.interrupt(&Fault::from(&error))).await;
            Outcome::Done(ending)
        }
        None => {
            let last =
                if payload.is_forwarded { renderer.finish_forwarded() } else { renderer.finish() };
            generate.remember.piece(&last);
            let stored = renderer.to_store();
            generate.remember.complete(state, &engine.context, stored).await;
            client.accept(headers);
            for output in held.take().into_iter().flatten() {
                client.send(output).await;
            }
            client.send(last).await;
            Outcome::Done(ending)
        }
    }
}

/// Sends the request, with signs of life until the provider takes it.
async fn open<P: Ports>(
    engine: &Engine<P>,
    attempt: &Attempt,
    request: ProviderRequest,
    client: &mut Client,
    headers: &(impl Fn() -> HeaderMap + Sync),
) -> Result<ProviderResponse, ProviderError> {
    let (state, call) = (&engine.state, attempt.provider_call());
    let mut opening = std::pin::pin!(state.providers.send(&call, request));
    loop {
        tokio::select! {
            biased;
            opened = &mut opening => return opened,
            () = sleep_until(engine.deadline().into()) => return Err(timed_out()),
            () = sleep_until(client.next_heartbeat(state.heartbeat)) => {
                client.heartbeat(headers).await;
            }
        }
    }
}

/// A provider closed the connection in the middle of its answer.
fn never_ended() -> ProviderError {
    provider_error(ProviderErrorKind::Interrupted, "the answer never came to its end")
}

fn write(renderer: &mut Box<dyn AnswerRenderer>, frame: &Frame, is_forwarded: bool) -> Bytes {
    if is_forwarded {
        return renderer.forwarded(frame);
    }
    let mut pieces = frame.events.iter().map(|event| renderer.event(event));
    let first = pieces.next().unwrap_or_default();
    let mut all = Vec::new();
    for piece in pieces {
        if all.is_empty() {
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&piece);
    }
    if all.is_empty() { first } else { all.into() }
}

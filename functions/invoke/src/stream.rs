//! Answers that are sent as they come.
//!
//! A task of its own reads the provider to the end, whether or not anybody still listens: the
//! provider bills what it produces, and so does the ledger.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use admission::UsageStore;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{HeaderValue, Response, header};
use http_api::{ApiError, Body};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use inference::openai_chat::{KEEP_ALIVE, StreamRenderer, UsageScanner, error_event};
use inference::{ByteStream, EventStream, Provider, ProviderError, ProviderErrorKind};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::State;
use crate::chat::Payload;
use crate::record::{Admission, Ending};
use crate::upstream::{server_timing, timed_out};

/// Pieces that wait for a client which reads slower than the model writes.
const PIECES_IN_FLIGHT: usize = 64;

/// A client that takes nothing for so long is gone.
const CLIENT_PATIENCE: Duration = Duration::from_secs(30);

/// Starts the call, and answers once the provider has accepted or refused it, or thinks for longer
/// than a heartbeat. Only in the last case can a refusal come too late for a status of its own.
pub(crate) async fn answer<C, L, P>(
    state: &Arc<State<C, L, P>>,
    admission: Admission,
    payload: Payload,
    includes_usage: bool,
) -> Result<Response<Body>, ApiError>
where
    C: Send + Sync + 'static,
    L: UsageStore + 'static,
    P: Provider + 'static,
{
    let timing = server_timing(admission.gateway);
    let (accept, accepted) = oneshot::channel();
    let (pieces, received) = mpsc::channel(PIECES_IN_FLIGHT);
    let client = Client { accept: Some(accept), pieces: Some(pieces) };
    tokio::spawn(run(Arc::clone(state), admission, payload, includes_usage, client));
    match accepted.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(error),
        Err(dropped) => return Err(ApiError::internal(&dropped)),
    }
    let frames = stream::unfold(received, |mut received| async move {
        let piece: Bytes = received.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(piece)), received))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("server-timing", timing);
    Ok(response)
}

/// Whoever waits for the answer.
struct Client {
    /// Until the status is decided.
    accept: Option<oneshot::Sender<Result<(), ApiError>>>,
    /// Until the client is gone.
    pieces: Option<mpsc::Sender<Bytes>>,
}

impl Client {
    /// Decides for status 200.
    fn accept(&mut self) {
        if let Some(accept) = self.accept.take() {
            let _ = accept.send(Ok(()));
        }
    }

    /// Sends a piece, unless it is empty or nobody listens.
    async fn send(&mut self, piece: Bytes) {
        let Some(pieces) = self.pieces.as_ref().filter(|_| !piece.is_empty()) else { return };
        if !matches!(timeout(CLIENT_PATIENCE, pieces.send(piece)).await, Ok(Ok(()))) {
            self.pieces = None;
        }
    }

    async fn keep_alive(&mut self) {
        self.accept();
        self.send(KEEP_ALIVE).await;
    }

    /// Refuses with a status if there is still time, else with an event.
    async fn refuse(&mut self, error: ApiError) {
        match self.accept.take() {
            Some(accept) => {
                let _ = accept.send(Err(error));
            }
            None => self.send(error_event(error.body())).await,
        }
    }
}

async fn run<C, L: UsageStore, P: Provider>(
    state: Arc<State<C, L, P>>,
    admission: Admission,
    payload: Payload,
    includes_usage: bool,
    mut client: Client,
) {
    let deadline = admission.call.deadline().into();
    let mut ending = Ending::default();
    let opened = {
        let mut opening = std::pin::pin!(open(&state, &admission, payload, includes_usage));
        loop {
            tokio::select! {
                biased;
                opened = &mut opening => break opened,
                () = tokio::time::sleep_until(deadline) => break Err(timed_out()),
                () = tokio::time::sleep(state.heartbeat) => client.keep_alive().await,
            }
        }
    };
    match opened {
        Err(error) => {
            client.refuse(ApiError::from(&error)).await;
            ending.error = Some(error);
        }
        Ok(mut source) => {
            client.accept();
            loop {
                let next = tokio::select! {
                    biased;
                    next = source.next() => next,
                    () = tokio::time::sleep_until(deadline) => Some(Err(timed_out())),
                    () = tokio::time::sleep(state.heartbeat) => {
                        client.send(KEEP_ALIVE).await;
                        continue;
                    }
                };
                match next {
                    Some(Ok(piece)) => {
                        ending.first_piece.get_or_insert_with(Instant::now);
                        client.send(piece).await;
                    }
                    Some(Err(error)) => {
                        client.send(source.interrupt(&error)).await;
                        ending.error = Some(error);
                        break;
                    }
                    None => {
                        client.send(source.finish()).await;
                        ending.error = source.fault();
                        break;
                    }
                }
            }
            source.measure(&mut ending);
        }
    }
    // Before the last sender is dropped: the function may be frozen as soon as the answer ends.
    admission.record(&state, &ending).await;
    drop(client);
}

async fn open<C, L, P: Provider>(
    state: &State<C, L, P>,
    admission: &Admission,
    payload: Payload,
    includes_usage: bool,
) -> Result<Source, ProviderError> {
    let call = admission.provider_call();
    match payload {
        Payload::Translated(request) => {
            let events = state.provider.stream(&call, *request).await?;
            let id = format!("chatcmpl-{}", admission.call.id);
            let created = admission.call.started_ms.div_euclid(1_000);
            let renderer =
                StreamRenderer::new(id, created, admission.model.id.as_str(), includes_usage);
            Ok(Source::Translated { events, renderer })
        }
        Payload::Forwarded(bytes) => {
            let response = state.provider.forward(&call, bytes).await?;
            Ok(Source::Forwarded {
                bytes: response.body,
                scanner: UsageScanner::new(includes_usage),
                provider_request_id: response.provider_request_id,
            })
        }
    }
}

/// An answer as it comes, and what is read off it.
enum Source {
    /// Canonical events, written in the caller's dialect.
    Translated { events: EventStream, renderer: StreamRenderer },
    /// The provider's own bytes.
    Forwarded { bytes: ByteStream, scanner: UsageScanner, provider_request_id: Option<String> },
}

impl Source {
    async fn next(&mut self) -> Option<Result<Bytes, ProviderError>> {
        match self {
            Self::Translated { events, renderer } => {
                Some(events.next().await?.map(|event| renderer.render(&event)))
            }
            Self::Forwarded { bytes, scanner, .. } => {
                Some(bytes.next().await?.map(|piece| scanner.push(&piece)))
            }
        }
    }

    /// What to send when the provider is done.
    fn finish(&mut self) -> Bytes {
        match self {
            Self::Translated { renderer, .. } => renderer.finish(),
            Self::Forwarded { scanner, .. } => scanner.finish(),
        }
    }

    /// What to send when the provider broke off.
    fn interrupt(&mut self, error: &ProviderError) -> Bytes {
        let error = ApiError::from(error);
        match self {
            Self::Translated { .. } => error_event(error.body()),
            Self::Forwarded { scanner, .. } => scanner.interrupt(error.body()),
        }
    }

    /// What was wrong with an answer that the provider closed properly.
    fn fault(&self) -> Option<ProviderError> {
        let (is_finished, error) = match self {
            Self::Translated { renderer, .. } => (renderer.is_finished(), None),
            Self::Forwarded { scanner, .. } => (scanner.is_finished(), scanner.error()),
        };
        let (kind, message) = match (error, is_finished) {
            (Some(message), _) => (ProviderErrorKind::ModelError, message.to_owned()),
            (None, false) => {
                (ProviderErrorKind::Interrupted, "the answer never came to its end".to_owned())
            }
            (None, true) => return None,
        };
        Some(ProviderError {
            kind,
            message,
            provider_request_id: None,
            may_have_run: true,
            retry_after: None,
        })
    }

    fn measure(self, ending: &mut Ending) {
        let (usage, seen) = match &self {
            Self::Translated { renderer, .. } => (renderer.usage(), renderer.estimated_output()),
            Self::Forwarded { scanner, .. } => (scanner.usage(), scanner.estimated_output()),
        };
        ending.usage = usage;
        ending.seen_output = Some(seen);
        if let Self::Forwarded { provider_request_id, .. } = self {
            ending.provider_request_id = provider_request_id;
        }
    }
}

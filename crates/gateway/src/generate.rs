//! Generated answers, whole or streamed, translated or passed on.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::{HeaderMap, HeaderValue, Response, header};
use http_api::{ApiError, Body, full, rate_limit_headers};
use inference::{
    AnswerHead, AnswerRenderer, Codec, GenerateRequest, Model, OutputMeter, ProviderAdapter as _,
    ProviderAnswer, ProviderError, ProviderErrorKind, ProviderRequest, estimated_tokens,
};
use metering::TokenUsage;

use crate::attempt::{Attempt, Ending, Priced};
use crate::engine::{Engine, Prepare};
use crate::remember::Remember;
use crate::route::Route;
use crate::state::{Ports, State};
use crate::stream;

/// A request for a generated answer, and what becomes of its answer.
pub(crate) struct Generate {
    pub(crate) request: Box<dyn GenerateRequest>,
    /// What is kept of the answer.
    pub(crate) remember: Remember,
}

/// What is sent to one target.
pub(crate) struct Payload {
    pub(crate) request: ProviderRequest,
    /// Whether the client's own bytes are sent, and the provider's come back.
    pub(crate) is_forwarded: bool,
    /// Reads the answer.
    pub(crate) codec: &'static dyn Codec,
}

impl Prepare for Generate {
    type Payload = Payload;

    fn prepare(
        &self,
        route: &Route,
        model: &Arc<Model>,
        now_s: i64,
    ) -> Result<(Priced, Payload), ApiError> {
        let default_max_tokens = route.entitlements.tenant.default_max_tokens;
        let bound = self.request.bound(model, default_max_tokens)?;
        let target = route.priced(model, now_s, bound)?;
        let native = self.request.native_protocol();
        let is_forwarded = self.request.is_forwarded_to(model);
        let protocol = if is_forwarded { Some(native) } else { model.protocols.first().copied() };
        let Some(codec) = protocol.and_then(inference::Protocol::codec) else {
            return Err(not_generative(model));
        };
        let max_tokens = target.bound.max_tokens;
        let request = if is_forwarded {
            self.request.forward(model, max_tokens)?
        } else {
            let canonical = self.request.to_canonical(model, max_tokens)?;
            codec.write(&canonical, model, self.request.is_streaming())?
        };
        Ok((target, Payload { request, is_forwarded, codec }))
    }
}

/// A model that makes vectors or scores, asked for text.
fn not_generative(model: &Model) -> ApiError {
    let message = format!(
        "The model `{}` does not generate answers. Use it by /v1/embeddings or /v1/rerank.",
        model.id
    );
    let fault =
        inference::Fault::new(inference::FaultKind::InvalidRequest, "unsupported_model", message);
    fault.about("model").into()
}

impl Generate {
    pub(crate) fn head(&self, attempt: &Attempt) -> AnswerHead {
        AnswerHead {
            call_id: attempt.call.id.clone(),
            created: attempt.call.started_s(),
            model: self.request.model().to_owned(),
            likely_input: attempt.target.bound.likely_input,
        }
    }
}

/// Answers: as a stream if that was asked for.
pub(crate) async fn answer<P: Ports>(
    mut engine: Engine<P>,
    generate: Generate,
) -> Result<Response<Body>, ApiError> {
    if generate.request.is_streaming() {
        return stream::answer(engine, generate).await;
    }
    let answer = whole(&mut engine, generate).await;
    engine.shadow.settled().await;
    answer
}

async fn whole<P: Ports>(
    engine: &mut Engine<P>,
    mut generate: Generate,
) -> Result<Response<Body>, ApiError> {
    loop {
        let (attempt, payload) = engine.next(&generate).await?;
        let asked = Instant::now();
        let deadline = engine.deadline().into();
        let asking = ask(&engine.state, &generate, &attempt, payload);
        let answer = tokio::time::timeout_at(deadline, asking)
            .await
            .unwrap_or_else(|_| Err((timed_out(), None)));
        let (error, seen_output) = match answer {
            Ok(answer) => {
                engine.state.health.succeeded(&attempt.target.model.id);
                return Ok(finish(engine, &mut generate, &attempt, answer, asked).await);
            }
            Err(unanswered) => unanswered,
        };
        let ending = Ending { error: Some(error.clone()), seen_output, ..Ending::default() };
        attempt.record(&engine.state, &ending).await;
        match engine.failed(&attempt.target.model.id, &error) {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return Err(ApiError::from(&error)),
        }
    }
}

/// A whole answer: its bytes, and what it consumed.
struct Answer {
    body: Bytes,
    usage: TokenUsage,
    provider_request_id: Option<String>,
    renderer: Box<dyn AnswerRenderer>,
}

/// # Errors
/// What went wrong, and, of an answer that came whole and makes no sense, how many output tokens it
/// looks like: the model has run.
async fn ask<P: Ports>(
    state: &State<P>,
    generate: &Generate,
    attempt: &Attempt,
    payload: Payload,
) -> Result<Answer, (ProviderError, Option<u64>)> {
    let answer = collect(state, attempt, payload.request).await.map_err(|error| (error, None))?;
    let model = &attempt.target.model;
    let response = payload.codec.read(model, &answer).map_err(|error| {
        let length = u64::try_from(answer.body.len()).unwrap_or(u64::MAX);
        (error, Some(estimated_tokens(length)))
    })?;
    let mut renderer = generate.request.renderer(generate.head(attempt));
    let body = if payload.is_forwarded {
        renderer.forwarded_response(answer.body)
    } else {
        renderer.response(&response)
    };
    let provider_request_id = answer.provider_request_id;
    Ok(Answer { body, usage: response.usage, provider_request_id, renderer })
}

/// Sends a request and waits for the whole answer.
pub(crate) async fn collect<P: Ports>(
    state: &State<P>,
    attempt: &Attempt,
    request: ProviderRequest,
) -> Result<ProviderAnswer, ProviderError> {
    let mut response = state.providers.send(&attempt.provider_call(), request).await?;
    let mut body = BytesMut::new();
    while let Some(piece) = response.body.next().await {
        body.extend_from_slice(&piece?);
    }
    Ok(ProviderAnswer {
        provider_request_id: response.provider_request_id,
        headers: response.headers,
        body: body.freeze(),
    })
}

async fn finish<P: Ports>(
    engine: &Engine<P>,
    generate: &mut Generate,
    attempt: &Attempt,
    mut answer: Answer,
    asked: Instant,
) -> Response<Body> {
    let provider_time = asked.elapsed();
    let length = u64::try_from(answer.body.len()).unwrap_or(u64::MAX);
    let ending = Ending {
        usage: Some(answer.usage).filter(is_anything),
        seen_output: Some(estimated_tokens(length)),
        provider_request_id: answer.provider_request_id,
        ..Ending::default()
    };
    generate.remember.piece(&answer.body);
    let stored = answer.renderer.to_store();
    tokio::join!(
        attempt.record(&engine.state, &ending),
        generate.remember.complete(&engine.state, &engine.context, stored),
    );
    let mut response = Response::new(full(answer.body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        "server-timing",
        server_timing(attempt.call.started.elapsed().saturating_sub(provider_time)),
    );
    headers.extend(attempt_headers(attempt, engine.attempts));
    headers.extend(generate.remember.headers());
    response
}

/// Which model answered at which attempt, and what is left of the caller's limits.
pub(crate) fn attempt_headers(attempt: &Attempt, attempts: u32) -> HeaderMap {
    let mut headers =
        rate_limit_headers(&attempt.admitted, attempt.family, attempt.call.started_ms);
    if let Ok(model) = HeaderValue::from_str(attempt.target.model.id.as_str()) {
        headers.insert("x-weir-model", model);
    }
    headers.insert("x-weir-attempts", HeaderValue::from(attempts));
    headers
}

/// The time ran out before the provider answered.
pub(crate) fn timed_out() -> ProviderError {
    provider_error(ProviderErrorKind::Timeout, "the time for this call ran out")
}

/// A fault that the gateway finds in an answer.
pub(crate) fn provider_error(kind: ProviderErrorKind, message: &str) -> ProviderError {
    ProviderError {
        kind,
        message: message.to_owned(),
        provider_request_id: None,
        may_have_run: true,
        retry_after: None,
    }
}

/// The gateway's own time, as the `server-timing` header has it: milliseconds.
pub(crate) fn server_timing(gateway: std::time::Duration) -> HeaderValue {
    HeaderValue::from_str(&format!("gateway;dur={:.1}", gateway.as_secs_f64() * 1_000.0))
        .unwrap_or_else(|_| HeaderValue::from_static("gateway"))
}

/// Whether `usage` says anything: a provider that reports nothing reports zeros.
pub(crate) fn is_anything(usage: &TokenUsage) -> bool {
    *usage != TokenUsage::default()
}

/// Counts what passes of an answer, for metering.
#[derive(Debug, Default)]
pub(crate) struct Passing {
    pub(crate) usage: Option<TokenUsage>,
    pub(crate) meter: OutputMeter,
    pub(crate) has_stopped: bool,
}

impl Passing {
    pub(crate) fn see(&mut self, event: &inference::Event) {
        self.meter.add_event(event);
        match event {
            inference::Event::Usage(usage) => self.usage = Some(*usage),
            inference::Event::Stop { .. } => self.has_stopped = true,
            _ => {}
        }
    }
}

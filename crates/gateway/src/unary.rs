//! Requests that are answered at once, by one provider call or several: vectors, scores, counts,
//! verdicts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use http::{HeaderValue, Response, header};
use http_api::{ApiError, Body, full};
use inference::{
    AnswerHead, Model, ProviderAnswer, ProviderError, ProviderRequest, TokenBound, UnaryRequest,
};
use metering::TokenUsage;
use tenancy::{Permission, TenantContext};

use crate::attempt::{Attempt, Ending, Priced, Subject};
use crate::call::Call;
use crate::engine::{Engine, Prepare};
use crate::generate::{attempt_headers, collect, timed_out};
use crate::route::Route;
use crate::state::{Ports, State};

/// Provider calls of one request that run at the same time.
const CALLS_IN_FLIGHT: usize = 8;

struct Unary<'a>(&'a dyn UnaryRequest);

impl Prepare for Unary<'_> {
    /// The provider calls, each with its bound; the target's own bound is the first one's.
    type Payload = Vec<(ProviderRequest, TokenBound)>;

    fn prepare(
        &self,
        route: &Route,
        model: &Arc<Model>,
        now_s: i64,
    ) -> Result<(Priced, Self::Payload), ApiError> {
        let mut target = route.priced(model, now_s)?;
        let calls = self.0.calls(model)?;
        if let Some((_, bound)) = calls.first() {
            target.bound = *bound;
            target.check()?;
        }
        Ok((target, calls))
    }
}

/// Answers `request`, which names a model.
///
/// Every provider call that it takes is an attempt of its own: reserved for, and recorded once. A
/// request that needs no provider is admitted and recorded too, at no cost.
///
/// # Errors
/// As the caller's SDK expects them.
pub(crate) async fn unary<P: Ports>(
    state: &Arc<State<P>>,
    context: TenantContext,
    call: Call,
    request: &dyn UnaryRequest,
) -> Result<Response<Body>, ApiError> {
    context.require(Permission::InvokeModel)?;
    let name = request.model().unwrap_or_default().to_owned();
    let subject = Subject { dialect: request.dialect(), is_streamed: false };
    let mut engine = Engine::begin(state, call, context, subject, &name, None).await?;
    loop {
        let (first, calls) = engine.next(&Unary(request)).await?;
        let error = match run(&mut engine, &first, request, calls).await? {
            Ok(body) => {
                engine.state.health.succeeded(&first.target.model.id);
                let mut response = Response::new(full(body));
                let headers = response.headers_mut();
                let json = HeaderValue::from_static("application/json");
                headers.insert(header::CONTENT_TYPE, json);
                headers.extend(attempt_headers(&first, engine.attempts));
                return Ok(response);
            }
            Err(error) => error,
        };
        match engine.failed(&first.target.model.id, &error) {
            Some(wait) => tokio::time::sleep(wait.max(Duration::ZERO)).await,
            None => return Err(ApiError::from(&error)),
        }
    }
}

/// Makes all calls at one target; `first` is reserved already.
async fn run<P: Ports>(
    engine: &mut Engine<P>,
    first: &Attempt,
    request: &dyn UnaryRequest,
    calls: Vec<(ProviderRequest, TokenBound)>,
) -> Result<Result<Bytes, ProviderError>, ApiError> {
    let model = Arc::clone(&first.target.model);
    let head = AnswerHead {
        call_id: first.call.id.clone(),
        created: first.call.started_s(),
        model: engine.route.requested.clone(),
        likely_input: first.target.bound.likely_input,
    };
    let mut calls = calls.into_iter();
    let Some((payload, _)) = calls.next() else {
        let ending = Ending { usage: Some(TokenUsage::default()), ..Ending::default() };
        first.record(&engine.state, &ending).await;
        return Ok(request.render(&model, &head, &[]));
    };
    let state = Arc::clone(&engine.state);
    let deadline = engine.deadline();
    let ask = async |attempt: &Attempt, payload: ProviderRequest| {
        let asking = collect(&state, attempt, payload);
        let answer = tokio::time::timeout_at(deadline.into(), asking).await;
        let answer = answer.unwrap_or_else(|_| Err(timed_out()));
        let ending = match &answer {
            Ok(answer) => Ending {
                // What can consume nothing has consumed nothing.
                usage: request.usage(&model, answer).or_else(|| {
                    let most = attempt.target.bound.most();
                    (most == TokenUsage::default()).then_some(most)
                }),
                provider_request_id: answer.provider_request_id.clone(),
                ..Ending::default()
            },
            Err(error) => Ending { error: Some(error.clone()), ..Ending::default() },
        };
        attempt.record(&state, &ending).await;
        answer
    };
    let answer = match ask(first, payload).await {
        Ok(answer) => answer,
        Err(error) => return Ok(Err(error)),
    };
    let mut answers: Vec<ProviderAnswer> = vec![answer];
    let calls: Vec<_> = calls.collect();
    for batch in calls.chunks(CALLS_IN_FLIGHT) {
        let mut attempts = Vec::with_capacity(batch.len());
        for (payload, bound) in batch {
            let target = Priced { bound: *bound, ..first.target.clone() };
            // Entitlements that prove stale between two calls of one request are read again once.
            let attempt = match engine.reserve(target.clone()).await? {
                Some(attempt) => Some(attempt),
                None => engine.reserve(target).await?,
            };
            attempts.extend(attempt.map(|attempt| (attempt, payload.clone())));
        }
        let asked = stream::iter(attempts)
            .map(|(attempt, payload)| {
                let ask = &ask;
                async move { ask(&attempt, payload).await }
            })
            .buffered(CALLS_IN_FLIGHT)
            // To the end, whatever one of them says: each leaves a record.
            .collect::<Vec<_>>()
            .await;
        match asked.into_iter().collect::<Result<Vec<_>, _>>() {
            Ok(more) => answers.extend(more),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(request.render(&model, &head, &answers))
}

//! Requests that are answered at once, by one provider call or several: vectors, scores, counts,
//! verdicts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use admission::{Denial, Scope};
use futures::stream::{self, StreamExt as _};
use http::{HeaderValue, Response, header};
use http_api::{ApiError, Body, full};
use inference::{
    AnswerHead, Model, ProviderAnswer, ProviderError, ProviderRequest, TokenBound, UnaryRequest,
};
use metering::TokenUsage;
use tenancy::{ModelId, TenantContext};

use crate::attempt::{Attempt, Ending, Priced, Subject};
use crate::call::Call;
use crate::engine::{Engine, Prepare};
use crate::generate::{attempt_headers, collect, timed_out};
use crate::route::Route;
use crate::state::{Ports, State};

/// Provider calls of one request that run at the same time.
const CALLS_IN_FLIGHT: usize = 8;

struct Unary<'a> {
    request: &'a dyn UnaryRequest,
    /// The answers that are there already, by their calls' places; all of `target`.
    answers: BTreeMap<usize, ProviderAnswer>,
    target: Option<ModelId>,
}

/// A provider call that is left to make, and its place among all.
struct Left {
    place: usize,
    payload: ProviderRequest,
    bound: TokenBound,
}

impl Prepare for Unary<'_> {
    /// The target's own bound is the first one's.
    type Payload = Vec<Left>;

    fn prepare(
        &self,
        route: &Route,
        model: &Arc<Model>,
        now_s: i64,
    ) -> Result<(Priced, Self::Payload), ApiError> {
        let is_same = self.target.as_ref() == Some(&model.id);
        let calls = self.request.calls(model)?.into_iter().enumerate();
        let left: Vec<_> = calls
            .filter(|(place, _)| !(is_same && self.answers.contains_key(place)))
            .map(|(place, (payload, bound))| Left { place, payload, bound })
            .collect();
        let bound = left.first().map(|first| first.bound).unwrap_or_default();
        Ok((route.priced(model, now_s, bound)?, left))
    }
}

impl Unary<'_> {
    fn in_order(&self) -> Vec<ProviderAnswer> {
        self.answers.values().cloned().collect()
    }
}

/// Answers `request`, which names a model.
///
/// Every provider call that it takes is an attempt of its own: reserved for, and recorded once. A
/// request that needs no provider is admitted and recorded too, at no cost. A target that is tried
/// again is asked for what is missing only.
///
/// # Errors
/// As the caller's SDK expects them.
pub(crate) async fn unary<P: Ports>(
    state: &Arc<State<P>>,
    context: TenantContext,
    call: Call,
    request: &dyn UnaryRequest,
    project: Option<&str>,
) -> Result<Response<Body>, ApiError> {
    let name = request.model().unwrap_or_default().to_owned();
    let subject = Subject { dialect: request.dialect(), is_streamed: false };
    let mut engine = Engine::begin(state, call, context, subject, &name, project, None).await?;
    let mut unary = Unary { request, answers: BTreeMap::new(), target: None };
    loop {
        let (first, calls) = engine.next(&unary).await?;
        let model = Arc::clone(&first.target.model);
        if unary.target.replace(model.id.clone()).as_ref() != Some(&model.id) {
            unary.answers.clear();
        }
        let error = match run(&mut engine, &first, &mut unary, calls).await? {
            None => match request.render(&model, &head(&engine, &first), &unary.in_order()) {
                Ok(body) => {
                    engine.state.health.succeeded(&model.id);
                    let mut response = Response::new(full(body));
                    let headers = response.headers_mut();
                    let json = HeaderValue::from_static("application/json");
                    headers.insert(header::CONTENT_TYPE, json);
                    headers.extend(attempt_headers(&first, engine.attempts));
                    return Ok(response);
                }
                // They make no sense together: all of them are asked for anew.
                Err(error) => {
                    unary.answers.clear();
                    error
                }
            },
            Some(error) => error,
        };
        match engine.failed(&model.id, &error) {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return Err(ApiError::from(&error)),
        }
    }
}

fn head<P: Ports>(engine: &Engine<P>, first: &Attempt) -> AnswerHead {
    AnswerHead {
        call_id: first.call.id.clone(),
        created: first.call.started_s(),
        model: engine.route.requested.clone(),
        likely_input: first.target.bound.likely_input,
    }
}

/// Makes the calls that are left at one target and adds their answers, until one fails; `first` is
/// reserved already.
///
/// # Errors
/// A call that could not be reserved for. Those that were reserved with it and not made cost nothing.
async fn run<P: Ports>(
    engine: &mut Engine<P>,
    first: &Attempt,
    unary: &mut Unary<'_>,
    left: Vec<Left>,
) -> Result<Option<ProviderError>, ApiError> {
    let (state, deadline) = (Arc::clone(&engine.state), engine.deadline());
    let mut left = left.into_iter();
    let Some(Left { place, payload, .. }) = left.next() else {
        let ending = Ending { usage: Some(TokenUsage::default()), ..Ending::default() };
        first.record(&state, &ending).await;
        return Ok(None);
    };
    match ask(&state, unary.request, deadline, first, payload).await {
        Ok(answer) => unary.answers.insert(place, answer),
        Err(error) => return Ok(Some(error)),
    };
    loop {
        let mut attempts = Vec::new();
        for Left { place, payload, bound } in left.by_ref().take(CALLS_IN_FLIGHT) {
            let target = Priced { bound, ..first.target.clone() };
            let refusal = match engine.reserve(target).await {
                Ok(Some(attempt)) => {
                    attempts.push((place, attempt, payload));
                    continue;
                }
                // What the tenant may do changed between two calls of one request.
                Ok(None) => {
                    let scope = Scope::Tenant(first.context.tenant_id.clone());
                    ApiError::denied(&scope, &Denial::Stale, first.call.started_ms)
                }
                Err(refused) => refused.error,
            };
            for (_, attempt, _) in &attempts {
                attempt.record(&state, &Ending::not_made()).await;
            }
            return Err(refusal);
        }
        if attempts.is_empty() {
            return Ok(None);
        }
        let (state, request) = (&state, unary.request);
        let asked: Vec<_> = stream::iter(attempts)
            .map(async |(place, attempt, payload)| {
                (place, ask(state, request, deadline, &attempt, payload).await)
            })
            .buffered(CALLS_IN_FLIGHT)
            // To the end, whatever one of them says: each leaves a record.
            .collect()
            .await;
        let mut failure = None;
        for (place, answer) in asked {
            match answer {
                Ok(answer) => _ = unary.answers.insert(place, answer),
                Err(error) => _ = failure.get_or_insert(error),
            }
        }
        if failure.is_some() {
            return Ok(failure);
        }
    }
}

/// Makes one call, and leaves its record.
async fn ask<P: Ports>(
    state: &State<P>,
    request: &dyn UnaryRequest,
    deadline: Instant,
    attempt: &Attempt,
    payload: ProviderRequest,
) -> Result<ProviderAnswer, ProviderError> {
    let asking = collect(state, attempt, payload);
    let answer = tokio::time::timeout_at(deadline.into(), asking).await;
    let answer = answer.unwrap_or_else(|_| Err(timed_out()));
    let ending = match &answer {
        Ok(answer) => Ending {
            // What can consume nothing has consumed nothing.
            usage: request.usage(&attempt.target.model, answer).or_else(|| {
                let most = attempt.target.bound.most();
                (most == TokenUsage::default()).then_some(most)
            }),
            provider_request_id: answer.provider_request_id.clone(),
            ..Ending::default()
        },
        Err(error) => Ending { error: Some(error.clone()), ..Ending::default() },
    };
    attempt.record(state, &ending).await;
    answer
}

//! Which target is asked next, until one answers or none is left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use admission::{Cap, Denial, OnExhausted, Refusal};
use http_api::ApiError;
use inference::{Model, ProviderError, RetryPolicy};
use routing::{Decision, Failure};
use tenancy::{ModelId, TenantContext};

use crate::Asked;
use crate::attempt::{Attempt, Priced, Subject};
use crate::cache::Freshness;
use crate::call::Call;
use crate::exhausted::note;
use crate::route::{Route, resolve};
use crate::shadow::Shadow;
use crate::state::{Ports, State};

/// Checks a request against one target: what is to be sent, and what it can consume at most.
pub(crate) trait Prepare: Send + Sync {
    /// What is sent to a target.
    type Payload: Send;

    /// # Errors
    /// Why this target cannot serve the request.
    fn prepare(
        &self,
        route: &Route,
        model: &Arc<Model>,
        now_s: i64,
    ) -> Result<(Priced, Self::Payload), ApiError>;
}

/// A reservation that was not made.
pub(crate) struct Refused {
    /// What the client reads.
    pub(crate) error: ApiError,
    /// The model that the policy of an exhausted limit names instead.
    fallback: Option<ModelId>,
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self { error, fallback: None }
    }
}

/// The attempts of one call.
pub(crate) struct Engine<P: Ports> {
    pub(crate) state: Arc<State<P>>,
    pub(crate) call: Call,
    pub(crate) context: TenantContext,
    pub(crate) subject: Subject,
    pub(crate) route: Route,
    /// The project that the client names.
    project: Option<String>,
    affinity: Option<u64>,
    /// Which target is next.
    position: usize,
    /// What has failed so far.
    failures: Vec<Failure>,
    /// The first target's complaint about the request itself.
    complaint: Option<ApiError>,
    /// The refusal by a limit whose policy names another model, which is tried instead.
    exhausted: Option<ApiError>,
    has_reread: bool,
    /// Provider calls so far.
    pub(crate) attempts: u32,
    /// The same call, made of a successor.
    pub(crate) shadow: Shadow,
}

impl<P: Ports> Engine<P> {
    /// Finds the targets of `name`.
    pub(crate) async fn begin(
        state: &Arc<State<P>>,
        call: Call,
        context: TenantContext,
        subject: Subject,
        name: &str,
        project: Option<&str>,
        affinity: Option<u64>,
    ) -> Result<Self, ApiError> {
        let freshness = Freshness::Remembered;
        let route = resolve(state, &context, &call, name, project, affinity, freshness).await?;
        if route.targets.len() > 1 {
            state.health.refresh(call.started_ms);
        }
        Ok(Self {
            state: Arc::clone(state),
            call,
            context,
            subject,
            route,
            project: project.map(str::to_owned),
            affinity,
            position: 0,
            failures: Vec::new(),
            complaint: None,
            exhausted: None,
            has_reread: false,
            attempts: 0,
            shadow: Shadow::None,
        })
    }

    /// Decides whether the call is made once more, of the successor of its model.
    pub(crate) fn draw_shadow(&mut self, asked: &Asked<'_>) {
        if self.state.shadows.is_some() {
            let random = (self.state.random)();
            self.shadow = Shadow::draw(&self.call, &self.context, &self.route, asked, random);
        }
    }

    /// The next attempt, reserved for, with what to send.
    ///
    /// # Errors
    /// No target is left that could serve the request, or a limit is reached.
    pub(crate) async fn next<R: Prepare>(
        &mut self,
        request: &R,
    ) -> Result<(Attempt, R::Payload), ApiError> {
        loop {
            let Some(model) = self.route.targets.get(self.position).cloned() else {
                let unknown = || ApiError::unknown_model(&self.route.requested);
                let reason = self.exhausted.clone().or_else(|| self.complaint.clone());
                return Err(reason.unwrap_or_else(unknown));
            };
            let is_last = self.position + 1 >= self.route.targets.len();
            if !is_last && !self.state.health.probe(&model.id, (self.state.now_ms)()) {
                self.position += 1;
                continue;
            }
            let (target, payload) =
                match request.prepare(&self.route, &model, self.call.started_s()) {
                    Ok(prepared) => prepared,
                    Err(error) => {
                        self.complaint.get_or_insert(error);
                        self.position += 1;
                        continue;
                    }
                };
            match self.reserve(target).await {
                Ok(Some(attempt)) => {
                    self.shadow.start(&self.state, &attempt);
                    return Ok((attempt, payload));
                }
                Ok(None) => {}
                Err(refused) => self.fall_back(refused)?,
            }
        }
    }

    /// Makes the model that the policy of an exhausted limit names the only target that is left. A shadow is
    /// of one model only.
    ///
    /// # Errors
    /// The refusal: nothing is named, or the tenant may not use it, or it was refused itself.
    fn fall_back(&mut self, refused: Refused) -> Result<(), ApiError> {
        if let Some(first) = self.exhausted.take() {
            return Err(first);
        }
        let fallback = refused.fallback.as_ref().filter(|_| !self.call.is_shadow());
        let is_named = |model: &&Arc<Model>| fallback == Some(&model.id);
        let Some(model) = self.route.allowed_models.iter().find(is_named).cloned() else {
            return Err(refused.error);
        };
        tracing::info!(
            tenant_id = %self.context.tenant_id, call_id = self.call.id, model = %model.id,
            "a limit is exhausted, and its policy names another model"
        );
        self.exhausted = Some(refused.error);
        self.route.targets.truncate(self.position);
        self.route.targets.push(model);
        Ok(())
    }

    /// Reserves for the next attempt; nothing if entitlements proved stale and were read again.
    ///
    /// # Errors
    /// A limit, or a store that failed.
    pub(crate) async fn reserve(&mut self, target: Priced) -> Result<Option<Attempt>, Refused> {
        let (state, context) = (&self.state, &self.context);
        let (call, route, number) = (&self.call, &self.route, self.attempts + 1);
        match Attempt::begin(state, call, context, route, &self.subject, target, number).await {
            Ok(attempt) => {
                self.attempts = number;
                Ok(Some(attempt))
            }
            Err(Refusal::Denied { denial: Denial::Stale, .. }) if !self.has_reread => {
                self.has_reread = true;
                self.route = resolve(
                    state,
                    context,
                    call,
                    &route.requested,
                    self.project.as_deref(),
                    self.affinity,
                    Freshness::Reread,
                )
                .await
                .map_err(Refused::from)?;
                Ok(None)
            }
            Err(Refusal::Denied { scope, denial }) => {
                note(state, &scope, &denial, self.call.started_ms).await;
                let error = ApiError::denied(&scope, &denial, self.call.started_ms);
                let fallback = match denial {
                    Denial::Exceeded {
                        cap: Cap { on_exhausted: Some(OnExhausted::Fallback(model)), .. },
                        ..
                    } => Some(model),
                    _ => None,
                };
                Err(Refused { error, fallback })
            }
            Err(Refusal::Store(error)) => Err(ApiError::from(error).into()),
        }
    }

    /// When all attempts together must have brought content.
    pub(crate) fn deadline(&self) -> Instant {
        let deadline = self.call.deadline();
        if self.route.alias.is_none() {
            return deadline;
        }
        let patience = Duration::from_millis(self.route.policy().deadline_ms);
        deadline.min(self.call.started + patience)
    }

    /// Takes note of an attempt that brought no content: how long to wait before the next one, or
    /// nothing if there is none.
    pub(crate) fn failed(&mut self, model: &ModelId, error: &ProviderError) -> Option<Duration> {
        let now_ms = (self.state.now_ms)();
        self.state.health.failed(model, error, self.route.targets.len() > 1, now_ms);
        self.failures.push(Failure::new(self.position, error));
        let time = self.deadline().saturating_duration_since(self.call.started);
        let deadline_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let decision = routing::next(
            &RetryPolicy { deadline_ms, ..self.route.policy() },
            self.route.alias.is_some(),
            self.route.targets.len(),
            &self.failures,
            self.call.started.elapsed(),
            (self.state.random)(),
        );
        match decision {
            // An attempt that has no time left would be reserved and recorded for nothing.
            _ if Instant::now() >= self.deadline() => None,
            Decision::Retry { wait } => Some(wait),
            Decision::Next => {
                self.position += 1;
                (self.position < self.route.targets.len()).then_some(Duration::ZERO)
            }
            Decision::GiveUp => None,
        }
    }
}

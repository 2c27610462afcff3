//! One provider call: what is set aside for it, and the one record that it leaves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use admission::{
    Admitted, CallDetail, LimitedCall, LimitedScope, MeterStore as _, Minute, Part, Refusal,
    Reservation, UsageStore as _, Used, admit,
};
use http_api::ApiError;
use inference::{
    Dialect, Family, Model, ProviderCall, ProviderConfig, ProviderError, ProviderErrorKind,
    TokenBound,
};
use metering::{
    ModelChoice, Outcome, Price, ProfileScope, RecordId, ServiceTier, TokenUsage, UsageRecord,
};
use telemetry::{Metric, Unit};
use tenancy::{PriorityClass, TenantContext};

use crate::call::Call;
use crate::route::Route;
use crate::state::{Ports, State};

/// Waits between tries to write a usage record, beyond those of the SDK itself: a table that throttles
/// does so for seconds. The end of the answer waits for it; an estimate at the reserved price would be
/// the dearer surprise.
const RECORD_WAITS_MS: [u64; 5] = [100, 300, 700, 1_500, 3_000];

/// A target whose price and bound are known: what can be admitted.
#[derive(Debug, Clone)]
pub(crate) struct Priced {
    pub(crate) model: Arc<Model>,
    pub(crate) provider: Arc<ProviderConfig>,
    pub(crate) price: Price,
    pub(crate) price_version: String,
    /// Whether there is a price; where a tenant may do without, `price` is nothing.
    pub(crate) has_price: bool,
    /// The service tier that the price is for.
    pub(crate) service_tier: ServiceTier,
    pub(crate) bound: TokenBound,
}

impl Priced {
    /// Whether everything that the call may consume has a price.
    ///
    /// # Errors
    /// If it would be free for want of one.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        if !self.has_price || self.price.covers(&self.bound.most()) {
            Ok(())
        } else {
            Err(ApiError::unpriced_model(self.model.id.as_str()))
        }
    }
}

/// A provider call that every scope has reserved for. Whatever becomes of it, it ends in
/// [`Attempt::record`].
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) id: RecordId,
    pub(crate) call: Call,
    pub(crate) context: TenantContext,
    /// Whose SDK asked.
    pub(crate) family: Family,
    pub(crate) admitted: Admitted,
    reservation: Reservation,
    detail: CallDetail,
    entitlement_version: u64,
    pub(crate) target: Priced,
    allowed_models: Vec<Arc<Model>>,
    /// When this attempt began; later than the call for all but the first.
    started: Instant,
    started_ms: i64,
    /// The gateway's own time before the provider is called.
    pub(crate) gateway: Duration,
}

/// How a provider call ended, as far as it was seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ending {
    /// The error that ended it; a complete answer has none.
    pub(crate) error: Option<ProviderError>,
    /// The provider's own count.
    pub(crate) usage: Option<TokenUsage>,
    /// Whether that count was made before the end: some providers say at the beginning what the
    /// input was, and nothing of the output that follows.
    pub(crate) is_interim: bool,
    /// Output tokens of what was seen, if the answer had begun.
    pub(crate) seen_output: Option<u64>,
    /// The provider's id of the call.
    pub(crate) provider_request_id: Option<String>,
    /// When the first content of a streamed answer came.
    pub(crate) first_content: Option<Instant>,
    /// Whether the gateway answered from its own cache, without a provider.
    pub(crate) is_cache_hit: bool,
}

impl Ending {
    /// The end of an attempt that was reserved for and never made.
    pub(crate) fn not_made() -> Self {
        let error = ProviderError {
            kind: ProviderErrorKind::Unavailable,
            message: "the call was not made".to_owned(),
            provider_request_id: None,
            may_have_run: false,
            retry_after: None,
        };
        Self { error: Some(error), ..Self::default() }
    }
}

/// What an attempt is about, for its record.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) dialect: Dialect,
    pub(crate) is_streamed: bool,
}

impl Attempt {
    /// Reserves for attempt `number` (from 1) of `call`, in every scope or in none.
    pub(crate) async fn begin<P: Ports>(
        state: &State<P>,
        call: &Call,
        context: &TenantContext,
        route: &Route,
        subject: &Subject,
        target: Priced,
        number: u32,
    ) -> Result<Self, Refusal> {
        let started_ms = (state.now_ms)();
        let started = if number == 1 { call.started } else { Instant::now() };
        let id = RecordId { call_id: call.id.clone(), attempt: number };
        let entitlements = &route.entitlements;
        let (tenant, project) = (&entitlements.tenant, route.project_id.as_ref());
        // What a limit keeps for more urgent calls, it keeps from those that nobody waits for.
        let priority_class =
            if call.is_shadow() { PriorityClass::Batch } else { tenant.priority_class(project) };
        let limited = LimitedCall {
            model: &target.model.id,
            family: &target.model.family(),
            priority_class,
            now_ms: started_ms,
        };
        let scopes = entitlements.scopes_of(&context.principal.id, project, &limited);
        let (bound, most) = (&target.bound, target.bound.most());
        let reservation = Reservation {
            tenant_id: context.tenant_id.clone(),
            amount_nanousd: target.price.bound(&most),
            input_tokens: most.total_input(),
            output_tokens: most.total_output(),
            requests: u32::from(number == 1),
            minute: Minute::of(started_ms),
            deadline_ms: call.sweep_after_ms(),
            part: Part::WHOLE,
        };
        let detail = CallDetail {
            scopes: 0,
            lob_id: context.lob_id.clone(),
            principal_id: context.principal.id.clone(),
            principal_kind: context.principal.kind,
            project_id: route.project_id.clone(),
            tags: entitlements.tags_of(project),
            priority_class,
            choice: ModelChoice {
                requested_model: route.requested.clone(),
                route: route.alias_name(),
                model: target.model.id.clone(),
            },
            provider: target.provider.name.clone(),
            provider_model_id: target.model.provider_model_id.clone(),
            dialect: subject.dialect.as_str().to_owned(),
            is_streamed: subject.is_streamed,
            region: state.region_of(&target.provider),
            profile_scope: ProfileScope::of_model_id(&target.model.provider_model_id),
            service_tier: target.service_tier,
            price_version: target.price_version.clone(),
            is_priced: target.has_price,
            images: bound.images,
            search_units: bound.search_units,
            guardrail_units: bound.guardrail_units,
            started_ms,
            shadow_of: call.shadow_of.clone(),
        };
        let admitted = admit(&state.ledger, context, scopes, &id, &reservation, &detail).await?;
        let gateway = started.elapsed();
        Ok(Self {
            id,
            call: call.clone(),
            context: context.clone(),
            family: subject.dialect.family(),
            admitted,
            reservation,
            detail,
            entitlement_version: route.entitlements.tenant.entitlement_version,
            target,
            allowed_models: route.allowed_models.clone(),
            started,
            started_ms,
            gateway,
        })
    }

    /// The call as the provider's adapter needs it.
    pub(crate) fn provider_call(&self) -> ProviderCall<'_> {
        ProviderCall {
            context: &self.context,
            project_id: self.detail.project_id.as_ref(),
            provider: &self.target.provider,
            model: &self.target.model,
            allowed_models: &self.allowed_models,
            entitlement_version: self.entitlement_version,
            call_id: &self.call.id,
        }
    }

    /// What the call consumed, and whether that is an estimate.
    ///
    /// The provider's own count is the truth, once the answer has come to its end; before, its output
    /// is at least what was seen. Without a count: a refusal and a failure before the answer
    /// cost nothing, as the provider bills neither; a connection that broke before the answer may
    /// have cost all that was reserved; an answer that broke off cost what was seen of it.
    fn consumed(&self, ending: &Ending) -> (TokenUsage, bool) {
        let bound = &self.target.bound;
        match ending.usage {
            Some(usage) if ending.is_interim => {
                let seen = ending.seen_output.unwrap_or_default().min(bound.output);
                return (TokenUsage { output: usage.output.max(seen), ..usage }, true);
            }
            Some(usage) => return (usage, false),
            None => {}
        }
        let none = (TokenUsage::default(), false);
        let estimate = |input, output| (TokenUsage { input, output, ..bound.most() }, true);
        match (&ending.error, ending.seen_output) {
            (Some(error), _) if !error.may_have_run => none,
            (_, Some(output)) => estimate(bound.likely_input, output.min(bound.output)),
            (Some(error), None) => match error.kind {
                ProviderErrorKind::Timeout | ProviderErrorKind::Interrupted => {
                    estimate(bound.input, bound.output)
                }
                _ => none,
            },
            (None, None) => estimate(bound.likely_input, bound.output),
        }
    }

    fn to_record(&self, ending: &Ending) -> UsageRecord {
        let detail = self.detail.clone();
        let (usage, is_estimated) = self.consumed(ending);
        let outcome = match &ending.error {
            None => Outcome::Completed,
            Some(error) if !error.may_have_run => Outcome::Refused,
            Some(_) => Outcome::Failed,
        };
        let mut cost = self.target.price.cost(&usage);
        if is_estimated {
            cost = cost.min(self.reservation.amount_nanousd);
        }
        let since_start = |moment: Instant| milliseconds(moment.duration_since(self.started));
        UsageRecord {
            schema: UsageRecord::SCHEMA,
            id: self.id.clone(),
            tenant_id: self.context.tenant_id.clone(),
            lob_id: detail.lob_id,
            principal_id: detail.principal_id,
            principal_kind: detail.principal_kind,
            project_id: detail.project_id,
            tags: detail.tags,
            priority_class: detail.priority_class,
            started_ms: self.started_ms,
            dialect: detail.dialect,
            choice: detail.choice,
            provider_model_id: detail.provider_model_id,
            provider: detail.provider,
            region: detail.region,
            profile_scope: detail.profile_scope,
            service_tier: detail.service_tier,
            provider_request_id: ending
                .provider_request_id
                .clone()
                .or_else(|| ending.error.as_ref()?.provider_request_id.clone()),
            is_streamed: detail.is_streamed,
            is_cache_hit: ending.is_cache_hit,
            usage,
            is_estimated,
            price_version: detail.price_version,
            is_priced: detail.is_priced,
            cost_nanousd: cost,
            uncached_cost_nanousd: self.target.price.cost(&usage.uncached()),
            reserved_nanousd: self.reservation.amount_nanousd,
            outcome,
            latency_ms: milliseconds(self.started.elapsed()),
            time_to_first_token_ms: ending.first_content.map(since_start),
            gateway_ms: milliseconds(self.gateway),
            meters: self.admitted.held.iter().map(ToString::to_string).collect(),
            shadow_of: detail.shadow_of,
        }
    }

    /// Writes the attempt's record; its stream settles the reservations.
    ///
    /// A record that cannot be written for some seconds is not lost: the sweep finds the reservation and writes one
    /// at what was reserved.
    pub(crate) async fn record<P: Ports>(&self, state: &State<P>, ending: &Ending) {
        let record = self.to_record(ending);
        if record.cost_nanousd > record.reserved_nanousd {
            let (cost, reserved) = (record.cost_nanousd.0, record.reserved_nanousd.0);
            tracing::error!(
                call_id = self.call.id, model = %record.choice.model, cost, reserved,
                "a call cost more than its bound: the model's registry entry is wrong"
            );
        }
        let mut written = state.ledger.put_record(&self.context, &record).await;
        for wait_ms in RECORD_WAITS_MS {
            if written.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            written = state.ledger.put_record(&self.context, &record).await;
        }
        if let Err(error) = written {
            let cause = error.source.to_string();
            tracing::error!(call_id = self.call.id, %error, cause, "a usage record was left to the sweep");
        } else {
            self.make_room(state, &record).await;
        }
        log(&record, ending, (state.now_ms)());
    }
}

impl Attempt {
    /// Settles, at once, the meters that count calls which run at the same time: their callers are not
    /// to wait for the ledger's stream. What fails here, the stream settles.
    async fn make_room<P: Ports>(&self, state: &State<P>, record: &UsageRecord) {
        let is_counted = |(scope, _): &&(LimitedScope, admission::Standing)| {
            scope.caps.iter().any(|cap| cap.counter.is_none())
        };
        let scopes: Vec<_> =
            self.admitted.standings.iter().filter(is_counted).map(|(scope, _)| scope).collect();
        let held = self.admitted.held.iter().filter(|held| {
            scopes
                .iter()
                .any(|scope| scope.scope == held.meter.scope && scope.models == held.meter.models)
        });
        let used = Used::of(record);
        let settled = held.map(async |held| {
            let open = self.reservation.part(held.part);
            state.ledger.close(&self.context, &held.meter, &self.id, &open, used).await
        });
        for error in futures::future::join_all(settled).await.into_iter().filter_map(Result::err) {
            tracing::warn!(call_id = self.call.id, %error, "a concurrent call is settled later");
        }
    }
}

fn log(record: &UsageRecord, ending: &Ending, now_ms: i64) {
    let error = ending.error.as_ref().map(|error| format!("{:?}", error.kind));
    tracing::info!(
        call_id = record.id.call_id,
        attempt = record.id.attempt,
        tenant_id = %record.tenant_id,
        lob_id = %record.lob_id,
        principal_id = %record.principal_id,
        dialect = record.dialect,
        model = %record.choice.model,
        outcome = ?record.outcome,
        provider_error = error,
        input_tokens = record.usage.total_input(),
        output_tokens = record.usage.output,
        cost_nanousd = record.cost_nanousd.0,
        latency_ms = record.latency_ms,
        "call recorded"
    );
    let count = |name, value: u64| Metric { name, unit: Unit::Count, value: as_f64(value) };
    let time = |name, value: u64| Metric { name, unit: Unit::Milliseconds, value: as_f64(value) };
    let mut metrics = vec![
        time("GatewayLatency", record.gateway_ms),
        time("CallLatency", record.latency_ms),
        count("InputTokens", record.usage.total_input()),
        count("OutputTokens", record.usage.output),
        count("CostNanoUsd", record.cost_nanousd.0),
    ];
    metrics.extend(record.time_to_first_token_ms.map(|value| time("TimeToFirstToken", value)));
    // What clients wait for is not to be mixed with what nobody waits for.
    let service = if record.shadow_of.is_some() { "shadow" } else { "invoke" };
    let dimensions = [("Service", service), ("Model", record.choice.model.as_str())];
    telemetry::emit(now_ms, &dimensions, &metrics, &[("tenant_id", record.tenant_id.as_str())]);
}

#[expect(clippy::cast_precision_loss, reason = "metrics are approximate; the ledger is exact")]
fn as_f64(value: u64) -> f64 {
    value as f64
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

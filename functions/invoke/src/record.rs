//! An admitted call, and the one record that it leaves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use admission::{Admitted, Reservation, UsageStore};
use inference::{
    Model, ProviderCall, ProviderConfig, ProviderError, ProviderErrorKind, TokenBound,
};
use metering::{Outcome, Price, RecordId, TokenUsage, UsageRecord};
use telemetry::{Metric, Unit};
use tenancy::TenantContext;

use crate::State;
use crate::call::Call;

/// A call that every scope has reserved for. Whatever becomes of it, it ends in [`Admission::record`].
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) call: Call,
    pub(crate) context: TenantContext,
    pub(crate) admitted: Admitted,
    pub(crate) reservation: Reservation,
    pub(crate) entitlement_version: u64,
    pub(crate) provider: Arc<ProviderConfig>,
    pub(crate) model: Arc<Model>,
    pub(crate) allowed_models: Vec<Arc<Model>>,
    pub(crate) price: Price,
    pub(crate) bound: TokenBound,
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
    /// Output tokens of what was seen, if the answer had begun.
    pub(crate) seen_output: Option<u64>,
    /// The provider's id of the call.
    pub(crate) provider_request_id: Option<String>,
    /// When the first piece of a streamed answer came.
    pub(crate) first_piece: Option<Instant>,
}

impl Admission {
    /// The call as the provider's adapter needs it.
    pub(crate) fn provider_call(&self) -> ProviderCall<'_> {
        ProviderCall {
            provider: &self.provider,
            context: &self.context,
            model: &self.model,
            allowed_models: &self.allowed_models,
            entitlement_version: self.entitlement_version,
            call_id: &self.call.id,
        }
    }

    /// What the call consumed, and whether that is an estimate.
    ///
    /// The provider's own count is the truth. Without it: a refusal and a failure before the answer
    /// cost nothing, as the provider bills neither; a connection that broke before the answer may
    /// have cost all that was reserved; an answer that broke off cost what was seen of it.
    fn consumed(&self, ending: &Ending) -> (TokenUsage, bool) {
        if let Some(usage) = ending.usage {
            return (usage, false);
        }
        let none = (TokenUsage::default(), false);
        let estimate =
            |input, output| (TokenUsage { input, output, ..TokenUsage::default() }, true);
        match (&ending.error, ending.seen_output) {
            (Some(error), _) if !error.may_have_run => none,
            (_, Some(output)) => estimate(self.bound.likely_input, output.min(self.bound.output)),
            (Some(error), None) => match error.kind {
                ProviderErrorKind::Timeout | ProviderErrorKind::Interrupted => {
                    estimate(self.bound.input, self.bound.output)
                }
                _ => none,
            },
            (None, None) => estimate(self.bound.likely_input, self.bound.output),
        }
    }

    fn to_record(&self, ending: &Ending, region: &str) -> Option<UsageRecord> {
        let detail = self.reservation.detail.as_ref()?;
        let (usage, is_estimated) = self.consumed(ending);
        let outcome = match &ending.error {
            None => Outcome::Completed,
            Some(error) if !error.may_have_run => Outcome::Refused,
            Some(_) => Outcome::Failed,
        };
        let cost = self.price.cost(&usage);
        let since_start = |moment: Instant| milliseconds(moment.duration_since(self.call.started));
        Some(UsageRecord {
            schema: UsageRecord::SCHEMA,
            id: RecordId::first(&self.call.id),
            tenant_id: self.context.tenant_id.clone(),
            lob_id: self.context.lob_id.clone(),
            principal_id: self.context.principal.id.clone(),
            principal_kind: self.context.principal.kind,
            started_ms: self.call.started_ms,
            dialect: detail.dialect.clone(),
            choice: detail.choice.clone(),
            provider_model_id: self.model.provider_model_id.clone(),
            provider: detail.provider.clone(),
            region: region.to_owned(),
            provider_request_id: ending
                .provider_request_id
                .clone()
                .or_else(|| ending.error.as_ref()?.provider_request_id.clone()),
            is_streamed: detail.is_streamed,
            usage,
            is_cache_hit: false,
            is_estimated,
            price_version: detail.price_version.clone(),
            cost_nanousd: if is_estimated {
                cost.min(self.reservation.amount_nanousd)
            } else {
                cost
            },
            reserved_nanousd: self.reservation.amount_nanousd,
            outcome,
            latency_ms: milliseconds(self.call.started.elapsed()),
            time_to_first_token_ms: ending.first_piece.map(since_start),
            gateway_ms: milliseconds(self.gateway),
        })
    }

    /// Writes the call's record; its stream settles the reservations.
    ///
    /// A record that cannot be written is not lost: the sweep finds the reservation and writes one
    /// at what was reserved.
    pub(crate) async fn record<C, L: UsageStore, P>(
        &self,
        state: &State<C, L, P>,
        ending: &Ending,
    ) {
        let Some(record) = self.to_record(ending, &state.region) else { return };
        if record.cost_nanousd > record.reserved_nanousd {
            let (cost, reserved) = (record.cost_nanousd.0, record.reserved_nanousd.0);
            tracing::error!(
                call_id = self.call.id, model = %record.choice.model, cost, reserved,
                "a call cost more than its bound: the model's registry entry is wrong"
            );
        }
        if let Err(error) = state.ledger.put_record(&self.context, &record).await {
            let cause = error.source.to_string();
            tracing::error!(call_id = self.call.id, %error, cause, "a usage record was left to the sweep");
        }
        log(&record, ending, (state.now_ms)());
    }
}

fn log(record: &UsageRecord, ending: &Ending, now_ms: i64) {
    let error = ending.error.as_ref().map(|error| format!("{:?}", error.kind));
    tracing::info!(
        call_id = record.id.call_id,
        tenant_id = %record.tenant_id,
        lob_id = %record.lob_id,
        principal_id = %record.principal_id,
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
    let dimensions = [("Service", "invoke"), ("Model", record.choice.model.as_str())];
    telemetry::emit(now_ms, &dimensions, &metrics, &[("tenant_id", record.tenant_id.as_str())]);
}

#[expect(clippy::cast_precision_loss, reason = "metrics are approximate; the ledger is exact")]
fn as_f64(value: u64) -> f64 {
    value as f64
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! Usage in sums: by hour, day and month, and by all that a record can be grouped by.

#[cfg(feature = "fakes")]
pub mod fakes;
mod period;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tenancy::{LobId, ModelId, PrincipalId, ProjectId, TenantId};

use crate::{NanoUsd, Outcome, ProfileScope, ServiceTier, TokenUsage, UsageRecord};

pub use period::{Granularity, UsagePeriod};
pub use store::{
    AggregationStore, Delivery, Late, Mark, Page, Progress, RollupError, RollupRow, RollupStore,
};

/// What the records have in common that a rollup sums.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RollupKey {
    /// The tenant that pays.
    pub tenant_id: TenantId,
    /// Its line of business at the time of the calls.
    pub lob_id: LobId,
    /// The project that the calls were made for, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
    /// Who called.
    pub principal_id: PrincipalId,
    /// The registered model that served.
    pub model: ModelId,
    /// Whose model it is, for example `aws.bedrock`.
    pub provider: String,
    /// The provider's Region.
    pub region: String,
    /// The service tier.
    pub service_tier: ServiceTier,
    /// Where the provider was allowed to run the calls.
    pub profile_scope: ProfileScope,
    /// The price book that they were charged by.
    pub price_version: String,
}

impl RollupKey {
    /// Under what a record is summed.
    pub fn of(record: &UsageRecord) -> Self {
        Self {
            tenant_id: record.tenant_id.clone(),
            lob_id: record.lob_id.clone(),
            project_id: record.project_id.clone(),
            principal_id: record.principal_id.clone(),
            model: record.choice.model.clone(),
            provider: record.provider.clone(),
            region: record.region.clone(),
            service_tier: record.service_tier,
            profile_scope: record.profile_scope,
            price_version: record.price_version.clone(),
        }
    }
}

/// Sums over usage records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Rollup {
    /// Calls of clients: first attempts.
    pub calls: u64,
    /// Calls of providers: records.
    pub attempts: u64,
    /// Of these, those that the model answered to the end.
    pub completed: u64,
    /// Those that the provider refused.
    pub refused: u64,
    /// Those in which the provider failed.
    pub failed: u64,
    /// Those that nobody lived to end.
    pub abandoned: u64,
    /// Those that were streamed.
    pub streamed: u64,
    /// Those that the gateway's response cache answered.
    pub cache_hits: u64,
    /// Those whose usage is an estimate.
    pub estimated: u64,
    /// Those that had no price.
    pub unpriced: u64,
    /// What was consumed, by kind.
    #[serde(flatten)]
    pub usage: TokenUsage,
    /// What they cost.
    pub cost_nanousd: NanoUsd,
    /// What they had cost without prompt caches.
    pub uncached_cost_nanousd: NanoUsd,
    /// The part of the cost that is estimated.
    pub estimated_cost_nanousd: NanoUsd,
    /// Milliseconds from admission to the end of the answer, of all attempts together.
    pub latency_ms: u64,
    /// Milliseconds that were the gateway's own, of all attempts together.
    pub gateway_ms: u64,
}

impl Rollup {
    /// The sums of one record.
    pub fn of(record: &UsageRecord) -> Self {
        let outcome = |outcome| u64::from(record.outcome == outcome);
        let estimated = if record.is_estimated { record.cost_nanousd } else { NanoUsd::ZERO };
        Self {
            calls: u64::from(record.id.attempt == 1),
            attempts: 1,
            completed: outcome(Outcome::Completed),
            refused: outcome(Outcome::Refused),
            failed: outcome(Outcome::Failed),
            abandoned: outcome(Outcome::Abandoned),
            streamed: u64::from(record.is_streamed),
            cache_hits: u64::from(record.is_cache_hit),
            estimated: u64::from(record.is_estimated),
            unpriced: u64::from(!record.is_priced),
            usage: record.usage,
            cost_nanousd: record.cost_nanousd,
            uncached_cost_nanousd: record.uncached_cost_nanousd,
            estimated_cost_nanousd: estimated,
            latency_ms: record.latency_ms,
            gateway_ms: record.gateway_ms,
        }
    }

    /// Counts a record, which must not have been counted before.
    pub fn add(&mut self, record: &UsageRecord) {
        self.merge(&Self::of(record));
    }

    /// Adds the sums of other records.
    pub fn merge(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.calls, other.calls),
            (&mut self.attempts, other.attempts),
            (&mut self.completed, other.completed),
            (&mut self.refused, other.refused),
            (&mut self.failed, other.failed),
            (&mut self.abandoned, other.abandoned),
            (&mut self.streamed, other.streamed),
            (&mut self.cache_hits, other.cache_hits),
            (&mut self.estimated, other.estimated),
            (&mut self.unpriced, other.unpriced),
            (&mut self.cost_nanousd.0, other.cost_nanousd.0),
            (&mut self.uncached_cost_nanousd.0, other.uncached_cost_nanousd.0),
            (&mut self.estimated_cost_nanousd.0, other.estimated_cost_nanousd.0),
            (&mut self.latency_ms, other.latency_ms),
            (&mut self.gateway_ms, other.gateway_ms),
        ] {
            *sum = sum.saturating_add(more);
        }
        self.usage = self.usage.plus(&other.usage);
    }
}

/// Sums of records, or of such sums, by what they have in common.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rollups(pub BTreeMap<RollupKey, Rollup>);

impl Rollups {
    /// Counts a record, which must not have been counted before.
    pub fn add(&mut self, record: &UsageRecord) {
        self.0.entry(RollupKey::of(record)).or_default().add(record);
    }

    /// Adds the sums of other records.
    pub fn merge(&mut self, key: &RollupKey, rollup: &Rollup) {
        match self.0.get_mut(key) {
            Some(sums) => sums.merge(rollup),
            None => _ = self.0.insert(key.clone(), *rollup),
        }
    }

    /// Everything together.
    pub fn total(&self) -> Rollup {
        let mut total = Rollup::default();
        self.0.values().for_each(|rollup| total.merge(rollup));
        total
    }
}

impl<'a> FromIterator<&'a UsageRecord> for Rollups {
    fn from_iter<I: IntoIterator<Item = &'a UsageRecord>>(records: I) -> Self {
        let mut rollups = Self::default();
        records.into_iter().for_each(|record| rollups.add(record));
        rollups
    }
}

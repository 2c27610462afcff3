//! Lines of a statement: records that are alike, summed.

use std::collections::HashMap;

use metering::{NanoUsd, ProfileScope, Rollup, RollupKey, ServiceTier, TokenUsage, UsageRecord};
use serde::{Deserialize, Serialize};
use tenancy::{LobId, ModelId, ProjectId, TenantId};

use crate::{Overflow, Span};

const HOUR_MS: i64 = 3_600_000;

/// What records on one line have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LineKey {
    /// The project that the calls were made for, if any.
    pub project_id: Option<ProjectId>,
    /// The model that served.
    pub model: ModelId,
    /// Who runs it.
    pub provider: String,
    /// The provider's Region.
    pub region: String,
    /// The service tier.
    pub service_tier: ServiceTier,
    /// Where the provider was allowed to run it.
    pub profile_scope: ProfileScope,
    /// The price book.
    pub price_version: String,
}

/// Records that are alike, and what they are charged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What they have in common.
    #[serde(flatten)]
    pub key: LineKey,
    /// How many there are, and what they consumed and cost.
    #[serde(flatten)]
    pub sum: UsageSum,
    /// What the plan takes for that.
    pub gross_nanousd: NanoUsd,
    /// What of it is included in the plan's volume.
    pub included_nanousd: NanoUsd,
    /// What is charged: the one without the other.
    pub charge_nanousd: NanoUsd,
}

/// What usage records add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UsageSum {
    /// Client's calls: first attempts.
    pub calls: u64,
    /// Usage records: all attempts.
    pub records: u64,
    /// Of these, answers of the gateway's own cache, which cost nothing.
    pub cache_hits: u64,
    /// Of these, those whose usage is an estimate.
    pub estimated_records: u64,
    /// Of these, those of a model that nobody has priced.
    pub unpriced_records: u64,
    /// What was consumed, by kind.
    pub usage: TokenUsage,
    /// What the provider took.
    pub cost_nanousd: NanoUsd,
    /// Of this, what is an estimate.
    pub estimated_cost_nanousd: NanoUsd,
}

/// Sums a tenant's records of a month as they come, in any order: what it holds is the lines, however
/// many records there are.
#[derive(Debug, Clone)]
pub struct UsageLines {
    tenant_id: TenantId,
    span: Span,
    lines: HashMap<LineKey, UsageSum>,
    overflow: Option<Overflow>,
    foreign: u64,
    /// Where the tenant was when it last called.
    last_seen: Option<(i64, LobId)>,
}

/// Records that cannot be billed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinesError {
    /// A sum is too large.
    #[error(transparent)]
    Overflow(#[from] Overflow),
    /// The store gave another tenant's.
    #[error("{count} records are not of tenant `{tenant_id}`")]
    Foreign {
        /// Whose were wanted.
        tenant_id: TenantId,
        /// How many were not.
        count: u64,
    },
}

impl UsageSum {
    fn of(record: &UsageRecord) -> Self {
        let estimated = if record.is_estimated { record.cost_nanousd } else { NanoUsd::ZERO };
        Self {
            calls: u64::from(record.id.attempt == 1),
            records: 1,
            cache_hits: record.is_cache_hit.into(),
            estimated_records: record.is_estimated.into(),
            unpriced_records: (!record.is_priced).into(),
            usage: record.usage,
            cost_nanousd: record.cost_nanousd,
            estimated_cost_nanousd: estimated,
        }
    }

    /// Both together. Money is exact; counts of tokens beyond what can be counted stop there.
    pub fn plus(&self, other: &Self) -> Result<Self, Overflow> {
        let money = |a: NanoUsd, b: NanoUsd| a.0.checked_add(b.0).map(NanoUsd).ok_or(Overflow);
        Ok(Self {
            calls: self.calls.saturating_add(other.calls),
            records: self.records.saturating_add(other.records),
            cache_hits: self.cache_hits.saturating_add(other.cache_hits),
            estimated_records: self.estimated_records.saturating_add(other.estimated_records),
            unpriced_records: self.unpriced_records.saturating_add(other.unpriced_records),
            usage: self.usage.plus(&other.usage),
            cost_nanousd: money(self.cost_nanousd, other.cost_nanousd)?,
            estimated_cost_nanousd: money(
                self.estimated_cost_nanousd,
                other.estimated_cost_nanousd,
            )?,
        })
    }
}

impl UsageLines {
    /// Nothing yet.
    pub fn new(tenant_id: TenantId, span: Span) -> Self {
        Self { tenant_id, span, lines: HashMap::new(), overflow: None, foreign: 0, last_seen: None }
    }

    /// Adds a record, unless it is of another month; a store may give more than was asked for.
    pub fn add(&mut self, record: &UsageRecord) {
        let moment_ms = record.called_ms();
        if !self.span.has(moment_ms) {
            return;
        }
        if record.tenant_id != self.tenant_id {
            self.foreign += 1;
            return;
        }
        self.see(moment_ms, &record.lob_id);
        let key = LineKey {
            project_id: record.project_id.clone(),
            model: record.choice.model.clone(),
            provider: record.provider.clone(),
            region: record.region.clone(),
            service_tier: record.service_tier,
            profile_scope: record.profile_scope,
            price_version: record.price_version.clone(),
        };
        self.merge(key, &UsageSum::of(record));
    }

    /// Adds the sums of a tenant's records of an hour that is wholly within the month. Whoever gives them
    /// is to give the records themselves of an hour that the month's beginning or end is in.
    pub fn add_rollup(&mut self, key: &RollupKey, rollup: &Rollup, hour_start_ms: i64) {
        let last_ms = hour_start_ms.saturating_add(HOUR_MS - 1);
        if key.tenant_id != self.tenant_id {
            self.foreign += 1;
            return;
        }
        if !self.span.has(hour_start_ms) || !self.span.has(last_ms) {
            return;
        }
        self.see(last_ms, &key.lob_id);
        let sum = UsageSum {
            calls: rollup.calls,
            records: rollup.attempts,
            cache_hits: rollup.cache_hits,
            estimated_records: rollup.estimated,
            unpriced_records: rollup.unpriced,
            usage: rollup.usage,
            cost_nanousd: rollup.cost_nanousd,
            estimated_cost_nanousd: rollup.estimated_cost_nanousd,
        };
        let key = LineKey {
            project_id: key.project_id.clone(),
            model: key.model.clone(),
            provider: key.provider.clone(),
            region: key.region.clone(),
            service_tier: key.service_tier,
            profile_scope: key.profile_scope,
            price_version: key.price_version.clone(),
        };
        self.merge(key, &sum);
    }

    fn see(&mut self, moment_ms: i64, lob_id: &LobId) {
        if self.last_seen.as_ref().is_none_or(|(seen_ms, _)| *seen_ms < moment_ms) {
            self.last_seen = Some((moment_ms, lob_id.clone()));
        }
    }

    fn merge(&mut self, key: LineKey, sum: &UsageSum) {
        let line = self.lines.entry(key).or_default();
        match line.plus(sum) {
            Ok(both) => *line = both,
            Err(overflow) => self.overflow = Some(overflow),
        }
    }

    /// The line of business that the tenant belonged to when it last called.
    pub fn last_lob(&self) -> Option<&LobId> {
        self.last_seen.as_ref().map(|(_, lob_id)| lob_id)
    }

    /// Whether there was any record.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The month.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// The sums, in order of their keys.
    pub(crate) fn finish(self) -> Result<Vec<(LineKey, UsageSum)>, LinesError> {
        if let Some(overflow) = self.overflow {
            return Err(overflow.into());
        }
        if self.foreign > 0 {
            return Err(LinesError::Foreign { tenant_id: self.tenant_id, count: self.foreign });
        }
        let mut lines: Vec<_> = self.lines.into_iter().collect();
        lines.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(lines)
    }
}

//! Sums of usage by groups.

use std::collections::BTreeMap;

use admission::{Calendar, Minute, Period};
use futures::future::try_join_all;
use http_api::ApiError;
use inference::FaultKind;
use jiff::Timestamp;
use metering::{Granularity, Rollup, RollupKey, RollupRow, RollupStore, UsagePeriod};
use serde_json::{Map, Value, json};
use tenancy::{TenantContext, TenantId};

use super::query::{Dimension, Query, View};
use crate::answer::usd;

/// Groups of one answer at most, of all pages together.
const MAX_GROUPS: usize = 200_000;

/// Tenants whose sums are read at the same time.
const CONCURRENCY: usize = 16;

/// The values of a group, in the order of the dimensions that it is grouped by.
pub(super) type Key = Vec<Option<String>>;

/// Sums by group.
#[derive(Debug, Default)]
pub(super) struct Rows(BTreeMap<Key, Rollup>);

impl Rows {
    /// What the query asks for, of these tenants.
    pub(super) async fn read(
        store: &impl RollupStore,
        calendar: &Calendar,
        query: &Query,
        context: &TenantContext,
        tenants: Vec<TenantId>,
    ) -> Result<Self, ApiError> {
        let finest = query.group_by.iter().filter_map(|it| it.period()).min();
        let parts = reads(query.from, query.to, finest, calendar);
        let mut wanted = Vec::new();
        for tenant in tenants {
            wanted.extend(parts.iter().map(|part| (tenant.clone(), *part)));
        }
        let mut rows = Self::default();
        for some in wanted.chunks(CONCURRENCY) {
            let answers = some.iter().map(|(tenant, (granularity, from_ms, to_ms))| {
                store.rollups(tenant, *granularity, *from_ms, *to_ms)
            });
            let found = try_join_all(answers).await;
            let found = found.map_err(|error| ApiError::store_failed(&error))?;
            for row in found.iter().flatten().filter(|row| is_wanted(query, context, &row.key)) {
                rows.add(key(query, calendar, row), &row.rollup)?;
            }
        }
        Ok(rows)
    }

    fn add(&mut self, key: Key, rollup: &Rollup) -> Result<(), ApiError> {
        self.0.entry(key).or_default().merge(rollup);
        if self.0.len() > MAX_GROUPS {
            let message = "These are too many groups for one answer. Ask about less time, filter, or group by less.";
            return Err(ApiError::new(FaultKind::InvalidRequest, "too_many_groups", message));
        }
        Ok(())
    }

    /// Everything together.
    pub(super) fn total(&self) -> Rollup {
        let mut total = Rollup::default();
        self.0.values().for_each(|rollup| total.merge(rollup));
        total
    }

    /// At most `limit` rows after that of `after`, and where the next page begins.
    pub(super) fn page(
        &self,
        after: Option<&Key>,
        limit: usize,
    ) -> (Vec<(Key, Rollup)>, Option<Key>) {
        let rest = self.0.iter().filter(|(key, _)| after.is_none_or(|after| *key > after));
        let mut rows: Vec<(Key, Rollup)> = rest
            .take(limit.saturating_add(1))
            .map(|(key, rollup)| (key.clone(), *rollup))
            .collect();
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().map(|(key, _)| key.clone()).filter(|_| has_more);
        (rows, next)
    }
}

/// The sums that answer a query about `from..to`: whole days and months of UTC where nothing finer is
/// needed, and hours at the edges. Days of another time zone are made of hours.
pub(crate) fn reads(
    from: Timestamp,
    to: Timestamp,
    finest: Option<Period>,
    calendar: &Calendar,
) -> Vec<(Granularity, i64, i64)> {
    let is_utc = calendar.name() == "UTC";
    let coarsest = match finest {
        None => Granularity::Month,
        Some(Period::Month) if is_utc => Granularity::Month,
        Some(Period::Day) if is_utc => Granularity::Day,
        Some(_) => Granularity::Hour,
    };
    let from = first(Granularity::Hour, from.as_millisecond(), false);
    let mut reads = Vec::new();
    split(coarsest, from, to.as_millisecond(), &mut reads);
    reads
}

fn split(granularity: Granularity, from: i64, to: i64, reads: &mut Vec<(Granularity, i64, i64)>) {
    if from >= to {
        return;
    }
    let Some(finer) = granularity.finer() else {
        reads.push((granularity, from, to));
        return;
    };
    let (start, end) = (first(granularity, from, true), first(granularity, to, false));
    if start >= end {
        split(finer, from, to, reads);
        return;
    }
    split(finer, from, start, reads);
    reads.push((granularity, start, end));
    split(finer, end, to, reads);
}

/// The first moment of the period that holds `moment`; of the next one, with `up`, unless it is one.
fn first(granularity: Granularity, moment: i64, up: bool) -> i64 {
    let period = UsagePeriod::containing(granularity, moment);
    if up && period.start_ms() < moment { period.end_ms() } else { period.start_ms() }
}

fn is_wanted(query: &Query, context: &TenantContext, key: &RollupKey) -> bool {
    let is_within = match query.view {
        View::Own => key.principal_id == context.principal.id,
        View::Lob => key.lob_id == context.lob_id,
        View::Tenant | View::Org => true,
    };
    let matches = |dimension: Dimension| {
        query
            .filter(dimension)
            .is_none_or(|wanted| value(dimension, key).is_some_and(|value| wanted.contains(&value)))
    };
    is_within
        && [
            Dimension::Lob,
            Dimension::Project,
            Dimension::Principal,
            Dimension::Model,
            Dimension::Provider,
            Dimension::Region,
            Dimension::ServiceTier,
        ]
        .into_iter()
        .all(matches)
}

/// What a sum has for a dimension that is no time.
fn value(dimension: Dimension, key: &RollupKey) -> Option<String> {
    match dimension {
        Dimension::Hour | Dimension::Day | Dimension::Month => None,
        Dimension::Lob => Some(key.lob_id.to_string()),
        Dimension::Tenant => Some(key.tenant_id.to_string()),
        Dimension::Project => key.project_id.as_ref().map(ToString::to_string),
        Dimension::Principal => Some(key.principal_id.to_string()),
        Dimension::Model => Some(key.model.to_string()),
        Dimension::Provider => Some(key.provider.clone()),
        Dimension::Region => Some(key.region.clone()),
        Dimension::ServiceTier => Some(key.service_tier.as_str().to_owned()),
    }
}

fn key(query: &Query, calendar: &Calendar, row: &RollupRow) -> Key {
    let minute = Minute::of(row.period.start_ms());
    let of = |dimension: &Dimension| match dimension.period() {
        Some(period) => Some(calendar.start_of(minute, period).to_rfc3339()),
        None => value(*dimension, &row.key),
    };
    query.group_by.iter().map(of).collect()
}

/// The columns of every row, after those that it is grouped by.
pub(super) fn columns(rollup: &Rollup) -> Vec<(&'static str, Value)> {
    let usage = &rollup.usage;
    let saved = i128::from(rollup.uncached_cost_nanousd.0) - i128::from(rollup.cost_nanousd.0);
    vec![
        ("calls", rollup.calls.into()),
        ("attempts", rollup.attempts.into()),
        ("completed", rollup.completed.into()),
        ("refused", rollup.refused.into()),
        ("failed", rollup.failed.into()),
        ("abandoned", rollup.abandoned.into()),
        ("cache_hits", rollup.cache_hits.into()),
        ("estimated", rollup.estimated.into()),
        ("unpriced", rollup.unpriced.into()),
        ("total_tokens", usage.total().into()),
        ("input_tokens", usage.input.into()),
        ("output_tokens", usage.output.into()),
        ("input_audio_tokens", usage.input_audio.into()),
        ("output_audio_tokens", usage.output_audio.into()),
        ("cache_read_tokens", usage.cache_read.into()),
        ("cache_write_5m_tokens", usage.cache_write_5m.into()),
        ("cache_write_1h_tokens", usage.cache_write_1h.into()),
        ("images", usage.images.into()),
        ("search_units", usage.search_units.into()),
        ("guardrail_units", usage.guardrail_units.into()),
        ("cost_nanousd", rollup.cost_nanousd.0.into()),
        ("cost_usd", usd(rollup.cost_nanousd.0).into()),
        ("estimated_cost_nanousd", rollup.estimated_cost_nanousd.0.into()),
        ("prompt_cache_savings_nanousd", i64::try_from(saved).unwrap_or(i64::MAX).into()),
        ("latency_ms_mean", (rollup.latency_ms / rollup.attempts.max(1)).into()),
    ]
}

/// The sums of a row.
pub(super) fn sums(rollup: &Rollup) -> Value {
    Value::Object(
        columns(rollup).into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    )
}

/// A row.
pub(super) fn shown(group_by: &[Dimension], (key, rollup): &(Key, Rollup)) -> Value {
    let mut shown = Map::new();
    for (dimension, value) in group_by.iter().zip(key) {
        shown.insert(dimension.as_str().to_owned(), json!(value));
    }
    shown.extend(columns(rollup).into_iter().map(|(name, value)| (name.to_owned(), value)));
    Value::Object(shown)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_hour_is_read_once(from in 490_000..500_000i64, hours in 1..9_000i64, finest in 0..4usize) {
            let finest = [None, Some(Period::Month), Some(Period::Day), Some(Period::Hour)][finest];
            let moment = |hour: i64| Timestamp::from_second(hour * 3_600).unwrap();
            let parts = reads(moment(from), moment(from + hours), finest, &Calendar::utc());
            let mut at = from * 3_600_000;
            for (granularity, start, end) in parts {
                prop_assert_eq!(start, at, "no gap and no overlap");
                prop_assert!(end > start);
                for edge in [start, end] {
                    prop_assert_eq!(UsagePeriod::containing(granularity, edge).start_ms(), edge);
                }
                at = end;
            }
            prop_assert_eq!(at, (from + hours) * 3_600_000);
        }
    }
}

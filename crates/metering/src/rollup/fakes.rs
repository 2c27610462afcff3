//! Usage in memory, that keeps the ports' contracts and can be made to fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tenancy::{LobId, ModelId, PrincipalId, PrincipalKind, PriorityClass, TenantId};

use super::{
    AggregationStore, Delivery, Granularity, Late, Mark, Page, Progress, Rollup, RollupError,
    RollupKey, RollupRow, RollupStore, Rollups, UsagePeriod,
};
use crate::{
    ModelChoice, NanoUsd, Outcome, ProfileScope, RecordId, ServiceTier, TokenUsage, UsageRecord,
};

/// A record of a call that came to its end, in which every field says something.
pub fn usage_record(
    (tenant_id, lob_id, principal_id): (TenantId, LobId, PrincipalId),
    model: ModelId,
    id: RecordId,
    cost: NanoUsd,
) -> UsageRecord {
    UsageRecord {
        schema: UsageRecord::SCHEMA,
        started_ms: super::period::called_ms(&id.call_id).unwrap_or(1_795_435_200_000),
        id,
        meters: vec![format!("tenant={tenant_id}"), format!("lob={lob_id}")],
        tenant_id,
        lob_id,
        principal_id,
        principal_kind: PrincipalKind::Machine,
        project_id: "web-shop".parse().ok(),
        tags: [("cost-center", "4711"), ("team", "search")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        priority_class: PriorityClass::default(),
        dialect: "openai.chat_completions".to_owned(),
        choice: ModelChoice {
            requested_model: "fast".to_owned(),
            route: Some("fast".to_owned()),
            model,
        },
        provider_model_id: "us.vendor.model-a".to_owned(),
        provider: "aws.bedrock".to_owned(),
        region: "us-east-1".to_owned(),
        profile_scope: ProfileScope::Geo,
        service_tier: ServiceTier::Flex,
        provider_request_id: Some("req-1".to_owned()),
        is_streamed: true,
        is_cache_hit: false,
        usage: TokenUsage {
            input: 11,
            output: 7,
            input_audio: 1,
            output_audio: 2,
            cache_read: 3,
            cache_write_5m: 5,
            cache_write_1h: 13,
            images: 17,
            search_units: 19,
            guardrail_units: 23,
        },
        is_estimated: false,
        price_version: "2026-11".to_owned(),
        is_priced: true,
        cost_nanousd: cost,
        uncached_cost_nanousd: cost + NanoUsd(10),
        reserved_nanousd: cost + NanoUsd(100),
        outcome: Outcome::Completed,
        latency_ms: 1_200,
        time_to_first_token_ms: Some(300),
        gateway_ms: 12,
        shadow_of: Some("0198f0c2a7b37d1e8f00aabbccddee00".to_owned()),
    }
}

/// Records and rollups in memory.
#[derive(Debug, Default)]
pub struct InMemoryUsage {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    records: BTreeMap<String, UsageRecord>,
    live: BTreeMap<(UsagePeriod, RollupKey), Live>,
    finals: BTreeMap<(UsagePeriod, RollupKey), Rollup>,
    marks: BTreeMap<(UsagePeriod, TenantId), Mark>,
    late: BTreeMap<UsagePeriod, u64>,
    progress: BTreeMap<UsagePeriod, Progress>,
    completed_ms: Option<i64>,
    /// Operations that are still allowed, if not all are.
    allowed: Option<u64>,
    operations: u64,
}

/// A live rollup, and the last of the stream that each part of the ledger brought to it.
#[derive(Debug, Default)]
struct Live {
    rollup: Rollup,
    seen: BTreeMap<String, String>,
}

/// The part of the ledger that holds a record here: the last character of its call's id.
fn part(record: &UsageRecord) -> String {
    record.id.call_id.chars().next_back().unwrap_or('0').to_string()
}

/// Decimal numbers of any length in an order of texts.
fn ordered(sequence: &str) -> String {
    format!("{sequence:0>40}")
}

impl InMemoryUsage {
    /// Lets so many more operations succeed, and none after them.
    pub fn allow(&self, operations: u64) {
        self.lock().allowed = Some(operations);
    }

    /// Lets every operation succeed again.
    pub fn heal(&self) {
        self.lock().allowed = None;
    }

    /// Every record, in the order of ids.
    pub fn all_records(&self) -> Vec<UsageRecord> {
        self.lock().records.values().cloned().collect()
    }

    /// How many operations succeeded.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Writes a record into the ledger.
    pub fn record(&self, record: &UsageRecord) {
        self.lock().records.insert(record.id.to_string(), record.clone());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(
        &self,
        operation: &'static str,
        subject: &impl ToString,
    ) -> Result<MutexGuard<'_, State>, RollupError> {
        let mut state = self.lock();
        if state.allowed == Some(0) {
            let (subject, source) = (subject.to_string(), "made to fail".into());
            return Err(RollupError { operation, subject, source });
        }
        state.allowed = state.allowed.map(|allowed| allowed - 1);
        state.operations += 1;
        Ok(state)
    }
}

impl State {
    fn mark(&mut self, period: UsagePeriod, tenant_id: &TenantId) -> &mut Mark {
        let new = || Mark {
            tenant_id: tenant_id.clone(),
            changes: 0,
            parts: std::iter::empty().collect(),
        };
        let mark = self.marks.entry((period, tenant_id.clone())).or_insert_with(new);
        mark.changes += 1;
        mark
    }
}

impl AggregationStore for InMemoryUsage {
    async fn add_live<'a>(
        &self,
        hour: UsagePeriod,
        key: &RollupKey,
        deliveries: &[&'a Delivery],
    ) -> Result<Vec<&'a Delivery>, RollupError> {
        let mut state = self.begin("add to the live rollup", &key.tenant_id)?;
        let live = state.live.entry((hour, key.clone())).or_default();
        let mut added = Vec::new();
        for delivery in deliveries {
            let seen = live.seen.entry(part(&delivery.record)).or_default();
            let sequence = ordered(&delivery.sequence);
            if sequence > *seen {
                *seen = sequence;
                live.rollup.add(&delivery.record);
                added.push(*delivery);
            }
        }
        Ok(added)
    }

    async fn mark_hour(
        &self,
        hour: UsagePeriod,
        tenant_id: &TenantId,
        records: &[&UsageRecord],
    ) -> Result<(), RollupError> {
        let mut state = self.begin("mark the hour", tenant_id)?;
        state.mark(hour, tenant_id).parts.extend(records.iter().map(|record| part(record)));
        Ok(())
    }

    async fn mark(&self, period: UsagePeriod, tenant_id: &TenantId) -> Result<(), RollupError> {
        self.begin("mark the period", tenant_id)?.mark(period, tenant_id);
        Ok(())
    }

    async fn marks(&self, period: UsagePeriod) -> Result<Vec<Mark>, RollupError> {
        let state = self.begin("read the marks", &period)?;
        let of_period = state.marks.iter().filter(|((of, _), _)| *of == period);
        Ok(of_period.map(|(_, mark)| mark.clone()).collect())
    }

    async fn note_late(&self, period: UsagePeriod) -> Result<(), RollupError> {
        *self.begin("note a late change", &period)?.late.entry(period).or_default() += 1;
        Ok(())
    }

    async fn late(&self) -> Result<Vec<Late>, RollupError> {
        let state = self.begin("list late changes", &"the ledger")?;
        let late = |(period, changes): (&_, &_)| Late { period: *period, changes: *changes };
        Ok(state.late.iter().map(late).collect())
    }

    async fn forget_late(&self, late: &Late) -> Result<(), RollupError> {
        let mut state = self.begin("forget a late change", &late.period)?;
        if state.late.get(&late.period) == Some(&late.changes) {
            state.late.remove(&late.period);
        }
        Ok(())
    }

    async fn progress(&self, period: UsagePeriod) -> Result<Progress, RollupError> {
        let state = self.begin("read the progress", &period)?;
        Ok(state.progress.get(&period).cloned().unwrap_or_default())
    }

    async fn set_progress(
        &self,
        period: UsagePeriod,
        progress: &Progress,
    ) -> Result<(), RollupError> {
        self.begin("note the progress", &period)?.progress.insert(period, progress.clone());
        Ok(())
    }

    async fn completed_ms(&self) -> Result<Option<i64>, RollupError> {
        Ok(self.begin("read the progress", &"the lake")?.completed_ms)
    }

    async fn set_completed_ms(&self, now_ms: i64) -> Result<(), RollupError> {
        self.begin("note the progress", &"the lake")?.completed_ms = Some(now_ms);
        Ok(())
    }

    fn parts(&self) -> BTreeSet<String> {
        "0123456789abcdef".chars().map(String::from).collect()
    }

    async fn records(
        &self,
        hour: UsagePeriod,
        tenant_id: &TenantId,
        wanted: &str,
        from: Option<String>,
    ) -> Result<Page, RollupError> {
        let state = self.begin("read records", tenant_id)?;
        let mut found = state.records.iter().filter(|(id, record)| {
            record.hour() == hour
                && record.tenant_id == *tenant_id
                && part(record) == wanted
                && from.as_ref().is_none_or(|from| *id >= from)
        });
        // Two to a page, so that there are second pages.
        let records = found.by_ref().take(2).map(|(_, record)| record.clone()).collect();
        Ok(Page { records, next: found.next().map(|(id, _)| id.clone()) })
    }

    async fn live(&self, hour: UsagePeriod, tenant_id: &TenantId) -> Result<Rollups, RollupError> {
        let state = self.begin("read live rollups", tenant_id)?;
        let of_hour =
            state.live.iter().filter(|((of, key), _)| *of == hour && key.tenant_id == *tenant_id);
        Ok(Rollups(of_hour.map(|((_, key), live)| (key.clone(), live.rollup)).collect()))
    }

    async fn finals_within(
        &self,
        period: UsagePeriod,
        granularity: Granularity,
        tenant_id: &TenantId,
    ) -> Result<Rollups, RollupError> {
        let state = self.begin("read final rollups", tenant_id)?;
        let mut sums = Rollups::default();
        for ((of, key), rollup) in &state.finals {
            let is_within = (period.start_ms()..period.end_ms()).contains(&of.start_ms());
            if is_within && of.granularity() == granularity && key.tenant_id == *tenant_id {
                sums.merge(key, rollup);
            }
        }
        Ok(sums)
    }

    async fn put_finals(&self, period: UsagePeriod, rollups: &Rollups) -> Result<(), RollupError> {
        // Each is a write of its own: a writer may die between any two.
        for (key, rollup) in &rollups.0 {
            let mut state = self.begin("write final rollups", &period)?;
            let sums = state.finals.entry((period, key.clone())).or_default();
            if sums.attempts <= rollup.attempts {
                *sums = *rollup;
            }
        }
        Ok(())
    }
}

impl RollupStore for InMemoryUsage {
    async fn rollups(
        &self,
        tenant_id: &TenantId,
        granularity: Granularity,
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<RollupRow>, RollupError> {
        let state = self.begin("read rollups", tenant_id)?;
        let mut rows: BTreeMap<(UsagePeriod, RollupKey), Rollup> = BTreeMap::new();
        // Where there is a final rollup of an hour, that is it.
        let live = state.live.iter().map(|(of, live)| (of, &live.rollup));
        let mut hours: BTreeMap<_, _> = live.collect();
        hours.extend(
            state.finals.iter().filter(|((of, _), _)| of.granularity() == Granularity::Hour),
        );
        for ((hour, key), rollup) in hours {
            let period = UsagePeriod::containing(granularity, hour.start_ms());
            if key.tenant_id == *tenant_id && (from_ms..to_ms).contains(&period.start_ms()) {
                rows.entry((period, key.clone())).or_default().merge(rollup);
            }
        }
        let row = |((period, key), rollup)| RollupRow { period, key, rollup };
        Ok(rows.into_iter().map(row).collect())
    }
}

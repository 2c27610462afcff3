//! The ports to where rollups are kept.

use std::collections::BTreeSet;
use std::error::Error;

use serde::{Deserialize, Serialize};
use tenancy::TenantId;

use crate::{Granularity, Rollup, RollupKey, Rollups, UsagePeriod, UsageRecord};

/// Rollups could not be read or written; trying again is safe.
#[derive(Debug, thiserror::Error)]
#[error("failed to {operation} of {subject}")]
pub struct RollupError {
    /// What was tried, for example `read rollups`.
    pub operation: &'static str,
    /// Of which tenant or period.
    pub subject: String,
    /// What the store said.
    pub source: Box<dyn Error + Send + Sync>,
}

/// Sums of one period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollupRow {
    /// When.
    pub period: UsagePeriod,
    /// Of what.
    pub key: RollupKey,
    /// The sums.
    pub rollup: Rollup,
}

/// Reads a tenant's sums.
pub trait RollupStore: Send + Sync {
    /// A tenant's sums by periods of that granularity, for those that begin in `from_ms..to_ms` (Unix
    /// milliseconds), in the order of periods and keys. Of what is not over the newest that is known.
    fn rollups(
        &self,
        tenant_id: &TenantId,
        granularity: Granularity,
        from_ms: i64,
        to_ms: i64,
    ) -> impl Future<Output = Result<Vec<RollupRow>, RollupError>> + Send;
}

/// A record as the ledger's stream delivers it: perhaps again, but in the stream's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its place in the stream: a decimal number of any length.
    pub sequence: String,
    /// What is delivered.
    pub record: UsageRecord,
}

/// That a tenant has used something in a period, and how often that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Whose usage.
    pub tenant_id: TenantId,
    /// Goes up whenever there is more to know about the period, and at times without need.
    pub changes: u64,
    /// Of an hour, the parts of the ledger that hold those of its records that the stream has brought, in
    /// the store's own words.
    pub parts: BTreeSet<String>,
}

/// A period in which something changed when nobody looked at it any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Late {
    /// Which.
    pub period: UsagePeriod,
    /// How often.
    pub changes: u64,
}

/// How many of a period's changes have been dealt with, for each group of tenants.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Those that are in the lake.
    pub written: Vec<u64>,
    /// Those that are in the final rollups.
    pub rolled: Vec<u64>,
}

impl Progress {
    /// The same, if it is about so many groups; else nothing has been dealt with yet.
    #[must_use]
    pub fn of_groups(self, groups: usize) -> Self {
        if self.written.len() == groups && self.rolled.len() == groups {
            return self;
        }
        Self { written: vec![0; groups], rolled: vec![0; groups] }
    }
}

/// Some of the records of an hour, and where the next ones are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The records.
    pub records: Vec<UsageRecord>,
    /// What to ask for next; none if these were the last.
    pub next: Option<String>,
}

/// Makes rollups, for all tenants; only `metering-aggregator` has it.
pub trait AggregationStore: Send + Sync {
    /// Adds records, which all are of `hour` and `key`, to the live rollup, but none twice, however the
    /// stream's deliveries are cut; those that were new.
    fn add_live<'a>(
        &self,
        hour: UsagePeriod,
        key: &RollupKey,
        deliveries: &[&'a Delivery],
    ) -> impl Future<Output = Result<Vec<&'a Delivery>, RollupError>> + Send;

    /// Notes that there are records of a tenant in an hour.
    fn mark_hour(
        &self,
        hour: UsagePeriod,
        tenant_id: &TenantId,
        records: &[&UsageRecord],
    ) -> impl Future<Output = Result<(), RollupError>> + Send;

    /// Notes that there are rollups of a tenant within a day or month.
    fn mark(
        &self,
        period: UsagePeriod,
        tenant_id: &TenantId,
    ) -> impl Future<Output = Result<(), RollupError>> + Send;

    /// Who used something in a period.
    fn marks(
        &self,
        period: UsagePeriod,
    ) -> impl Future<Output = Result<Vec<Mark>, RollupError>> + Send;

    /// Notes that a period changed that is too long ago to be looked at without a reason.
    fn note_late(
        &self,
        period: UsagePeriod,
    ) -> impl Future<Output = Result<(), RollupError>> + Send;

    /// The periods noted as late.
    fn late(&self) -> impl Future<Output = Result<Vec<Late>, RollupError>> + Send;

    /// Forgets a late period, unless it changed again.
    fn forget_late(&self, late: &Late) -> impl Future<Output = Result<(), RollupError>> + Send;

    /// How far a period has been dealt with.
    fn progress(
        &self,
        period: UsagePeriod,
    ) -> impl Future<Output = Result<Progress, RollupError>> + Send;

    /// Notes how far it has been dealt with.
    fn set_progress(
        &self,
        period: UsagePeriod,
        progress: &Progress,
    ) -> impl Future<Output = Result<(), RollupError>> + Send;

    /// When everything that had changed had last been dealt with, in Unix milliseconds; none if never.
    fn completed_ms(&self) -> impl Future<Output = Result<Option<i64>, RollupError>> + Send;

    /// Notes that everything that had changed by then has been dealt with.
    fn set_completed_ms(&self, now_ms: i64)
    -> impl Future<Output = Result<(), RollupError>> + Send;

    /// Every part of the ledger, in the store's own words.
    fn parts(&self) -> BTreeSet<String>;

    /// Records of an hour, from one part of the ledger, read consistently, in the order of their ids.
    fn records(
        &self,
        hour: UsagePeriod,
        tenant_id: &TenantId,
        part: &str,
        from: Option<String>,
    ) -> impl Future<Output = Result<Page, RollupError>> + Send;

    /// The live rollups of an hour.
    fn live(
        &self,
        hour: UsagePeriod,
        tenant_id: &TenantId,
    ) -> impl Future<Output = Result<Rollups, RollupError>> + Send;

    /// The final rollups of the periods of that granularity that begin in a period, added up.
    fn finals_within(
        &self,
        period: UsagePeriod,
        granularity: Granularity,
        tenant_id: &TenantId,
    ) -> impl Future<Output = Result<Rollups, RollupError>> + Send;

    /// Writes final rollups in the place of those that are there, but never in the place of sums over
    /// more records: records are only ever added, so these were made later.
    fn put_finals(
        &self,
        period: UsagePeriod,
        rollups: &Rollups,
    ) -> impl Future<Output = Result<(), RollupError>> + Send;
}

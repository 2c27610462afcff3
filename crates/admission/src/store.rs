//! The ports to where meters and usage records are kept.

use std::error::Error;

use metering::{RecordId, UsageRecord};
use tenancy::{TenantContext, TenantId};

use crate::{CallDetail, Denial, Gate, Meter, MeterRef, Reservation, Standing, Used};

/// The ledger could not be read or written; trying again is safe.
#[derive(Debug, thiserror::Error)]
#[error("failed to {operation} for {subject}")]
pub struct StoreError {
    /// What was tried, for example `reserve`.
    pub operation: &'static str,
    /// For what: a meter or a record.
    pub subject: String,
    /// What the store said.
    pub source: Box<dyn Error + Send + Sync>,
}

/// Reserves for one provider call, as its caller.
pub trait MeterStore: Send + Sync {
    /// Takes `reservation` through `gate`, in one conditional write; taking it again changes nothing.
    fn reserve(
        &self,
        context: &TenantContext,
        gate: &Gate,
        id: &RecordId,
        reservation: &Reservation,
    ) -> impl Future<Output = Result<Result<Standing, Denial>, StoreError>> + Send;

    /// Writes down what is known of a call before it is made, for longer than until `deadline_ms` (Unix
    /// milliseconds); writing it again changes nothing.
    fn put_detail(
        &self,
        context: &TenantContext,
        id: &RecordId,
        detail: &CallDetail,
        deadline_ms: i64,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Replaces `reservation` by what was used of it; nothing if it is not open. Its caller's own part of
    /// what the ledger's stream does anyway, for what must not wait for that.
    fn close(
        &self,
        context: &TenantContext,
        meter: &MeterRef,
        id: &RecordId,
        reservation: &Reservation,
        used: Used,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Writes the ledger's durable truth.
pub trait UsageStore: Send + Sync {
    /// Writes `record` unless one of its id exists; whether it was new.
    fn put_record(
        &self,
        context: &TenantContext,
        record: &UsageRecord,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// Settles and repairs, for all tenants; only `metering-aggregator` has it.
pub trait SettlementStore: Send + Sync {
    /// Every meter that there is.
    fn meters(&self) -> impl Future<Output = Result<Vec<MeterRef>, StoreError>> + Send;

    /// A meter, read consistently.
    fn meter(
        &self,
        meter: &MeterRef,
    ) -> impl Future<Output = Result<Option<Meter>, StoreError>> + Send;

    /// The record of a provider call, read consistently.
    fn record(
        &self,
        tenant_id: &TenantId,
        id: &RecordId,
    ) -> impl Future<Output = Result<Option<UsageRecord>, StoreError>> + Send;

    /// What was known of a provider call before it was made, read consistently.
    fn detail(
        &self,
        tenant_id: &TenantId,
        id: &RecordId,
    ) -> impl Future<Output = Result<Option<CallDetail>, StoreError>> + Send;

    /// Writes the record of a call that left none, unless it has appeared meanwhile; whether it was new.
    fn put_missing_record(
        &self,
        record: &UsageRecord,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Replaces a reservation by its part of what was used, in one conditional write; whether it was
    /// still open.
    fn settle(
        &self,
        meter: &MeterRef,
        id: &RecordId,
        used: Used,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

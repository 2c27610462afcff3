//! The ports to where meters and usage records are kept.

use std::error::Error;

use metering::{NanoUsd, RecordId, UsageRecord};
use tenancy::{TenantContext, TenantId};

use crate::{Denial, LimitedScope, Meter, Reservation, Scope, Standing};

/// The ledger could not be read or written; trying again is safe.
#[derive(Debug, thiserror::Error)]
#[error("failed to {operation} for {subject}")]
pub struct StoreError {
    /// What was tried, for example `reserve`.
    pub operation: &'static str,
    /// For what: a scope or a record.
    pub subject: String,
    /// What the store said.
    pub source: Box<dyn Error + Send + Sync>,
}

/// Reserves for one provider call, as its caller.
pub trait MeterStore: Send + Sync {
    /// Takes `reservation` from the scope's limits, in one conditional write; taking it again changes nothing.
    fn reserve(
        &self,
        context: &TenantContext,
        scope: &LimitedScope,
        id: &RecordId,
        reservation: &Reservation,
    ) -> impl Future<Output = Result<Result<Standing, Denial>, StoreError>> + Send;

    /// Gives back `reservation`, whose call was never made; nothing if it is not open.
    fn release(
        &self,
        context: &TenantContext,
        scope: &Scope,
        id: &RecordId,
        reservation: &Reservation,
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
    /// Every scope that has a meter.
    fn scopes(&self) -> impl Future<Output = Result<Vec<Scope>, StoreError>> + Send;

    /// A scope's meter, read consistently.
    fn meter(
        &self,
        scope: &Scope,
    ) -> impl Future<Output = Result<Option<Meter>, StoreError>> + Send;

    /// The record of a provider call, read consistently.
    fn record(
        &self,
        tenant_id: &TenantId,
        id: &RecordId,
    ) -> impl Future<Output = Result<Option<UsageRecord>, StoreError>> + Send;

    /// Writes the record of a call that left none, unless it has appeared meanwhile; whether it was new.
    fn put_missing_record(
        &self,
        record: &UsageRecord,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Replaces a reservation by what was used, in one conditional write; whether it was still open.
    fn settle(
        &self,
        scope: &Scope,
        id: &RecordId,
        tokens: u64,
        amount: NanoUsd,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Gives back a reservation whose call was never made; whether it was still open.
    fn release_orphan(
        &self,
        scope: &Scope,
        id: &RecordId,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

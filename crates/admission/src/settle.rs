//! From a usage record to the meters that hold its reservation.

use futures::future::try_join_all;
use metering::UsageRecord;

use crate::{Held, MeterRef, Part, Scope, SettlementStore, StoreError, Used};

/// The meters that hold a reservation for the call of `record`.
///
/// # Errors
/// The record names something that is no meter.
pub fn held_by(record: &UsageRecord) -> Result<Vec<Held>, crate::InvalidMeterRef> {
    if record.schema < 3 {
        let scopes = [Scope::Tenant(record.tenant_id.clone()), Scope::Lob(record.lob_id.clone())];
        let held = |scope| Held { meter: MeterRef::of(scope), part: Part::WHOLE };
        return Ok(scopes.map(held).to_vec());
    }
    record.meters.iter().map(|text| text.parse()).collect()
}

/// Replaces the reservations of a call by what its record says was used; those that are settled
/// already stay as they are.
///
/// # Errors
/// A meter could not be written, or the record names something that is none; trying again is safe.
pub async fn settle(store: &impl SettlementStore, record: &UsageRecord) -> Result<(), StoreError> {
    let held = held_by(record).map_err(|error| StoreError {
        operation: "settle",
        subject: record.id.to_string(),
        source: error.into(),
    })?;
    let used = Used::of(record);
    try_join_all(held.iter().map(|held| store.settle(&held.meter, &record.id, used))).await?;
    Ok(())
}

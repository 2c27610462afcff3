//! Repairs what no stream delivered and no function lived to write.

use metering::{Outcome, RecordId, TokenUsage, UsageRecord};

use crate::{CallDetail, Meter, Reservation, Scope, SettlementStore, StoreError};

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SweepOutcome {
    /// Reservations settled from a record that the stream had not settled.
    pub settled: u64,
    /// Records written for calls that left none, at what had been reserved for them.
    pub estimated: u64,
    /// Reservations given back, since not every scope had reserved: the call was never made.
    pub released: u64,
}

/// Settles every reservation whose call cannot be running any more at `now_ms` (Unix milliseconds).
///
/// A provider call without a record is charged what was reserved for it: it may have run, and only
/// its provider knows how far. Its record says that it is an estimate, and the stream settles it.
/// Each attempt of a client's call is looked at by itself.
///
/// # Errors
/// The first fault, after every other scope has had its turn; the next sweep takes up what is left.
pub async fn sweep(store: &impl SettlementStore, now_ms: i64) -> Result<SweepOutcome, StoreError> {
    let (mut outcome, mut fault) = (SweepOutcome::default(), None);
    for scope in store.scopes().await? {
        if let Err(error) = sweep_scope(store, &scope, now_ms, &mut outcome).await {
            fault.get_or_insert(error);
        }
    }
    fault.map_or(Ok(outcome), Err)
}

async fn sweep_scope(
    store: &impl SettlementStore,
    scope: &Scope,
    now_ms: i64,
    outcome: &mut SweepOutcome,
) -> Result<(), StoreError> {
    let Some(meter) = store.meter(scope).await? else { return Ok(()) };
    let mut unreadable = None;
    for (key, reservation) in overdue(&meter, now_ms) {
        match RecordId::from_open_key(key) {
            Some(id) => sweep_one(store, scope, id, reservation, now_ms, outcome).await?,
            None => unreadable = Some(key),
        }
    }
    unreadable.map_or(Ok(()), |key| {
        Err(StoreError {
            operation: "sweep",
            subject: scope.to_string(),
            source: format!("the reservation `{key}` names no provider call").into(),
        })
    })
}

fn overdue(meter: &Meter, now_ms: i64) -> impl Iterator<Item = (&String, &Reservation)> {
    meter.open.iter().filter(move |(_, reservation)| reservation.deadline_ms < now_ms)
}

async fn sweep_one(
    store: &impl SettlementStore,
    scope: &Scope,
    id: RecordId,
    reservation: &Reservation,
    now_ms: i64,
    outcome: &mut SweepOutcome,
) -> Result<(), StoreError> {
    if let Some(record) = store.record(&reservation.tenant_id, &id).await? {
        let is_settled =
            store.settle(scope, &id, record.usage.total(), record.cost_nanousd).await?;
        outcome.settled += u64::from(is_settled);
        return Ok(());
    }
    let twin = match (scope, &reservation.detail) {
        (Scope::Tenant(_), Some(detail)) => Scope::Lob(detail.lob_id.clone()),
        _ => Scope::Tenant(reservation.tenant_id.clone()),
    };
    let has_twin = store.meter(&twin).await?.is_some_and(|meter| meter.is_open(&id));
    match &reservation.detail {
        _ if !has_twin => {
            outcome.released += u64::from(store.release_orphan(scope, &id).await?);
        }
        Some(detail) => {
            let record = estimated_record(id, reservation, detail, now_ms);
            outcome.estimated += u64::from(store.put_missing_record(&record).await?);
        }
        // The tenant's own meter has the detail, and its turn in this sweep.
        None => {}
    }
    Ok(())
}

fn estimated_record(
    id: RecordId,
    reservation: &Reservation,
    detail: &CallDetail,
    now_ms: i64,
) -> UsageRecord {
    UsageRecord {
        schema: UsageRecord::SCHEMA,
        id,
        tenant_id: reservation.tenant_id.clone(),
        lob_id: detail.lob_id.clone(),
        principal_id: detail.principal_id.clone(),
        principal_kind: detail.principal_kind,
        started_ms: detail.started_ms,
        dialect: detail.dialect.clone(),
        choice: detail.choice.clone(),
        provider_model_id: detail.provider_model_id.clone(),
        provider: detail.provider.clone(),
        region: detail.region.clone(),
        provider_request_id: None,
        is_streamed: detail.is_streamed,
        usage: TokenUsage {
            input: detail.input_tokens,
            output: reservation.tokens.saturating_sub(detail.input_tokens),
            images: detail.images,
            search_units: detail.search_units,
            guardrail_units: detail.guardrail_units,
            ..TokenUsage::default()
        },
        is_cache_hit: false,
        is_estimated: true,
        price_version: detail.price_version.clone(),
        cost_nanousd: reservation.amount_nanousd,
        reserved_nanousd: reservation.amount_nanousd,
        outcome: Outcome::Abandoned,
        latency_ms: u64::try_from(now_ms.saturating_sub(detail.started_ms)).unwrap_or(0),
        time_to_first_token_ms: None,
        gateway_ms: 0,
    }
}

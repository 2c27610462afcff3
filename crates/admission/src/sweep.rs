//! Repairs what no stream delivered and no function lived to write.

use std::collections::{BTreeMap, BTreeSet};

use metering::{Outcome, RecordId, TokenUsage, UsageRecord};
use tenancy::TenantId;

use crate::{
    CallDetail, Held, MeterRef, ModelSelector, Part, Reservation, Scope, SettlementStore,
    StoreError, Used,
};

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

/// The meters that hold a reservation of one provider call.
type Holders = Vec<(MeterRef, Reservation)>;

/// Settles every reservation whose call cannot be running any more at `now_ms` (Unix milliseconds).
///
/// A provider call without a record is charged what was reserved for it: it may have run, and only
/// its provider knows how far. Its record says that it is an estimate, and the stream settles it.
/// Each attempt of a client's call is looked at by itself.
///
/// All meters are looked at first, then a call's record. In this order a reservation that is missing
/// in a meter was either settled, and then the record is there, or never made.
///
/// # Errors
/// The first fault, after everything else has had its turn; the next sweep takes up what is left.
pub async fn sweep(store: &impl SettlementStore, now_ms: i64) -> Result<SweepOutcome, StoreError> {
    let (mut outcome, mut fault) = (SweepOutcome::default(), None);
    let mut overdue: BTreeMap<(TenantId, RecordId), Holders> = BTreeMap::new();
    for meter_ref in store.meters().await? {
        let meter = match store.meter(&meter_ref).await {
            Ok(Some(meter)) => meter,
            Ok(None) => continue,
            // What one meter holds must not be judged without the others.
            Err(error) => return Err(error),
        };
        for (key, reservation) in meter.open {
            if reservation.deadline_ms >= now_ms {
                continue;
            }
            match RecordId::from_open_key(&key) {
                Some(id) => {
                    let call = (reservation.tenant_id.clone(), id);
                    overdue.entry(call).or_default().push((meter_ref.clone(), reservation));
                }
                None => _ = fault.get_or_insert_with(|| unreadable(&meter_ref, &key)),
            }
        }
    }
    for ((tenant_id, id), holders) in overdue {
        if let Err(error) = sweep_one(store, &tenant_id, id, &holders, now_ms, &mut outcome).await {
            fault.get_or_insert(error);
        }
    }
    fault.map_or(Ok(outcome), Err)
}

fn unreadable(meter: &MeterRef, key: &str) -> StoreError {
    StoreError {
        operation: "sweep",
        subject: meter.to_string(),
        source: format!("the reservation `{key}` names no provider call").into(),
    }
}

async fn sweep_one(
    store: &impl SettlementStore,
    tenant_id: &TenantId,
    id: RecordId,
    holders: &Holders,
    now_ms: i64,
    outcome: &mut SweepOutcome,
) -> Result<(), StoreError> {
    if let Some(record) = store.record(tenant_id, &id).await? {
        for (meter, _) in holders {
            let is_settled = store.settle(meter, &id, Used::of(&record)).await?;
            outcome.settled += u64::from(is_settled);
        }
        return Ok(());
    }
    let detail = store.detail(tenant_id, &id).await?;
    match detail.filter(|detail| is_complete(holders, detail)) {
        Some(detail) => {
            let record = estimated_record(tenant_id, id, &detail, holders, now_ms);
            outcome.estimated += u64::from(store.put_missing_record(&record).await?);
        }
        None => {
            for (meter, _) in holders {
                let is_released = store.settle(meter, &id, Used::NOTHING).await?;
                outcome.released += u64::from(is_released);
            }
        }
    }
    Ok(())
}

/// Whether every scope that had to admit the call holds all of its parts.
fn is_complete(holders: &Holders, detail: &CallDetail) -> bool {
    let mut scopes: BTreeMap<(&Scope, &ModelSelector), BTreeSet<Part>> = BTreeMap::new();
    for (meter, held) in holders {
        scopes.entry((&meter.scope, &meter.models)).or_default().insert(held.part);
    }
    let is_whole = |parts: &BTreeSet<Part>| {
        parts.first().is_some_and(|first| parts.len() == usize::from(first.of))
    };
    scopes.len() == usize::from(detail.scopes) && scopes.values().all(is_whole)
}

fn estimated_record(
    tenant_id: &TenantId,
    id: RecordId,
    detail: &CallDetail,
    holders: &Holders,
    now_ms: i64,
) -> UsageRecord {
    // Where the call was spread over shards, each of them has a part of the sums.
    let home = holders.iter().filter(|(meter, _)| meter.is_home()).map(|(_, held)| held.used());
    let whole = home.fold(Used::NOTHING, |sum, part| Used {
        requests: sum.requests + part.requests,
        input_tokens: sum.input_tokens.saturating_add(part.input_tokens),
        output_tokens: sum.output_tokens.saturating_add(part.output_tokens),
        amount: sum.amount + part.amount,
    });
    let held = |(meter, held): &(MeterRef, Reservation)| {
        Held { meter: meter.clone(), part: held.part }.to_string()
    };
    UsageRecord {
        schema: UsageRecord::SCHEMA,
        id,
        tenant_id: tenant_id.clone(),
        lob_id: detail.lob_id.clone(),
        principal_id: detail.principal_id.clone(),
        principal_kind: detail.principal_kind,
        project_id: detail.project_id.clone(),
        tags: detail.tags.clone(),
        priority_class: detail.priority_class,
        started_ms: detail.started_ms,
        dialect: detail.dialect.clone(),
        choice: detail.choice.clone(),
        provider_model_id: detail.provider_model_id.clone(),
        provider: detail.provider.clone(),
        region: detail.region.clone(),
        profile_scope: detail.profile_scope,
        service_tier: detail.service_tier,
        provider_request_id: None,
        is_streamed: detail.is_streamed,
        usage: TokenUsage {
            input: whole.input_tokens,
            output: whole.output_tokens,
            images: detail.images,
            search_units: detail.search_units,
            guardrail_units: detail.guardrail_units,
            ..TokenUsage::default()
        },
        is_cache_hit: false,
        is_estimated: true,
        price_version: detail.price_version.clone(),
        is_priced: detail.is_priced,
        cost_nanousd: whole.amount,
        uncached_cost_nanousd: whole.amount,
        reserved_nanousd: whole.amount,
        outcome: Outcome::Abandoned,
        latency_ms: u64::try_from(now_ms.saturating_sub(detail.started_ms)).unwrap_or(0),
        time_to_first_token_ms: None,
        gateway_ms: 0,
        meters: holders.iter().map(held).collect(),
        shadow_of: detail.shadow_of.clone(),
    }
}

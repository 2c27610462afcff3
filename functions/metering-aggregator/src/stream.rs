//! What is done with each batch of the ledger's stream: settle, add to the live rollups, tell.

use std::collections::{BTreeMap, BTreeSet};

use admission::{SettlementStore, settle};
use aws_lambda_events::dynamodb::{Event, EventRecord};
use futures::future::try_join_all;
use metering::{AggregationStore, Delivery, RollupError, RollupKey, UsagePeriod, UsageRecord};
use telemetry::{Metric, Unit};
use tenancy::{ProjectId, TenantId};

use crate::lake::LOOKED_AT_MS;

/// Settles each record of the batch and counts those that were settled; answers with the sequence
/// number of the first that failed.
///
/// Lambda delivers again from there on: what was done is recognised as such, and nothing after a
/// failed record is passed over. A record that cannot be read goes the same way and ends, when its
/// retries are used up, in the dead-letter queue.
///
/// Hours are marked first: so even a record that is never settled from the stream is found by who
/// writes the lake.
pub(crate) async fn batch(
    store: &impl SettlementStore,
    usage: &impl AggregationStore,
    event: Event,
    now_ms: i64,
) -> Option<String> {
    let first = event.records.first().and_then(|record| record.change.sequence_number.clone());
    // An identifier that names no record makes Lambda deliver the whole batch again.
    let first = first.unwrap_or_default();
    let (batch, mut failed) = read(event);
    if let Err(error) = mark(usage, &batch, now_ms).await {
        let cause = error.source.to_string();
        tracing::error!(%error, cause, "the hours of a batch could not be marked");
        return Some(first);
    }
    let mut settled = Vec::new();
    for delivery in &batch {
        if let Err(error) = settle(store, &delivery.record).await {
            let (sequence, cause) = (&delivery.sequence, error.source.to_string());
            tracing::error!(%error, cause, sequence, "a usage record could not be settled");
            failed = Some(sequence.clone());
            break;
        }
        settled.push(delivery);
    }
    match add(usage, &settled).await {
        Ok(new) => new.into_iter().for_each(tell),
        Err(error) => {
            let cause = error.source.to_string();
            tracing::error!(%error, cause, "a batch could not be added to the rollups");
            return Some(first);
        }
    }
    failed
}

/// The usage records of a batch up to the first that cannot be read, and that one's sequence number.
fn read(event: Event) -> (Vec<Delivery>, Option<String>) {
    let mut batch = Vec::new();
    for record in event.records {
        if record.event_name != "INSERT" || !is_usage_record(&record) {
            continue;
        }
        let sequence = record.change.sequence_number.unwrap_or_default();
        match serde_dynamo::from_item(record.change.new_image) {
            Ok(record) => batch.push(Delivery { sequence, record }),
            Err(error) => {
                tracing::error!(%error, sequence, "a usage record could not be read");
                return (batch, Some(sequence));
            }
        }
    }
    (batch, None)
}

fn is_usage_record(record: &EventRecord) -> bool {
    let sort_key = record.change.keys.get("SK");
    matches!(sort_key, Some(serde_dynamo::AttributeValue::S(key)) if key.starts_with("USAGE#"))
}

/// Notes that the hours of the records changed.
async fn mark(
    usage: &impl AggregationStore,
    batch: &[Delivery],
    now_ms: i64,
) -> Result<(), RollupError> {
    let mut hours: BTreeMap<(UsagePeriod, &TenantId), Vec<&UsageRecord>> = BTreeMap::new();
    let mut late = BTreeSet::new();
    for Delivery { record, .. } in batch {
        let hour = record.hour();
        hours.entry((hour, &record.tenant_id)).or_default().push(record);
        if hour.end_ms().saturating_add(LOOKED_AT_MS / 2) < now_ms {
            late.insert(hour);
        }
    }
    let marks = hours.iter();
    let marks = marks.map(|((hour, tenant_id), group)| usage.mark_hour(*hour, tenant_id, group));
    try_join_all(marks).await?;
    // Only after the marks, which whoever looks at a late hour wants to find.
    try_join_all(late.into_iter().map(|hour| usage.note_late(hour))).await?;
    Ok(())
}

/// Adds the records to the live rollups; those that were new.
async fn add<'a>(
    usage: &impl AggregationStore,
    batch: &[&'a Delivery],
) -> Result<Vec<&'a Delivery>, RollupError> {
    let mut sums: BTreeMap<(UsagePeriod, RollupKey), Vec<&Delivery>> = BTreeMap::new();
    for delivery in batch {
        let of = (delivery.record.hour(), RollupKey::of(&delivery.record));
        sums.entry(of).or_default().push(delivery);
    }
    let added = sums.iter().map(|((hour, key), group)| usage.add_live(*hour, key, group));
    Ok(try_join_all(added).await?.into_iter().flatten().collect())
}

/// One line for each record, with its metrics. Of a record that is delivered again there is none, or,
/// where a function died between counting and telling, none at all: sums are what rollups are for.
#[expect(clippy::cast_precision_loss, reason = "CloudWatch knows no other numbers")]
fn tell(Delivery { record, .. }: &Delivery) {
    let metric = |name, value: u64| Metric { name, unit: Unit::Count, value: value as f64 };
    let metrics = [
        metric("InputTokens", record.usage.total_input()),
        metric("OutputTokens", record.usage.total_output()),
        metric("CacheReadTokens", record.usage.cache_read),
        metric("CostNanoUsd", record.cost_nanousd.0),
    ];
    // Tenants are no dimension, since each would be a metric that is paid for.
    let dimensions =
        [("Provider", record.provider.as_str()), ("Model", record.choice.model.as_str())];
    let project = record.project_id.as_ref().map(ProjectId::as_str).unwrap_or_default();
    let (attempt, cost) = (record.id.attempt.to_string(), record.cost_nanousd.0.to_string());
    let outcome = serde_json::to_value(record.outcome).unwrap_or_default();
    let properties = [
        ("message", "usage"),
        ("tenant_id", record.tenant_id.as_str()),
        ("lob_id", record.lob_id.as_str()),
        ("project_id", project),
        ("principal_id", record.principal_id.as_str()),
        ("call_id", record.id.call_id.as_str()),
        ("attempt", attempt.as_str()),
        ("region", record.region.as_str()),
        ("service_tier", record.service_tier.as_str()),
        ("profile_scope", record.profile_scope.as_str()),
        ("price_version", record.price_version.as_str()),
        ("cost_nanousd", cost.as_str()),
        ("outcome", outcome.as_str().unwrap_or_default()),
    ];
    let ended_ms = record.started_ms.saturating_add_unsigned(record.latency_ms);
    telemetry::emit(ended_ms, &dimensions, &metrics, &properties);
}

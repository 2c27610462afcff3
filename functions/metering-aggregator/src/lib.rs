//! Settles reservations: from the ledger's stream as records appear, and on a schedule for what
//! the stream dropped or no function lived to record.

mod alerts;

use admission::{Calendar, SettlementStore, settle, sweep};
use aws_lambda_events::dynamodb::{Event as StreamEvent, EventRecord};
use lambda_runtime::{Error, LambdaEvent};
use metering::UsageRecord;
use serde_json::{Value, json};
use store_dynamodb::Ledger;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub use alerts::{Alerts, now_ms, serve};

/// What one execution environment keeps between invocations.
#[derive(Debug)]
pub struct State<L> {
    /// Meters and usage records.
    pub ledger: L,
}

impl State<Ledger> {
    /// Connects to the table named by `LEDGER_TABLE`, whose windows are those of the `TIME_ZONE`.
    ///
    /// # Errors
    /// The variable is missing, or the time zone is none.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub async fn from_env() -> Result<Self, Error> {
        let table = std::env::var("LEDGER_TABLE")?;
        let zone = std::env::var("TIME_ZONE").unwrap_or_else(|_| "UTC".to_owned());
        let calendar = Calendar::of(&zone)?;
        let sdk = aws_config::load_from_env().await;
        Ok(Self { ledger: Ledger::new(store_dynamodb::client(&sdk), table, calendar) })
    }
}

/// Answers a batch of stream records with those that failed, and a schedule with what the sweep did.
///
/// # Errors
/// An event that is neither, or a sweep that could not finish; the next one takes it up again.
pub async fn handle(
    state: &State<impl SettlementStore>,
    event: LambdaEvent<Value>,
) -> Result<Value, Error> {
    if event.payload.get("Records").is_some() {
        let event: StreamEvent = serde_json::from_value(event.payload)?;
        let failed = Box::pin(settle_batch(&state.ledger, event)).await;
        let failures: Vec<Value> =
            failed.into_iter().map(|item| json!({ "itemIdentifier": item })).collect();
        return Ok(json!({ "batchItemFailures": failures }));
    }
    let schedule: Schedule = serde_json::from_value(event.payload)?;
    let swept = sweep(&state.ledger, schedule.now_ms()?).await.map_err(|error| {
        tracing::error!(%error, cause = error.source.to_string(), "the sweep could not finish");
        error
    })?;
    tracing::info!(
        settled = swept.settled,
        estimated = swept.estimated,
        released = swept.released,
        "swept"
    );
    Ok(
        json!({ "settled": swept.settled, "estimated": swept.estimated, "released": swept.released }),
    )
}

/// A scheduled event of EventBridge. Its time is the sweep's clock, so a late or repeated delivery
/// sweeps no more than the first would have.
#[derive(Debug, serde::Deserialize)]
struct Schedule {
    time: String,
}

impl Schedule {
    fn now_ms(&self) -> Result<i64, Error> {
        let moment = OffsetDateTime::parse(&self.time, &Rfc3339)?;
        Ok(moment.unix_timestamp().saturating_mul(1_000))
    }
}

/// Settles each record of the batch; answers with the sequence number of the first that failed.
///
/// Lambda delivers again from there on: what was settled is recognised as such, and nothing after a
/// failed record is passed over. A record that cannot be read goes the same way and ends, when its
/// retries are used up, in the dead-letter queue.
async fn settle_batch(store: &impl SettlementStore, event: StreamEvent) -> Option<String> {
    for record in event.records {
        let sequence_number = record.change.sequence_number.clone();
        if let Err(error) = settle_one(store, record).await {
            tracing::error!(%error, sequence_number, "a usage record could not be settled");
            // An identifier that names no record makes Lambda deliver the whole batch again.
            return Some(sequence_number.unwrap_or_default());
        }
    }
    None
}

async fn settle_one(store: &impl SettlementStore, record: EventRecord) -> Result<(), Error> {
    if record.event_name != "INSERT" || !is_usage_record(&record) {
        return Ok(());
    }
    let record: UsageRecord = serde_dynamo::from_item(record.change.new_image)?;
    settle(store, &record).await?;
    Ok(())
}

fn is_usage_record(record: &EventRecord) -> bool {
    let sort_key = record.change.keys.get("SK");
    matches!(sort_key, Some(serde_dynamo::AttributeValue::S(key)) if key.starts_with("USAGE#"))
}

#[cfg(test)]
mod tests;

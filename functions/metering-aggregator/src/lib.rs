//! Settles reservations: from the ledger's stream as records appear, and on a schedule for what
//! the stream dropped or no function lived to record. Sums usage up and writes it to the lake.

mod alerts;
mod lake;
mod stream;

use std::time::{Duration, SystemTime};

use ::lake::ObjectStore;
use admission::{Calendar, SettlementStore, sweep};
use aws_lambda_events::dynamodb::Event as StreamEvent;
use lambda_runtime::{Error, LambdaEvent};
use metering::AggregationStore;
use serde_json::{Value, json};
use store_dynamodb::{Ledger, Rollups};
use store_s3::Bucket;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub use alerts::{Alerts, now_ms, serve};
pub use lake::{LakeError, LakeOutcome, LakeTask};

/// What is left of an invocation's time when nothing long is begun any more.
const RESERVE: Duration = Duration::from_mins(1);

/// What one execution environment keeps between invocations.
#[derive(Debug)]
pub struct State<L, U, O> {
    /// Meters and usage records.
    pub ledger: L,
    /// Usage in sums.
    pub usage: U,
    /// The lake.
    pub objects: O,
    /// How many files each hour of the lake has.
    pub lake_groups: u32,
}

impl State<Ledger, Rollups, Bucket> {
    /// Connects to the table named by `LEDGER_TABLE`, whose windows are those of the `TIME_ZONE`, and
    /// to the `LAKE_BUCKET`, with `LAKE_GROUPS` files an hour (one, if that is not set).
    ///
    /// # Errors
    /// A variable is missing, or the time zone is none.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub async fn from_env() -> Result<Self, Error> {
        let (table, bucket) = (std::env::var("LEDGER_TABLE")?, std::env::var("LAKE_BUCKET")?);
        let zone = std::env::var("TIME_ZONE").unwrap_or_else(|_| "UTC".to_owned());
        let groups = std::env::var("LAKE_GROUPS").ok().and_then(|groups| groups.parse().ok());
        let calendar = Calendar::of(&zone)?;
        let sdk = aws_config::load_from_env().await;
        let client = store_dynamodb::client(&sdk);
        Ok(Self {
            ledger: Ledger::new(client.clone(), table.clone(), calendar),
            usage: Rollups::new(client, table),
            objects: Bucket::new(&sdk, bucket),
            lake_groups: groups.unwrap_or(1).max(1),
        })
    }
}

/// Answers a batch of stream records with those that failed, and a schedule with what was done.
///
/// # Errors
/// An event that is neither, or a task that could not finish; the next one takes it up again.
pub async fn handle(
    state: &State<impl SettlementStore, impl AggregationStore, impl ObjectStore>,
    event: LambdaEvent<Value>,
) -> Result<Value, Error> {
    if event.payload.get("Records").is_some() {
        let event: StreamEvent = serde_json::from_value(event.payload)?;
        let failed = Box::pin(stream::batch(&state.ledger, &state.usage, event, now_ms())).await;
        let failures: Vec<Value> =
            failed.into_iter().map(|item| json!({ "itemIdentifier": item })).collect();
        return Ok(json!({ "batchItemFailures": failures }));
    }
    let schedule: Schedule = serde_json::from_value(event.payload)?;
    match schedule.task {
        Task::Sweep => sweep_all(&state.ledger, schedule.now_ms()?).await,
        Task::Lake => {
            let deadline = event.context.deadline();
            let is_over = || {
                let left = deadline.duration_since(now()).unwrap_or_default();
                left < RESERVE
            };
            let task = LakeTask {
                usage: &state.usage,
                objects: &state.objects,
                groups: state.lake_groups,
                now_ms: schedule.now_ms()?,
            };
            let outcome = Box::pin(task.run(is_over)).await.inspect_err(|error| {
                tracing::error!(%error, "the lake could not be written");
            })?;
            tracing::info!(
                files = outcome.files,
                records = outcome.records,
                rolled = outcome.rolled,
                differences = outcome.differences,
                is_complete = outcome.is_complete,
                "lake written"
            );
            Ok(json!(outcome))
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "an invocation's deadline is a time of day")]
fn now() -> SystemTime {
    SystemTime::now()
}

async fn sweep_all(ledger: &impl SettlementStore, now_ms: i64) -> Result<Value, Error> {
    let swept = sweep(ledger, now_ms).await.map_err(|error| {
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

/// What is to be done on a schedule. A task of its own, so that none waits for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Task {
    #[default]
    Sweep,
    Lake,
}

/// A scheduled event of EventBridge, or the input that a schedule has in its place. An event's time is
/// the task's clock, so a late or repeated delivery sweeps no more than the first would have.
#[derive(Debug, serde::Deserialize)]
struct Schedule {
    #[serde(default)]
    task: Task,
    time: Option<String>,
}

impl Schedule {
    fn now_ms(&self) -> Result<i64, Error> {
        match (&self.time, self.task) {
            (Some(time), _) => {
                let moment = OffsetDateTime::parse(time, &Rfc3339)?;
                Ok(moment.unix_timestamp().saturating_mul(1_000))
            }
            (None, Task::Lake) => Ok(now_ms()),
            (None, Task::Sweep) => Err("neither a batch nor a schedule".into()),
        }
    }
}

#[cfg(test)]
mod lake_tests;
#[cfg(test)]
mod tests;

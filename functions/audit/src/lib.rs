//! Makes records of what is noted: from the stream as entries appear, and on a schedule from the table for
//! what the stream dropped. Once a day the organisation's chain names the heads of all.

mod environment;
mod stream;
#[cfg(test)]
mod tests;

use audit::{ChainStore, EntrySource, SegmentStore, checkpoint, sweep};
use aws_lambda_events::dynamodb::Event as StreamEvent;
use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent};
use serde::Deserialize;
use serde_json::{Value, json};

/// How long before its end an invocation takes up no other owner.
const RESERVE_MS: i64 = 30_000;

/// What one execution environment keeps between invocations.
#[derive(Debug)]
pub struct State<T, F> {
    /// Chains and entries.
    pub table: T,
    /// The bucket of records.
    pub files: F,
    /// The clock.
    pub now: fn() -> Timestamp,
}

/// What is to be done on a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", tag = "task")]
enum Task {
    /// Bring in what the stream dropped.
    Sweep,
    /// Name the heads of all chains.
    Checkpoint,
}

/// Answers a batch of stream records with those that failed, and a schedule with what was done.
///
/// # Errors
/// An event that is neither, or a task that could not finish; the next one takes it up again.
pub async fn handle(
    state: &State<impl ChainStore + EntrySource, impl SegmentStore>,
    event: LambdaEvent<Value>,
) -> Result<Value, Error> {
    if event.payload.get("Records").is_some() {
        let event: StreamEvent = serde_json::from_value(event.payload)?;
        let failed = Box::pin(stream::batch(state, event)).await;
        let failures: Vec<Value> =
            failed.into_iter().map(|item| json!({ "itemIdentifier": item })).collect();
        return Ok(json!({ "batchItemFailures": failures }));
    }
    let deadline_ms = i64::try_from(event.context.deadline).unwrap_or(i64::MAX);
    let answer = match serde_json::from_value(event.payload)? {
        Task::Sweep => {
            let is_over =
                || (state.now)().as_millisecond() > deadline_ms.saturating_sub(RESERVE_MS);
            let swept = Box::pin(sweep(&state.table, &state.files, (state.now)(), is_over)).await?;
            if swept.records > 0 {
                // It may just be later than this.
                tracing::warn!(records = swept.records, "entries were not in their chains yet");
            }
            let answer = json!({
                "owners": swept.owners,
                "records": swept.records,
                "failed": swept.failed,
                "is_complete": swept.is_complete,
            });
            if swept.failed > 0 || !swept.is_complete {
                // An error, so that the alarm knows.
                return Err(format!("not all entries could be looked at: {answer}").into());
            }
            answer
        }
        Task::Checkpoint => {
            let made = Box::pin(checkpoint(&state.table, &state.files, (state.now)())).await?;
            json!({ "key": made.key, "sha256": made.sha256, "chains": made.chains })
        }
    };
    tracing::info!(answer = %answer, "a task of the audit trail is done");
    Ok(answer)
}

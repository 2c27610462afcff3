//! What is done with each batch of the tenancy table's stream.

use std::collections::BTreeMap;

use audit::{ChainId, ChainStore, Entry, SegmentStore, append};
use aws_lambda_events::dynamodb::{Event, EventRecord};
use serde_json::{Map, Value};

use crate::State;

/// Brings the entries of a batch into their chains; answers with the sequence number of the first record
/// that failed.
///
/// Lambda delivers again from there on, and what is in a chain is recognised. So nothing after a failed
/// record waits for it but what belongs into the same chain: one chain's trouble is not another's. An item
/// that cannot be read ends, when its retries are used up, in the dead-letter queue.
pub(crate) async fn batch(
    state: &State<impl ChainStore, impl SegmentStore>,
    event: Event,
) -> Option<String> {
    let mut failed: Option<usize> = None;
    let mut sequences = Vec::new();
    let mut chains: BTreeMap<ChainId, (usize, Vec<Entry>)> = BTreeMap::new();
    for (index, record) in event.records.into_iter().enumerate() {
        sequences.push(record.change.sequence_number.clone().unwrap_or_default());
        if record.event_name != "INSERT" || !is_entry(&record) {
            continue;
        }
        match read(record) {
            Ok((chain, entry)) => {
                chains.entry(chain).or_insert((index, Vec::new())).1.push(entry);
            }
            Err(error) => {
                tracing::error!(%error, "an audit entry could not be read");
                failed = Some(failed.map_or(index, |first| first.min(index)));
            }
        }
    }
    for (chain, (first, entries)) in chains {
        let now = (state.now)();
        match Box::pin(append(&state.table, &state.files, &chain, &entries, now)).await {
            Ok(appended) => {
                tracing::info!(%chain, records = appended.records, "records came into a chain");
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, %chain, "a chain could not be made longer");
                failed = Some(failed.map_or(first, |other| other.min(first)));
            }
        }
    }
    failed.and_then(|index| sequences.into_iter().nth(index))
}

fn is_entry(record: &EventRecord) -> bool {
    let sort_key = record.change.keys.get("SK");
    matches!(sort_key, Some(serde_dynamo::AttributeValue::S(key)) if key.starts_with("AUDIT#"))
}

fn read(record: EventRecord) -> Result<(ChainId, Entry), Box<dyn std::error::Error + Send + Sync>> {
    let item: Map<String, Value> = serde_dynamo::from_item(record.change.new_image)?;
    Ok(Entry::of_item(item)?)
}

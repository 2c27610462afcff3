//! Once a day the organisation's chain names the heads of all chains, so that no chain can lose its end, or
//! all of itself, without the organisation's being wrong, too.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use crate::canonical::{canonical, sha256};
use crate::segment::day_of;
use crate::{
    AppendError, AuditError, ChainId, ChainStore, Decision, Entry, Head, SegmentStore, append,
};

/// What every list of heads is under.
pub const CHECKPOINTS: &str = "checkpoints/";

/// Where the heads of a day are: `checkpoints/<day>.jsonl`.
pub fn checkpoint_key(day: Date) -> String {
    format!("{CHECKPOINTS}{day}.jsonl")
}

/// What a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Where its list is.
    pub key: String,
    /// The list's hash, which is in the organisation's chain.
    pub sha256: String,
    /// How many chains it names.
    pub chains: usize,
}

/// Names the heads of all chains in that of the organisation, once a day.
///
/// The list comes first and is never written over, and the record names whatever list is there: so a
/// repetition, after whatever was cut, ends with the same.
///
/// # Errors
/// A store failed, or the organisation's chain cannot go on.
pub async fn checkpoint(
    store: &impl ChainStore,
    files: &impl SegmentStore,
    now: Timestamp,
) -> Result<Checkpoint, AppendError> {
    let day = day_of(now);
    let key = checkpoint_key(day);
    let list = match files.read(&key).await? {
        Some(list) => list,
        None => write(store, files, &key).await?,
    };
    let chains = list.split_inclusive(|byte| *byte == b'\n').count();
    let checkpoint = Checkpoint { sha256: sha256(&list), chains, key };
    let entry = Entry {
        id: format!("checkpoint-{day}"),
        // Of the day, whenever it is made: two are one.
        time: TimeZone::UTC.to_timestamp(day.into()).unwrap_or(now),
        principal_id: Some("audit".to_owned()),
        principal_kind: Some("system".to_owned()),
        tenant_id: None,
        roles: Vec::new(),
        action: "audit.checkpoint".to_owned(),
        subject: checkpoint.key.clone(),
        decision: Decision::Allow,
        version: None,
        request_id: None,
        reason: None,
        before: Value::Null,
        after: json!({ "sha256": checkpoint.sha256, "chains": checkpoint.chains }),
        details: Map::new(),
    };
    append(store, files, &ChainId::Org, &[entry], now).await?;
    Ok(checkpoint)
}

/// Writes the list of heads; what is there in the end, whoever wrote it.
async fn write(
    store: &impl ChainStore,
    files: &impl SegmentStore,
    key: &str,
) -> Result<Vec<u8>, AuditError> {
    let mut heads = store.heads().await?;
    heads.retain(|head| head.sequence > 0);
    heads.sort_by_key(|head| head.chain.to_string());
    let list: String = heads.iter().filter_map(line).collect();
    if files.create(key, list.clone().into_bytes()).await? {
        return Ok(list.into_bytes());
    }
    let missing = || AuditError {
        operation: "read",
        subject: key.to_owned(),
        source: "it is there and cannot be read".into(),
    };
    files.read(key).await?.ok_or_else(missing)
}

fn line(head: &Head) -> Option<String> {
    let Head { chain, sequence, hash, .. } = head;
    Some(canonical(&json!({ "chain": chain, "sequence": sequence, "hash": hash }))? + "\n")
}

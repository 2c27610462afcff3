//! Entries become records: each once, in order, whatever dies at whatever moment.
//!
//! 1. Read the head, and which entries are in the chain already. What is left is new.
//! 2. Claim the day of the next segment: the first who does decides its name for everybody.
//! 3. Write the segment's file, if there is none of that name.
//! 4. Move the head behind it, with notes of the segment and its entries, if the head is still the same.
//!
//! The name of a segment follows from the head alone (its next record, and the day that was claimed with
//! it), and a name is written once: so after each head there is one segment for ever, and no fork. Who dies
//! after 3 leaves a file that the head does not know; whoever comes next finds it in the place where its
//! own should be, and moves the head behind it before anything else. So the file before the head: in the
//! other order a head could name records that nobody can show, and that is what truncation looks like.
//!
//! An entry is noted in the same write as the head, so it is in the chain exactly if there is a note of it,
//! and what is new at a head stays new as long as the head does.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::segment::{Segment, day_of};
use crate::{AuditError, ChainId, ChainStore, Entry, Fault, Head, SegmentStore};

/// Records of one segment at most: each is an item of one transaction, which takes a hundred.
pub const MAX_RECORDS: usize = 50;

/// Bytes of one segment about which no more records are added.
const MAX_BYTES: usize = 1_000_000;

/// How often an attempt may find that somebody else was faster.
const MAX_STALLS: u32 = 16;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Appended {
    /// Records that came into the chain, whoever had begun them.
    pub records: u64,
}

/// The chain could not be made longer.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// A store failed; trying again is safe.
    #[error(transparent)]
    Store(#[from] AuditError),
    /// In the place of the next segment is something that does not follow. Nothing is ever written over
    /// it: somebody has to look.
    #[error("the chain `{chain}` cannot go on: {fault}")]
    Forked {
        /// Whose chain.
        chain: ChainId,
        /// What is wrong with it.
        fault: Fault,
    },
    /// Others were always faster.
    #[error("the chain `{chain}` changed while it was being made longer")]
    Busy {
        /// Whose chain.
        chain: ChainId,
    },
}

/// Brings entries into a chain, each that is not there yet.
///
/// # Errors
/// The chain cannot be made longer, or a store failed. What is in it then stays.
pub async fn append(
    store: &impl ChainStore,
    files: &impl SegmentStore,
    chain: &ChainId,
    entries: &[Entry],
    now: Timestamp,
) -> Result<Appended, AppendError> {
    let mut appended = Appended::default();
    let mut stalls = 0;
    while stalls < MAX_STALLS {
        let head = store.head(chain).await?;
        let new = new_entries(store, chain, entries).await?;
        if new.is_empty() {
            return Ok(appended);
        }
        let added = step(store, files, &head, &new, now).await?;
        appended.records += added;
        if added == 0 {
            stalls += 1;
        }
    }
    Err(AppendError::Busy { chain: chain.clone() })
}

/// Adds one segment; how many records it has, none if the chain did not end at `head` any more.
async fn step(
    store: &impl ChainStore,
    files: &impl SegmentStore,
    head: &Head,
    new: &[Entry],
    now: Timestamp,
) -> Result<u64, AppendError> {
    let Some(day) = store.claim(head, day_of(now)).await? else { return Ok(0) };
    let sealed = Segment::seal(head, day, new, now);
    let Some(own) = sealed else { return Ok(0) };
    let key = own.note.key();
    let segment = if files.create(&key, own.text.into_bytes()).await? {
        own.note
    } else {
        // It may just be being written.
        let Some(bytes) = files.read(&key).await? else { return Ok(0) };
        let found = Segment::open(head, day, &bytes);
        found.map_err(|fault| AppendError::Forked { chain: head.chain.clone(), fault })?.note
    };
    let is_advanced = store.advance(head, &segment).await?;
    let records = segment.last.saturating_sub(head.sequence);
    Ok(if is_advanced { records } else { 0 })
}

/// Those that are not in the chain, each once, as many as a segment takes.
async fn new_entries(
    store: &impl ChainStore,
    chain: &ChainId,
    entries: &[Entry],
) -> Result<Vec<Entry>, AppendError> {
    let mut seen = BTreeSet::new();
    let mut new: Vec<Entry> = Vec::new();
    let mut bytes = 0_usize;
    for some in entries.chunks(MAX_RECORDS) {
        let positions: Vec<String> = some.iter().map(Entry::position).collect();
        let chained = store.chained(chain, &positions).await?;
        for (entry, position) in some.iter().zip(positions) {
            if chained.contains(&position) || !seen.insert(position) {
                continue;
            }
            let size = |value: &serde_json::Value| value.to_string().len();
            bytes = bytes.saturating_add(size(&entry.before)).saturating_add(size(&entry.after));
            if !new.is_empty() && (new.len() >= MAX_RECORDS || bytes > MAX_BYTES) {
                return Ok(new);
            }
            new.push(entry.clone());
        }
    }
    Ok(new)
}

#[cfg(test)]
#[path = "append_tests.rs"]
pub(crate) mod tests;

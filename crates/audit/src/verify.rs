//! Whether a chain is what it was when it was written.

use std::collections::HashSet;
use std::fmt;

use jiff::civil::Date;
use serde::Serialize;
use serde_json::Value;

use crate::canonical::canonical;
use crate::record::{HASH, hash_of};
use crate::segment::AUDIT;
use crate::{ChainId, Head, NOTHING};

/// What is wrong with a chain, and where first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("record {sequence}: {kind} ({key})")]
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    /// The record that it was found at: the one that should be there.
    pub sequence: u64,
    /// The file.
    pub key: String,
}

/// What can be wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// It is no record, or not in the one form that records are written in.
    Unreadable,
    /// It is a record of another chain, or in a file that has another's name.
    Misplaced,
    /// Records are missing before it.
    Missing,
    /// A record of its number, or of its entry, was there before.
    Doubled,
    /// It does not follow the record before it.
    Unlinked,
    /// It is not what its hash was made of.
    Changed,
    /// The chain goes on after it, and what follows is not there.
    Truncated,
    /// At the place of the known head another record stands.
    Forked,
}

/// What was found to be in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The first record that was looked at; one more than the last if there was none.
    pub first_sequence: u64,
    /// The last record.
    pub last_sequence: u64,
    /// Its hash.
    pub hash: String,
}

/// Goes through the files of a chain, in the order of the numbers that are their names.
#[derive(Debug, Clone)]
pub struct Verifier {
    chain: ChainId,
    first: u64,
    sequence: u64,
    hash: String,
    entries: HashSet<String>,
    key: String,
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "it is not a record in its one form",
            Self::Misplaced => "it belongs to another chain or file",
            Self::Missing => "records are missing before it",
            Self::Doubled => "it is there twice",
            Self::Unlinked => "it does not follow the record before it",
            Self::Changed => "it is not what its hash was made of",
            Self::Truncated => "the records after it are missing",
            Self::Forked => "it is not the record that is known to stand here",
        })
    }
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, sequence: u64, key: &str) -> Self {
        Self { kind, sequence, key: key.to_owned() }
    }
}

impl Verifier {
    /// Goes through a chain from its beginning.
    pub fn new(chain: ChainId) -> Self {
        Self::after(&Head::empty(chain))
    }

    /// Goes through what follows a head that is known to be right.
    pub fn after(head: &Head) -> Self {
        Self {
            chain: head.chain.clone(),
            first: head.next(),
            sequence: head.sequence,
            hash: head.hash.clone(),
            entries: HashSet::new(),
            key: String::new(),
        }
    }

    /// Looks at the next file.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn segment(&mut self, key: &str, bytes: &[u8]) -> Result<(), Fault> {
        key.clone_into(&mut self.key);
        let next = self.sequence.saturating_add(1);
        let first = first_of(&self.chain, key).ok_or_else(|| self.fault(FaultKind::Misplaced))?;
        match first {
            first if first > next => return Err(self.fault(FaultKind::Missing)),
            first if first < next => return Err(self.fault(FaultKind::Doubled)),
            _ => {}
        }
        let text = std::str::from_utf8(bytes).map_err(|_| self.fault(FaultKind::Unreadable))?;
        let Some(lines) = text.strip_suffix('\n') else {
            return Err(self.fault(FaultKind::Unreadable));
        };
        lines.split('\n').try_for_each(|line| self.record(line))
    }

    /// What is wrong if there is no such file.
    pub fn missing(&self, key: &str) -> Fault {
        Fault::new(FaultKind::Missing, self.sequence.saturating_add(1), key)
    }

    /// Looks at the next record.
    fn record(&mut self, line: &str) -> Result<(), Fault> {
        let next = self.sequence.saturating_add(1);
        let record: Value =
            serde_json::from_str(line).map_err(|_| self.fault(FaultKind::Unreadable))?;
        // Also a field that is there twice, or a space, is a change.
        if canonical(&record).as_deref() != Some(line) {
            return Err(self.fault(FaultKind::Unreadable));
        }
        let text = |name| record.get(name).and_then(Value::as_str);
        let (Some(chain), Some(id), Some(time), Some(previous), Some(hash), Some(sequence)) = (
            text("chain"),
            text("id"),
            text("time"),
            text("previous_hash"),
            text(HASH),
            record.get("sequence").and_then(Value::as_u64),
        ) else {
            return Err(self.fault(FaultKind::Unreadable));
        };
        if hash_of(&record).as_deref() != Some(hash) {
            return Err(self.fault(FaultKind::Changed));
        }
        if chain != self.chain.to_string() {
            return Err(self.fault(FaultKind::Misplaced));
        }
        if sequence < next {
            return Err(self.fault(FaultKind::Doubled));
        }
        if sequence > next {
            return Err(self.fault(FaultKind::Missing));
        }
        if previous != self.hash {
            return Err(self.fault(FaultKind::Unlinked));
        }
        if !self.entries.insert(format!("{time}#{id}")) {
            return Err(self.fault(FaultKind::Doubled));
        }
        self.sequence = sequence;
        hash.clone_into(&mut self.hash);
        Ok(())
    }

    /// What was found, if the chain ends where `head` says.
    ///
    /// # Errors
    /// It ends before, goes on after it, or is another one.
    pub fn finish(self, head: Option<&Head>) -> Result<Verified, Fault> {
        if let Some(head) = head {
            if head.sequence > self.sequence {
                return Err(Fault::new(FaultKind::Truncated, self.sequence, &self.key));
            }
            if head.sequence != self.sequence || head.hash != self.hash {
                return Err(Fault::new(FaultKind::Forked, self.sequence, &self.key));
            }
        }
        let Self { first, sequence, hash, .. } = self;
        Ok(Verified { first_sequence: first, last_sequence: sequence, hash })
    }

    fn fault(&self, kind: FaultKind) -> Fault {
        Fault::new(kind, self.sequence.saturating_add(1), &self.key)
    }
}

/// The first record of the chain's segment that has this name; none if it is no such name.
fn first_of(chain: &ChainId, key: &str) -> Option<u64> {
    let (day, rest) = key.strip_prefix(AUDIT)?.strip_prefix("dt=")?.split_once('/')?;
    let day: Date = day.parse().ok()?;
    let first = rest.strip_prefix(&chain.folder())?.strip_prefix('/')?.strip_suffix(".jsonl")?;
    let first = first.parse().ok()?;
    (crate::segment_key(chain, day, first) == key).then_some(first)
}

/// Whether this is the hash of no record.
pub(crate) fn is_nothing(hash: &str) -> bool {
    hash == NOTHING
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;

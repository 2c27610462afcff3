//! Records that came into a chain together: one object of the bucket.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::verify::{Fault, FaultKind, Verifier};
use crate::{ChainId, Entry, Head, Record};

/// What every segment is under.
pub const AUDIT: &str = "audit/";

/// Where the segment of a chain is that begins with record `first`: `audit/dt=<day>/tenant/<id>/<first>.jsonl`.
///
/// The day comes first, since a query is about days; it is that of coming into the chain. The number has 20
/// digits, so that names are in the order of records.
pub fn segment_key(chain: &ChainId, day: Date, first: u64) -> String {
    format!("{AUDIT}dt={day}/{}/{first:020}.jsonl", chain.folder())
}

/// A segment that is not written yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// What is to be noted of it.
    pub note: SegmentNote,
    /// Its file.
    pub text: String,
}

/// What is noted of a segment beside its chain's head, to find it and what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentNote {
    /// Whose chain.
    pub chain: ChainId,
    /// The day whose folder it is in.
    pub day: Date,
    /// Its first record.
    pub first: u64,
    /// Its last record.
    pub last: u64,
    /// The hash before its first record.
    pub previous_hash: String,
    /// The hash of its last record.
    pub hash: String,
    /// The earliest time of its records.
    pub earliest: String,
    /// The latest time of its records.
    pub latest: String,
    /// The [positions](Entry::position) of the entries that are in it. They are notes of their own, and not
    /// read with this one.
    #[serde(skip)]
    pub entries: Vec<String>,
}

impl SegmentNote {
    /// Where it is.
    pub fn key(&self) -> String {
        segment_key(&self.chain, self.day, self.first)
    }
}

impl Segment {
    /// The entries, which are some, as the records that follow `head`; none if there is nothing to seal.
    pub(crate) fn seal(head: &Head, day: Date, entries: &[Entry], now: Timestamp) -> Option<Self> {
        let (mut sequence, mut hash) = (head.sequence, head.hash.clone());
        let mut records = Vec::new();
        let mut text = String::new();
        for entry in entries {
            sequence = sequence.saturating_add(1);
            let link = (sequence, std::mem::take(&mut hash));
            let record = Record::seal(&head.chain, entry.clone(), link, now)?;
            hash.clone_from(&record.hash);
            text.push_str(&record.line()?);
            records.push(record);
        }
        Some(Self { note: note(&head.chain, day, &records)?, text })
    }

    /// The segment that somebody else wrote to follow `head`.
    ///
    /// # Errors
    /// It does not follow it, or is not what it should be.
    pub(crate) fn open(head: &Head, day: Date, bytes: &[u8]) -> Result<Self, Fault> {
        let key = segment_key(&head.chain, day, head.next());
        let unreadable = || Fault::new(FaultKind::Unreadable, head.next(), &key);
        let mut verifier = Verifier::after(head);
        verifier.segment(&key, bytes)?;
        let text = std::str::from_utf8(bytes).map_err(|_| unreadable())?;
        let records: Result<Vec<Record>, _> = text.lines().map(serde_json::from_str).collect();
        let records = records.map_err(|_| unreadable())?;
        let note = note(&head.chain, day, &records).ok_or_else(unreadable)?;
        Ok(Self { note, text: text.to_owned() })
    }
}

fn note(chain: &ChainId, day: Date, records: &[Record]) -> Option<SegmentNote> {
    let (first, last) = (records.first()?, records.last()?);
    let times = || records.iter().map(|record| record.time.as_str());
    Some(SegmentNote {
        chain: chain.clone(),
        day,
        first: first.sequence,
        last: last.sequence,
        previous_hash: first.previous_hash.clone(),
        hash: last.hash.clone(),
        earliest: times().min()?.to_owned(),
        latest: times().max()?.to_owned(),
        entries: records.iter().map(Record::position).collect(),
    })
}

/// The day of a moment.
pub(crate) fn day_of(time: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(time).date()
}

//! The ports to where chains and entries are kept.

use std::collections::BTreeSet;
use std::error::Error;

use jiff::civil::Date;

use crate::{ChainId, Entry, Head, SegmentNote};

/// A store failed; trying again is safe.
#[derive(Debug, thiserror::Error)]
#[error("failed to {operation} `{subject}`")]
pub struct AuditError {
    /// What was tried, for example `advance`.
    pub operation: &'static str,
    /// Of what.
    pub subject: String,
    /// What the store said.
    pub source: Box<dyn Error + Send + Sync>,
}

/// Keeps the heads of chains, and notes of what is in them.
pub trait ChainStore: Send + Sync {
    /// The end of a chain.
    fn head(&self, chain: &ChainId) -> impl Future<Output = Result<Head, AuditError>> + Send;

    /// The ends of all chains that something is in.
    fn heads(&self) -> impl Future<Output = Result<Vec<Head>, AuditError>> + Send;

    /// Which of the entries at these [positions](Entry::position) are in the chain.
    fn chained(
        &self,
        chain: &ChainId,
        positions: &[String],
    ) -> impl Future<Output = Result<BTreeSet<String>, AuditError>> + Send;

    /// The day of the segment that follows `head`: the one that somebody chose before, else `today`, from
    /// now on for everybody. None if the chain does not end there any more.
    fn claim(
        &self,
        head: &Head,
        today: Date,
    ) -> impl Future<Output = Result<Option<Date>, AuditError>> + Send;

    /// Moves the chain's end from `head` behind the segment, and notes the segment and its entries, all in
    /// one write; whether the chain still ended at `head`.
    fn advance(
        &self,
        head: &Head,
        segment: &SegmentNote,
    ) -> impl Future<Output = Result<bool, AuditError>> + Send;

    /// Notes up to where the entries of the chain's owner are in it.
    fn set_checked(
        &self,
        chain: &ChainId,
        position: &str,
    ) -> impl Future<Output = Result<(), AuditError>> + Send;

    /// The notes of segments that begin before record `before`, the latest first, and at most so many.
    fn segments(
        &self,
        chain: &ChainId,
        before: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<SegmentNote>, AuditError>> + Send;
}

/// Keeps files that nobody can write over.
pub trait SegmentStore: Send + Sync {
    /// Writes a file, if there is none of this name; whether there was none.
    fn create(
        &self,
        key: &str,
        bytes: Vec<u8>,
    ) -> impl Future<Output = Result<bool, AuditError>> + Send;

    /// What a file holds; none if there is none.
    fn read(&self, key: &str) -> impl Future<Output = Result<Option<Vec<u8>>, AuditError>> + Send;
}

/// Entries as they stand in the table.
pub trait EntrySource: Send + Sync {
    /// Everybody who may have entries, in an order that stays.
    fn owners(&self) -> impl Future<Output = Result<Vec<ChainId>, AuditError>> + Send;

    /// The next entries of an owner that stand behind a position, in order.
    fn entries(
        &self,
        chain: &ChainId,
        after: Option<&str>,
    ) -> impl Future<Output = Result<EntryPage, AuditError>> + Send;
}

/// Some entries.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EntryPage {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
    /// Items that are no entries and should be.
    pub unreadable: u64,
}

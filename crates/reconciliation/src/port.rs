//! What the job needs of the world.

use std::collections::BTreeSet;
use std::error::Error;
use std::future::Future;

use bytes::Bytes;
use jiff::Timestamp;
use metering::UsageRecord;
use tenancy::TenantId;

use crate::correction::Correction;

/// What a store said.
pub type StoreError = Box<dyn Error + Send + Sync>;

/// A file that AWS left.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceFile {
    /// Its name in its bucket.
    pub key: String,
    /// Which content it has: another one has another version.
    pub version: String,
    /// Its length in bytes.
    pub size: u64,
}

/// A bucket that AWS writes bills or logs into.
pub trait SourceFiles: Send + Sync {
    /// The files whose names start with `prefix`.
    fn list(
        &self,
        prefix: &str,
    ) -> impl Future<Output = Result<Vec<SourceFile>, StoreError>> + Send;

    /// `length` bytes of a file from `offset` on, fewer at its end. Fails if the file has another version by now.
    fn read(
        &self,
        file: &SourceFile,
        offset: u64,
        length: u64,
    ) -> impl Future<Output = Result<Bytes, StoreError>> + Send;
}

/// The ledger's usage records of all tenants.
pub trait Records: Send + Sync {
    /// Gives every record of a call made from `from` until before `until`, by the moment in its id, to
    /// `take`, in any order. It may give others too.
    fn within(
        &self,
        from: Timestamp,
        until: Timestamp,
        take: &mut (dyn FnMut(UsageRecord) + Send),
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Where corrections are booked.
pub trait Bookings: Send + Sync {
    /// All corrections of a reconciled month (`2026-11`), whatever month they were booked into: those of
    /// `tenants`, and of any other that has some.
    fn corrections(
        &self,
        period: &str,
        tenants: &BTreeSet<TenantId>,
    ) -> impl Future<Output = Result<Vec<Correction>, StoreError>> + Send;

    /// Books a correction into the tenant's open month. `false`, and nothing is changed, if there is one of
    /// that id already.
    fn book(
        &self,
        correction: &Correction,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// Where reports are kept.
pub trait Reports: Send + Sync {
    /// Writes a file, in the place of what had that name.
    fn write(
        &self,
        key: &str,
        content_type: &str,
        bytes: Vec<u8>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

//! What billing needs of the world. A job's, across tenants: callers with a tenant context have ports of their own.

use std::error::Error;
use std::future::Future;
use std::ops::RangeInclusive;

use events::Event;
use metering::UsageRecord;
use serde::{Deserialize, Serialize};
use tenancy::{LobId, TenantId};

use crate::{Account, Books, LedgerEntry, Month, Plan, SignedNanoUsd, Span};

/// The store failed; trying again is safe.
#[derive(Debug, thiserror::Error)]
#[error("failed to {operation} `{subject}`")]
pub struct BillingStoreError {
    /// What was tried, for example `book the entry`.
    pub operation: &'static str,
    /// On what.
    pub subject: String,
    /// What the store said.
    pub source: Box<dyn Error + Send + Sync>,
}

/// What came of booking an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Booked {
    /// It stands in the books now.
    New,
    /// One of its id stood there before, in whatever month; nothing was changed.
    Known,
    /// Its month takes no entry of its kind: it is not open, or, for a fee, not being closed.
    Refused,
}

/// What is kept of a statement beside its documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// Whose.
    pub account: Account,
    /// Of which month.
    pub period: Month,
    /// As the statement's.
    pub version: u32,
    /// As the statement's.
    pub digest: String,
    /// Usage records on it.
    pub records: u64,
    /// What the provider took.
    pub cost_nanousd: SignedNanoUsd,
    /// What is to be paid.
    pub total_nanousd: SignedNanoUsd,
    /// When it was issued, in Unix milliseconds.
    pub issued_ms: i64,
    /// Where its documents are, without `.json`, `.csv` and `.pdf`.
    pub documents: String,
}

/// What a closed month came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedMonth {
    /// Which.
    pub period: Month,
    /// Who wanted it closed.
    pub requested_by: String,
    /// From when on entries were refused, in Unix milliseconds.
    pub started_ms: i64,
    /// When it was closed.
    pub closed_ms: i64,
    /// Statements of tenants.
    pub tenants: u64,
    /// Statements of lines of business.
    pub lobs: u64,
    /// Usage records on them.
    pub records: u64,
    /// What providers took.
    pub cost_nanousd: SignedNanoUsd,
    /// What is to be paid by all lines of business.
    pub total_nanousd: SignedNanoUsd,
}

/// Keeps plans, entries and the state of months.
pub trait BillingStore: Send + Sync {
    /// The organisation's books.
    fn books(&self) -> impl Future<Output = Result<Books, BillingStoreError>> + Send;

    /// Replaces the books if they are still `from`; whether they were.
    fn change_books(
        &self,
        from: &Books,
        to: &Books,
    ) -> impl Future<Output = Result<bool, BillingStoreError>> + Send;

    /// Writes an entry once: into an open month; a flat fee into the month that is being closed. Decided
    /// by the same write, so nothing is booked behind the back of who closes the month.
    fn book(
        &self,
        entry: &LedgerEntry,
    ) -> impl Future<Output = Result<Booked, BillingStoreError>> + Send;

    /// An account's entry of that id, in whatever month.
    fn entry(
        &self,
        account: &Account,
        id: &str,
    ) -> impl Future<Output = Result<Option<LedgerEntry>, BillingStoreError>> + Send;

    /// An account's entries of some months, by month and id.
    fn entries(
        &self,
        account: &Account,
        periods: RangeInclusive<Month>,
    ) -> impl Future<Output = Result<Vec<LedgerEntry>, BillingStoreError>> + Send;

    /// Keeps a plan, in the place of the account's one of the same first month, if that month is open;
    /// whether it was. So the plan of a month that is closed, or about to be, never changes.
    fn put_plan(
        &self,
        account: &Account,
        plan: &Plan,
    ) -> impl Future<Output = Result<bool, BillingStoreError>> + Send;

    /// All plans of an account.
    fn plans(
        &self,
        account: &Account,
    ) -> impl Future<Output = Result<Vec<Plan>, BillingStoreError>> + Send;

    /// Notes a statement, in the place of the one of its account and month.
    fn put_issued(
        &self,
        issued: &Issued,
    ) -> impl Future<Output = Result<(), BillingStoreError>> + Send;

    /// An account's statements, latest month first.
    fn issued(
        &self,
        account: &Account,
    ) -> impl Future<Output = Result<Vec<Issued>, BillingStoreError>> + Send;

    /// Notes what a month came to.
    fn put_closed(
        &self,
        month: &ClosedMonth,
    ) -> impl Future<Output = Result<(), BillingStoreError>> + Send;

    /// All closed months, latest first.
    fn closed(&self) -> impl Future<Output = Result<Vec<ClosedMonth>, BillingStoreError>> + Send;
}

/// A tenant that may have to be billed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TenantAccount {
    /// Which.
    pub tenant_id: TenantId,
    /// The line of business that it belongs to; none if it was off-boarded.
    pub lob_id: Option<LobId>,
}

/// Knows who may have to be billed.
pub trait Accounts: Send + Sync {
    /// Every tenant that is registered, or was when it called within `span`, in order of ids.
    fn tenants(
        &self,
        span: &Span,
    ) -> impl Future<Output = Result<Vec<TenantAccount>, BillingStoreError>> + Send;

    /// Every line of business.
    fn lobs(&self) -> impl Future<Output = Result<Vec<LobId>, BillingStoreError>> + Send;
}

/// The ledger's usage records.
pub trait UsageSource: Send + Sync {
    /// Gives every record of a tenant whose call was made within `span` to `take`, in any order. It may give
    /// others of the tenant's too.
    fn records(
        &self,
        tenant_id: &TenantId,
        span: &Span,
        take: &mut (dyn FnMut(UsageRecord) + Send),
    ) -> impl Future<Output = Result<(), BillingStoreError>> + Send;
}

/// Where statements are kept.
pub trait Documents: Send + Sync {
    /// Writes a document unless there is one of that key; whether there was none.
    fn create(
        &self,
        key: &str,
        bytes: Vec<u8>,
        content_type: &str,
    ) -> impl Future<Output = Result<bool, BillingStoreError>> + Send;

    /// Writes a document in the place of what had its key.
    fn put(
        &self,
        key: &str,
        bytes: Vec<u8>,
        content_type: &str,
    ) -> impl Future<Output = Result<(), BillingStoreError>> + Send;

    /// What a document says; none if there is none.
    fn get(
        &self,
        key: &str,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, BillingStoreError>> + Send;
}

/// What others may want to know; see [`events::Event`] for what can be relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BillingEvent {
    /// A statement has its documents.
    StatementIssued(Issued),
    /// A month is closed.
    MonthClosed(ClosedMonth),
    /// A closed month was corrected in a later one.
    CorrectionBooked(LedgerEntry),
}

impl TryFrom<&BillingEvent> for Event {
    type Error = serde_json::Error;

    fn try_from(event: &BillingEvent) -> Result<Self, serde_json::Error> {
        Ok(match event {
            BillingEvent::StatementIssued(it) => Self {
                id: format!("statement:{}:{}", it.account, it.period),
                kind: "StatementIssued",
                time_ms: it.issued_ms,
                detail: serde_json::to_value(it)?,
            },
            BillingEvent::MonthClosed(it) => Self {
                id: format!("month:{}", it.period),
                kind: "MonthClosed",
                time_ms: it.closed_ms,
                detail: serde_json::to_value(it)?,
            },
            BillingEvent::CorrectionBooked(it) => Self {
                id: format!("entry:{}:{}", it.account, it.id),
                kind: "CorrectionBooked",
                time_ms: it.booked_ms,
                detail: serde_json::to_value(it)?,
            },
        })
    }
}

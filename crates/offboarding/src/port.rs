//! What off-boarding needs of the world, beside the ports of other crates.

use std::collections::BTreeSet;
use std::error::Error;
use std::future::Future;

use administration::{AdministrationStore, UserPool};
use admission::{AuditEntry, Calendar, StoreError};
use audit::ChainStore;
use billing::port::BillingStore;
use events::EventSink;
use jiff::Timestamp;
use lake::ObjectStore;
use metering::RollupStore;
use serde::{Deserialize, Serialize};
use tenancy::{LobId, TenantId};

/// A place where tenants have things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Store {
    /// Tenants and who may call for them.
    TenancyTable,
    /// Meters, usage, books.
    LedgerTable,
    /// Prompts and answers.
    ContentTable,
    /// Uploaded files.
    UploadsBucket,
    /// Statements, and what off-boarding writes.
    StatementsBucket,
    /// The audit trail.
    AuditBucket,
    /// People, groups, machine clients.
    UserPool,
}

impl Store {
    /// Every store, in the order in which they are emptied: nobody is let in any more first, what a tenant
    /// is known by goes last.
    pub const ALL: [Self; 7] = [
        Self::UserPool,
        Self::UploadsBucket,
        Self::ContentTable,
        Self::LedgerTable,
        Self::StatementsBucket,
        Self::AuditBucket,
        Self::TenancyTable,
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TenancyTable => "tenancy_table",
            Self::LedgerTable => "ledger_table",
            Self::ContentTable => "content_table",
            Self::UploadsBucket => "uploads_bucket",
            Self::StatementsBucket => "statements_bucket",
            Self::AuditBucket => "audit_bucket",
            Self::UserPool => "user_pool",
        }
    }
}

/// Whose things are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whose {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Machine clients that were registered for it, whatever the user pool calls them.
    pub clients: BTreeSet<String>,
}

/// Something that is there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Found {
    /// Where.
    pub store: Store,
    /// The partition of an item; `groups`, `clients` or `members/<group>` of the user pool; of an object
    /// nothing.
    pub place: String,
    /// The sort key of an item, the key of an object, the name of a group, the id of a client or person.
    pub name: String,
    /// The tenant that it says it is of: the attribute `tenant_id` of an item, the name of a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// When it goes by itself, in Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
}

/// A part of what a store holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// What may be the tenant's: all that is, and perhaps more.
    pub found: Vec<Found>,
    /// Where the next page begins; none after the last.
    pub next: Option<String>,
}

/// Things could not be listed or deleted; trying again is safe.
#[derive(Debug, thiserror::Error)]
#[error("failed to {operation} the {}", store.as_str())]
pub struct EstateError {
    /// What was tried, for example `list`.
    pub operation: &'static str,
    /// Where.
    pub store: Store,
    /// What the store said.
    pub source: Box<dyn Error + Send + Sync>,
}

/// Finds and deletes what tenants have. It knows where things are, and nothing of whether they may go.
pub trait Estate: Send + Sync {
    /// A page of a store, by a read that sees every write that came before it where there is such a read.
    ///
    /// All that is there is looked at, not only what Weir is known to write.
    fn list(
        &self,
        whose: &Whose,
        store: Store,
        after: Option<&str>,
    ) -> impl Future<Output = Result<Page, EstateError>> + Send;

    /// Deletes one thing; nothing if it is not there.
    fn remove(&self, found: &Found) -> impl Future<Output = Result<(), EstateError>> + Send;

    /// Whether it is there, by a consistent read.
    fn is_there(&self, found: &Found) -> impl Future<Output = Result<bool, EstateError>> + Send;
}

/// What stays of a tenant: its id is not given out again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The task that off-boarded it.
    pub task_id: String,
    /// When its deletion began.
    pub since: Timestamp,
    /// The audit entry that says so.
    pub audit_position: String,
}

/// Registrations, meters and tombstones.
pub trait Register: Send + Sync {
    /// Calls of the tenant that are not settled yet, in whichever meter: its own, its line of business',
    /// the organisation's.
    fn open_calls(
        &self,
        tenant_id: &TenantId,
        lob_id: &LobId,
    ) -> impl Future<Output = Result<usize, StoreError>> + Send;

    /// Puts the registration by which a machine client is let in aside, where nobody looks for it, with an
    /// audit entry in one write; whether it was the tenant's. The client stays listed for its tenant.
    fn park_client(
        &self,
        tenant_id: &TenantId,
        client_id: &str,
        entry: &AuditEntry,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Lets a parked client in again; whether it was parked, and the tenant's.
    fn unpark_client(
        &self,
        tenant_id: &TenantId,
        client_id: &str,
        entry: &AuditEntry,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Writes the tombstone and the audit entry in one write, if there is no tombstone; the one that
    /// stands there afterwards.
    fn bury(
        &self,
        tenant_id: &TenantId,
        tombstone: &Tombstone,
        entry: &AuditEntry,
    ) -> impl Future<Output = Result<Tombstone, StoreError>> + Send;

    /// The tombstone of a tenant; none if it was never off-boarded.
    fn tombstone(
        &self,
        tenant_id: &TenantId,
    ) -> impl Future<Output = Result<Option<Tombstone>, StoreError>> + Send;
}

/// Evidence could not be signed; trying again is safe.
#[derive(Debug, thiserror::Error)]
#[error("failed to {operation}")]
pub struct SignError {
    /// What was tried.
    pub operation: &'static str,
    /// What the service said.
    pub source: Box<dyn Error + Send + Sync>,
}

/// Signs with ECDSA on P-256 and SHA-256, by a key that never leaves where it is.
pub trait Signer: Send + Sync {
    /// The signature of a message, in DER.
    fn sign(&self, message: &[u8]) -> impl Future<Output = Result<Vec<u8>, SignError>> + Send;

    /// The public key, as DER of a `SubjectPublicKeyInfo`.
    fn public_key(&self) -> impl Future<Output = Result<Vec<u8>, SignError>> + Send;
}

/// What the stores of this stack are called: who checks evidence has to know where to look.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Places {
    /// Names of tables and buckets, id of the user pool.
    #[serde(flatten)]
    pub stores: std::collections::BTreeMap<String, String>,
    /// The key that signs, as KMS calls it.
    pub signing_key: String,
}

/// All that off-boarding reaches.
pub trait Outside: Send + Sync {
    /// Tenants and their callers.
    type Administration: AdministrationStore;
    /// People, groups, machine clients.
    type Pool: UserPool;
    /// Registrations, meters, tombstones.
    type Register: Register;
    /// All that there is.
    type Estate: Estate;
    /// The bucket of statements, which exports and evidence are written to.
    type Papers: ObjectStore;
    /// What was billed.
    type Books: BillingStore;
    /// Who makes drafts hears of it here.
    type Events: EventSink;
    /// Heads of the audit trail.
    type Chains: ChainStore;
    /// Usage in sums.
    type Rollups: RollupStore;
    /// The key of evidence.
    type Signer: Signer;

    /// Tenants and their callers.
    fn administration(&self) -> &Self::Administration;
    /// People, groups, machine clients.
    fn pool(&self) -> &Self::Pool;
    /// Registrations, meters, tombstones.
    fn register(&self) -> &Self::Register;
    /// All that there is.
    fn estate(&self) -> &Self::Estate;
    /// The bucket of statements.
    fn papers(&self) -> &Self::Papers;
    /// What was billed.
    fn books(&self) -> &Self::Books;
    /// Where drafts are asked for.
    fn events(&self) -> &Self::Events;
    /// Heads of the audit trail.
    fn chains(&self) -> &Self::Chains;
    /// Usage in sums.
    fn rollups(&self) -> &Self::Rollups;
    /// The key of evidence.
    fn signer(&self) -> &Self::Signer;
    /// What the stores are called.
    fn places(&self) -> Places;
    /// Where the organisation's months begin.
    fn calendar(&self) -> &Calendar;
    /// The clock.
    fn now(&self) -> Timestamp;
    /// A new id; later ones are greater.
    fn new_id(&self) -> String;
    /// Whether there is time for another page. Without, the step says that it is to be called again.
    fn has_time(&self) -> bool;
}

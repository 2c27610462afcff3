//! What is needed of the table and of the user pool.

use std::collections::BTreeSet;
use std::error::Error;
use std::future::Future;

use admission::{AuditEntry, StoreError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenancy::{AwsRole, LobId, ModelId, PrincipalId, Status, TenantId};

use crate::callers::{MachineClient, NewSecret, Secret};
use crate::issuers::RegisteredIssuer;
use crate::task::Unfinished;
use crate::{LobDocument, ModelRequest, TenantDocument};

/// Why a tenant is not served, since when and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// As its author said.
    #[serde(default)]
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// Who did it.
    pub by: PrincipalId,
}

/// A tenant as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantState {
    /// Counts its changes, those of its limits included.
    pub version: u64,
    /// Whether it is served.
    pub status: Status,
    /// Why not.
    pub suspension: Option<Suspension>,
    /// What it is.
    pub document: TenantDocument,
    /// Whether its last change has not reached its meter yet.
    pub is_changing: bool,
}

/// A line of business as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LobState {
    /// Counts its changes, those of its limits included.
    pub version: u64,
    /// What it is.
    pub document: LobDocument,
    /// Whether its last change has not reached all of its tenants yet.
    pub is_changing: bool,
}

/// A change of a tenant, or its creation.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantChange {
    /// Which.
    pub tenant_id: TenantId,
    /// How it is; the change is refused if that is not so. `None`: there is none.
    pub before: Option<TenantState>,
    /// What it is from now on.
    pub document: TenantDocument,
    /// Whether it is served from now on.
    pub status: Status,
    /// Why not.
    pub suspension: Option<Suspension>,
    /// The request that it grants; the change is refused if somebody decided on it before.
    pub granted: Option<ModelRequest>,
    /// The note that its meter has to know.
    pub unfinished: Unfinished,
    /// Who changes it, and what.
    pub entry: AuditEntry,
}

/// A change of a line of business, or its creation.
#[derive(Debug, Clone, PartialEq)]
pub struct LobChange {
    /// Which.
    pub lob_id: LobId,
    /// How it is; the change is refused if that is not so. `None`: there is none.
    pub before: Option<LobState>,
    /// What it is from now on.
    pub document: LobDocument,
    /// The note that its tenants have to know.
    pub unfinished: Unfinished,
    /// Who changes it, and what.
    pub entry: AuditEntry,
}

/// How a tenant was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Which version.
    pub version: u64,
    /// What it was.
    pub document: TenantDocument,
}

/// Which tenants of a line of business are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantsAsked {
    /// Whose.
    pub lob_id: LobId,
    /// How their ids begin.
    pub prefix: String,
    /// After which one.
    pub after: Option<TenantId>,
    /// How many are looked at.
    pub limit: usize,
}

/// Some tenants of a line of business.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TenantPage {
    /// In the order of their ids.
    pub tenants: Vec<TenantId>,
    /// Whether there are more.
    pub has_more: bool,
}

/// Reads and changes what is kept in the table; what a caller may do was decided before.
pub trait AdministrationStore: Send + Sync {
    /// A tenant; `None` if there is none.
    fn tenant(
        &self,
        tenant_id: &TenantId,
    ) -> impl Future<Output = Result<Option<TenantState>, StoreError>> + Send;

    /// A line of business; `None` if there is none.
    fn lob(
        &self,
        lob_id: &LobId,
    ) -> impl Future<Output = Result<Option<LobState>, StoreError>> + Send;

    /// Lines of business after `after`, in the order of their ids; one more than `limit` if there are more.
    fn lobs(
        &self,
        after: Option<&LobId>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<LobId>, StoreError>> + Send;

    /// Some tenants of a line of business.
    fn tenant_page(
        &self,
        asked: &TenantsAsked,
    ) -> impl Future<Output = Result<TenantPage, StoreError>> + Send;

    /// All tenants of a line of business.
    fn tenants_of(
        &self,
        lob_id: &LobId,
    ) -> impl Future<Output = Result<Vec<TenantId>, StoreError>> + Send;

    /// Every registered model.
    fn models(&self) -> impl Future<Output = Result<BTreeSet<ModelId>, StoreError>> + Send;

    /// Whether a tenant of that id was off-boarded: nobody is given the id again.
    fn is_retired(
        &self,
        tenant_id: &TenantId,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Makes the change, its version, its audit entry and its note in one write; whether what it was
    /// made from was still so, and a new one's id not retired.
    fn change_tenant(
        &self,
        change: &TenantChange,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// As [`Self::change_tenant`].
    fn change_lob(
        &self,
        change: &LobChange,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The models that a tenant asked for, the latest first.
    fn model_requests(
        &self,
        tenant_id: &TenantId,
    ) -> impl Future<Output = Result<Vec<ModelRequest>, StoreError>> + Send;

    /// Writes a request that is new, or rejected, in one write with its audit entry; whether the tenant
    /// is there and nobody decided on it before.
    fn put_model_request(
        &self,
        tenant_id: &TenantId,
        request: &ModelRequest,
        entry: &AuditEntry,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// A version of a tenant; `None` if that is none in which its document changed.
    fn version(
        &self,
        tenant_id: &TenantId,
        version: u64,
    ) -> impl Future<Output = Result<Option<Version>, StoreError>> + Send;

    /// What was done to a tenant and to what is below it, latest first: `limit` entries that stand before
    /// the [position](AuditEntry::position) `before`.
    fn history(
        &self,
        tenant_id: &TenantId,
        before: Option<&str>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<AuditEntry>, StoreError>> + Send;

    /// Notes what changed nothing: an attempt that was refused.
    fn note(&self, entry: &AuditEntry) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Makes every cached copy of the tenant's entitlements stale; `raise` to a new version, else only
    /// its meter to the version that there is.
    fn renew(
        &self,
        tenant_id: &TenantId,
        raise: bool,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Notes a task with its audit entry, if there is no other of its subject; whether there was none.
    fn begin(
        &self,
        tenant_id: &TenantId,
        unfinished: &Unfinished,
        entry: Option<&AuditEntry>,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Takes a note away, unless it was replaced.
    fn end(&self, unfinished: &Unfinished) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Every note.
    fn unfinished(&self) -> impl Future<Output = Result<Vec<Unfinished>, StoreError>> + Send;

    /// The machine clients of a tenant.
    fn clients(
        &self,
        tenant_id: &TenantId,
    ) -> impl Future<Output = Result<Vec<MachineClient>, StoreError>> + Send;

    /// Registers a client, which ends the task of making it, in one write with its audit entry; whether
    /// the task was still there.
    fn register_client(
        &self,
        tenant_id: &TenantId,
        issuer: &str,
        client: &MachineClient,
        unfinished: &Unfinished,
        entry: &AuditEntry,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Takes a client's registration away and notes that the user pool is to forget it, in one write
    /// with its audit entry; whether it was the tenant's.
    fn unregister_client(
        &self,
        tenant_id: &TenantId,
        client_id: &str,
        unfinished: &Unfinished,
        entry: &AuditEntry,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The AWS roles of a tenant.
    fn aws_roles(
        &self,
        tenant_id: &TenantId,
    ) -> impl Future<Output = Result<Vec<AwsRole>, StoreError>> + Send;

    /// Registers an AWS role with its audit entry, unless it is another tenant's; whether it was not.
    fn put_aws_role(
        &self,
        role: &AwsRole,
        entry: &AuditEntry,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Takes an AWS role's registration away with its audit entry; whether it was the tenant's.
    fn delete_aws_role(
        &self,
        role: &AwsRole,
        entry: &AuditEntry,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The issuers that a tenant registered; `None`: those of the organisation.
    fn issuers(
        &self,
        owner: Option<&TenantId>,
    ) -> impl Future<Output = Result<Vec<RegisteredIssuer>, StoreError>> + Send;

    /// Registers an issuer for who its `tenant_id` says, with its audit entry, if there is none, or the
    /// owner's own of the version `before`; whether that was so.
    fn put_issuer(
        &self,
        issuer: &RegisteredIssuer,
        before: Option<u64>,
        entry: &AuditEntry,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Takes an issuer's registration away with its audit entry; whether it still was of that version.
    fn delete_issuer(
        &self,
        issuer: &RegisteredIssuer,
        entry: &AuditEntry,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// A person, as the user pool knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The subject of their tokens.
    pub id: PrincipalId,
    /// Their address.
    pub email: String,
    /// Whether they can sign in.
    pub is_enabled: bool,
    /// Where they stand: `CONFIRMED`, `FORCE_CHANGE_PASSWORD`, ..
    pub status: String,
}

/// The user pool did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum UserPoolError {
    /// There is no such person, group or client.
    #[error("the user pool does not know this")]
    NotFound,
    /// It cannot do this at all.
    #[error("the user pool cannot do this")]
    Unsupported,
    /// It could not be reached, or failed. Nothing in it tells of anybody's secret or address.
    #[error("the user pool failed to {operation}")]
    Failed {
        /// What was tried.
        operation: &'static str,
        /// What it said.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// People, groups and clients of the user pool.
pub trait UserPool: Send + Sync {
    /// What it writes into the `iss` claim.
    fn issuer(&self) -> &str;

    /// A person by address or id.
    fn user(&self, name: &str) -> impl Future<Output = Result<Option<User>, UserPoolError>> + Send;

    /// Makes a person without a password, who gets an invitation by mail if `invite`. One that is there
    /// is answered as it is.
    fn create_user(
        &self,
        email: &str,
        invite: bool,
    ) -> impl Future<Output = Result<User, UserPoolError>> + Send;

    /// The groups that a person is in.
    fn groups_of(
        &self,
        user_id: &str,
    ) -> impl Future<Output = Result<Vec<String>, UserPoolError>> + Send;

    /// Puts a person into a group, which is made if it is not there.
    fn add_to_group(
        &self,
        user_id: &str,
        group: &str,
    ) -> impl Future<Output = Result<(), UserPoolError>> + Send;

    /// Takes a person out of a group.
    fn remove_from_group(
        &self,
        user_id: &str,
        group: &str,
    ) -> impl Future<Output = Result<(), UserPoolError>> + Send;

    /// Lets a person sign in, or not.
    fn set_enabled(
        &self,
        user_id: &str,
        is_enabled: bool,
    ) -> impl Future<Output = Result<(), UserPoolError>> + Send;

    /// Ends every session of a person.
    fn sign_out(&self, user_id: &str) -> impl Future<Output = Result<(), UserPoolError>> + Send;

    /// The people in a group; none if it is not there.
    fn users_in(
        &self,
        group: &str,
    ) -> impl Future<Output = Result<Vec<User>, UserPoolError>> + Send;

    /// Makes a client for a program.
    fn create_client(
        &self,
        pool_name: &str,
        scopes: &BTreeSet<String>,
    ) -> impl Future<Output = Result<NewSecret, UserPoolError>> + Send;

    /// The ids of the clients of that name.
    fn clients_named(
        &self,
        pool_name: &str,
    ) -> impl Future<Output = Result<Vec<String>, UserPoolError>> + Send;

    /// Forgets a client; nothing if there is none.
    fn delete_client(
        &self,
        client_id: &str,
    ) -> impl Future<Output = Result<(), UserPoolError>> + Send;

    /// The secret that a client was made with.
    fn secret_of(
        &self,
        client_id: &str,
    ) -> impl Future<Output = Result<Secret, UserPoolError>> + Send;

    /// The ids of a client's secrets, oldest first.
    fn secrets_of(
        &self,
        client_id: &str,
    ) -> impl Future<Output = Result<Vec<String>, UserPoolError>> + Send;

    /// Gives a client a further secret.
    fn add_secret(
        &self,
        client_id: &str,
    ) -> impl Future<Output = Result<Secret, UserPoolError>> + Send;

    /// Takes a secret from a client.
    fn delete_secret(
        &self,
        client_id: &str,
        secret_id: &str,
    ) -> impl Future<Output = Result<(), UserPoolError>> + Send;
}

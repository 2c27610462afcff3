//! What is needed of the table.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use administration::Unfinished;
use admission::{AuditEntry, StoreError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenancy::{PrincipalId, TenantId};

use crate::resource::Resource;

/// Something that one resource of a tenant can have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unique {
    /// What it is, and of which resources.
    pub kind: &'static str,
    /// What clients call it.
    pub attribute: &'static str,
    /// It, in the one form that it is compared in.
    pub value: String,
}

/// A person, as they are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredUser {
    /// What the gateway calls them.
    pub id: String,
    /// Counts their changes.
    pub version: u64,
    /// Since when they are there.
    pub created: Timestamp,
    /// When they changed last.
    pub modified: Timestamp,
    /// What the client said.
    pub resource: Resource,
    /// The groups that they are in.
    pub groups: BTreeSet<String>,
    /// Who they are in the user pool, once they were anything in the tenant.
    pub person: Option<PrincipalId>,
    /// The address by which they were found there.
    pub address: Option<String>,
}

/// A group, as it is kept. Who is in it stands with the people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredGroup {
    /// What the gateway calls it.
    pub id: String,
    /// Counts its changes.
    pub version: u64,
    /// Since when it is there.
    pub created: Timestamp,
    /// When it changed last.
    pub modified: Timestamp,
    /// What the client said, without members.
    pub resource: Resource,
    /// Whether its members have not all got what it gives yet.
    pub is_spreading: bool,
}

/// The groups of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roster {
    /// Counts the changes of what groups give.
    pub version: u64,
    /// By id.
    pub groups: BTreeMap<String, StoredGroup>,
}

/// A change of a person.
#[derive(Debug, Clone, PartialEq)]
pub struct UserChange {
    /// As they are; the change is refused if that is not so. `None`: they are not there.
    pub before: Option<StoredUser>,
    /// As they are to be. `None`: they are to go.
    pub after: Option<StoredUser>,
    /// The roster by which it was decided what they are; the change is refused if there is a newer one.
    pub roster: u64,
    /// What is to be done in the user pool.
    pub tasks: Vec<Unfinished>,
    /// Who changes them, and what.
    pub entry: AuditEntry,
}

/// A change of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupChange {
    /// As it is; the change is refused if that is not so. `None`: it is not there.
    pub before: Option<StoredGroup>,
    /// As it is to be. `None`: it is to go.
    pub after: Option<StoredGroup>,
    /// Whether what it gives is changed.
    pub is_decisive: bool,
    /// Who changes it, and what; nobody, if it is only noted that all have got what it gives.
    pub entry: Option<AuditEntry>,
}

/// People and groups of a tenant, in the tenant's own partition.
pub trait MemberStore: Send + Sync {
    /// Everybody.
    fn users(
        &self,
        tenant_id: &TenantId,
    ) -> impl Future<Output = Result<Vec<StoredUser>, StoreError>> + Send;

    /// One of them.
    fn user(
        &self,
        tenant_id: &TenantId,
        id: &str,
    ) -> impl Future<Output = Result<Option<StoredUser>, StoreError>> + Send;

    /// The groups.
    fn roster(
        &self,
        tenant_id: &TenantId,
    ) -> impl Future<Output = Result<Roster, StoreError>> + Send;

    /// The id of the resource that has it.
    fn holder(
        &self,
        tenant_id: &TenantId,
        unique: &Unique,
    ) -> impl Future<Output = Result<Option<String>, StoreError>> + Send;

    /// Makes the change, with what is unique of it, its notes and its audit entry, in one write; whether
    /// all of it could be made. It cannot if the person or the roster is another one by now, something is
    /// another resource's, or a note of the same person is there.
    fn change_user(
        &self,
        tenant_id: &TenantId,
        change: &UserChange,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// As [`Self::change_user`].
    fn change_group(
        &self,
        tenant_id: &TenantId,
        change: &GroupChange,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Takes a note away, unless it was replaced.
    fn end(&self, unfinished: &Unfinished) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Notes what changed nothing: an attempt that was refused.
    fn note(&self, entry: &AuditEntry) -> impl Future<Output = Result<(), StoreError>> + Send;
}

impl UserChange {
    /// What of the person no other one may have: before and after.
    pub fn uniques(&self) -> (BTreeSet<Unique>, BTreeSet<Unique>) {
        let of =
            |user: &Option<StoredUser>| user.as_ref().map(StoredUser::uniques).unwrap_or_default();
        (of(&self.before), of(&self.after))
    }
}

impl GroupChange {
    /// What of the group no other one may have: before and after.
    pub fn uniques(&self) -> (BTreeSet<Unique>, BTreeSet<Unique>) {
        let of = |group: &Option<StoredGroup>| {
            let uniques = |it: &StoredGroup| crate::uniques(&crate::GROUP, &it.resource);
            group.as_ref().map(uniques).unwrap_or_default()
        };
        (of(&self.before), of(&self.after))
    }
}

impl StoredUser {
    /// What of them no other one may have.
    pub fn uniques(&self) -> BTreeSet<Unique> {
        let mut uniques = crate::uniques(&crate::USER, &self.resource);
        uniques.extend(self.person.as_ref().map(|person| Unique {
            kind: "PERSON",
            attribute: "emails",
            value: person.to_string(),
        }));
        uniques
    }
}

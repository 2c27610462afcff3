//! People and groups that an identity provider brings, in a partition of their tenant's own
//! (`TENANT#<id>#SCIM`): `USER#<id>`, `GROUP#<id>`, what only one may have (`UNIQUE#<kind>#<digest>`: names
//! are longer than keys, and none of them belongs there), and `ROSTER`, which counts what groups give.

use std::collections::BTreeSet;

use ::scim::{GroupChange, MemberStore, Roster, StoredGroup, StoredUser, Unique, UserChange};
use administration::Unfinished;
use admission::{AuditEntry, StoreError};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{ConditionCheck, Delete, Put, TransactWriteItem, Update};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tenancy::TenantId;

use crate::administration::{note_item, note_key};
use crate::key::{self, Key};
use crate::ledger::store_error;
use crate::limit_writes::{Item, audit_put, delete_if, number, put_new, transact};
use crate::read::{self, Cause};

const USER: &str = "USER#";
const GROUP: &str = "GROUP#";
const ROSTER: &str = "ROSTER";
/// The attribute of who has what only one may have.
const HOLDER: &str = "holder";

/// People and groups in the `tenancy` table.
#[derive(Debug)]
pub struct Members {
    client: Client,
    table: String,
}

#[derive(Debug, Deserialize)]
struct Counted {
    version: u64,
}

#[derive(Debug, Deserialize)]
struct Held {
    holder: String,
}

impl Members {
    /// People and groups in the table of that name.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// What the partition has under a prefix.
    async fn listed<T: serde::de::DeserializeOwned>(
        &self,
        tenant_id: &TenantId,
        prefix: &str,
    ) -> Result<Vec<T>, Cause> {
        let pk = key::members(tenant_id);
        let items = read::items(&self.client, &self.table, &pk, prefix).await?;
        Ok(items.into_iter().map(serde_dynamo::from_item).collect::<Result<_, _>>()?)
    }

    async fn read_roster(&self, tenant_id: &TenantId) -> Result<Roster, Cause> {
        // The number first: of what is newer than it, nothing is decided.
        let counted = key::key(key::members(tenant_id), ROSTER.to_owned());
        let counted = read::value::<Counted>(&self.client, &self.table, counted).await?;
        let groups = self.listed::<StoredGroup>(tenant_id, GROUP).await?;
        let groups = groups.into_iter().map(|group| (group.id.clone(), group)).collect();
        Ok(Roster { version: counted.map_or(0, |it| it.version), groups })
    }

    /// Puts `after` in the place of what has the version `before`, deletes that, or makes it new.
    fn replace(
        &self,
        key: Key,
        before: Option<u64>,
        after: Option<&impl Serialize>,
    ) -> Result<TransactWriteItem, Cause> {
        let write = TransactWriteItem::builder();
        let condition = "#version = :version";
        let Some(after) = after else {
            let delete = Delete::builder()
                .table_name(&self.table)
                .set_key(Some(key))
                .condition_expression(condition)
                .expression_attribute_names("#version", "version")
                .expression_attribute_values(":version", number(before.unwrap_or_default()));
            return Ok(write.delete(delete.build()?).build());
        };
        let mut item: Item = serde_dynamo::to_item(after)?;
        item.extend(key);
        let Some(before) = before else { return put_new(&self.table, item) };
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression(condition)
            .expression_attribute_names("#version", "version")
            .expression_attribute_values(":version", number(before));
        Ok(write.put(put.build()?).build())
    }

    /// Moves what is unique from a resource as it is to itself as it is to be.
    fn take(
        &self,
        tenant_id: &TenantId,
        id: &str,
        (before, after): &(BTreeSet<Unique>, BTreeSet<Unique>),
    ) -> Result<Vec<TransactWriteItem>, Cause> {
        let left = before.difference(after);
        let left = left.map(|it| delete_if(&self.table, unique_key(tenant_id, it), HOLDER, id));
        let taken = after.difference(before).map(|unique| {
            let mut item = unique_key(tenant_id, unique);
            item.insert(HOLDER.to_owned(), serde_dynamo::to_attribute_value(id)?);
            put_new(&self.table, item)
        });
        left.chain(taken).collect()
    }

    fn user_writes(
        &self,
        tenant_id: &TenantId,
        change: &UserChange,
        id: &str,
    ) -> Result<Vec<TransactWriteItem>, Cause> {
        let before = change.before.as_ref().map(|user| user.version);
        let user = key::key(key::members(tenant_id), format!("{USER}{id}"));
        let mut writes = vec![self.replace(user, before, change.after.as_ref())?];
        writes.extend(self.take(tenant_id, id, &change.uniques())?);
        let roster = ConditionCheck::builder()
            .table_name(&self.table)
            .set_key(Some(key::key(key::members(tenant_id), ROSTER.to_owned())));
        let roster = if change.roster == 0 {
            roster.condition_expression("attribute_not_exists(PK)")
        } else {
            roster
                .condition_expression("#version = :version")
                .expression_attribute_names("#version", "version")
                .expression_attribute_values(":version", number(change.roster))
        };
        writes.push(TransactWriteItem::builder().condition_check(roster.build()?).build());
        for task in &change.tasks {
            writes.push(put_new(&self.table, note_item(task)?)?);
        }
        writes.push(audit_put(&self.table, key::tenant(tenant_id), &change.entry)?);
        Ok(writes)
    }

    fn group_writes(
        &self,
        tenant_id: &TenantId,
        change: &GroupChange,
        id: &str,
    ) -> Result<Vec<TransactWriteItem>, Cause> {
        let before = change.before.as_ref().map(|group| group.version);
        let group = key::key(key::members(tenant_id), format!("{GROUP}{id}"));
        let mut writes = vec![self.replace(group, before, change.after.as_ref())?];
        writes.extend(self.take(tenant_id, id, &change.uniques())?);
        if change.is_decisive {
            let count = Update::builder()
                .table_name(&self.table)
                .set_key(Some(key::key(key::members(tenant_id), ROSTER.to_owned())))
                .update_expression("ADD #version :one")
                .expression_attribute_names("#version", "version")
                .expression_attribute_values(":one", number(1));
            writes.push(TransactWriteItem::builder().update(count.build()?).build());
        }
        if let Some(entry) = &change.entry {
            writes.push(audit_put(&self.table, key::tenant(tenant_id), entry)?);
        }
        Ok(writes)
    }

    async fn forget(&self, unfinished: &Unfinished) -> Result<(), Cause> {
        let delete = delete_if(&self.table, note_key(unfinished), "id", &unfinished.id)?;
        // It is gone, or a newer one stands there, if the condition does not hold.
        transact(&self.client, "forget a task", &unfinished.id, vec![delete]).await?;
        Ok(())
    }
}

fn unique_key(tenant_id: &TenantId, unique: &Unique) -> Key {
    let digest = Bytes::copy_from_slice(&Sha256::digest(unique.value.as_bytes()));
    key::key(key::members(tenant_id), format!("UNIQUE#{}#{digest:x}", unique.kind))
}

impl MemberStore for Members {
    async fn users(&self, tenant_id: &TenantId) -> Result<Vec<StoredUser>, StoreError> {
        let found = Box::pin(self.listed(tenant_id, USER)).await;
        found.map_err(|error| store_error("list people", tenant_id, error))
    }

    async fn user(&self, tenant_id: &TenantId, id: &str) -> Result<Option<StoredUser>, StoreError> {
        let key = key::key(key::members(tenant_id), format!("{USER}{id}"));
        let found = Box::pin(read::value(&self.client, &self.table, key)).await;
        found.map_err(|error| store_error("read a person", tenant_id, error))
    }

    async fn roster(&self, tenant_id: &TenantId) -> Result<Roster, StoreError> {
        let found = Box::pin(self.read_roster(tenant_id)).await;
        found.map_err(|error| store_error("list groups", tenant_id, error))
    }

    async fn holder(
        &self,
        tenant_id: &TenantId,
        unique: &Unique,
    ) -> Result<Option<String>, StoreError> {
        let key = unique_key(tenant_id, unique);
        let found = Box::pin(read::value::<Held>(&self.client, &self.table, key)).await;
        let found = found.map_err(|error| store_error("find a holder", tenant_id, error))?;
        Ok(found.map(|it| it.holder))
    }

    async fn change_user(
        &self,
        tenant_id: &TenantId,
        change: &UserChange,
    ) -> Result<bool, StoreError> {
        let operation = "change a person";
        let Some(user) = change.after.as_ref().or(change.before.as_ref()) else { return Ok(true) };
        let writes = self.user_writes(tenant_id, change, &user.id);
        let writes = writes.map_err(|error| store_error(operation, tenant_id, error))?;
        Box::pin(transact(&self.client, operation, tenant_id, writes)).await
    }

    async fn change_group(
        &self,
        tenant_id: &TenantId,
        change: &GroupChange,
    ) -> Result<bool, StoreError> {
        let operation = "change a group";
        let Some(group) = change.after.as_ref().or(change.before.as_ref()) else { return Ok(true) };
        let writes = self.group_writes(tenant_id, change, &group.id);
        let writes = writes.map_err(|error| store_error(operation, tenant_id, error))?;
        Box::pin(transact(&self.client, operation, tenant_id, writes)).await
    }

    async fn end(&self, unfinished: &Unfinished) -> Result<(), StoreError> {
        let ended = Box::pin(self.forget(unfinished)).await;
        ended.map_err(|error| store_error("forget a task", &unfinished.task.subject(), error))
    }

    async fn note(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let operation = "note a refusal";
        let put = audit_put(&self.table, key::tenant(&entry.tenant_id), entry);
        let put = put.map_err(|error| store_error(operation, &entry.tenant_id, error))?;
        Box::pin(transact(&self.client, operation, &entry.tenant_id, vec![put])).await?;
        Ok(())
    }
}

//! Tasks of tenants.
//!
//! A task is one item (`TASK#<id>` / its kind). `TASKS` / `tenants/<tenant>` is the lock of its tenant
//! while it is not over, and so the list of those that are not. `LOB#<lob>` / `TASK#<time>#<id>` lists the
//! tasks of a line of business. Their audit entries are the line of business' own, since a tenant that
//! goes has no place for what is written about it afterwards.

use admission::{AuditEntry, StoreError};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem};
use futures::future::try_join_all;
use orchestration::{Created, Kind, Task, TaskStore};
use tenancy::{LobId, TenantId};

use crate::key;
use crate::ledger::store_error;
use crate::limit_writes::{Item, audit_put, number, put_new, text, transact};
use crate::read::{self, Cause};

/// The partition of locks; nobody's.
const LOCKS: &str = "TASKS";
/// Sort key prefix of locks.
const OF_TENANT: &str = "tenants/";
/// Prefix of the partition of a task, and of the sort key by which it is listed.
const TASK: &str = "TASK#";
/// The attribute that counts the writes of a task.
const WRITES: &str = "version";
/// The attribute that names a task.
const TASK_ID: &str = "task_id";

/// Tasks in the `tenancy` table.
#[derive(Debug, Clone)]
pub struct Tasks {
    client: Client,
    table: String,
}

impl Tasks {
    /// The tasks in the table of that name.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    async fn read(&self, task_id: &str) -> Result<Option<Task>, Cause> {
        // One item: its kind, which is its sort key, is not known here.
        let found = read::items(&self.client, &self.table, &format!("{TASK}{task_id}"), "").await?;
        Ok(found.into_iter().next().map(serde_dynamo::from_item).transpose()?)
    }

    async fn lock(&self, tenant_id: &TenantId) -> Result<Option<String>, Cause> {
        let lock = read::item(&self.client, &self.table, lock_key(tenant_id)).await?;
        Ok(lock.and_then(|lock| text(&lock, TASK_ID)))
    }

    async fn read_all(&self, ids: Vec<String>) -> Result<Vec<Task>, Cause> {
        let found = try_join_all(ids.iter().map(|id| self.read(id))).await?;
        Ok(found.into_iter().flatten().collect())
    }

    fn creation(&self, task: &Task, entry: &AuditEntry) -> Result<Vec<TransactWriteItem>, Cause> {
        let id = AttributeValue::S(task.task_id.clone());
        let mut lock = lock_key(&task.tenant_id);
        lock.insert(TASK_ID.to_owned(), id.clone());
        let mut listed = key::key(key::lob(&task.lob_id), format!("{TASK}{}", task.position()));
        listed.insert(TASK_ID.to_owned(), id);
        Ok(vec![
            put_new(&self.table, item_of(task)?)?,
            put_new(&self.table, lock)?,
            put_new(&self.table, listed)?,
            audit_put(&self.table, key::lob(&task.lob_id), entry)?,
        ])
    }

    fn next_write(
        &self,
        task: &Task,
        entry: Option<&AuditEntry>,
    ) -> Result<Vec<TransactWriteItem>, Cause> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item_of(task)?))
            .condition_expression("#version = :before")
            .expression_attribute_names("#version", WRITES)
            .expression_attribute_values(":before", number(task.version.saturating_sub(1)))
            .build()?;
        let mut writes = vec![TransactWriteItem::builder().put(put).build()];
        if task.is_over() {
            let delete = Delete::builder()
                .table_name(&self.table)
                .set_key(Some(lock_key(&task.tenant_id)))
                // Whatever happened to its own lock, it takes no other task's.
                .condition_expression("attribute_not_exists(PK) OR #task = :task")
                .expression_attribute_names("#task", TASK_ID)
                .expression_attribute_values(":task", AttributeValue::S(task.task_id.clone()))
                .build()?;
            writes.push(TransactWriteItem::builder().delete(delete).build());
        }
        if let Some(entry) = entry {
            writes.push(audit_put(&self.table, key::lob(&task.lob_id), entry)?);
        }
        Ok(writes)
    }

    async fn listed(
        &self,
        lob_id: &LobId,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Task>, Cause> {
        // `~` is behind every digit.
        let until = format!("{TASK}{}", before.unwrap_or("~"));
        let range = (TASK, until.clone());
        let query = read::latest(&self.client, &self.table, key::lob(lob_id), range);
        let mut pages = query.consistent_read(true).into_paginator().items().send();
        let mut tasks = Vec::new();
        while tasks.len() < limit {
            let mut ids = Vec::new();
            let mut has_more = true;
            while has_more && ids.len() < limit - tasks.len() {
                match pages.next().await {
                    // `BETWEEN` includes where the page before ended.
                    Some(item) => {
                        let item = item?;
                        let is_later = text(&item, key::SK).is_some_and(|sk| sk != until);
                        ids.extend(text(&item, TASK_ID).filter(|_| is_later));
                    }
                    None => has_more = false,
                }
            }
            // What a tenant that is gone was made by is not there any more.
            tasks.extend(self.read_all(ids).await?);
            if !has_more {
                break;
            }
        }
        Ok(tasks)
    }
}

fn lock_key(tenant_id: &TenantId) -> key::Key {
    key::key(LOCKS.to_owned(), format!("{OF_TENANT}{tenant_id}"))
}

fn item_of(task: &Task) -> Result<Item, Cause> {
    let kind = match task.kind {
        Kind::Onboard => "ONBOARD",
        Kind::Offboard => "OFFBOARD",
        Kind::Move => "MOVE",
    };
    let mut item: Item = serde_dynamo::to_item(task)?;
    item.extend(key::key(format!("{TASK}{}", task.task_id), kind.to_owned()));
    Ok(item)
}

impl TaskStore for Tasks {
    async fn create(&self, task: &Task, entry: &AuditEntry) -> Result<Created, StoreError> {
        let operation = "begin a task";
        let error = |cause: Cause| store_error(operation, &task.task_id, cause);
        let writes = self.creation(task, entry).map_err(error)?;
        if transact(&self.client, operation, &task.task_id, writes).await? {
            return Ok(Created::New);
        }
        if let Some(found) = self.read(&task.task_id).await.map_err(error)? {
            return Ok(Created::Existing(Box::new(found)));
        }
        match self.lock(&task.tenant_id).await.map_err(error)? {
            Some(other) => Ok(Created::Busy(other)),
            // It ended at this moment.
            None => Err(store_error(operation, &task.task_id, "others were writing")),
        }
    }

    async fn task(&self, task_id: &str) -> Result<Option<Task>, StoreError> {
        let found = Box::pin(self.read(task_id)).await;
        found.map_err(|cause| store_error("read a task", task_id, cause))
    }

    async fn save(&self, task: &Task, entry: Option<&AuditEntry>) -> Result<bool, StoreError> {
        let operation = "write a task";
        let writes = self.next_write(task, entry);
        let writes = writes.map_err(|cause| store_error(operation, &task.task_id, cause))?;
        transact(&self.client, operation, &task.task_id, writes).await
    }

    async fn open(&self) -> Result<Vec<Task>, StoreError> {
        let error = |cause: Cause| store_error("list tasks", LOCKS, cause);
        let locks = read::items(&self.client, &self.table, LOCKS, OF_TENANT).await;
        let ids = locks.map_err(error)?.into_iter().filter_map(|lock| text(&lock, TASK_ID));
        self.read_all(ids.collect()).await.map_err(error)
    }

    async fn tasks_of(
        &self,
        lob_id: &LobId,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError> {
        let found = Box::pin(self.listed(lob_id, before, limit)).await;
        found.map_err(|cause| store_error("list the tasks of", lob_id, cause))
    }
}

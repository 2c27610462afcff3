//! Models and aliases as administrators see and change them.
//!
//! An entry is the item that the hot path reads (`CATALOG` / `MODEL#<id>`, `ALIAS#<name>`), with its version
//! in it. How it was is beside the catalogue, which every instance reads whole: `MODEL#<id>` /
//! `VERSION#<version>`, and what was told of a model's end under `TOLD`. Audit entries are in the partition of
//! the organisation.

use ::registry::{Change, Entry, Kind, RegistryStore, Removal, Told, Versioned};
use admission::StoreError;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::builders::PutBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem};
use serde::{Deserialize, Serialize};
use tenancy::ModelId;

use crate::key;
use crate::ledger::store_error;
use crate::limit_writes::{Item, audit_put, number, transact};
use crate::read::{self, Cause};

/// The attribute that counts the changes of an entry; what was seeded has none.
const VERSION: &str = "version";

/// What was told of a model's end, as an item. It stays when there is no end any more: nobody may delete what
/// is of a model.
#[derive(Debug, Serialize, Deserialize)]
struct ToldItem {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    told: Option<Told>,
}

/// The registry in the `tenancy` table.
#[derive(Debug, Clone)]
pub struct Registry {
    client: Client,
    table: String,
}

impl Registry {
    /// The registry in the table of that name.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    async fn read<E: Entry>(&self, id: &ModelId) -> Result<Option<Versioned<E>>, Cause> {
        let found = read::item(&self.client, &self.table, entry_key::<E>(id)).await?;
        Ok(found.map(serde_dynamo::from_item).transpose()?)
    }

    async fn read_all<E: Entry>(&self) -> Result<Vec<Versioned<E>>, Cause> {
        let items = read::items(&self.client, &self.table, key::CATALOG, prefix::<E>()).await?;
        // One that makes no sense takes the others down nowhere: the hot path passes it over as well.
        Ok(items.into_iter().filter_map(|item| serde_dynamo::from_item(item).ok()).collect())
    }

    async fn read_versions<E: Entry>(
        &self,
        id: &ModelId,
        before: u64,
        limit: usize,
    ) -> Result<Vec<Versioned<E>>, Cause> {
        let Some(last) = before.checked_sub(1) else { return Ok(Vec::new()) };
        let until = format!("{}{last:012}", key::VERSION_OF);
        let (pk, range) = (format!("{}{id}", prefix::<E>()), (key::VERSION_OF, until));
        let query = read::latest(&self.client, &self.table, pk, range);
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let answer = query.consistent_read(true).limit(limit).send().await?;
        let items: Vec<Item> = answer.items.unwrap_or_default();
        Ok(items.into_iter().map(serde_dynamo::from_item).collect::<Result<_, _>>()?)
    }

    async fn read_told(&self, id: &ModelId) -> Result<Option<Told>, Cause> {
        let found: Option<ToldItem> = read::value(&self.client, &self.table, told_key(id)).await?;
        Ok(found.and_then(|found| found.told))
    }

    async fn write_told(&self, id: &ModelId, told: Option<&Told>) -> Result<(), Cause> {
        let mut item: Item = serde_dynamo::to_item(ToldItem { told: told.cloned() })?;
        item.extend(told_key(id));
        self.client.put_item().table_name(&self.table).set_item(Some(item)).send().await?;
        Ok(())
    }

    fn put<E: Entry>(&self, key: key::Key, version: &Versioned<E>) -> Result<PutBuilder, Cause> {
        let mut item: Item = serde_dynamo::to_item(version)?;
        item.extend(key);
        Ok(Put::builder().table_name(&self.table).set_item(Some(item)))
    }

    fn version_put<E: Entry>(&self, version: &Versioned<E>) -> Result<TransactWriteItem, Cause> {
        let id = version.entry.id();
        let name = format!("{}{:012}", key::VERSION_OF, version.version);
        let put = self.put(key::key(format!("{}{id}", prefix::<E>()), name), version)?.build()?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    fn writes<E: Entry>(&self, change: &Change<E>) -> Result<Vec<TransactWriteItem>, Cause> {
        let entry = self.put(entry_key::<E>(change.after.entry.id()), &change.after)?;
        let entry = match &change.before {
            None => entry.condition_expression("attribute_not_exists(PK)"),
            Some(before) => {
                let (condition, value) = is_still(before);
                entry
                    .condition_expression(condition)
                    .expression_attribute_names("#version", VERSION)
                    .expression_attribute_values(":before", value)
            }
        };
        let mut writes = vec![
            TransactWriteItem::builder().put(entry.build()?).build(),
            audit_put(&self.table, key::ORG.to_owned(), &change.audit)?,
        ];
        // What was seeded has no version of its own yet; and who seeds again begins to count anew.
        for version in change.before.iter().chain([&change.after]) {
            writes.push(self.version_put(version)?);
        }
        Ok(writes)
    }

    fn removal<E: Entry>(&self, removal: &Removal<E>) -> Result<Vec<TransactWriteItem>, Cause> {
        let before = &removal.before;
        let (condition, value) = is_still(before);
        let delete = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(entry_key::<E>(before.entry.id())))
            .condition_expression(condition)
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_values(":before", value)
            .build()?;
        Ok(vec![
            TransactWriteItem::builder().delete(delete).build(),
            audit_put(&self.table, key::ORG.to_owned(), &removal.audit)?,
            self.version_put(before)?,
        ])
    }
}

/// That an entry is in this version.
fn is_still<E>(before: &Versioned<E>) -> (&'static str, AttributeValue) {
    let condition = match before.version {
        0 => "attribute_exists(PK) AND (attribute_not_exists(#version) OR #version = :before)",
        _ => "#version = :before",
    };
    (condition, number(before.version))
}

/// How keys of a kind begin: in the catalogue, and of the partitions of versions.
fn prefix<E: Entry>() -> &'static str {
    match E::KIND {
        Kind::Model => key::MODEL,
        Kind::Alias => key::ALIAS,
    }
}

fn entry_key<E: Entry>(id: &ModelId) -> key::Key {
    key::key(key::CATALOG.to_owned(), format!("{}{id}", prefix::<E>()))
}

fn told_key(id: &ModelId) -> key::Key {
    key::key(format!("{}{id}", key::MODEL), "TOLD".to_owned())
}

impl RegistryStore for Registry {
    async fn entries<E: Entry>(&self) -> Result<Vec<Versioned<E>>, StoreError> {
        let found = Box::pin(self.read_all()).await;
        found.map_err(|cause| store_error("list", E::KIND.path(), cause))
    }

    async fn entry<E: Entry>(&self, id: &ModelId) -> Result<Option<Versioned<E>>, StoreError> {
        let found = Box::pin(self.read(id)).await;
        found.map_err(|cause| store_error("read an entry", id, cause))
    }

    async fn versions<E: Entry>(
        &self,
        id: &ModelId,
        before: u64,
        limit: usize,
    ) -> Result<Vec<Versioned<E>>, StoreError> {
        let found = Box::pin(self.read_versions(id, before, limit)).await;
        found.map_err(|cause| store_error("read versions of an entry", id, cause))
    }

    async fn change<E: Entry>(&self, change: &Change<E>) -> Result<bool, StoreError> {
        let (operation, id) = ("change an entry", change.after.entry.id());
        let writes = self.writes(change).map_err(|cause| store_error(operation, id, cause))?;
        transact(&self.client, operation, id, writes).await
    }

    async fn remove<E: Entry>(&self, removal: &Removal<E>) -> Result<bool, StoreError> {
        let (operation, id) = ("take an entry away", removal.before.entry.id());
        let writes = self.removal(removal).map_err(|cause| store_error(operation, id, cause))?;
        transact(&self.client, operation, id, writes).await
    }

    async fn told(&self, id: &ModelId) -> Result<Option<Told>, StoreError> {
        let found = Box::pin(self.read_told(id)).await;
        found.map_err(|cause| store_error("read what was told of a model", id, cause))
    }

    async fn put_told(&self, id: &ModelId, told: Option<&Told>) -> Result<(), StoreError> {
        let done = Box::pin(self.write_told(id, told)).await;
        done.map_err(|cause| store_error("note what was told of a model", id, cause))
    }
}

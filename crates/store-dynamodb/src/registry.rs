//! Models as administrators see and change them.
//!
//! An entry is the item that the hot path reads (`CATALOG` / `MODEL#<id>`), with its version in it. How it
//! was is beside the catalogue, which every instance reads whole: `MODEL#<id>` / `VERSION#<version>`. Audit
//! entries are in the partition of the organisation.

use ::registry::{Change, RegistryStore, Versioned};
use admission::StoreError;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use tenancy::ModelId;

use crate::key;
use crate::ledger::store_error;
use crate::limit_writes::{Item, audit_put, number, transact};
use crate::read::{self, Cause};

/// The attribute that counts the changes of an entry; what was seeded has none.
const VERSION: &str = "version";

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

    async fn read(&self, id: &ModelId) -> Result<Option<Versioned>, Cause> {
        let found = read::item(&self.client, &self.table, entry_key(id)).await?;
        Ok(found.map(serde_dynamo::from_item).transpose()?)
    }

    async fn read_all(&self) -> Result<Vec<Versioned>, Cause> {
        let items = read::items(&self.client, &self.table, key::CATALOG, key::MODEL).await?;
        // One that makes no sense takes the others down nowhere: the hot path passes it over as well.
        Ok(items.into_iter().filter_map(|item| serde_dynamo::from_item(item).ok()).collect())
    }

    async fn read_versions(
        &self,
        id: &ModelId,
        before: u64,
        limit: usize,
    ) -> Result<Vec<Versioned>, Cause> {
        let Some(last) = before.checked_sub(1) else { return Ok(Vec::new()) };
        let until = format!("{}{last:012}", key::VERSION_OF);
        let (pk, range) = (format!("{}{id}", key::MODEL), (key::VERSION_OF, until));
        let query = read::latest(&self.client, &self.table, pk, range);
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let answer = query.consistent_read(true).limit(limit).send().await?;
        let items: Vec<Item> = answer.items.unwrap_or_default();
        Ok(items.into_iter().map(serde_dynamo::from_item).collect::<Result<_, _>>()?)
    }

    fn writes(&self, change: &Change) -> Result<Vec<TransactWriteItem>, Cause> {
        let id = &change.after.entry.model.id;
        let put = |key: key::Key, version: &Versioned| -> Result<_, Cause> {
            let mut item: Item = serde_dynamo::to_item(version)?;
            item.extend(key);
            Ok(Put::builder().table_name(&self.table).set_item(Some(item)))
        };
        let entry = put(entry_key(id), &change.after)?;
        let entry = match change.before.as_ref().map(|before| before.version) {
            None => entry.condition_expression("attribute_not_exists(PK)"),
            Some(0) => entry
                .condition_expression(
                    "attribute_exists(PK) AND (attribute_not_exists(#version) OR #version = :before)",
                )
                .expression_attribute_names("#version", VERSION)
                .expression_attribute_values(":before", number(0)),
            Some(before) => entry
                .condition_expression("#version = :before")
                .expression_attribute_names("#version", VERSION)
                .expression_attribute_values(":before", number(before)),
        };
        let mut writes = vec![
            TransactWriteItem::builder().put(entry.build()?).build(),
            audit_put(&self.table, key::ORG.to_owned(), &change.audit)?,
        ];
        // What was seeded has no version of its own yet; and who seeds again begins to count anew.
        for version in change.before.iter().chain([&change.after]) {
            let put = put(version_key(id, version.version), version)?.build()?;
            writes.push(TransactWriteItem::builder().put(put).build());
        }
        Ok(writes)
    }
}

fn entry_key(id: &ModelId) -> key::Key {
    key::key(key::CATALOG.to_owned(), format!("{}{id}", key::MODEL))
}

fn version_key(id: &ModelId, version: u64) -> key::Key {
    key::key(format!("{}{id}", key::MODEL), format!("{}{version:012}", key::VERSION_OF))
}

impl RegistryStore for Registry {
    async fn models(&self) -> Result<Vec<Versioned>, StoreError> {
        let found = Box::pin(self.read_all()).await;
        found.map_err(|cause| store_error("list", "models", cause))
    }

    async fn model(&self, id: &ModelId) -> Result<Option<Versioned>, StoreError> {
        let found = Box::pin(self.read(id)).await;
        found.map_err(|cause| store_error("read the model", id, cause))
    }

    async fn versions(
        &self,
        id: &ModelId,
        before: u64,
        limit: usize,
    ) -> Result<Vec<Versioned>, StoreError> {
        let found = Box::pin(self.read_versions(id, before, limit)).await;
        found.map_err(|cause| store_error("read versions of the model", id, cause))
    }

    async fn change(&self, change: &Change) -> Result<bool, StoreError> {
        let (operation, id) = ("change the model", &change.after.entry.model.id);
        let writes = self.writes(change).map_err(|cause| store_error(operation, id, cause))?;
        transact(&self.client, operation, id, writes).await
    }
}

//! The organisation's own prices as administrators see and change them.
//!
//! Each version is an item of the catalog (`CATALOG` / `PRICE_OVERRIDES#<version>`), where whoever prices
//! calls reads it. `CATALOG` / `PRICE_OVERRIDES` counts their changes, and is written together with each.
//! Audit entries are in the partition of the organisation.

use std::error::Error;

use admission::{OverridesChange, OverridesWrite, PriceOverrideStore, StoreError};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem};
use metering::{AgreedPrices, PriceOverrides};

use crate::key;
use crate::ledger::store_error;
use crate::limit_writes::{Item, audit_put, number, text, transact};
use crate::read::items;

/// Sort key of the item that counts changes.
const COUNT: &str = "PRICE_OVERRIDES";
/// Its attribute.
const REVISION: &str = "revision";
/// What errors are about.
const SUBJECT: &str = "the overrides of prices";

/// Overrides of prices in the `tenancy` table.
#[derive(Debug)]
pub struct PriceOverrideTable {
    client: Client,
    table: String,
}

impl PriceOverrideTable {
    /// The overrides in the table of that name.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    fn writes(
        &self,
        change: &OverridesChange,
    ) -> Result<Vec<TransactWriteItem>, Box<dyn Error + Send + Sync>> {
        let (write, version) = (TransactWriteItem::builder(), change.write.version());
        let write = match &change.write {
            OverridesWrite::Create(overrides) => {
                let put = Put::builder().table_name(&self.table).set_item(Some(item(overrides)?));
                write.put(put.condition_expression("attribute_not_exists(PK)").build()?)
            }
            OverridesWrite::Replace(overrides) => {
                let put = Put::builder().table_name(&self.table).set_item(Some(item(overrides)?));
                write.put(put.condition_expression("attribute_exists(PK)").build()?)
            }
            OverridesWrite::Remove(_) => {
                let delete =
                    Delete::builder().table_name(&self.table).set_key(Some(key_of(version)));
                write.delete(delete.condition_expression("attribute_exists(PK)").build()?)
            }
        };
        let mut count = key::key(key::CATALOG.to_owned(), COUNT.to_owned());
        count.insert(REVISION.to_owned(), number(change.revision.saturating_add(1)));
        let condition = if change.revision == 0 {
            "attribute_not_exists(#revision) OR #revision = :old"
        } else {
            "#revision = :old"
        };
        let count = Put::builder()
            .table_name(&self.table)
            .set_item(Some(count))
            .condition_expression(condition)
            .expression_attribute_names("#revision", REVISION)
            .expression_attribute_values(":old", number(change.revision))
            .build()?;
        Ok(vec![
            write.build(),
            TransactWriteItem::builder().put(count).build(),
            audit_put(&self.table, key::ORG.to_owned(), &change.entry)?,
        ])
    }
}

impl PriceOverrideStore for PriceOverrideTable {
    async fn agreed_prices(&self) -> Result<AgreedPrices, StoreError> {
        let items = items(&self.client, &self.table, key::CATALOG, COUNT).await;
        let items = items.map_err(|error| store_error("read", SUBJECT, error))?;
        let mut agreed = AgreedPrices::default();
        for item in items {
            read(&mut agreed, item).map_err(|error| store_error("read", SUBJECT, error))?;
        }
        Ok(agreed)
    }

    async fn change_prices(&self, change: &OverridesChange) -> Result<bool, StoreError> {
        let writes = self.writes(change);
        let writes = writes.map_err(|error| store_error("change", SUBJECT, error))?;
        transact(&self.client, "change", SUBJECT, writes).await
    }
}

/// Adds what an item says. One that makes no sense is an error, as it is to whoever prices calls.
fn read(agreed: &mut AgreedPrices, item: Item) -> Result<(), Box<dyn Error + Send + Sync>> {
    let sort_key = text(&item, key::SK).unwrap_or_default();
    let Some(version) = sort_key.strip_prefix(key::PRICE_OVERRIDES) else {
        if sort_key == COUNT {
            let revision = item.get(REVISION).and_then(|value| value.as_n().ok());
            agreed.revision = revision.ok_or("the count of changes has no number")?.parse()?;
        }
        return Ok(());
    };
    let overrides: PriceOverrides = serde_dynamo::from_item(item)?;
    if overrides.version != version {
        return Err(format!("`{sort_key}` holds the version `{}`", overrides.version).into());
    }
    agreed.overrides.push(overrides);
    Ok(())
}

fn key_of(version: &str) -> Item {
    key::key(key::CATALOG.to_owned(), format!("{}{version}", key::PRICE_OVERRIDES))
}

/// The item that holds `overrides`. One that would not be read as it was meant stops everybody from reading
/// prices, so it is not written.
fn item(overrides: &PriceOverrides) -> Result<Item, Box<dyn Error + Send + Sync>> {
    let mut item: Item = serde_dynamo::to_item(overrides)?;
    item.extend(key_of(&overrides.version));
    let read: PriceOverrides = serde_dynamo::from_item(item.clone())?;
    if read == *overrides { Ok(item) } else { Err("they would be read as others".into()) }
}

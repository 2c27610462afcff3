//! The writes by which limits change: several items at once, or none.

use std::collections::HashMap;
use std::error::Error;

use admission::{AuditEntry, LimitChange, LimitOwner, RaiseRequest, RequestStatus, StoreError};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{BuildError, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem, Update};

use crate::key;
use crate::ledger::store_error;
use crate::level::Level;
use crate::limits::LimitTables;

/// Attempts of one write when others write the same at that moment.
const MAX_TRIES: u32 = 5;

/// Sort key of the note of unfinished changes.
pub(crate) const CHANGES: &str = "CHANGES";
/// Sort key prefix of audit entries.
pub(crate) const AUDIT: &str = "AUDIT#";
/// Sort key prefix of requests for raises.
pub(crate) const RAISE: &str = "RAISE#";
/// The attribute that counts the changes of a level.
pub(crate) const VERSION: &str = "entitlement_version";

pub(crate) type Item = HashMap<String, AttributeValue>;

/// Something that cannot be made into a write.
type Unwritable = Box<dyn Error + Send + Sync>;

impl LimitTables {
    /// Writes all of `items` or none; whether every condition held.
    pub(crate) async fn write(
        &self,
        operation: &'static str,
        owner: &LimitOwner,
        items: Vec<TransactWriteItem>,
    ) -> Result<bool, StoreError> {
        transact(&self.client, operation, owner, items).await
    }

    pub(crate) fn put(&self, item: Item, condition: &str) -> Result<Put, BuildError> {
        let put = Put::builder().table_name(&self.tenancy).set_item(Some(item));
        put.condition_expression(condition).build()
    }

    pub(crate) fn put_audit(
        &self,
        pk: String,
        entry: &AuditEntry,
    ) -> Result<TransactWriteItem, Unwritable> {
        audit_put(&self.tenancy, pk, entry)
    }

    /// Writes a request as it was decided, if nobody decided it before.
    pub(crate) fn put_decided(
        &self,
        owner: &LimitOwner,
        raise: &RaiseRequest,
    ) -> Result<TransactWriteItem, Unwritable> {
        put_decided(&self.tenancy, raise_item(owner, raise)?)
    }

    /// The writes of a change.
    pub(crate) fn writes(
        &self,
        owner: &LimitOwner,
        level: Level,
        change: &LimitChange,
    ) -> Result<Vec<TransactWriteItem>, Unwritable> {
        let version = change.version.saturating_add(1);
        let (attribute, value) = level.with(owner, &change.rules)?;
        let condition = if change.version == 0 {
            "attribute_not_exists(#version) OR #version = :old"
        } else {
            "#version = :old"
        };
        let update = Update::builder()
            .table_name(&self.tenancy)
            .set_key(Some(key::key(partition(owner), key::META.to_owned())))
            .update_expression("SET #limits = :limits, #version = :new")
            .condition_expression(condition)
            .expression_attribute_names("#limits", attribute)
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_values(":limits", value)
            .expression_attribute_values(":old", number(change.version))
            .expression_attribute_values(":new", number(version))
            .build()?;
        let note = Update::builder()
            .table_name(&self.tenancy)
            .set_key(Some(key::key(key::ORG.to_owned(), CHANGES.to_owned())))
            .update_expression("SET #level = :version")
            .expression_attribute_names("#level", owner.level().to_string())
            .expression_attribute_values(":version", number(version))
            .build()?;
        let mut writes = vec![
            TransactWriteItem::builder().update(update).build(),
            TransactWriteItem::builder().update(note).build(),
            self.put_audit(partition(owner), &change.entry)?,
        ];
        if let Some(raise) = &change.granted {
            writes.push(self.put_decided(owner, raise)?);
        }
        Ok(writes)
    }
}

/// Writes all of `items` or none; whether every condition held.
pub(crate) async fn transact(
    client: &Client,
    operation: &'static str,
    subject: &(impl ToString + ?Sized),
    items: Vec<TransactWriteItem>,
) -> Result<bool, StoreError> {
    for attempt in 1..=MAX_TRIES {
        let write = client.transact_write_items().set_transact_items(Some(items.clone()));
        let Err(error) = write.send().await else { return Ok(true) };
        match cancellation(&error) {
            Some(Cancellation::Condition) => return Ok(false),
            Some(Cancellation::Conflict) if attempt < MAX_TRIES => {}
            _ => return Err(store_error(operation, subject, error)),
        }
    }
    Ok(false)
}

/// Puts an item whose key nothing has yet.
pub(crate) fn put_new(table: &str, item: Item) -> Result<TransactWriteItem, Unwritable> {
    let put = Put::builder().table_name(table).set_item(Some(item));
    let put = put.condition_expression("attribute_not_exists(PK)").build()?;
    Ok(TransactWriteItem::builder().put(put).build())
}

/// Puts a request as it was decided over one that nobody decided on.
pub(crate) fn put_decided(table: &str, item: Item) -> Result<TransactWriteItem, Unwritable> {
    let put = Put::builder()
        .table_name(table)
        .set_item(Some(item))
        .condition_expression("#status = :requested")
        .expression_attribute_names("#status", "status")
        .expression_attribute_values(
            ":requested",
            serde_dynamo::to_attribute_value(RequestStatus::Requested)?,
        )
        .build()?;
    Ok(TransactWriteItem::builder().put(put).build())
}

/// Deletes an item whose attribute `name` is `value`.
pub(crate) fn delete_if(
    table: &str,
    key: key::Key,
    name: &str,
    value: &str,
) -> Result<TransactWriteItem, Unwritable> {
    let delete = Delete::builder()
        .table_name(table)
        .set_key(Some(key))
        .condition_expression("#name = :value")
        .expression_attribute_names("#name", name)
        .expression_attribute_values(":value", AttributeValue::S(value.to_owned()))
        .build()?;
    Ok(TransactWriteItem::builder().delete(delete).build())
}

/// Writes an audit entry into the partition `pk` of `table`.
pub(crate) fn audit_put(
    table: &str,
    pk: String,
    entry: &AuditEntry,
) -> Result<TransactWriteItem, Unwritable> {
    let mut item: Item = serde_dynamo::to_item(entry)?;
    item.extend(key::key(pk, format!("{AUDIT}{}", entry.position())));
    put_new(table, item)
}

/// Why nothing of a transaction was written.
enum Cancellation {
    Condition,
    Conflict,
}

fn cancellation(error: &SdkError<TransactWriteItemsError>) -> Option<Cancellation> {
    let TransactWriteItemsError::TransactionCanceledException(cancelled) =
        error.as_service_error()?
    else {
        return None;
    };
    let codes = || cancelled.cancellation_reasons().iter().filter_map(|reason| reason.code());
    if codes().any(|code| code == "ConditionalCheckFailed") {
        Some(Cancellation::Condition)
    } else {
        codes().any(|code| code == "TransactionConflict").then_some(Cancellation::Conflict)
    }
}

/// The partition of the level that holds a list.
pub(crate) fn partition(owner: &LimitOwner) -> String {
    match owner.level() {
        LimitOwner::Lob(id) => key::lob(&id),
        LimitOwner::Tenant(id) => key::tenant(&id),
        _ => key::ORG.to_owned(),
    }
}

pub(crate) fn raise_item(
    owner: &LimitOwner,
    raise: &RaiseRequest,
) -> Result<Item, serde_dynamo::Error> {
    let mut item: Item = serde_dynamo::to_item(raise)?;
    item.extend(key::key(partition(owner), format!("{RAISE}{owner}#{}", raise.id)));
    Ok(item)
}

pub(crate) fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(crate) fn text(item: &Item, name: &str) -> Option<String> {
    item.get(name)?.as_s().ok().cloned()
}

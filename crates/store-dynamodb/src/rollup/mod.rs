//! Rollups in the `ledger` table.
//!
//! A live rollup is added to as the stream delivers records. Streams deliver again, and cut batches
//! differently, but the records of one partition always come in order: so each rollup remembers, for
//! each of the sixteen partitions that a tenant's records are in, the last record that it has counted,
//! and the same write that adds a record moves that on, on condition that it had not been reached yet.
//!
//! A final rollup is computed from the records themselves, when the hour is over, and takes the place of
//! the live one for who reads.

mod aggregation;
mod key;
mod reading;

use std::error::Error;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use metering::{Rollup, RollupError, RollupKey};
use serde::{Deserialize, Serialize};

use crate::key::{Key, PK, SK};

/// The rollups of all tenants, in the ledger's table.
#[derive(Debug, Clone)]
pub struct Rollups {
    client: Client,
    table: String,
}

impl Rollups {
    /// Those in the table of that name.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// All items of a partition whose sort keys are from `first` to `last`, as they are now.
    async fn range(
        &self,
        operation: &'static str,
        partition: &str,
        first: String,
        last: String,
    ) -> Result<Vec<Key>, RollupError> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("#pk = :pk AND #sk BETWEEN :first AND :last")
            .expression_attribute_names("#pk", PK)
            .expression_attribute_names("#sk", SK)
            .expression_attribute_values(":pk", AttributeValue::S(partition.to_owned()))
            .expression_attribute_values(":first", AttributeValue::S(first))
            .expression_attribute_values(":last", AttributeValue::S(last));
        let items = query.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await;
        items.map_err(|error| rollup_error(operation, partition, error))
    }

    /// Goes up by one, whatever is there.
    async fn count_change(
        &self,
        operation: &'static str,
        key: Key,
        parts: Option<Vec<String>>,
    ) -> Result<(), RollupError> {
        let subject = text(&key, PK);
        let mut update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key))
            .expression_attribute_names("#changes", "changes")
            .expression_attribute_values(":one", AttributeValue::N("1".to_owned()));
        update = match parts {
            None => update.update_expression("ADD #changes :one"),
            Some(parts) => update
                .update_expression("ADD #changes :one, #parts :parts")
                .expression_attribute_names("#parts", "parts")
                .expression_attribute_values(":parts", AttributeValue::Ss(parts)),
        };
        let answer = update.send().await;
        answer.map(|_| ()).map_err(|error| rollup_error(operation, &subject, error))
    }
}

/// A rollup as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    rollup_key: RollupKey,
    #[serde(flatten)]
    rollup: Rollup,
}

fn stored(item: Key) -> Result<Stored, RollupError> {
    let subject = format!("{} {}", text(&item, PK), text(&item, SK));
    serde_dynamo::from_item(item).map_err(|error| rollup_error("read the rollup", &subject, error))
}

fn text(item: &Key, name: &str) -> String {
    item.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default()
}

fn count(item: &Key, name: &str) -> u64 {
    let number = item.get(name).and_then(|value| value.as_n().ok());
    number.and_then(|number| number.parse().ok()).unwrap_or_default()
}

fn rollup_error(
    operation: &'static str,
    subject: &(impl ToString + ?Sized),
    source: impl Into<Box<dyn Error + Send + Sync>>,
) -> RollupError {
    RollupError { operation, subject: subject.to_string(), source: source.into() }
}

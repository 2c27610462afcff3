//! What the instances tell each other about targets, in the `ledger` table.
//!
//! One item per target (`PK=HEALTH`, `SK=TARGET#<model id>`), which DynamoDB deletes some time after
//! its moment has passed. It belongs to no tenant, and holds nothing of one.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::AttributeValue;
use routing::{HealthStore, HealthStoreError};
use serde::Deserialize;
use tenancy::ModelId;

use crate::key;

const OPEN_UNTIL: &str = "open_until_ms";

/// How long an item may outlive its moment, in seconds: whoever reads it meanwhile sees that it is over.
const REMAINS_S: i64 = 3_600;

/// The health of targets in one table.
#[derive(Debug)]
pub struct TargetHealth {
    client: Client,
    table: String,
}

/// A target's item.
#[derive(Debug, Deserialize)]
struct Open {
    #[serde(rename = "SK")]
    sort_key: String,
    open_until_ms: i64,
}

impl TargetHealth {
    /// The health in the table of that name.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }
}

fn failed(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> HealthStoreError {
    HealthStoreError { source: source.into() }
}

fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

impl HealthStore for TargetHealth {
    async fn open_targets(&self) -> Result<Vec<(ModelId, i64)>, HealthStoreError> {
        let items = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("#pk = :health")
            .expression_attribute_names("#pk", key::PK)
            .expression_attribute_values(":health", AttributeValue::S(key::HEALTH.to_owned()))
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(failed)?;
        let open = |item| {
            let item: Open = serde_dynamo::from_item(item).ok()?;
            let target = item.sort_key.strip_prefix(key::TARGET)?.parse().ok()?;
            Some((target, item.open_until_ms))
        };
        Ok(items.into_iter().filter_map(open).collect())
    }

    async fn trip(&self, target: &ModelId, until_ms: i64) -> Result<(), HealthStoreError> {
        let expires_at = until_ms.div_euclid(1_000).saturating_add(REMAINS_S);
        let answer = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key::key(key::HEALTH.to_owned(), format!("{}{target}", key::TARGET))))
            .update_expression("SET #until = :until, #expires = :expires")
            .condition_expression("attribute_not_exists(#until) OR #until < :until")
            .expression_attribute_names("#until", OPEN_UNTIL)
            .expression_attribute_names("#expires", "expires_at")
            .expression_attribute_values(":until", number(until_ms))
            .expression_attribute_values(":expires", number(expires_at))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            // Others know of a later moment.
            Err(SdkError::ServiceError(error))
                if error.err().is_conditional_check_failed_exception() =>
            {
                Ok(())
            }
            Err(error) => Err(failed(error)),
        }
    }
}

//! Alerts: one item of the ledger each, under its own id, so that nobody can note it twice.
//!
//! Until it is told, an alert stands in the index that lists meters, under a kind of its own; what was
//! told leaves the index, so that looking for the others costs nothing, however many there were.

use admission::{Alert, AlertOutbox, AlertStore, StoreError};
use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};

use crate::key;
use crate::ledger::{Ledger, store_error};

/// The partition of alerts.
const ALERTS: &str = "ALERTS";
/// The kind of those that are not told yet.
const UNTOLD: &str = "ALERT";
/// For how long an alert is kept: longer than the longest window but a total, which has no other end.
const RETENTION_S: i64 = 400 * 86_400;

/// An alert as it is noted.
#[derive(Debug, Serialize, Deserialize)]
struct AlertItem {
    #[serde(flatten)]
    alert: Alert,
    noted_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
}

impl AlertStore for Ledger {
    async fn claim(&self, alert: &Alert, now_ms: i64) -> Result<bool, StoreError> {
        let id = alert.id();
        // An alert of a total must never come again.
        let expires_at = alert.resets_ms.map(|resets_ms| resets_ms / 1_000 + RETENTION_S);
        let item = AlertItem { alert: alert.clone(), noted_ms: now_ms, expires_at };
        let mut item: key::Key = serde_dynamo::to_item(item)
            .map_err(|error| store_error("note an alert", &id, error))?;
        item.extend(key::key(ALERTS.to_owned(), id.clone()));
        item.insert(key::METER_KIND.to_owned(), AttributeValue::S(UNTOLD.to_owned()));
        self.put_new("note an alert", &id, item).await
    }
}

impl AlertOutbox for Ledger {
    async fn untold(&self) -> Result<Vec<(Alert, i64)>, StoreError> {
        let keys = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(key::METERS_INDEX)
            .key_condition_expression("#kind = :untold")
            .expression_attribute_names("#kind", key::METER_KIND)
            .expression_attribute_values(":untold", AttributeValue::S(UNTOLD.to_owned()))
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| store_error("list alerts", "the ledger", error))?;
        let mut alerts = Vec::new();
        for key in keys {
            let key =
                key.into_iter().filter(|(name, _)| name == key::PK || name == key::SK).collect();
            let answer = self
                .client
                .get_item()
                .table_name(&self.table)
                .set_key(Some(key))
                .consistent_read(true)
                .send()
                .await
                .map_err(|error| store_error("read an alert", "the ledger", error))?;
            // The index is late: it may have been told meanwhile.
            let Some(item) = answer.item.filter(|item| item.contains_key(key::METER_KIND)) else {
                continue;
            };
            let item: AlertItem = serde_dynamo::from_item(item)
                .map_err(|error| store_error("read an alert", "the ledger", error))?;
            alerts.push((item.alert, item.noted_ms));
        }
        Ok(alerts)
    }

    async fn told(&self, alert: &Alert) -> Result<(), StoreError> {
        let id = alert.id();
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key::key(ALERTS.to_owned(), id.clone())))
            .update_expression("REMOVE #kind")
            .condition_expression("attribute_exists(PK)")
            .expression_attribute_names("#kind", key::METER_KIND)
            .send()
            .await
            .map(|_| ())
            .map_err(|error| store_error("note that an alert was told", &id, error))
    }
}

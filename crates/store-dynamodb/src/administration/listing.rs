//! What is listed, page by page.

use std::collections::BTreeSet;

use administration::{TenantPage, TenantsAsked};
use admission::{AuditEntry, StoreError};
use aws_sdk_dynamodb::types::AttributeValue;
use tenancy::{LobId, ModelId, TenantId};

use super::Administration;
use crate::key;
use crate::ledger::store_error;
use crate::limit_writes::{AUDIT, text};
use crate::read;

/// Stands before every character that goes on with an id, and behind the id itself.
const AFTER: char = '!';
/// Stands behind every character of ids and times.
const LAST: char = '~';

impl Administration {
    pub(super) async fn list_lobs(
        &self,
        after: Option<&LobId>,
        limit: usize,
    ) -> Result<Vec<LobId>, StoreError> {
        let prefix = "LOB#";
        let from = after.map_or_else(|| prefix.to_owned(), |id| format!("{prefix}{id}{AFTER}"));
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("#pk = :pk AND #sk BETWEEN :from AND :until")
            .projection_expression("#sk")
            .expression_attribute_names("#pk", key::PK)
            .expression_attribute_names("#sk", key::SK)
            .expression_attribute_values(":pk", AttributeValue::S(key::ORG.to_owned()))
            .expression_attribute_values(":from", AttributeValue::S(from))
            .expression_attribute_values(":until", AttributeValue::S(format!("{prefix}{LAST}")))
            .limit(i32::try_from(limit.saturating_add(1)).unwrap_or(i32::MAX))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| store_error("list lines of business", "the organisation", error))?;
        let items = answer.items.unwrap_or_default();
        let keys = items.iter().filter_map(|item| text(item, key::SK));
        Ok(keys.filter_map(|sk| sk.strip_prefix(prefix)?.parse().ok()).collect())
    }

    pub(super) async fn list_tenants(
        &self,
        asked: &TenantsAsked,
    ) -> Result<TenantPage, StoreError> {
        let prefix = format!("TENANT#{}", asked.prefix);
        let from = match &asked.after {
            Some(after) => format!("TENANT#{after}{AFTER}").max(prefix.clone()),
            None => prefix.clone(),
        };
        let until = format!("{prefix}{LAST}");
        if from > until {
            return Ok(TenantPage::default());
        }
        let wanted = asked.limit.saturating_add(1);
        let mut items = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(key::TENANTS_INDEX)
            .key_condition_expression("#lob = :lob AND #pk BETWEEN :from AND :until")
            .expression_attribute_names("#lob", "lob_id")
            .expression_attribute_names("#pk", key::PK)
            .expression_attribute_values(":lob", AttributeValue::S(asked.lob_id.to_string()))
            .expression_attribute_values(":from", AttributeValue::S(from))
            .expression_attribute_values(":until", AttributeValue::S(until))
            .limit(i32::try_from(wanted).unwrap_or(i32::MAX))
            .into_paginator()
            .items()
            .send();
        let mut tenants: Vec<TenantId> = Vec::new();
        while tenants.len() < wanted {
            let Some(item) = items.next().await else { break };
            let item = item.map_err(|error| store_error("list tenants", &asked.lob_id, error))?;
            let id = text(&item, key::PK).and_then(|pk| pk.strip_prefix("TENANT#")?.parse().ok());
            tenants.extend(id.filter(|id| tenants.last() != Some(id)));
        }
        let has_more = tenants.len() > asked.limit;
        tenants.truncate(asked.limit);
        Ok(TenantPage { tenants, has_more })
    }

    pub(super) async fn list_models(&self) -> Result<BTreeSet<ModelId>, StoreError> {
        let items = self.items("list models", key::CATALOG.to_owned(), key::MODEL).await?;
        let keys = items.iter().filter_map(|item| text(item, key::SK));
        Ok(keys.filter_map(|sk| sk.strip_prefix(key::MODEL)?.parse().ok()).collect())
    }

    pub(super) async fn list_history(
        &self,
        tenant_id: &TenantId,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let until = before.map_or_else(|| format!("{AUDIT}{LAST}"), |it| format!("{AUDIT}{it}"));
        let failed = |error| store_error("read the history", tenant_id, error);
        let range = (AUDIT, until.clone());
        let mut items = read::latest(&self.client, &self.table, key::tenant(tenant_id), range)
            .filter_expression("#subject = :subject OR begins_with(#subject, :below)")
            .expression_attribute_names("#subject", "subject")
            .expression_attribute_values(
                ":subject",
                AttributeValue::S(format!("tenants/{tenant_id}")),
            )
            .expression_attribute_values(
                ":below",
                AttributeValue::S(format!("tenants/{tenant_id}/")),
            )
            .into_paginator()
            .items()
            .send();
        let mut entries = Vec::new();
        while entries.len() < limit {
            let Some(item) = items.next().await else { break };
            let item = item.map_err(|error| store_error("read the history", tenant_id, error))?;
            // `BETWEEN` includes where the page before ended.
            if text(&item, key::SK).as_deref() != Some(until.as_str()) {
                entries.push(serde_dynamo::from_item(item).map_err(failed)?);
            }
        }
        Ok(entries)
    }
}

//! Who is to be billed, and for which records.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use billing::Span;
use billing::port::{Accounts, BillingStoreError, TenantAccount, UsageSource};
use metering::{AggregationStore as _, Granularity, UsagePeriod, UsageRecord};
use tenancy::{LobId, TenantId};

use super::{BillingBooks, Cause, error};
use crate::key::{self, Key};
use crate::rollup::Rollups;

impl BillingBooks {
    /// Keys of items of the `tenancy` table; of an index, if one is named.
    async fn keys(
        &self,
        index: Option<&str>,
        owner: (&str, String),
        other: (&str, &str),
    ) -> Result<Vec<String>, BillingStoreError> {
        let items = self
            .client
            .query()
            .table_name(&self.tenancy)
            .set_index_name(index.map(str::to_owned))
            .key_condition_expression("#owner = :owner AND begins_with(#other, :prefix)")
            .expression_attribute_names("#owner", owner.0)
            .expression_attribute_names("#other", other.0)
            .expression_attribute_values(":owner", AttributeValue::S(owner.1.clone()))
            .expression_attribute_values(":prefix", AttributeValue::S(other.1.to_owned()))
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|cause| error("list accounts of", &owner.1, cause))?;
        let id = |item: Key| {
            let text = item.get(other.0)?.as_s().ok()?;
            text.strip_prefix(other.1).map(str::to_owned)
        };
        Ok(items.into_iter().filter_map(id).collect())
    }
}

impl Accounts for BillingBooks {
    async fn tenants(&self, span: &Span) -> Result<Vec<TenantAccount>, BillingStoreError> {
        let mut tenants: BTreeMap<TenantId, Option<LobId>> = BTreeMap::new();
        // Who was off-boarded since is known by its usage, which is summed by months of UTC.
        let rollups = Rollups::new(self.client.clone(), self.ledger.clone());
        for moment_ms in [span.start_ms, span.end_ms - 1] {
            let month = UsagePeriod::containing(Granularity::Month, moment_ms);
            let marks = rollups.marks(month).await;
            let marks = marks.map_err(|cause| error("list tenants of", &month, cause))?;
            tenants.extend(marks.into_iter().map(|mark| (mark.tenant_id, None)));
        }
        for lob_id in self.lobs().await? {
            let owner = ("lob_id", lob_id.to_string());
            let ids = self.keys(Some(key::TENANTS_INDEX), owner, (key::PK, "TENANT#")).await?;
            let ids = ids.into_iter().filter_map(|id| id.parse().ok());
            tenants.extend(ids.map(|id| (id, Some(lob_id.clone()))));
        }
        let account = |(tenant_id, lob_id)| TenantAccount { tenant_id, lob_id };
        Ok(tenants.into_iter().map(account).collect())
    }

    async fn lobs(&self) -> Result<Vec<LobId>, BillingStoreError> {
        let ids = self.keys(None, (key::PK, key::ORG.to_owned()), (key::SK, "LOB#")).await?;
        let mut lobs: Vec<LobId> = ids.into_iter().filter_map(|id| id.parse().ok()).collect();
        lobs.sort();
        lobs.dedup();
        Ok(lobs)
    }
}

impl UsageSource for BillingBooks {
    async fn records(
        &self,
        tenant_id: &TenantId,
        span: &Span,
        take: &mut (dyn FnMut(UsageRecord) + Send),
    ) -> Result<(), BillingStoreError> {
        // A call's id begins with its time; no id is as short as the bound, so the end is not in it.
        let bound = |ms: i64| AttributeValue::S(format!("USAGE#{ms:012x}"));
        for bucket in key::BUCKETS.chars() {
            let mut pages = self
                .client
                .query()
                .table_name(&self.ledger)
                .key_condition_expression("#pk = :pk AND #sk BETWEEN :start AND :end")
                .expression_attribute_names("#pk", key::PK)
                .expression_attribute_names("#sk", key::SK)
                .expression_attribute_values(
                    ":pk",
                    AttributeValue::S(key::usage_partition(tenant_id, bucket)),
                )
                .expression_attribute_values(":start", bound(span.start_ms))
                .expression_attribute_values(":end", bound(span.end_ms))
                .consistent_read(true)
                .into_paginator()
                .items()
                .send();
            while let Some(item) = pages.next().await {
                let failed = |cause: Cause| error("read records of", tenant_id, cause);
                let item = item.map_err(|cause| failed(cause.into()))?;
                let record = serde_dynamo::from_item(item);
                take(record.map_err(|cause| failed(cause.into()))?);
            }
        }
        Ok(())
    }
}

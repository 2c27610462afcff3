//! Who is to be billed, and for which records.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use billing::Span;
use billing::port::{Accounts, BillingStoreError, TenantAccount, UsageSource};
use metering::{AggregationStore as _, Granularity, UsagePeriod, UsageRecord};
use tenancy::{LobId, TenantId};

use super::{BillingBooks, Cause, error};
use crate::key::{self, Key};
use crate::limit_writes::text;
use crate::read;
use crate::rollup::Rollups;

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
            let ids = read::tenants(&self.client, &self.tenancy, &lob_id).await;
            let ids = ids.map_err(|cause| error("list accounts of", &lob_id, cause))?;
            tenants.extend(ids.into_iter().map(|id| (id, Some(lob_id.clone()))));
        }
        let account = |(tenant_id, lob_id)| TenantAccount { tenant_id, lob_id };
        Ok(tenants.into_iter().map(account).collect())
    }

    async fn lobs(&self) -> Result<Vec<LobId>, BillingStoreError> {
        let items = read::items(&self.client, &self.tenancy, key::ORG, "LOB#").await;
        let items = items.map_err(|cause| error("list accounts of", key::ORG, cause))?;
        let id = |item: Key| text(&item, key::SK)?.strip_prefix("LOB#")?.parse().ok();
        let mut lobs: Vec<LobId> = items.into_iter().filter_map(id).collect();
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

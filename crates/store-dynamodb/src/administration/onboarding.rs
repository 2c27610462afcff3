//! What only tasks do to a tenant: its limits are set as a whole, and one that was never served goes.

use admission::{
    AuditEntry, LimitChange, LimitOwner, LimitRule, LimitStore as _, MeterRef, ModelSelector,
    Scope, Shard, StoreError,
};
use aws_sdk_dynamodb::types::{AttributeValue, Delete, TransactWriteItem, Update};
use orchestration::{TenantLimits, TenantRemoval};
use tenancy::TenantId;

use super::Administration;
use crate::key;
use crate::ledger::store_error;
use crate::limit_writes::{AUDIT, CHANGES, audit_put, text, transact};
use crate::read::{self, Cause};

impl TenantLimits for Administration {
    async fn set_limits(
        &self,
        tenant_id: &TenantId,
        rules: &[LimitRule],
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let failed = |why: &str| store_error("set limits", tenant_id, why);
        let owner = LimitOwner::Tenant(tenant_id.clone());
        let set = self.limits.limits(&owner).await?.ok_or_else(|| failed("there is no tenant"))?;
        let is_set = set.rules == rules;
        if !is_set {
            let (version, rules) = (set.version, rules.to_vec());
            let change = LimitChange { version, rules, entry: entry.clone(), granted: None };
            if !self.limits.change(&owner, &change).await? {
                return Err(failed("somebody else changed them"));
            }
        }
        // What was cut after the change is done now.
        if !is_set || set.is_changing {
            self.limits.renew(tenant_id, false).await?;
            let version = if is_set { set.version } else { set.version.saturating_add(1) };
            self.limits.finish(&owner, version).await?;
        }
        Ok(())
    }
}

impl TenantRemoval for Administration {
    async fn remove_tenant(
        &self,
        tenant_id: &TenantId,
        reason: &str,
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let operation = "remove a tenant";
        let error = |cause: Cause| store_error(operation, tenant_id, cause);
        let owner = LimitOwner::Tenant(tenant_id.clone());
        let Some(set) = self.limits.limits(&owner).await? else { return Ok(()) };
        let scope = Scope::Tenant(tenant_id.clone());
        let layout = set.layout;
        for number in 0..layout.shards.max(1) {
            let shard = Shard { epoch: layout.epoch, number };
            let (scope, models) = (scope.clone(), ModelSelector::All);
            let partition = key::meter(&MeterRef { scope, models, shard });
            let partition = text(&partition, key::PK).unwrap_or_default();
            self.limits.delete_meters(&partition).await.map_err(error)?;
        }
        let partition = key::tenant(tenant_id);
        let own = read::items(&self.client, &self.table, &partition, "").await.map_err(error)?;
        for item in own {
            let name = text(&item, key::SK).unwrap_or_default();
            // Who did what is kept, and without its item the tenant could not be found again.
            if name != key::META && !name.starts_with(AUDIT) {
                let key = key::key(partition.clone(), name);
                let delete = self.client.delete_item().table_name(&self.table);
                let deleted = delete.set_key(Some(key)).send().await;
                deleted.map_err(|cause| error(cause.into()))?;
            }
        }
        let writes = || -> Result<_, Cause> {
            let delete = Delete::builder()
                .table_name(&self.table)
                .set_key(Some(key::key(partition.clone(), key::META.to_owned())))
                .condition_expression("#suspension.#reason = :reason")
                .expression_attribute_names("#suspension", "suspension")
                .expression_attribute_names("#reason", "reason")
                .expression_attribute_values(":reason", AttributeValue::S(reason.to_owned()))
                .build()?;
            let forget = Update::builder()
                .table_name(&self.table)
                .set_key(Some(key::key(key::ORG.to_owned(), CHANGES.to_owned())))
                .update_expression("REMOVE #level")
                .expression_attribute_names("#level", owner.level().to_string())
                .build()?;
            Ok(vec![
                TransactWriteItem::builder().delete(delete).build(),
                TransactWriteItem::builder().update(forget).build(),
                audit_put(&self.table, partition.clone(), entry)?,
            ])
        };
        let writes = writes().map_err(error)?;
        // If it is not the one that is meant any more, it stays.
        transact(&self.client, operation, tenant_id, writes).await.map(|_| ())
    }
}

//! Models that tenants ask for, beside what the tenant is (`TENANT#<id>` / `MODELREQUEST#<request>`).

use administration::ModelRequest;
use admission::{AuditEntry, RequestStatus, StoreError};
use aws_sdk_dynamodb::types::{ConditionCheck, TransactWriteItem};
use tenancy::TenantId;

use super::{Administration, Unwritable};
use crate::key;
use crate::limit_writes::{Item, audit_put, put_decided};

impl Administration {
    pub(super) async fn list_model_requests(
        &self,
        tenant_id: &TenantId,
    ) -> Result<Vec<ModelRequest>, StoreError> {
        let mut found: Vec<ModelRequest> =
            self.listed(key::tenant(tenant_id), key::MODEL_REQUEST).await?;
        found.reverse();
        Ok(found)
    }

    pub(super) async fn write_model_request(
        &self,
        tenant_id: &TenantId,
        request: &ModelRequest,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let writes = || -> Result<_, Unwritable> {
            // Or what asks for a tenant that is being taken away would be left of it.
            let is_there = ConditionCheck::builder()
                .table_name(&self.table)
                .set_key(Some(key::key(key::tenant(tenant_id), key::META.to_owned())))
                .condition_expression("attribute_exists(PK)")
                .build()?;
            Ok(vec![
                TransactWriteItem::builder().condition_check(is_there).build(),
                self.put_request(tenant_id, request)?,
                audit_put(&self.table, key::tenant(tenant_id), entry)?,
            ])
        };
        self.write("write a request for a model", tenant_id, writes()).await
    }

    /// Puts a request: one that is new, or one that was decided over one that was not.
    pub(super) fn put_request(
        &self,
        tenant_id: &TenantId,
        request: &ModelRequest,
    ) -> Result<TransactWriteItem, Unwritable> {
        let mut item: Item = serde_dynamo::to_item(request)?;
        let name = format!("{}{}", key::MODEL_REQUEST, request.id);
        item.extend(key::key(key::tenant(tenant_id), name));
        match request.status {
            RequestStatus::Requested => self.put_new(item),
            RequestStatus::Approved | RequestStatus::Rejected => put_decided(&self.table, item),
        }
    }
}

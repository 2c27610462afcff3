//! Notes of what was begun.

use administration::Unfinished;
use admission::{AuditEntry, StoreError};
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use tenancy::TenantId;

use super::levels::{note_item, note_key};
use super::{Administration, Unwritable};
use crate::key;
use crate::ledger::store_error;
use crate::limit_writes::{audit_put, text, transact};

impl Administration {
    pub(super) async fn note_task(
        &self,
        tenant_id: &TenantId,
        unfinished: &Unfinished,
        entry: Option<&AuditEntry>,
    ) -> Result<bool, StoreError> {
        let operation = "note a task";
        let writes = || -> Result<Vec<TransactWriteItem>, Unwritable> {
            let mut writes = vec![self.put_new(note_item(unfinished)?)?];
            if let Some(entry) = entry {
                writes.push(audit_put(&self.table, key::tenant(tenant_id), entry)?);
            }
            Ok(writes)
        };
        let writes = writes().map_err(|error| store_error(operation, tenant_id, error))?;
        transact(&self.client, operation, tenant_id, writes).await
    }

    pub(super) async fn forget_task(&self, unfinished: &Unfinished) -> Result<(), StoreError> {
        let answer = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(note_key(unfinished)))
            .condition_expression("#id = :id")
            .expression_attribute_names("#id", "id")
            .expression_attribute_values(":id", AttributeValue::S(unfinished.id.clone()))
            .send()
            .await;
        match answer {
            // It is gone, or a newer one stands there.
            Err(error) if is_refused(&error) => Ok(()),
            Err(error) => Err(store_error("forget a task", &unfinished.task.subject(), error)),
            Ok(_) => Ok(()),
        }
    }

    pub(super) async fn list_tasks(&self) -> Result<Vec<Unfinished>, StoreError> {
        let pk = key::UNFINISHED.to_owned();
        let mut items = self.items("list tasks", pk.clone(), "tenants/").await?;
        items.extend(self.items("list tasks", pk, "lobs/").await?);
        let mut tasks = Vec::new();
        for item in items {
            let subject = text(&item, key::SK).unwrap_or_default();
            match serde_dynamo::from_item(item) {
                Ok(task) => tasks.push(task),
                // One that cannot be read is not to hold up all others.
                Err(error) => tracing::error!(subject, %error, "a note of a task cannot be read"),
            }
        }
        Ok(tasks)
    }
}

fn is_refused(error: &SdkError<DeleteItemError>) -> bool {
    error.as_service_error().is_some_and(DeleteItemError::is_conditional_check_failed_exception)
}

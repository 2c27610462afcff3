//! Lines of business, tenants and their machine callers as administrators see and change them.
//!
//! A tenant or line of business is one item (`TENANT#<id>` / `META`), which limits are part of and which
//! counts every change in `entitlement_version`. How its document was stands beside it
//! (`VERSION#<n>`), as do audit entries. A machine client or AWS role is found by its own key
//! (`CLIENT#<id>`, `AWSROLE#<account>:<name>`) and listed under `CALLERS#<tenant>`. What was begun and
//! has to be finished is noted under `UNFINISHED`, by what it is about.

mod callers;
mod issuers;
mod levels;
mod listing;
mod model_requests;
mod notes;
#[cfg(feature = "orchestration")]
mod onboarding;

#[cfg(feature = "scim")]
pub(crate) use levels::{note_item, note_key};

use std::collections::BTreeSet;
use std::error::Error;

use administration::{
    AdministrationStore, LobChange, LobState, MachineClient, ModelRequest, RegisteredIssuer,
    TenantChange, TenantPage, TenantState, TenantsAsked, Unfinished, Version,
};
use admission::{AuditEntry, LimitStore as _, StoreError};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use serde::de::DeserializeOwned;
use tenancy::{AwsRole, LobId, ModelId, TenantId};

use crate::LimitTables;
use crate::key;
use crate::ledger::{Ledger, store_error};
use crate::limit_writes::{Item, delete_if, put_new};
use crate::read;

/// Something that cannot be made into a write.
type Unwritable = Box<dyn Error + Send + Sync>;

/// Tenants and their callers in the `tenancy` table, with the meters that have to know of changes.
#[derive(Debug)]
pub struct Administration {
    client: Client,
    table: String,
    limits: LimitTables,
}

impl Administration {
    /// Tenants in the table of that name, with the meters of `ledger`.
    pub fn new(client: Client, table: String, ledger: Ledger) -> Self {
        let limits = LimitTables::new(client.clone(), table.clone(), ledger);
        Self { client, table, limits }
    }

    /// An item as it is now.
    async fn get<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        key: key::Key,
    ) -> Result<Option<T>, StoreError> {
        let subject = format!("{:?}", key.get(key::PK));
        let found = read::value(&self.client, &self.table, key).await;
        found.map_err(|error| store_error(operation, &subject, error))
    }

    /// The items of a partition whose sort keys begin with `prefix`, which is not empty.
    async fn items(
        &self,
        operation: &'static str,
        pk: String,
        prefix: &str,
    ) -> Result<Vec<Item>, StoreError> {
        let found = read::items(&self.client, &self.table, &pk, prefix).await;
        found.map_err(|error| store_error(operation, &pk, error))
    }

    fn put(&self, item: Item) -> Result<TransactWriteItem, Unwritable> {
        let put = Put::builder().table_name(&self.table).set_item(Some(item)).build()?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    fn put_new(&self, item: Item) -> Result<TransactWriteItem, Unwritable> {
        put_new(&self.table, item)
    }

    /// Deletes an item whose attribute `name` is `value`.
    fn delete_if(
        &self,
        key: key::Key,
        name: &str,
        value: &str,
    ) -> Result<TransactWriteItem, Unwritable> {
        delete_if(&self.table, key, name, value)
    }
}

impl AdministrationStore for Administration {
    async fn tenant(&self, tenant_id: &TenantId) -> Result<Option<TenantState>, StoreError> {
        Box::pin(self.read_tenant(tenant_id)).await
    }

    async fn lob(&self, lob_id: &LobId) -> Result<Option<LobState>, StoreError> {
        Box::pin(self.read_lob(lob_id)).await
    }

    async fn lobs(&self, after: Option<&LobId>, limit: usize) -> Result<Vec<LobId>, StoreError> {
        Box::pin(self.list_lobs(after, limit)).await
    }

    async fn tenant_page(&self, asked: &TenantsAsked) -> Result<TenantPage, StoreError> {
        Box::pin(self.list_tenants(asked)).await
    }

    async fn tenants_of(&self, lob_id: &LobId) -> Result<Vec<TenantId>, StoreError> {
        self.limits.tenants(lob_id).await
    }

    async fn models(&self) -> Result<BTreeSet<ModelId>, StoreError> {
        Box::pin(self.list_models()).await
    }

    async fn is_retired(&self, tenant_id: &TenantId) -> Result<bool, StoreError> {
        let found = read::item(&self.client, &self.table, key::tombstone(tenant_id)).await;
        let found = found.map_err(|cause| store_error("look for a tombstone", tenant_id, cause));
        Ok(found?.is_some())
    }

    async fn change_tenant(&self, change: &TenantChange) -> Result<bool, StoreError> {
        Box::pin(self.write_tenant(change)).await
    }

    async fn change_lob(&self, change: &LobChange) -> Result<bool, StoreError> {
        Box::pin(self.write_lob(change)).await
    }

    async fn model_requests(&self, tenant_id: &TenantId) -> Result<Vec<ModelRequest>, StoreError> {
        Box::pin(self.list_model_requests(tenant_id)).await
    }

    async fn put_model_request(
        &self,
        tenant_id: &TenantId,
        request: &ModelRequest,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        Box::pin(self.write_model_request(tenant_id, request, entry)).await
    }

    async fn version(
        &self,
        tenant_id: &TenantId,
        version: u64,
    ) -> Result<Option<Version>, StoreError> {
        self.get("read a version", key::version(tenant_id, version)).await
    }

    async fn history(
        &self,
        tenant_id: &TenantId,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        Box::pin(self.list_history(tenant_id, before, limit)).await
    }

    async fn note(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.limits.note(entry).await
    }

    async fn renew(&self, tenant_id: &TenantId, raise: bool) -> Result<(), StoreError> {
        self.limits.renew(tenant_id, raise).await
    }

    async fn begin(
        &self,
        tenant_id: &TenantId,
        unfinished: &Unfinished,
        entry: Option<&AuditEntry>,
    ) -> Result<bool, StoreError> {
        Box::pin(self.note_task(tenant_id, unfinished, entry)).await
    }

    async fn end(&self, unfinished: &Unfinished) -> Result<(), StoreError> {
        Box::pin(self.forget_task(unfinished)).await
    }

    async fn unfinished(&self) -> Result<Vec<Unfinished>, StoreError> {
        Box::pin(self.list_tasks()).await
    }

    async fn clients(&self, tenant_id: &TenantId) -> Result<Vec<MachineClient>, StoreError> {
        Box::pin(self.list_clients(tenant_id)).await
    }

    async fn register_client(
        &self,
        tenant_id: &TenantId,
        issuer: &str,
        client: &MachineClient,
        unfinished: &Unfinished,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        Box::pin(self.write_client(tenant_id, issuer, client, unfinished, entry)).await
    }

    async fn unregister_client(
        &self,
        tenant_id: &TenantId,
        client_id: &str,
        unfinished: &Unfinished,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        Box::pin(self.remove_client(tenant_id, client_id, unfinished, entry)).await
    }

    async fn aws_roles(&self, tenant_id: &TenantId) -> Result<Vec<AwsRole>, StoreError> {
        Box::pin(self.list_aws_roles(tenant_id)).await
    }

    async fn put_aws_role(&self, role: &AwsRole, entry: &AuditEntry) -> Result<bool, StoreError> {
        Box::pin(self.write_aws_role(role, entry)).await
    }

    async fn delete_aws_role(
        &self,
        role: &AwsRole,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        Box::pin(self.remove_aws_role(role, entry)).await
    }

    async fn issuers(&self, owner: Option<&TenantId>) -> Result<Vec<RegisteredIssuer>, StoreError> {
        Box::pin(self.list_issuers(owner)).await
    }

    async fn put_issuer(
        &self,
        issuer: &RegisteredIssuer,
        before: Option<u64>,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        Box::pin(self.write_issuer(issuer, before, entry)).await
    }

    async fn delete_issuer(
        &self,
        issuer: &RegisteredIssuer,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        Box::pin(self.remove_issuer(issuer, entry)).await
    }
}

//! Machine clients and AWS roles: what the authorizer finds, and what is listed for their tenant.

use administration::{MachineClient, Unfinished};
use admission::{AuditEntry, StoreError};
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tenancy::{AwsRole, Role, TenantId};

use super::levels::{note_item, note_key};
use super::{Administration, Unwritable};
use crate::key;
use crate::ledger::store_error;
use crate::limit_writes::{Item, audit_put, transact};

/// A client as the authorizer finds it.
#[derive(Debug, Serialize)]
struct Registration<'a> {
    client_id: &'a str,
    tenant_id: &'a TenantId,
    role: Role,
    issuer: &'a str,
}

impl Administration {
    pub(super) async fn list_clients(
        &self,
        tenant_id: &TenantId,
    ) -> Result<Vec<MachineClient>, StoreError> {
        self.listed(key::callers(tenant_id), key::CLIENT).await
    }

    pub(super) async fn list_aws_roles(
        &self,
        tenant_id: &TenantId,
    ) -> Result<Vec<AwsRole>, StoreError> {
        self.listed(key::callers(tenant_id), key::AWS_ROLE).await
    }

    /// What a partition lists under a prefix.
    pub(super) async fn listed<T: DeserializeOwned>(
        &self,
        partition: String,
        prefix: &str,
    ) -> Result<Vec<T>, StoreError> {
        let operation = "list what belongs to a tenant";
        let items = self.items(operation, partition.clone(), prefix).await?;
        let read = items.into_iter().map(serde_dynamo::from_item).collect::<Result<_, _>>();
        read.map_err(|error| store_error(operation, &partition, error))
    }

    pub(super) async fn write(
        &self,
        operation: &'static str,
        owner: &(impl ToString + ?Sized),
        writes: Result<Vec<TransactWriteItem>, Unwritable>,
    ) -> Result<bool, StoreError> {
        let owner = owner.to_string();
        let writes = writes.map_err(|error| store_error(operation, &owner, error))?;
        transact(&self.client, operation, &owner, writes).await
    }

    pub(super) async fn write_client(
        &self,
        tenant_id: &TenantId,
        issuer: &str,
        client: &MachineClient,
        unfinished: &Unfinished,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let writes = || -> Result<_, Unwritable> {
            let (client_id, role) = (client.client_id.as_str(), client.role);
            let registration = Registration { client_id, tenant_id, role, issuer };
            let mut found: Item = serde_dynamo::to_item(registration)?;
            found.extend(key::key(key::client(client_id), key::META.to_owned()));
            let mut listed: Item = serde_dynamo::to_item(client)?;
            listed.extend(key::key(key::callers(tenant_id), key::client(client_id)));
            Ok(vec![
                self.put_new(found)?,
                self.put(listed)?,
                self.delete_if(note_key(unfinished), "id", &unfinished.id)?,
                audit_put(&self.table, key::tenant(tenant_id), entry)?,
            ])
        };
        self.write("register a client", tenant_id, writes()).await
    }

    pub(super) async fn remove_client(
        &self,
        tenant_id: &TenantId,
        client_id: &str,
        unfinished: &Unfinished,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let writes = || -> Result<_, Unwritable> {
            let found = key::key(key::client(client_id), key::META.to_owned());
            let listed = key::key(key::callers(tenant_id), key::client(client_id));
            Ok(vec![
                self.delete_if(found, "tenant_id", tenant_id.as_str())?,
                self.delete_if(listed, "client_id", client_id)?,
                self.put(note_item(unfinished)?)?,
                audit_put(&self.table, key::tenant(tenant_id), entry)?,
            ])
        };
        self.write("unregister a client", tenant_id, writes()).await
    }

    pub(super) async fn write_aws_role(
        &self,
        role: &AwsRole,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let writes = || -> Result<_, Unwritable> {
            let name = key::aws_role(&role.account_id, &role.role_name);
            let mut found: Item = serde_dynamo::to_item(role)?;
            found.extend(key::key(name.clone(), key::META.to_owned()));
            let mut listed: Item = serde_dynamo::to_item(role)?;
            listed.extend(key::key(key::callers(&role.tenant_id), name));
            let put = Put::builder()
                .table_name(&self.table)
                .set_item(Some(found))
                .condition_expression("attribute_not_exists(PK) OR #tenant = :tenant")
                .expression_attribute_names("#tenant", "tenant_id")
                .expression_attribute_values(
                    ":tenant",
                    AttributeValue::S(role.tenant_id.to_string()),
                )
                .build()?;
            Ok(vec![
                TransactWriteItem::builder().put(put).build(),
                self.put(listed)?,
                audit_put(&self.table, key::tenant(&role.tenant_id), entry)?,
            ])
        };
        self.write("register an AWS role", &role.tenant_id, writes()).await
    }

    pub(super) async fn remove_aws_role(
        &self,
        role: &AwsRole,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let tenant_id = &role.tenant_id;
        let writes = || -> Result<_, Unwritable> {
            let name = key::aws_role(&role.account_id, &role.role_name);
            let found = key::key(name.clone(), key::META.to_owned());
            let listed = key::key(key::callers(tenant_id), name);
            Ok(vec![
                self.delete_if(found, "tenant_id", tenant_id.as_str())?,
                self.delete_if(listed, "tenant_id", tenant_id.as_str())?,
                audit_put(&self.table, key::tenant(tenant_id), entry)?,
            ])
        };
        self.write("unregister an AWS role", tenant_id, writes()).await
    }
}

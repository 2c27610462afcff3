//! The `tenancy` table as the authorizer sees it: who is registered.

use aws_sdk_dynamodb::Client as Sdk;
use serde::Deserialize;
use tenancy::{AwsRole, Client, Directory, Issuer, ReadDirectoryError, TenantId, TenantRecord};

use crate::key;

/// Registrations of issuers, clients, AWS roles and tenants in one table.
#[derive(Debug)]
pub struct DynamoDirectory {
    client: Sdk,
    table: String,
}

impl DynamoDirectory {
    /// The directory in the table of that name.
    pub fn new(client: Sdk, table: String) -> Self {
        Self { client, table }
    }

    /// Reads the named attributes of one item, and no others: the caller's role may be held to them.
    ///
    /// The read is consistent, since API Gateway would keep a refusal based on a stale one for a minute.
    async fn get<T: for<'de> Deserialize<'de>>(
        &self,
        registration: &'static str,
        pk: String,
        attributes: &[&str],
    ) -> Result<Option<T>, ReadDirectoryError> {
        // Placeholders, because `role` and `status` are reserved words.
        let names =
            attributes.iter().map(|name| (format!("#{name}"), (*name).to_owned())).collect();
        let projection: Vec<String> = attributes.iter().map(|name| format!("#{name}")).collect();
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key::key(pk, key::META.to_owned())))
            .projection_expression(projection.join(", "))
            .set_expression_attribute_names(Some(names))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| ReadDirectoryError { registration, source: error.into() })?;
        answer
            .item
            .map(serde_dynamo::from_item)
            .transpose()
            .map_err(|error| ReadDirectoryError { registration, source: error.into() })
    }
}

impl Directory for DynamoDirectory {
    async fn issuer(&self, issuer: &str) -> Result<Option<Issuer>, ReadDirectoryError> {
        let attributes = [
            "issuer",
            "jwks_url",
            "audiences",
            "algorithm",
            "tenant_id",
            "tenant_claim",
            "tenants",
            "role",
            "role_claim",
            "roles",
            "may_grant",
            "required_claims",
            "subject_claim",
        ];
        self.get("issuer", key::issuer(issuer), &attributes).await
    }

    async fn client(&self, client_id: &str) -> Result<Option<Client>, ReadDirectoryError> {
        let attributes = ["client_id", "tenant_id", "issuer", "role"];
        self.get("client", format!("CLIENT#{client_id}"), &attributes).await
    }

    async fn aws_role(
        &self,
        account_id: &str,
        role_name: &str,
    ) -> Result<Option<AwsRole>, ReadDirectoryError> {
        let attributes = ["account_id", "role_name", "role_id", "tenant_id", "role", "status"];
        self.get("AWS role", format!("AWSROLE#{account_id}:{role_name}"), &attributes).await
    }

    async fn tenant(
        &self,
        tenant_id: &TenantId,
    ) -> Result<Option<TenantRecord>, ReadDirectoryError> {
        self.get("tenant", key::tenant(tenant_id), &["lob_id", "status"]).await
    }
}

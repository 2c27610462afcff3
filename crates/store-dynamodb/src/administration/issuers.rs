//! OIDC issuers: what the authorizer finds, and what is listed for who registered it.

use std::collections::HashMap;

use administration::RegisteredIssuer;
use admission::{AuditEntry, StoreError};
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem};
use tenancy::TenantId;

use super::{Administration, Unwritable};
use crate::key;
use crate::limit_writes::{Item, audit_put};

impl Administration {
    pub(super) async fn list_issuers(
        &self,
        owner: Option<&TenantId>,
    ) -> Result<Vec<RegisteredIssuer>, StoreError> {
        self.listed(listing(owner), key::ISSUER).await
    }

    pub(super) async fn write_issuer(
        &self,
        issuer: &RegisteredIssuer,
        before: Option<u64>,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let owner = issuer.issuer.tenant_id.as_ref();
        let writes = || -> Result<_, Unwritable> {
            let name = key::issuer(&issuer.issuer.issuer);
            let mut found: Item = serde_dynamo::to_item(issuer)?;
            found.extend(key::key(name.clone(), key::META.to_owned()));
            let mut listed: Item = serde_dynamo::to_item(issuer)?;
            listed.extend(key::key(listing(owner), name));
            let put = match before {
                None => self.put_new(found)?,
                Some(version) => {
                    let put = Put::builder()
                        .table_name(&self.table)
                        .set_item(Some(found))
                        .condition_expression(condition(owner))
                        .expression_attribute_names("#version", "version")
                        .expression_attribute_names("#tenant", "tenant_id")
                        .set_expression_attribute_values(Some(values(owner, version)));
                    TransactWriteItem::builder().put(put.build()?).build()
                }
            };
            Ok(vec![put, self.put(listed)?, audit_put(&self.table, audited(owner), entry)?])
        };
        self.write("register an issuer", &listing(owner), writes()).await
    }

    pub(super) async fn remove_issuer(
        &self,
        issuer: &RegisteredIssuer,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let owner = issuer.issuer.tenant_id.as_ref();
        let writes = || -> Result<_, Unwritable> {
            let name = key::issuer(&issuer.issuer.issuer);
            let delete = |key| {
                let delete = Delete::builder()
                    .table_name(&self.table)
                    .set_key(Some(key))
                    .condition_expression(condition(owner))
                    .expression_attribute_names("#version", "version")
                    .expression_attribute_names("#tenant", "tenant_id")
                    .set_expression_attribute_values(Some(values(owner, issuer.version)));
                delete.build().map(|it| TransactWriteItem::builder().delete(it).build())
            };
            Ok(vec![
                delete(key::key(name.clone(), key::META.to_owned()))?,
                delete(key::key(listing(owner), name))?,
                audit_put(&self.table, audited(owner), entry)?,
            ])
        };
        self.write("unregister an issuer", &listing(owner), writes()).await
    }
}

/// The partition that lists the issuers of a tenant, or of the organisation.
fn listing(owner: Option<&TenantId>) -> String {
    owner.map_or_else(|| key::ORG.to_owned(), key::callers)
}

/// The partition that their audit entries are in.
fn audited(owner: Option<&TenantId>) -> String {
    owner.map_or_else(|| key::ORG.to_owned(), key::tenant)
}

/// It is the owner's, in a certain version.
fn condition(owner: Option<&TenantId>) -> &'static str {
    match owner {
        Some(_) => "#version = :version AND #tenant = :tenant",
        None => "#version = :version AND attribute_not_exists(#tenant)",
    }
}

fn values(owner: Option<&TenantId>, version: u64) -> HashMap<String, AttributeValue> {
    let mut values: HashMap<_, _> =
        [(":version".to_owned(), AttributeValue::N(version.to_string()))].into();
    if let Some(tenant_id) = owner {
        values.insert(":tenant".to_owned(), AttributeValue::S(tenant_id.to_string()));
    }
    values
}

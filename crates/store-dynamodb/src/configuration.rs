//! The `tenancy` table as the hot path sees it: entitlements and the catalog.

use std::collections::HashMap;
use std::sync::Arc;

use admission::{EntitlementStore, Entitlements, LimitedScope, Limits, Scope, StoreError};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use inference::{Catalog, CatalogStore, Model, ReadCatalogError};
use metering::PriceBook;
use serde::Deserialize;
use tenancy::{LobId, Tenant, TenantContext};

use crate::key;
use crate::ledger::store_error;

/// Entitlements and catalog in one table.
#[derive(Debug)]
pub struct Configuration {
    client: Client,
    table: String,
}

/// A tenant's item.
#[derive(Debug, Deserialize)]
struct TenantItem {
    #[serde(flatten)]
    tenant: Tenant,
    #[serde(default)]
    limits: Limits,
}

/// A line of business' item.
#[derive(Debug, Deserialize)]
struct LobItem {
    lob_id: LobId,
    entitlement_version: u64,
    #[serde(default)]
    limits: Limits,
}

impl Configuration {
    /// The configuration in the table of that name.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    async fn get<T: for<'de> Deserialize<'de>>(&self, pk: String) -> Result<Option<T>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key::key(pk.clone(), key::META.to_owned())))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| store_error("read entitlements", &pk, error))?;
        answer
            .item
            .map(serde_dynamo::from_item)
            .transpose()
            .map_err(|error| store_error("read entitlements", &pk, error))
    }
}

impl EntitlementStore for Configuration {
    async fn entitlements(
        &self,
        context: &TenantContext,
    ) -> Result<Option<Entitlements>, StoreError> {
        let (tenant, lob) = tokio::try_join!(
            self.get::<TenantItem>(key::tenant(&context.tenant_id)),
            self.get::<LobItem>(key::lob(&context.lob_id)),
        )?;
        let (Some(TenantItem { tenant, limits }), Some(lob)) = (tenant, lob) else {
            return Ok(None);
        };
        if tenant.lob_id != lob.lob_id {
            // The tenant moved since its caller was authorised; the next authorisation knows.
            return Ok(None);
        }
        let scopes = vec![
            LimitedScope {
                scope: Scope::Tenant(tenant.tenant_id.clone()),
                limits,
                entitlement_version: tenant.entitlement_version,
            },
            LimitedScope {
                scope: Scope::Lob(lob.lob_id),
                limits: lob.limits,
                entitlement_version: lob.entitlement_version,
            },
        ];
        Ok(Some(Entitlements { tenant, scopes }))
    }
}

impl CatalogStore for Configuration {
    async fn catalog(&self) -> Result<Catalog, ReadCatalogError> {
        let items = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("#pk = :catalog")
            .expression_attribute_names("#pk", key::PK)
            .expression_attribute_values(":catalog", AttributeValue::S(key::CATALOG.to_owned()))
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| ReadCatalogError { source: error.into() })?;
        let mut catalog = Catalog::default();
        for item in items {
            add(&mut catalog, item).map_err(|error| ReadCatalogError { source: error.into() })?;
        }
        Ok(catalog)
    }
}

fn add(
    catalog: &mut Catalog,
    item: HashMap<String, AttributeValue>,
) -> Result<(), serde_dynamo::Error> {
    let sort_key =
        item.get(key::SK).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
    if sort_key.starts_with(key::MODEL) {
        let model: Model = serde_dynamo::from_item(item)?;
        catalog.models.insert(model.id.clone(), Arc::new(model));
    } else if sort_key.starts_with(key::PRICES) {
        let book: PriceBook = serde_dynamo::from_item(item)?;
        catalog.price_books.push(Arc::new(book));
    }
    Ok(())
}

//! The `tenancy` table as the hot path sees it: entitlements and the catalog.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use admission::{EntitlementStore, Entitlements, ScopeLimits, StoreError, TenantLimits};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use inference::{
    Alias, AliasStore, Catalog, CatalogStore, InvalidEntry, Model, ProviderConfig, ReadCatalogError,
};
use metering::{PriceBook, PriceOverrides};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tenancy::{LobId, ModelAllowlist, ModelId, Status, Tenant, TenantContext};

use crate::key;
use crate::ledger::store_error;
use crate::read;

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
    #[serde(flatten)]
    limits: TenantLimits,
}

/// A line of business' item.
#[derive(Debug, Deserialize)]
struct LobItem {
    lob_id: LobId,
    status: Status,
    /// The models that its tenants may call; all, if it does not say.
    #[serde(default)]
    models: Option<ModelAllowlist>,
    #[serde(flatten)]
    limits: ScopeLimits,
}

impl Configuration {
    /// The configuration in the table of that name.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    async fn get<T: DeserializeOwned>(&self, pk: String) -> Result<Option<T>, StoreError> {
        let key = key::key(pk.clone(), key::META.to_owned());
        let found = read::value(&self.client, &self.table, key).await;
        found.map_err(|error| store_error("read entitlements", &pk, error))
    }
}

impl EntitlementStore for Configuration {
    async fn entitlements(
        &self,
        context: &TenantContext,
    ) -> Result<Option<Entitlements>, StoreError> {
        // Boxed, since three of the SDK's futures are large and this one is part of every call's.
        let (tenant, lob, org) = Box::pin(async {
            tokio::try_join!(
                self.get::<TenantItem>(key::tenant(&context.tenant_id)),
                self.get::<LobItem>(key::lob(&context.lob_id)),
                self.get::<ScopeLimits>(key::ORG.to_owned()),
            )
        })
        .await?;
        let (Some(TenantItem { mut tenant, limits }), Some(lob)) = (tenant, lob) else {
            return Ok(None);
        };
        if tenant.lob_id != lob.lob_id {
            // The tenant moved since its caller was authorised; the next authorisation knows.
            return Ok(None);
        }
        // Here and nowhere else, so that whatever asks what the tenant may call reads the same list.
        if let Some(allowed) = &lob.models {
            tenant.models.0.retain(|model| allowed.allows(model));
        }
        Ok(Some(Entitlements {
            tenant,
            lob_status: lob.status,
            limits,
            lob: lob.limits,
            org: org.unwrap_or_default(),
        }))
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

impl AliasStore for Configuration {
    async fn aliases(
        &self,
        context: &TenantContext,
    ) -> Result<BTreeMap<ModelId, Arc<Alias>>, ReadCatalogError> {
        let meta = key::key(key::tenant(&context.tenant_id), key::META.to_owned());
        let found = read::item(&self.client, &self.table, meta).await;
        let found = found.map_err(|source| ReadCatalogError { source })?;
        let Some(AttributeValue::L(own)) = found.and_then(|mut item| item.remove("aliases")) else {
            return Ok(BTreeMap::new());
        };
        let read = |value| -> Result<Alias, String> {
            let alias: Alias =
                serde_dynamo::from_attribute_value(value).map_err(|error| error.to_string())?;
            alias.validate().map_err(|error| error.problem)?;
            Ok(alias)
        };
        let sensible = own.into_iter().filter_map(|value| {
            let tenant_id = &context.tenant_id;
            read(value)
                .inspect_err(|problem| {
                    tracing::error!(%tenant_id, problem, "an alias makes no sense and is left out");
                })
                .ok()
        });
        Ok(sensible.map(|alias| (alias.name.clone(), Arc::new(alias))).collect())
    }
}

/// Adds what an item of the catalog says. A model, provider or alias that makes no sense is left out,
/// since one mistake is not to take all others down. Prices are not: without them others would be in
/// force.
fn add(catalog: &mut Catalog, item: Item) -> Result<(), serde_dynamo::Error> {
    let sort_key = sort_key(&item).to_owned();
    if sort_key.starts_with(key::MODEL) {
        if let Some(model) = sensible(item, Model::validate, |model| model.id.as_str()) {
            catalog.models.insert(model.id.clone(), Arc::new(model));
        }
    } else if sort_key.starts_with(key::PROVIDER) {
        if let Some(provider) = sensible(item, ProviderConfig::validate, |it| it.id.as_str()) {
            catalog.providers.insert(provider.id.clone(), Arc::new(provider));
        }
    } else if sort_key.starts_with(key::ALIAS) {
        if let Some(alias) = sensible(item, Alias::validate, |alias| alias.name.as_str()) {
            catalog.aliases.insert(alias.name.clone(), Arc::new(alias));
        }
    } else if sort_key.starts_with(key::PRICES) {
        let book: PriceBook = serde_dynamo::from_item(item)?;
        catalog.price_books.push(Arc::new(book));
    } else if sort_key.starts_with(key::PRICE_OVERRIDES) {
        let overrides: PriceOverrides = serde_dynamo::from_item(item)?;
        catalog.price_overrides.push(Arc::new(overrides));
    }
    Ok(())
}

type Item = HashMap<String, AttributeValue>;

fn sort_key(item: &Item) -> &str {
    item.get(key::SK).and_then(|value| value.as_s().ok()).map_or("", String::as_str)
}

/// The entry that an item holds; none, and an error in the log, if it makes no sense or has another
/// name than its key.
fn sensible<T: for<'de> Deserialize<'de>>(
    item: Item,
    validate: impl FnOnce(&T) -> Result<(), InvalidEntry>,
    name: impl Fn(&T) -> &str,
) -> Option<T> {
    let sort_key = sort_key(&item).to_owned();
    let refuse = |problem: String| {
        tracing::error!(item = sort_key, problem, "an entry of the registry is passed over");
        None
    };
    let entry: T = match serde_dynamo::from_item(item) {
        Ok(entry) => entry,
        Err(error) => return refuse(error.to_string()),
    };
    if let Err(error) = validate(&entry) {
        return refuse(error.problem);
    }
    match sort_key.split_once('#') {
        Some((_, key)) if key == name(&entry) => Some(entry),
        _ => refuse(format!("its key does not name `{}`", name(&entry))),
    }
}

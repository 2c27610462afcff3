//! What tenants have in the tables, found by reading the tables to their end.
//!
//! DynamoDB knows no list of partitions, so a scan is the only read that finds what nobody remembers to
//! look for. It reads keys, and is taken up where it was cut; a tenant is off-boarded seldom.

use std::collections::HashMap;

use admission::{AuditEntry, Scope, StoreError};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use offboarding::{Estate, EstateError, Found, Page, Register, Store, Tombstone, Whose};
use serde_json::{Map, Value};
use tenancy::{LobId, TenantId};

use crate::key::{self, Key};
use crate::ledger::store_error;
use crate::limit_writes::{audit_put, delete_if, put_new, text, transact};
use crate::read::{self, Cause};

/// Sort key of the registration of a machine client that is not let in.
const PARKED: &str = "PARKED";
/// The attribute by which items say whose they are.
const TENANT_ID: &str = "tenant_id";
/// Pages of a table that are read for one of ours, at most.
const MAX_PAGES: usize = 25;
/// Things of a page of ours from which on it is long enough.
const ENOUGH: usize = 400;

/// The three tables, as those who off-board see them.
#[derive(Debug)]
pub struct TenantTables {
    client: Client,
    tenancy: String,
    ledger: String,
    content: String,
}

fn failed(operation: &'static str, store: Store) -> impl FnOnce(Cause) -> EstateError {
    move |source| EstateError { operation, store, source }
}

impl TenantTables {
    /// The tables of these names.
    pub fn new(client: Client, tenancy: String, ledger: String, content: String) -> Self {
        Self { client, tenancy, ledger, content }
    }

    fn table(&self, store: Store) -> Result<&str, Cause> {
        match store {
            Store::TenancyTable => Ok(&self.tenancy),
            Store::LedgerTable => Ok(&self.ledger),
            Store::ContentTable => Ok(&self.content),
            _ => Err("it is no table".into()),
        }
    }

    /// Some of what names the tenant in whatever way: whose it is, the caller decides.
    async fn scan(&self, id: &TenantId, store: Store, after: Option<&str>) -> Result<Page, Cause> {
        let (mut page, mut start) = (Page::default(), after.map(parse_cursor).transpose()?);
        for _ in 0..MAX_PAGES {
            let answer = self
                .client
                .scan()
                .table_name(self.table(store)?)
                .consistent_read(true)
                .projection_expression("#pk, #sk, #tenant, #expires")
                .filter_expression("contains(#pk, :id) OR contains(#sk, :id) OR #tenant = :id")
                .expression_attribute_names("#pk", key::PK)
                .expression_attribute_names("#sk", key::SK)
                .expression_attribute_names("#tenant", TENANT_ID)
                .expression_attribute_names("#expires", "expires_at")
                .expression_attribute_values(":id", AttributeValue::S(id.to_string()))
                .set_exclusive_start_key(start)
                .send()
                .await?;
            page.found.extend(answer.items.unwrap_or_default().iter().filter_map(|item| {
                let expires_at = item.get("expires_at").and_then(|it| it.as_n().ok());
                Some(Found {
                    store,
                    place: text(item, key::PK)?,
                    name: text(item, key::SK)?,
                    owner: text(item, TENANT_ID),
                    expires_at: expires_at.and_then(|it| it.parse().ok()),
                })
            }));
            start = answer.last_evaluated_key;
            if start.is_none() || page.found.len() >= ENOUGH {
                break;
            }
        }
        page.next = start.as_ref().map(cursor);
        Ok(page)
    }

    async fn delete(&self, found: &Found) -> Result<(), Cause> {
        let delete = self.client.delete_item().table_name(self.table(found.store)?);
        delete.set_key(Some(key_of(found))).send().await?;
        Ok(())
    }

    async fn look(&self, found: &Found) -> Result<bool, Cause> {
        let item = read::item(&self.client, self.table(found.store)?, key_of(found)).await?;
        Ok(item.is_some())
    }

    /// The keys of the meters whose partitions begin like this.
    async fn meters(&self, prefix: &str) -> Result<Vec<Key>, Cause> {
        let query = self
            .client
            .query()
            .table_name(&self.ledger)
            .index_name(key::METERS_INDEX)
            .key_condition_expression("#kind = :meter AND begins_with(#pk, :prefix)")
            .expression_attribute_names("#kind", key::METER_KIND)
            .expression_attribute_names("#pk", key::PK)
            .expression_attribute_values(":meter", AttributeValue::S(key::METER.to_owned()))
            .expression_attribute_values(":prefix", AttributeValue::S(prefix.to_owned()));
        let items = query.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await?;
        Ok(items
            .into_iter()
            .filter_map(|item| Some(key::key(text(&item, key::PK)?, text(&item, key::SK)?)))
            .collect())
    }

    async fn count_open(&self, id: &TenantId, lob_id: &LobId) -> Result<usize, Cause> {
        let mut open = 0;
        for prefix in [key::tenant(id), key::lob(lob_id), key::ORG.to_owned()] {
            for key in self.meters(&prefix).await? {
                let part = |name| text(&key, name).unwrap_or_default();
                let meter = key::parse_meter(&part(key::PK), &part(key::SK));
                // What begins alike is another's.
                let is_meant = meter.is_some_and(|meter| match meter.scope {
                    Scope::Org => true,
                    Scope::Lob(of) => of == *lob_id,
                    Scope::Tenant(of) | Scope::Project(of, _) | Scope::Principal(of, _) => {
                        of == *id
                    }
                });
                if !is_meant {
                    continue;
                }
                let item = read::item(&self.client, &self.ledger, key).await?.unwrap_or_default();
                let reservations = item.get("open").and_then(|it| it.as_m().ok());
                open += reservations.map_or(0, |it| it.values().filter(|it| is_of(it, id)).count());
            }
        }
        Ok(open)
    }

    /// Moves the registration of a client from one sort key to another, with an audit entry.
    async fn move_client(
        &self,
        operation: &'static str,
        id: &TenantId,
        client_id: &str,
        (from, to): (&str, &str),
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let error = |cause: Cause| store_error(operation, id, cause);
        let from = key::key(key::client(client_id), from.to_owned());
        let found = read::item(&self.client, &self.tenancy, from.clone()).await.map_err(error)?;
        let Some(mut item) = found.filter(|it| text(it, TENANT_ID).as_deref() == Some(id.as_str()))
        else {
            return Ok(false);
        };
        item.insert(key::SK.to_owned(), AttributeValue::S(to.to_owned()));
        let writes = || -> Result<Vec<TransactWriteItem>, Cause> {
            Ok(vec![
                delete_if(&self.tenancy, from, TENANT_ID, id.as_str())?,
                put_new(&self.tenancy, item)?,
                audit_put(&self.tenancy, key::tenant(id), entry)?,
            ])
        };
        transact(&self.client, operation, id, writes().map_err(error)?).await
    }
}

/// Whether a reservation is of a call of this tenant.
fn is_of(reservation: &AttributeValue, id: &TenantId) -> bool {
    let tenant = reservation.as_m().ok().and_then(|it| it.get("t")?.as_s().ok());
    tenant.is_some_and(|it| it == id.as_str())
}

fn key_of(found: &Found) -> Key {
    key::key(found.place.clone(), found.name.clone())
}

/// Where a scan was cut, as text.
fn cursor(key: &HashMap<String, AttributeValue>) -> String {
    let part = |(name, value): (&String, &AttributeValue)| {
        Some((name.clone(), Value::String(value.as_s().ok()?.clone())))
    };
    Value::Object(key.iter().filter_map(part).collect()).to_string()
}

fn parse_cursor(text: &str) -> Result<HashMap<String, AttributeValue>, Cause> {
    let parts: Map<String, Value> = serde_json::from_str(text)?;
    let part = |(name, value): (String, Value)| match value {
        Value::String(text) => Some((name, AttributeValue::S(text))),
        _ => None,
    };
    Ok(parts.into_iter().filter_map(part).collect())
}

impl Estate for TenantTables {
    async fn list(
        &self,
        whose: &Whose,
        store: Store,
        after: Option<&str>,
    ) -> Result<Page, EstateError> {
        let page = Box::pin(self.scan(&whose.tenant_id, store, after)).await;
        page.map_err(failed("list", store))
    }

    async fn remove(&self, found: &Found) -> Result<(), EstateError> {
        self.delete(found).await.map_err(failed("delete from", found.store))
    }

    async fn is_there(&self, found: &Found) -> Result<bool, EstateError> {
        self.look(found).await.map_err(failed("look into", found.store))
    }
}

impl Register for TenantTables {
    async fn open_calls(&self, id: &TenantId, lob_id: &LobId) -> Result<usize, StoreError> {
        let open = Box::pin(self.count_open(id, lob_id)).await;
        open.map_err(|cause| store_error("count open calls", id, cause))
    }

    async fn park_client(
        &self,
        id: &TenantId,
        client_id: &str,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let places = (key::META, PARKED);
        Box::pin(self.move_client("park a client", id, client_id, places, entry)).await
    }

    async fn unpark_client(
        &self,
        id: &TenantId,
        client_id: &str,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let places = (PARKED, key::META);
        Box::pin(self.move_client("let a client in again", id, client_id, places, entry)).await
    }

    async fn bury(
        &self,
        id: &TenantId,
        tombstone: &Tombstone,
        entry: &AuditEntry,
    ) -> Result<Tombstone, StoreError> {
        let operation = "bury a tenant";
        let writes = || -> Result<Vec<TransactWriteItem>, Cause> {
            let mut item: Key = serde_dynamo::to_item(tombstone)?;
            item.extend(key::tombstone(id));
            Ok(vec![
                put_new(&self.tenancy, item)?,
                audit_put(&self.tenancy, key::tenant(id), entry)?,
            ])
        };
        let writes = writes().map_err(|cause| store_error(operation, id, cause))?;
        if transact(&self.client, operation, id, writes).await? {
            return Ok(tombstone.clone());
        }
        let stands = self.tombstone(id).await?;
        stands.ok_or_else(|| store_error(operation, id, "others were writing it"))
    }

    async fn tombstone(&self, id: &TenantId) -> Result<Option<Tombstone>, StoreError> {
        let found = read::value(&self.client, &self.tenancy, key::tombstone(id)).await;
        found.map_err(|cause| store_error("look for a tombstone", id, cause))
    }
}

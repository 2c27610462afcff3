//! Limits as administrators see and change them: the `tenancy` table, and the versions in meters.
//!
//! A level (organisation, line of business, tenant) is one item. Its audit entries (`AUDIT#<time>#<id>`)
//! and requests for raises (`RAISE#<list>#<id>`) are beside it. `ORG` / `CHANGES` notes which levels have
//! a change that its tenants have not been told of yet, one attribute for each; it is written together
//! with the change. `ORG` / `LOB#<id>` lists the lines of business, the index `tenants` their tenants.

use admission::{
    AuditEntry, Counters, LimitChange, LimitOwner, LimitSet, LimitStore, Meter, MeterLayout,
    MeterRef, Minute, ModelSelector, Part, RaiseRequest, Scope, SettlementStore as _, Shard,
    StoreError,
};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, TransactWriteItem};
use futures::future::try_join_all;
use tenancy::{LobId, TenantId};

use crate::key;
use crate::ledger::{Ledger, store_error};
use crate::level::Level;
use crate::limit_writes::{
    AUDIT, CHANGES, Item, RAISE, VERSION, number, partition, raise_item, text,
};
use crate::read;

/// Requests of one list that are looked at, the latest.
const MAX_RAISES: i32 = 200;

/// Limits in the `tenancy` table, with the meters that count for them.
#[derive(Debug)]
pub struct LimitTables {
    pub(crate) client: Client,
    pub(crate) tenancy: String,
    ledger: Ledger,
}

impl LimitTables {
    /// The limits in the table `tenancy`, with the meters of `ledger`.
    pub fn new(client: Client, tenancy: String, ledger: Ledger) -> Self {
        Self { client, tenancy, ledger }
    }

    async fn get(&self, pk: String, sk: &str) -> Result<Option<Item>, StoreError> {
        let key = key::key(pk.clone(), sk.to_owned());
        let found = read::item(&self.client, &self.tenancy, key).await;
        found.map_err(|error| store_error("read limits", &pk, error))
    }

    async fn level(&self, owner: &LimitOwner) -> Result<Option<Level>, StoreError> {
        let item = self.get(partition(owner), key::META).await?;
        let level = item.map(serde_dynamo::from_item).transpose();
        level.map_err(|error| store_error("read limits", owner, error))
    }

    /// Sort keys of a partition that begin with `prefix`, in order.
    async fn sort_keys(&self, pk: &str, prefix: &str) -> Result<Vec<String>, StoreError> {
        let items = self
            .client
            .query()
            .table_name(&self.tenancy)
            .key_condition_expression("#pk = :pk AND begins_with(#sk, :prefix)")
            .projection_expression("#sk")
            .expression_attribute_names("#pk", key::PK)
            .expression_attribute_names("#sk", key::SK)
            .expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()))
            .expression_attribute_values(":prefix", AttributeValue::S(prefix.to_owned()))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| store_error("list", pk, error))?;
        Ok(items.into_iter().filter_map(|item| text(&item, key::SK)).collect())
    }

    /// Deletes the meters of a partition.
    #[cfg(feature = "orchestration")]
    pub(crate) async fn delete_meters(&self, partition: &str) -> Result<(), read::Cause> {
        let Ledger { client, table, .. } = &self.ledger;
        for item in read::items(client, table, partition, key::METER).await? {
            let name = text(&item, key::SK).unwrap_or_default();
            let key = key::key(partition.to_owned(), name);
            client.delete_item().table_name(table).set_key(Some(key)).send().await?;
        }
        Ok(())
    }

    /// Raises the version in the meters that know it.
    async fn renew_meters(
        &self,
        tenant_id: &TenantId,
        version: u64,
        layout: MeterLayout,
    ) -> Result<(), StoreError> {
        let renew = |number_: u16| async move {
            let shard = Shard { epoch: layout.epoch, number: number_ };
            let scope = Scope::Tenant(tenant_id.clone());
            let meter = MeterRef { scope, models: ModelSelector::All, shard };
            let answer = self
                .ledger
                .client
                .update_item()
                .table_name(&self.ledger.table)
                .set_key(Some(key::meter(&meter)))
                .update_expression("SET #version = :version")
                .condition_expression("attribute_exists(PK) AND #version < :version")
                .expression_attribute_names("#version", VERSION)
                .expression_attribute_values(":version", number(version))
                .send()
                .await;
            match answer {
                Ok(_) => Ok(()),
                // It knows this or more already, or is not there: then the tenant is new, and not served without it.
                Err(error) if is_refused(&error) => self.ledger.create(&meter, version).await,
                Err(error) => Err(store_error("renew", tenant_id, error)),
            }
        };
        try_join_all((0..layout.shards.max(1)).map(renew)).await.map(|_| ())
    }
}

impl LimitStore for LimitTables {
    async fn limits(&self, owner: &LimitOwner) -> Result<Option<LimitSet>, StoreError> {
        let (level, changes) =
            tokio::try_join!(self.level(owner), self.get(key::ORG.to_owned(), CHANGES))?;
        let level = match (level, owner) {
            (Some(level), _) => level,
            // The organisation is there even if nobody ever limited it.
            (None, LimitOwner::Org) => Level::default(),
            (None, _) => return Ok(None),
        };
        let unfinished = changes.is_some_and(|it| it.contains_key(&owner.level().to_string()));
        Ok(level.set_of(owner, unfinished))
    }

    async fn change(&self, owner: &LimitOwner, change: &LimitChange) -> Result<bool, StoreError> {
        let level = self.level(owner).await?.unwrap_or_default();
        if level.entitlement_version != change.version {
            return Ok(false);
        }
        let writes = self.writes(owner, level, change);
        let writes = writes.map_err(|error| store_error("change limits", owner, error))?;
        self.write("change limits", owner, writes).await
    }

    async fn finish(&self, owner: &LimitOwner, version: u64) -> Result<(), StoreError> {
        let answer = self
            .client
            .update_item()
            .table_name(&self.tenancy)
            .set_key(Some(key::key(key::ORG.to_owned(), CHANGES.to_owned())))
            .update_expression("REMOVE #level")
            .condition_expression("#level = :version")
            .expression_attribute_names("#level", owner.level().to_string())
            .expression_attribute_values(":version", number(version))
            .send()
            .await;
        match answer {
            Err(error) if !is_refused(&error) => Err(store_error("finish a change", owner, error)),
            _ => Ok(()),
        }
    }

    async fn unfinished(&self) -> Result<Vec<(LimitOwner, u64)>, StoreError> {
        let item = self.get(key::ORG.to_owned(), CHANGES).await?.unwrap_or_default();
        let level = |(name, version): (&String, &AttributeValue)| {
            Some((LimitOwner::of_text(name)?, version.as_n().ok()?.parse().ok()?))
        };
        Ok(item.iter().filter_map(level).collect())
    }

    async fn lobs(&self) -> Result<Vec<LobId>, StoreError> {
        let keys = self.sort_keys(key::ORG, "LOB#").await?;
        Ok(keys.iter().filter_map(|sk| sk.strip_prefix("LOB#")?.parse().ok()).collect())
    }

    async fn tenants(&self, lob_id: &LobId) -> Result<Vec<TenantId>, StoreError> {
        let tenants = read::tenants(&self.client, &self.tenancy, lob_id).await;
        let mut tenants = tenants.map_err(|error| store_error("list tenants", lob_id, error))?;
        tenants.sort();
        tenants.dedup();
        Ok(tenants)
    }

    async fn renew(&self, tenant_id: &TenantId, raise: bool) -> Result<(), StoreError> {
        let item = if raise {
            let answer = self
                .client
                .update_item()
                .table_name(&self.tenancy)
                .set_key(Some(key::key(key::tenant(tenant_id), key::META.to_owned())))
                .update_expression("ADD #version :one")
                .condition_expression("attribute_exists(PK)")
                .expression_attribute_names("#version", VERSION)
                .expression_attribute_values(":one", number(1))
                .return_values(ReturnValue::AllNew)
                .send()
                .await;
            match answer {
                Ok(answer) => answer.attributes,
                // It was off-boarded meanwhile.
                Err(error) if is_refused(&error) => None,
                Err(error) => return Err(store_error("renew", tenant_id, error)),
            }
        } else {
            self.get(key::tenant(tenant_id), key::META).await?
        };
        let Some(item) = item else { return Ok(()) };
        let level: Level = serde_dynamo::from_item(item)
            .map_err(|error| store_error("renew", tenant_id, error))?;
        self.renew_meters(tenant_id, level.entitlement_version, level.meter_layout).await
    }

    async fn meters_of(
        &self,
        scope: &Scope,
        models: &ModelSelector,
        layout: MeterLayout,
    ) -> Result<Vec<Meter>, StoreError> {
        let read = |number| {
            let shard = Shard { epoch: layout.epoch, number };
            let meter = MeterRef { scope: scope.clone(), models: models.clone(), shard };
            async move { self.ledger.meter(&meter).await }
        };
        let meters = try_join_all((0..layout.shards.max(1)).map(read)).await?;
        Ok(meters.into_iter().flatten().collect())
    }

    async fn seed(
        &self,
        scope: &Scope,
        models: &ModelSelector,
        layout: MeterLayout,
        used: &Counters,
        now: Minute,
    ) -> Result<(), StoreError> {
        let shards = layout.shards.max(1);
        let seed = |number| {
            let shard = Shard { epoch: layout.epoch, number };
            let meter = MeterRef { scope: scope.clone(), models: models.clone(), shard };
            let part = Part { index: number, of: shards };
            async move { self.ledger.seed(&meter, part, used, now).await }
        };
        try_join_all((0..shards).map(seed)).await.map(|_| ())
    }

    async fn put_raise(
        &self,
        owner: &LimitOwner,
        raise: &RaiseRequest,
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let writes = || -> Result<_, Box<dyn std::error::Error + Send + Sync>> {
            let put = self.put(raise_item(owner, raise)?, "attribute_not_exists(PK)")?;
            let put = TransactWriteItem::builder().put(put).build();
            Ok(vec![put, self.put_audit(partition(owner), entry)?])
        };
        let writes = writes().map_err(|error| store_error("ask for a raise", owner, error))?;
        self.write("ask for a raise", owner, writes).await.map(|_| ())
    }

    async fn reject_raise(
        &self,
        owner: &LimitOwner,
        raise: &RaiseRequest,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let writes = || -> Result<_, Box<dyn std::error::Error + Send + Sync>> {
            Ok(vec![self.put_decided(owner, raise)?, self.put_audit(partition(owner), entry)?])
        };
        let writes = writes().map_err(|error| store_error("reject a raise", owner, error))?;
        self.write("reject a raise", owner, writes).await
    }

    async fn raises(&self, owner: &LimitOwner) -> Result<Vec<RaiseRequest>, StoreError> {
        let prefix = format!("{RAISE}{owner}#");
        let answer = self
            .client
            .query()
            .table_name(&self.tenancy)
            .key_condition_expression("#pk = :pk AND begins_with(#sk, :prefix)")
            .expression_attribute_names("#pk", key::PK)
            .expression_attribute_names("#sk", key::SK)
            .expression_attribute_values(":pk", AttributeValue::S(partition(owner)))
            .expression_attribute_values(":prefix", AttributeValue::S(prefix.clone()))
            .scan_index_forward(false)
            .limit(MAX_RAISES)
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| store_error("list raises", owner, error))?;
        let items = answer.items.unwrap_or_default();
        // A principal's id may hold `#` and so begin with another's.
        let own = items.into_iter().filter(|item| {
            let rest = text(item, key::SK);
            rest.and_then(|sk| sk.strip_prefix(&prefix).map(|id| !id.contains('#'))) == Some(true)
        });
        own.map(serde_dynamo::from_item)
            .collect::<Result<_, _>>()
            .map_err(|error| store_error("list raises", owner, error))
    }

    async fn note(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let failed = |source| StoreError { operation: "note", subject: entry.id.clone(), source };
        let mut item: Item = serde_dynamo::to_item(entry).map_err(|error| failed(error.into()))?;
        let owner = key::tenant(&entry.tenant_id);
        item.extend(key::key(owner, format!("{AUDIT}{}", entry.position())));
        let put = self.client.put_item().table_name(&self.tenancy).set_item(Some(item));
        put.send().await.map(|_| ()).map_err(|error| failed(error.into()))
    }

    async fn history(
        &self,
        owner: &LimitOwner,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        // `~` is behind every digit.
        let until = format!("{AUDIT}{}", before.unwrap_or("~"));
        let range = (AUDIT, until.clone());
        let mut pages = read::latest(&self.client, &self.tenancy, partition(owner), range)
            // What else happens to a tenant has the same subject, and is not about limits.
            .filter_expression(
                "#subject = :subject AND (begins_with(#action, :limits) OR begins_with(#action, :raises))",
            )
            .expression_attribute_names("#subject", "subject")
            .expression_attribute_names("#action", "action")
            .expression_attribute_values(":limits", AttributeValue::S("limits.".to_owned()))
            .expression_attribute_values(":raises", AttributeValue::S("raise.".to_owned()))
            .expression_attribute_values(":subject", AttributeValue::S(owner.to_string()))
            .into_paginator()
            .items()
            .send();
        let mut entries = Vec::new();
        while entries.len() < limit {
            let Some(item) = pages.next().await else { break };
            let item = item.map_err(|error| store_error("read the history", owner, error))?;
            // `BETWEEN` includes where the page before ended.
            if text(&item, key::SK).as_deref() == Some(until.as_str()) {
                continue;
            }
            let entry = serde_dynamo::from_item(item)
                .map_err(|error| store_error("read the history", owner, error))?;
            entries.push(entry);
        }
        Ok(entries)
    }
}

fn is_refused(error: &SdkError<UpdateItemError>) -> bool {
    error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception)
}

//! Tables in memory that keep the ports' contracts, and can be made to fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use admission::{
    AuditEntry, CallDetail, Counters, EntitlementStore, Entitlements, LimitChange, LimitOwner,
    LimitRule, LimitSet, LimitStore, Meter, MeterLayout, Minute, ModelSelector, OverridesChange,
    OverridesWrite, PriceOverrideStore, RaiseRequest, RequestStatus, Scope, ScopeLimits,
    StoreError, TenantLimits,
};
use billing::fakes::InMemoryBilling;
use events::fakes::InMemorySink;
use inference::{Catalog, CatalogStore, ReadCatalogError};
use lake::fakes::InMemoryObjects;
use metering::fakes::InMemoryUsage;
use metering::{
    AggregationStore as _, AgreedPrices, Delivery, Granularity, PriceOverrides, RecordId,
    RollupError, RollupKey, RollupRow, RollupStore, UsageRecord,
};
use tenancy::{LobId, ModelId, Status, Tenant, TenantContext, TenantId};

use crate::{Billing, DetailReader, FamilyReader, RecordReader};

/// All tables.
#[derive(Debug, Default)]
pub(super) struct Fake(Mutex<Data>, pub(super) InMemoryUsage, pub(super) Bills);

/// What is billed.
#[derive(Debug, Default)]
pub(super) struct Bills {
    pub(super) books: InMemoryBilling,
    pub(super) documents: InMemoryObjects,
    pub(super) bus: InMemorySink,
}

#[derive(Debug, Default)]
pub(super) struct Data {
    /// By level: its version and line of business.
    pub(super) levels: BTreeMap<LimitOwner, (u64, Option<LobId>)>,
    pub(super) rules: BTreeMap<LimitOwner, Vec<LimitRule>>,
    pub(super) audit: Vec<AuditEntry>,
    pub(super) raises: Vec<(LimitOwner, RaiseRequest)>,
    pub(super) unfinished: BTreeMap<LimitOwner, u64>,
    pub(super) meters: BTreeMap<(Scope, ModelSelector), Meter>,
    /// The version that each tenant's meter knows.
    pub(super) known: BTreeMap<TenantId, u64>,
    pub(super) records: Vec<UsageRecord>,
    /// By `RecordId::open_key`.
    pub(super) details: BTreeMap<String, CallDetail>,
    pub(super) failing: BTreeSet<&'static str>,
    /// Changes that others make just before the next one.
    pub(super) others: Vec<(LimitOwner, Vec<LimitRule>)>,
    /// The catalog, but for the overrides of its prices.
    pub(super) catalog: Catalog,
    pub(super) agreed: AgreedPrices,
    /// Overrides that others write just before the next change of prices.
    pub(super) others_prices: Vec<PriceOverrides>,
}

/// What two tenants in two lines of business begin with.
pub(super) fn two_tenants() -> Fake {
    let fake = Fake::default();
    {
        let mut data = fake.data();
        data.levels.insert(LimitOwner::Org, (3, None));
        for (lob, tenants) in [("retail", &["acme", "zenith"][..]), ("markets", &["globex"])] {
            let lob: LobId = lob.parse().unwrap();
            data.levels.insert(LimitOwner::Lob(lob.clone()), (5, Some(lob.clone())));
            for tenant in tenants {
                let tenant: TenantId = tenant.parse().unwrap();
                data.levels.insert(LimitOwner::Tenant(tenant.clone()), (7, Some(lob.clone())));
                data.known.insert(tenant, 7);
            }
        }
        let budget = r#"[{"id":"budget","metric":"cost","period":"month","amount":50000000000}]"#;
        for owner in ["org", "lobs/retail", "tenants/acme", "tenants/globex"] {
            let rules = serde_json::from_str(budget).unwrap();
            data.rules.insert(LimitOwner::of_text(owner).unwrap(), rules);
        }
    }
    fake
}

impl Fake {
    pub(super) fn data(&self) -> MutexGuard<'_, Data> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, operation: &'static str) -> Result<MutexGuard<'_, Data>, StoreError> {
        let data = self.data();
        if data.failing.contains(operation) {
            let source = "made to fail".into();
            return Err(StoreError { operation, subject: "the tables".into(), source });
        }
        Ok(data)
    }
}

impl Data {
    fn list(&self, owner: &str) -> Vec<LimitRule> {
        let owner = LimitOwner::of_text(owner).unwrap();
        self.rules.get(&owner).cloned().unwrap_or_default()
    }
}

impl LimitStore for Fake {
    async fn limits(&self, owner: &LimitOwner) -> Result<Option<LimitSet>, StoreError> {
        let data = self.begin("limits")?;
        if let LimitOwner::Project(_, id) = owner
            && id.as_str() != "web-shop"
        {
            return Ok(None);
        }
        let level = owner.level();
        let Some((version, lob_id)) = data.levels.get(&level).cloned() else { return Ok(None) };
        let of_level = data.rules.iter().filter(|(other, _)| other.level() == level);
        Ok(Some(LimitSet {
            version,
            lob_id: lob_id.filter(|_| owner.tenant_id().is_some()),
            rules: data.rules.get(owner).cloned().unwrap_or_default(),
            layout: MeterLayout::default(),
            rules_of_level: of_level.map(|(_, rules)| rules.len()).sum(),
            is_changing: data.unfinished.contains_key(&level),
        }))
    }

    async fn change(&self, owner: &LimitOwner, change: &LimitChange) -> Result<bool, StoreError> {
        let mut data = self.begin("change")?;
        if let Some((other, rules)) = data.others.pop() {
            data.rules.insert(other.clone(), rules);
            data.levels.get_mut(&other.level()).unwrap().0 += 1;
        }
        let is_open = |raise: &RaiseRequest| raise.status == RequestStatus::Requested;
        if let Some(granted) = &change.granted {
            let found = data.raises.iter().find(|(_, raise)| raise.id == granted.id);
            if !found.is_some_and(|(_, raise)| is_open(raise)) {
                return Ok(false);
            }
        }
        let version = &mut data.levels.get_mut(&owner.level()).unwrap().0;
        if *version != change.version {
            return Ok(false);
        }
        *version += 1;
        data.rules.insert(owner.clone(), change.rules.clone());
        data.unfinished.insert(owner.level(), change.version + 1);
        data.audit.push(change.entry.clone());
        if let Some(granted) = &change.granted {
            let found = data.raises.iter_mut().find(|(_, raise)| raise.id == granted.id);
            found.unwrap().1 = granted.clone();
        }
        Ok(true)
    }

    async fn finish(&self, owner: &LimitOwner, version: u64) -> Result<(), StoreError> {
        let mut data = self.begin("finish")?;
        if data.unfinished.get(&owner.level()) == Some(&version) {
            data.unfinished.remove(&owner.level());
        }
        Ok(())
    }

    async fn unfinished(&self) -> Result<Vec<(LimitOwner, u64)>, StoreError> {
        let data = self.begin("unfinished")?;
        Ok(data.unfinished.iter().map(|(owner, version)| (owner.clone(), *version)).collect())
    }

    async fn lobs(&self) -> Result<Vec<LobId>, StoreError> {
        let data = self.begin("lobs")?;
        let lob = |owner: &LimitOwner| match owner {
            LimitOwner::Lob(id) => Some(id.clone()),
            _ => None,
        };
        Ok(data.levels.keys().filter_map(lob).collect())
    }

    async fn tenants(&self, lob_id: &LobId) -> Result<Vec<TenantId>, StoreError> {
        let data = self.begin("tenants")?;
        let of_lob = data.levels.iter().filter(|(_, (_, lob))| lob.as_ref() == Some(lob_id));
        Ok(of_lob.filter_map(|(owner, _)| owner.tenant_id().cloned()).collect())
    }

    async fn renew(&self, tenant_id: &TenantId, raise: bool) -> Result<(), StoreError> {
        let mut data = self.begin("renew")?;
        let level = data.levels.get_mut(&LimitOwner::Tenant(tenant_id.clone())).unwrap();
        level.0 += u64::from(raise);
        let version = level.0;
        data.known.insert(tenant_id.clone(), version);
        Ok(())
    }

    async fn meters_of(
        &self,
        scope: &Scope,
        models: &ModelSelector,
        _layout: MeterLayout,
    ) -> Result<Vec<Meter>, StoreError> {
        let data = self.begin("meters_of")?;
        Ok(data.meters.get(&(scope.clone(), models.clone())).cloned().into_iter().collect())
    }

    async fn seed(
        &self,
        scope: &Scope,
        models: &ModelSelector,
        _layout: MeterLayout,
        used: &Counters,
        now: Minute,
    ) -> Result<(), StoreError> {
        let mut data = self.begin("seed")?;
        let meter = data.meters.entry((scope.clone(), models.clone()));
        let meter = meter.or_insert_with(|| Meter::new(Status::Active, 0));
        (meter.counters, meter.minute) = (*used, Some(now));
        Ok(())
    }

    async fn put_raise(
        &self,
        owner: &LimitOwner,
        raise: &RaiseRequest,
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let mut data = self.begin("put_raise")?;
        data.raises.push((owner.clone(), raise.clone()));
        data.audit.push(entry.clone());
        Ok(())
    }

    async fn reject_raise(
        &self,
        _owner: &LimitOwner,
        raise: &RaiseRequest,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut data = self.begin("reject_raise")?;
        let found = data.raises.iter_mut().find(|(_, other)| other.id == raise.id);
        let Some((_, found)) = found.filter(|(_, it)| it.status == RequestStatus::Requested) else {
            return Ok(false);
        };
        *found = raise.clone();
        data.audit.push(entry.clone());
        Ok(true)
    }

    async fn raises(&self, owner: &LimitOwner) -> Result<Vec<RaiseRequest>, StoreError> {
        let data = self.begin("raises")?;
        let own = data.raises.iter().filter(|(other, _)| other == owner);
        Ok(own.map(|(_, raise)| raise.clone()).rev().collect())
    }

    async fn note(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.begin("note")?.audit.push(entry.clone());
        Ok(())
    }

    async fn history(
        &self,
        owner: &LimitOwner,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let data = self.begin("history")?;
        let mut own: Vec<AuditEntry> = data
            .audit
            .iter()
            .filter(|entry| entry.subject == owner.to_string())
            .filter(|entry| before.is_none_or(|before| entry.position().as_str() < before))
            .cloned()
            .collect();
        own.sort_by_key(|entry| std::cmp::Reverse(entry.position()));
        own.truncate(limit);
        Ok(own)
    }
}

impl Fake {
    /// Rolls a record up.
    pub(super) async fn roll_up(&self, sequence: u32, record: &UsageRecord) {
        let delivery = Delivery { sequence: sequence.to_string(), record: record.clone() };
        let key = RollupKey::of(record);
        self.1.add_live(record.hour(), &key, &[&delivery]).await.unwrap();
    }
}

impl Billing for Fake {
    type Books = InMemoryBilling;
    type Documents = InMemoryObjects;
    type Bus = InMemorySink;

    fn books(&self) -> &InMemoryBilling {
        &self.2.books
    }

    fn documents(&self) -> &InMemoryObjects {
        &self.2.documents
    }

    fn bus(&self) -> &InMemorySink {
        &self.2.bus
    }
}

impl DetailReader for Fake {
    async fn detail(
        &self,
        _tenant_id: &TenantId,
        id: &RecordId,
    ) -> Result<Option<CallDetail>, StoreError> {
        Ok(self.begin("detail")?.details.get(&id.open_key()).cloned())
    }
}

impl CatalogStore for Fake {
    async fn catalog(&self) -> Result<Catalog, ReadCatalogError> {
        let data =
            self.begin("catalog").map_err(|error| ReadCatalogError { source: error.into() })?;
        let price_overrides = data.agreed.overrides.iter().cloned().map(Arc::new).collect();
        Ok(Catalog { price_overrides, ..data.catalog.clone() })
    }
}

impl PriceOverrideStore for Fake {
    async fn agreed_prices(&self) -> Result<AgreedPrices, StoreError> {
        Ok(self.begin("agreed_prices")?.agreed.clone())
    }

    async fn change_prices(&self, change: &OverridesChange) -> Result<bool, StoreError> {
        let mut data = self.begin("change_prices")?;
        if let Some(other) = data.others_prices.pop() {
            data.agreed.overrides.push(other);
            data.agreed.revision += 1;
        }
        let version = change.write.version();
        let is_new = matches!(change.write, OverridesWrite::Create(_));
        if data.agreed.revision != change.revision || data.agreed.find(version).is_some() == is_new
        {
            return Ok(false);
        }
        data.agreed.revision += 1;
        data.agreed.overrides.retain(|it| it.version != version);
        match &change.write {
            OverridesWrite::Create(new) | OverridesWrite::Replace(new) => {
                data.agreed.overrides.push(new.clone());
            }
            OverridesWrite::Remove(_) => {}
        }
        data.audit.push(change.entry.clone());
        Ok(true)
    }
}

impl FamilyReader for Fake {
    async fn families(&self) -> Result<BTreeMap<ModelId, ModelId>, StoreError> {
        let family =
            |(model, family): (&str, &str)| (model.parse().unwrap(), family.parse().unwrap());
        Ok([("model-a", "family-x"), ("model-b", "family-y")].map(family).into())
    }
}

impl RollupStore for Fake {
    async fn rollups(
        &self,
        tenant_id: &TenantId,
        granularity: Granularity,
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<RollupRow>, RollupError> {
        self.1.rollups(tenant_id, granularity, from_ms, to_ms).await
    }
}

impl EntitlementStore for Fake {
    async fn entitlements(
        &self,
        context: &TenantContext,
    ) -> Result<Option<Entitlements>, StoreError> {
        let data = self.begin("entitlements")?;
        let id = &context.tenant_id;
        let level = data.levels.get(&LimitOwner::Tenant(id.clone()));
        let Some((version, Some(lob_id))) = level.cloned() else { return Ok(None) };
        let tenant = format!(
            r#"{{"tenant_id":"{id}","lob_id":"{lob_id}","status":"active","models":[],"entitlement_version":{version}}}"#
        );
        let tenant: Tenant = serde_json::from_str(&tenant).unwrap();
        let limits = |limits| ScopeLimits { limits, meter_layout: MeterLayout::default() };
        let own = LimitOwner::Principal(id.clone(), context.principal.id.clone());
        Ok(Some(Entitlements {
            lob_status: Status::Active,
            limits: TenantLimits {
                tenant: limits(data.list(&format!("tenants/{id}"))),
                principal_limits: data
                    .rules
                    .get(&own)
                    .map(|rules| (context.principal.id.clone(), rules.clone()))
                    .into_iter()
                    .collect(),
                each_principal_limits: data.list(&format!("tenants/{id}/each-principal")),
                ..TenantLimits::default()
            },
            lob: limits(data.list(&format!("lobs/{lob_id}"))),
            org: limits(data.list("org")),
            tenant,
        }))
    }
}

impl RecordReader for Fake {
    async fn records(
        &self,
        context: &TenantContext,
        call_id: &str,
    ) -> Result<Vec<UsageRecord>, StoreError> {
        let data = self.begin("records")?;
        let is_own = |record: &&UsageRecord| {
            record.tenant_id == context.tenant_id && record.id.call_id == call_id
        };
        Ok(data.records.iter().filter(is_own).cloned().collect())
    }
}

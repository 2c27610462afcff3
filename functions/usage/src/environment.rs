//! The edge to the machine: environment, clock, tables.

use std::collections::BTreeMap;

use admission::{
    AuditEntry, Calendar, CallDetail, Counters, EntitlementStore, Entitlements, LimitChange,
    LimitOwner, LimitSet, LimitStore, Meter, MeterLayout, Minute, ModelSelector, OverridesChange,
    PriceOverrideStore, RaiseRequest, Scope, SettlementStore, StoreError, UnknownTimeZone,
};
use events_eventbridge::EventBus;
use inference::{Catalog, CatalogStore, ReadCatalogError};
use machine::{NotSet, new_id, now, variable};
use metering::{
    AgreedPrices, Granularity, RecordId, RollupError, RollupRow, RollupStore, UsageRecord,
};
use store_dynamodb::{
    BillingBooks, Configuration, Ledger, LimitTables, PriceOverrideTable, Rollups,
};
use store_s3::Bucket;
use tenancy::{LobId, ModelId, TenantContext, TenantId};

use crate::{Billing, DetailReader, FamilyReader, RecordReader, State};

/// Who asks for tasks of billing.
const SOURCE: &str = "weir.usage";

/// Attempts of one call that are looked for: more than any call makes.
const MAX_ATTEMPTS: u32 = 32;

/// The function cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A variable of the environment is missing.
    #[error(transparent)]
    Environment(#[from] NotSet),
    /// The organisation's time zone is none.
    #[error(transparent)]
    TimeZone(#[from] UnknownTimeZone),
}

/// The tables of the stack.
#[derive(Debug)]
pub struct Tables {
    limits: LimitTables,
    configuration: Configuration,
    ledger: Ledger,
    rollups: Rollups,
    overrides: PriceOverrideTable,
    books: BillingBooks,
    statements: Bucket,
    bus: EventBus,
}

impl State<Tables> {
    /// Connects to `TENANCY_TABLE`, `LEDGER_TABLE`, `STATEMENTS_BUCKET` and `EVENT_BUS_NAME`; days
    /// begin where they do in `TIME_ZONE`.
    ///
    /// # Errors
    /// One of them is not set, or no such zone exists.
    pub async fn from_env() -> Result<Self, StartError> {
        let (tenancy, ledger) = (variable("TENANCY_TABLE")?, variable("LEDGER_TABLE")?);
        let calendar = Calendar::of(&variable("TIME_ZONE")?)?;
        let sdk = aws_config::load_from_env().await;
        let client = store_dynamodb::client(&sdk);
        let ledger_name = ledger.clone();
        let rollups = Rollups::new(client.clone(), ledger.clone());
        let ledger = || Ledger::new(client.clone(), ledger.clone(), calendar.clone());
        let store = Tables {
            books: BillingBooks::new(client.clone(), ledger_name, tenancy.clone()),
            statements: Bucket::new(&sdk, variable("STATEMENTS_BUCKET")?),
            bus: EventBus::new(&sdk, variable("EVENT_BUS_NAME")?, SOURCE),
            rollups,
            overrides: PriceOverrideTable::new(client.clone(), tenancy.clone()),
            limits: LimitTables::new(client.clone(), tenancy.clone(), ledger()),
            configuration: Configuration::new(client.clone(), tenancy),
            ledger: ledger(),
        };
        Ok(Self { store, calendar: calendar.clone(), now, new_id })
    }
}

impl Billing for Tables {
    type Books = BillingBooks;
    type Documents = Bucket;
    type Bus = EventBus;

    fn books(&self) -> &BillingBooks {
        &self.books
    }

    fn documents(&self) -> &Bucket {
        &self.statements
    }

    fn bus(&self) -> &EventBus {
        &self.bus
    }
}

impl RecordReader for Tables {
    async fn records(
        &self,
        context: &TenantContext,
        call_id: &str,
    ) -> Result<Vec<UsageRecord>, StoreError> {
        let mut records = Vec::new();
        for attempt in 1..=MAX_ATTEMPTS {
            let id = RecordId { call_id: call_id.to_owned(), attempt };
            match self.ledger.record(&context.tenant_id, &id).await? {
                Some(record) => records.push(record),
                None => break,
            }
        }
        Ok(records)
    }
}

impl DetailReader for Tables {
    async fn detail(
        &self,
        tenant_id: &TenantId,
        id: &RecordId,
    ) -> Result<Option<CallDetail>, StoreError> {
        SettlementStore::detail(&self.ledger, tenant_id, id).await
    }
}

impl FamilyReader for Tables {
    async fn families(&self) -> Result<BTreeMap<ModelId, ModelId>, StoreError> {
        let catalog = self.configuration.catalog().await.map_err(|error| StoreError {
            operation: "read the catalog",
            subject: "families of models".to_owned(),
            source: error.into(),
        })?;
        Ok(catalog.models.values().map(|model| (model.id.clone(), model.family())).collect())
    }
}

impl CatalogStore for Tables {
    async fn catalog(&self) -> Result<Catalog, ReadCatalogError> {
        self.configuration.catalog().await
    }
}

impl PriceOverrideStore for Tables {
    async fn agreed_prices(&self) -> Result<AgreedPrices, StoreError> {
        self.overrides.agreed_prices().await
    }

    async fn change_prices(&self, change: &OverridesChange) -> Result<bool, StoreError> {
        self.overrides.change_prices(change).await
    }
}

impl RollupStore for Tables {
    async fn rollups(
        &self,
        tenant_id: &TenantId,
        granularity: Granularity,
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<RollupRow>, RollupError> {
        self.rollups.rollups(tenant_id, granularity, from_ms, to_ms).await
    }
}

impl EntitlementStore for Tables {
    async fn entitlements(
        &self,
        context: &TenantContext,
    ) -> Result<Option<Entitlements>, StoreError> {
        Box::pin(self.configuration.entitlements(context)).await
    }
}

impl LimitStore for Tables {
    async fn limits(&self, owner: &LimitOwner) -> Result<Option<LimitSet>, StoreError> {
        self.limits.limits(owner).await
    }

    async fn change(&self, owner: &LimitOwner, change: &LimitChange) -> Result<bool, StoreError> {
        self.limits.change(owner, change).await
    }

    async fn finish(&self, owner: &LimitOwner, version: u64) -> Result<(), StoreError> {
        self.limits.finish(owner, version).await
    }

    async fn unfinished(&self) -> Result<Vec<(LimitOwner, u64)>, StoreError> {
        self.limits.unfinished().await
    }

    async fn lobs(&self) -> Result<Vec<LobId>, StoreError> {
        self.limits.lobs().await
    }

    async fn tenants(&self, lob_id: &LobId) -> Result<Vec<TenantId>, StoreError> {
        self.limits.tenants(lob_id).await
    }

    async fn renew(&self, tenant_id: &TenantId, raise: bool) -> Result<(), StoreError> {
        self.limits.renew(tenant_id, raise).await
    }

    async fn meters_of(
        &self,
        scope: &Scope,
        models: &ModelSelector,
        layout: MeterLayout,
    ) -> Result<Vec<Meter>, StoreError> {
        self.limits.meters_of(scope, models, layout).await
    }

    async fn seed(
        &self,
        scope: &Scope,
        models: &ModelSelector,
        layout: MeterLayout,
        used: &Counters,
        now: Minute,
    ) -> Result<(), StoreError> {
        self.limits.seed(scope, models, layout, used, now).await
    }

    async fn put_raise(
        &self,
        owner: &LimitOwner,
        raise: &RaiseRequest,
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        self.limits.put_raise(owner, raise, entry).await
    }

    async fn reject_raise(
        &self,
        owner: &LimitOwner,
        raise: &RaiseRequest,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        self.limits.reject_raise(owner, raise, entry).await
    }

    async fn raises(&self, owner: &LimitOwner) -> Result<Vec<RaiseRequest>, StoreError> {
        self.limits.raises(owner).await
    }

    async fn note(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.limits.note(entry).await
    }

    async fn history(
        &self,
        owner: &LimitOwner,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        self.limits.history(owner, before, limit).await
    }
}

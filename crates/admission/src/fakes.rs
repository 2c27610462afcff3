//! An in-memory ledger that keeps the contracts of the ports, and can be made to fail.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use metering::{NanoUsd, RecordId, UsageRecord};
use tenancy::{Status, Tenant, TenantContext, TenantId};

use crate::{
    Alert, AlertStore, Calendar, CallDetail, Counter, Denial, Enforcement, Entitlements, Gate,
    LimitRule, Meter, MeterRef, MeterStore, Metric, ModelSelector, Period, Reservation, Scope,
    ScopeLimits, SettlementStore, Standing, StoreError, TenantLimits, UsageStore, Used,
};

/// A hard limit on all models.
pub fn hard(metric: Metric, period: Period, amount: u64) -> LimitRule {
    LimitRule {
        id: format!("{}-{}", metric.as_str().replace(' ', "-"), period.as_str()),
        metric,
        period: Some(period),
        amount,
        models: ModelSelector::All,
        enforcement: Enforcement::Hard,
        reserved: BTreeMap::new(),
        max_share: None,
        valid_from: None,
        valid_until: None,
        thresholds: vec![50, 80, 100],
        on_exhausted: None,
        raises: Vec::new(),
    }
}

/// A tenant with limits that hold for it and, once more, for its line of business, whose meter counts
/// whether there are any or not.
pub fn entitlements(tenant: Tenant, limits: Vec<LimitRule>) -> Entitlements {
    let watched = LimitRule {
        id: "watched".to_owned(),
        enforcement: Enforcement::Soft,
        ..hard(Metric::Cost, Period::Total, u64::MAX)
    };
    let lob = [limits.clone(), vec![watched]].concat();
    Entitlements {
        tenant,
        lob_status: Status::Active,
        limits: TenantLimits {
            tenant: ScopeLimits { limits, ..ScopeLimits::default() },
            ..TenantLimits::default()
        },
        lob: ScopeLimits { limits: lob, ..ScopeLimits::default() },
        org: ScopeLimits::default(),
    }
}

/// Meters and records in memory.
#[derive(Debug)]
pub struct InMemoryLedger {
    calendar: Calendar,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    meters: BTreeMap<MeterRef, Meter>,
    records: BTreeMap<(TenantId, String), UsageRecord>,
    details: BTreeMap<(TenantId, String), CallDetail>,
    alerts: BTreeMap<String, Alert>,
    failing: HashSet<&'static str>,
}

impl Default for InMemoryLedger {
    fn default() -> Self {
        Self::with_meters([])
    }
}

impl InMemoryLedger {
    /// A ledger with these meters, of scopes that are not sharded, in UTC.
    pub fn with_meters(meters: impl IntoIterator<Item = (Scope, Meter)>) -> Self {
        let meters = meters.into_iter().map(|(scope, meter)| (MeterRef::of(scope), meter));
        let state = State { meters: meters.collect(), ..State::default() };
        Self { calendar: Calendar::utc(), state: Mutex::new(state) }
    }

    /// Makes every later `operation` fail; no operation does at first.
    pub fn fail(&self, operation: &'static str) {
        self.lock().failing.insert(operation);
    }

    /// The meter of an unsharded scope for all models, empty if there is none.
    pub fn meter_of(&self, scope: &Scope) -> Meter {
        let found = self.lock().meters.get(&MeterRef::of(scope.clone())).cloned();
        found.unwrap_or_else(|| Meter::new(Status::Suspended, 0))
    }

    /// What is committed of this month's money by the meter of an unsharded scope for all models.
    pub fn committed(&self, scope: &Scope) -> NanoUsd {
        let month = Counter { metric: Metric::Cost, period: Period::Month };
        NanoUsd(self.meter_of(scope).counters.get(month))
    }

    /// Every meter.
    pub fn all_meters(&self) -> BTreeMap<MeterRef, Meter> {
        self.lock().meters.clone()
    }

    /// Changes the meter of an unsharded scope for all models.
    pub fn update_meter(&self, scope: &Scope, change: impl FnOnce(&mut Meter)) {
        if let Some(meter) = self.lock().meters.get_mut(&MeterRef::of(scope.clone())) {
            change(meter);
        }
    }

    /// Sets a meter, whichever it is.
    pub fn set_meter(&self, meter_ref: MeterRef, meter: Meter) {
        self.lock().meters.insert(meter_ref, meter);
    }

    /// Every record, in the order of tenant and id.
    pub fn all_records(&self) -> Vec<UsageRecord> {
        self.lock().records.values().cloned().collect()
    }

    /// Every alert that was noted, by its id.
    pub fn all_alerts(&self) -> BTreeMap<String, Alert> {
        self.lock().alerts.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(
        &self,
        operation: &'static str,
        subject: &impl ToString,
    ) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.lock();
        if state.failing.contains(operation) {
            return Err(StoreError {
                operation,
                subject: subject.to_string(),
                source: "made to fail".into(),
            });
        }
        Ok(state)
    }

    fn put(&self, record: &UsageRecord) -> Result<bool, StoreError> {
        let mut state = self.begin("put_record", &record.id)?;
        let key = (record.tenant_id.clone(), record.id.to_string());
        let is_new = !state.records.contains_key(&key);
        state.records.entry(key).or_insert_with(|| record.clone());
        Ok(is_new)
    }

    fn replace(
        &self,
        operation: &'static str,
        meter: &MeterRef,
        id: &RecordId,
        used: Used,
    ) -> Result<bool, StoreError> {
        let mut state = self.begin(operation, meter)?;
        let Some(meter) = state.meters.get_mut(meter).filter(|meter| meter.is_open(id)) else {
            return Ok(false);
        };
        meter.settle(&self.calendar, id, used);
        Ok(true)
    }
}

impl MeterStore for InMemoryLedger {
    async fn reserve(
        &self,
        _context: &TenantContext,
        gate: &Gate,
        id: &RecordId,
        reservation: &Reservation,
    ) -> Result<Result<Standing, Denial>, StoreError> {
        let mut state = self.begin("reserve", &gate.meter)?;
        if gate.entitlement_version.is_none() {
            let new = || Meter::new(Status::Active, 0);
            state.meters.entry(gate.meter.clone()).or_insert_with(new);
        }
        let Some(meter) = state.meters.get_mut(&gate.meter) else {
            return Ok(Err(Denial::Unknown));
        };
        if meter.is_open(id) {
            return Ok(Ok(meter.standing(&self.calendar, reservation.minute)));
        }
        Ok(meter.decide(&self.calendar, gate, reservation).map(|roll| {
            meter.reserve(gate, roll, id, reservation.clone());
            meter.standing(&self.calendar, reservation.minute)
        }))
    }

    async fn put_detail(
        &self,
        context: &TenantContext,
        id: &RecordId,
        detail: &CallDetail,
        _deadline_ms: i64,
    ) -> Result<(), StoreError> {
        let mut state = self.begin("put_detail", id)?;
        state.details.insert((context.tenant_id.clone(), id.to_string()), detail.clone());
        Ok(())
    }

    async fn close(
        &self,
        _context: &TenantContext,
        meter: &MeterRef,
        id: &RecordId,
        _reservation: &Reservation,
        used: Used,
    ) -> Result<(), StoreError> {
        self.replace("close", meter, id, used).map(|_| ())
    }
}

impl AlertStore for InMemoryLedger {
    async fn claim(&self, alert: &Alert, _now_ms: i64) -> Result<bool, StoreError> {
        let mut state = self.begin("claim", &alert.id())?;
        Ok(state.alerts.insert(alert.id(), alert.clone()).is_none())
    }
}

impl UsageStore for InMemoryLedger {
    async fn put_record(
        &self,
        _context: &TenantContext,
        record: &UsageRecord,
    ) -> Result<bool, StoreError> {
        self.put(record)
    }
}

impl SettlementStore for InMemoryLedger {
    async fn meters(&self) -> Result<Vec<MeterRef>, StoreError> {
        Ok(self.begin("meters", &"the ledger")?.meters.keys().cloned().collect())
    }

    async fn meter(&self, meter: &MeterRef) -> Result<Option<Meter>, StoreError> {
        Ok(self.begin("meter", meter)?.meters.get(meter).cloned())
    }

    async fn record(
        &self,
        tenant_id: &TenantId,
        id: &RecordId,
    ) -> Result<Option<UsageRecord>, StoreError> {
        Ok(self.begin("record", id)?.records.get(&(tenant_id.clone(), id.to_string())).cloned())
    }

    async fn detail(
        &self,
        tenant_id: &TenantId,
        id: &RecordId,
    ) -> Result<Option<CallDetail>, StoreError> {
        Ok(self.begin("detail", id)?.details.get(&(tenant_id.clone(), id.to_string())).cloned())
    }

    async fn put_missing_record(&self, record: &UsageRecord) -> Result<bool, StoreError> {
        self.put(record)
    }

    async fn settle(
        &self,
        meter: &MeterRef,
        id: &RecordId,
        used: Used,
    ) -> Result<bool, StoreError> {
        self.replace("settle", meter, id, used)
    }
}

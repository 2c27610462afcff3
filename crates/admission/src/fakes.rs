//! An in-memory ledger that keeps the contracts of the ports, and can be made to fail.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use metering::{NanoUsd, RecordId, UsageRecord};
use tenancy::{TenantContext, TenantId};

use crate::{
    Denial, LimitedScope, Meter, MeterStore, Reservation, Scope, SettlementStore, Standing,
    StoreError, UsageStore,
};

/// Meters and records in memory.
#[derive(Debug, Default)]
pub struct InMemoryLedger {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    meters: BTreeMap<Scope, Meter>,
    records: BTreeMap<(TenantId, String), UsageRecord>,
    failing: HashSet<&'static str>,
}

impl InMemoryLedger {
    /// A ledger with these meters.
    pub fn with_meters(meters: impl IntoIterator<Item = (Scope, Meter)>) -> Self {
        Self {
            state: Mutex::new(State { meters: meters.into_iter().collect(), ..State::default() }),
        }
    }

    /// Makes every later `operation` fail; no operation does at first.
    pub fn fail(&self, operation: &'static str) {
        self.lock().failing.insert(operation);
    }

    /// The meter of `scope`, empty if there is none.
    pub fn meter_of(&self, scope: &Scope) -> Meter {
        self.lock()
            .meters
            .get(scope)
            .cloned()
            .unwrap_or_else(|| Meter::new(tenancy::Status::Suspended, 0))
    }

    /// Changes the meter of `scope`.
    pub fn update_meter(&self, scope: &Scope, change: impl FnOnce(&mut Meter)) {
        if let Some(meter) = self.lock().meters.get_mut(scope) {
            change(meter);
        }
    }

    /// Every record, in the order of tenant and id.
    pub fn all_records(&self) -> Vec<UsageRecord> {
        self.lock().records.values().cloned().collect()
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

    fn change(
        &self,
        operation: &'static str,
        scope: &Scope,
        id: &RecordId,
        change: impl FnOnce(&mut Meter),
    ) -> Result<bool, StoreError> {
        let mut state = self.begin(operation, scope)?;
        let Some(meter) = state.meters.get_mut(scope).filter(|meter| meter.is_open(id)) else {
            return Ok(false);
        };
        change(meter);
        Ok(true)
    }
}

impl MeterStore for InMemoryLedger {
    async fn reserve(
        &self,
        _context: &TenantContext,
        scope: &LimitedScope,
        id: &RecordId,
        reservation: &Reservation,
    ) -> Result<Result<Standing, Denial>, StoreError> {
        let mut state = self.begin("reserve", &scope.scope)?;
        let Some(meter) = state.meters.get_mut(&scope.scope) else {
            return Ok(Err(Denial::Unknown));
        };
        if meter.is_open(id) {
            return Ok(Ok(meter.standing(reservation.minute)));
        }
        Ok(meter.decide(&scope.limits, scope.entitlement_version, reservation).map(|roll| {
            meter.reserve(roll, id, reservation.clone());
            meter.standing(reservation.minute)
        }))
    }

    async fn release(
        &self,
        _context: &TenantContext,
        scope: &Scope,
        id: &RecordId,
        _reservation: &Reservation,
    ) -> Result<(), StoreError> {
        self.change("release", scope, id, |meter| meter.release(id)).map(|_| ())
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
    async fn scopes(&self) -> Result<Vec<Scope>, StoreError> {
        Ok(self.begin("scopes", &"the ledger")?.meters.keys().cloned().collect())
    }

    async fn meter(&self, scope: &Scope) -> Result<Option<Meter>, StoreError> {
        Ok(self.begin("meter", scope)?.meters.get(scope).cloned())
    }

    async fn record(
        &self,
        tenant_id: &TenantId,
        id: &RecordId,
    ) -> Result<Option<UsageRecord>, StoreError> {
        Ok(self.begin("record", id)?.records.get(&(tenant_id.clone(), id.to_string())).cloned())
    }

    async fn put_missing_record(&self, record: &UsageRecord) -> Result<bool, StoreError> {
        self.put(record)
    }

    async fn settle(
        &self,
        scope: &Scope,
        id: &RecordId,
        tokens: u64,
        amount: NanoUsd,
    ) -> Result<bool, StoreError> {
        self.change("settle", scope, id, |meter| meter.settle(id, tokens, amount))
    }

    async fn release_orphan(&self, scope: &Scope, id: &RecordId) -> Result<bool, StoreError> {
        self.change("release", scope, id, |meter| meter.release(id))
    }
}

//! Everything in memory, with the ports' contracts.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use events::{Event, EventSink, PublishError};
use metering::UsageRecord;
use tenancy::{LobId, TenantId};

use crate::port::{
    Accounts, BillingStore, BillingStoreError, Booked, ClosedMonth, Documents, Issued,
    TenantAccount, UsageSource,
};
use crate::{Account, Books, EntryKind, LedgerEntry, Month, MonthState, Plan, Span};

/// Books, records, documents and events in memory, which can be made to fail.
#[derive(Debug, Default)]
pub struct InMemoryBilling {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    books: Books,
    entries: BTreeMap<(Account, String), LedgerEntry>,
    plans: BTreeMap<(Account, Month), Plan>,
    issued: BTreeMap<(Account, Month), Issued>,
    closed: BTreeMap<Month, ClosedMonth>,
    tenants: BTreeMap<TenantId, Option<LobId>>,
    lobs: BTreeSet<LobId>,
    records: BTreeMap<(TenantId, String), UsageRecord>,
    documents: BTreeMap<String, Vec<u8>>,
    events: Vec<Event>,
    /// Operations that succeed before every other one fails.
    lives: Option<u64>,
    /// What the pauses before operations are drawn from, if there are any.
    dice: Option<u64>,
}

impl InMemoryBilling {
    /// Registers a tenant.
    pub fn onboard(&self, tenant_id: &str, lob_id: &str) -> Result<(), tenancy::InvalidId> {
        let lob_id: LobId = lob_id.parse()?;
        let mut state = self.lock();
        state.lobs.insert(lob_id.clone());
        state.tenants.insert(tenant_id.parse()?, Some(lob_id));
        Ok(())
    }

    /// Adds a usage record, unless there is one of its id.
    pub fn record(&self, record: UsageRecord) {
        let key = (record.tenant_id.clone(), record.id.to_string());
        self.lock().records.entry(key).or_insert(record);
    }

    /// Lets so many operations succeed, and fails every later one; `None` fails none.
    pub fn fail_after(&self, operations: Option<u64>) {
        self.lock().lives = operations;
    }

    /// Pauses for a random while before each operation, so that others come in between: the same
    /// `seed`, the same history.
    pub fn interleave(&self, seed: u64) {
        self.lock().dice = Some(seed);
    }

    /// All documents.
    pub fn documents(&self) -> BTreeMap<String, Vec<u8>> {
        self.lock().documents.clone()
    }

    /// All events, those that were told twice included.
    pub fn events(&self) -> Vec<Event> {
        self.lock().events.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn begin(
        &self,
        operation: &'static str,
        subject: &(impl ToString + ?Sized + Sync),
    ) -> Result<MutexGuard<'_, State>, BillingStoreError> {
        let pauses = self.lock().pauses();
        for _ in 0..pauses {
            pause().await;
        }
        let mut state = self.lock();
        if state.lives == Some(0) {
            let source = "made to fail".into();
            return Err(BillingStoreError { operation, subject: subject.to_string(), source });
        }
        state.lives = state.lives.map(|lives| lives - 1);
        Ok(state)
    }
}

impl State {
    /// How often somebody else may come before the next operation.
    fn pauses(&mut self) -> u64 {
        let Some(dice) = &mut self.dice else { return 0 };
        // A linear congruential generator (Knuth's MMIX); its upper bits are the better ones.
        *dice =
            dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*dice >> 33) % 4
    }
}

/// Lets others run once.
async fn pause() {
    let mut is_first = true;
    poll_fn(|context| {
        if std::mem::take(&mut is_first) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

impl BillingStore for InMemoryBilling {
    async fn books(&self) -> Result<Books, BillingStoreError> {
        Ok(self.begin("read", "the books").await?.books.clone())
    }

    async fn change_books(&self, from: &Books, to: &Books) -> Result<bool, BillingStoreError> {
        let mut state = self.begin("change", "the books").await?;
        let is_same = state.books == *from;
        if is_same {
            state.books = to.clone();
        }
        Ok(is_same)
    }

    async fn book(&self, entry: &LedgerEntry) -> Result<Booked, BillingStoreError> {
        let mut state = self.begin("book the entry", &entry.id).await?;
        let key = (entry.account.clone(), entry.id.clone());
        if state.entries.contains_key(&key) {
            return Ok(Booked::Known);
        }
        let wanted = match entry.kind {
            EntryKind::FlatFee => MonthState::Closing,
            _ => MonthState::Open,
        };
        if state.books.state_of(entry.period) != wanted {
            return Ok(Booked::Refused);
        }
        state.entries.insert(key, entry.clone());
        Ok(Booked::New)
    }

    async fn entry(
        &self,
        account: &Account,
        id: &str,
    ) -> Result<Option<LedgerEntry>, BillingStoreError> {
        let state = self.begin("find the entry", id).await?;
        Ok(state.entries.get(&(account.clone(), id.to_owned())).cloned())
    }

    async fn entries(
        &self,
        account: &Account,
        periods: RangeInclusive<Month>,
    ) -> Result<Vec<LedgerEntry>, BillingStoreError> {
        let state = self.begin("list entries of", account).await?;
        let of_account = state.entries.values().filter(|entry| entry.account == *account);
        let mut found: Vec<_> =
            of_account.filter(|entry| periods.contains(&entry.period)).cloned().collect();
        found.sort_by(|a, b| (a.period, &a.id).cmp(&(b.period, &b.id)));
        Ok(found)
    }

    async fn put_plan(&self, account: &Account, plan: &Plan) -> Result<bool, BillingStoreError> {
        let mut state = self.begin("keep the plan", &plan.id).await?;
        let is_open = state.books.state_of(plan.valid_from) == MonthState::Open;
        if is_open {
            state.plans.insert((account.clone(), plan.valid_from), plan.clone());
        }
        Ok(is_open)
    }

    async fn plans(&self, account: &Account) -> Result<Vec<Plan>, BillingStoreError> {
        let state = self.begin("list plans of", account).await?;
        let of_account = state.plans.iter().filter(|((owner, _), _)| owner == account);
        Ok(of_account.map(|(_, plan)| plan.clone()).collect())
    }

    async fn put_issued(&self, issued: &Issued) -> Result<(), BillingStoreError> {
        let mut state = self.begin("note the statement of", &issued.account).await?;
        state.issued.insert((issued.account.clone(), issued.period), issued.clone());
        Ok(())
    }

    async fn issued(&self, account: &Account) -> Result<Vec<Issued>, BillingStoreError> {
        let state = self.begin("list statements of", account).await?;
        let of_account = state.issued.values().rev().filter(|it| it.account == *account);
        Ok(of_account.cloned().collect())
    }

    async fn put_closed(&self, month: &ClosedMonth) -> Result<(), BillingStoreError> {
        let mut state = self.begin("note the month", &month.period).await?;
        state.closed.insert(month.period, month.clone());
        Ok(())
    }

    async fn closed(&self) -> Result<Vec<ClosedMonth>, BillingStoreError> {
        Ok(self.begin("list", "closed months").await?.closed.values().rev().cloned().collect())
    }
}

impl Accounts for InMemoryBilling {
    async fn tenants(&self, _span: &Span) -> Result<Vec<TenantAccount>, BillingStoreError> {
        let state = self.begin("list", "tenants").await?;
        let account = |(tenant_id, lob_id): (&TenantId, &Option<LobId>)| TenantAccount {
            tenant_id: tenant_id.clone(),
            lob_id: lob_id.clone(),
        };
        Ok(state.tenants.iter().map(account).collect())
    }

    async fn lobs(&self) -> Result<Vec<LobId>, BillingStoreError> {
        Ok(self.begin("list", "lines of business").await?.lobs.iter().cloned().collect())
    }
}

impl UsageSource for InMemoryBilling {
    async fn records(
        &self,
        tenant_id: &TenantId,
        _span: &Span,
        take: &mut (dyn FnMut(UsageRecord) + Send),
    ) -> Result<(), BillingStoreError> {
        let state = self.begin("read records of", tenant_id).await?;
        let of_tenant = state.records.values().filter(|record| record.tenant_id == *tenant_id);
        of_tenant.cloned().for_each(take);
        Ok(())
    }
}

impl Documents for InMemoryBilling {
    async fn create(
        &self,
        key: &str,
        bytes: Vec<u8>,
        _content_type: &str,
    ) -> Result<bool, BillingStoreError> {
        let mut state = self.begin("create", key).await?;
        let is_new = !state.documents.contains_key(key);
        state.documents.entry(key.to_owned()).or_insert(bytes);
        Ok(is_new)
    }

    async fn put(
        &self,
        key: &str,
        bytes: Vec<u8>,
        _content_type: &str,
    ) -> Result<(), BillingStoreError> {
        self.begin("write", key).await?.documents.insert(key.to_owned(), bytes);
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, BillingStoreError> {
        Ok(self.begin("read", key).await?.documents.get(key).cloned())
    }
}

impl EventSink for InMemoryBilling {
    async fn publish(&self, events: &[Event]) -> Vec<Result<(), PublishError>> {
        let mut outcomes = Vec::with_capacity(events.len());
        for event in events {
            let taken = self.begin("tell of", &event.id).await;
            let outcome = taken.map(|mut state| state.events.push(event.clone()));
            outcomes.push(
                outcome
                    .map_err(|error| PublishError { id: event.id.clone(), source: error.into() }),
            );
        }
        outcomes
    }
}

//! All that there is, in memory: what administration's fakes hold as the items that they stand for, and
//! whatever a test has put beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use administration::fakes::{FakePool, FakeTable};
use admission::{AuditEntry, StoreError};
use audit::{AuditError, ChainId, ChainStore, Head, SegmentNote};
use jiff::civil::Date;
use lake::ObjectStore as _;
use lake::fakes::InMemoryObjects;
use tenancy::{LobId, TenantId};

use super::faults::Faults;
use super::faulty::store_error;
use crate::port::{Estate, EstateError, Found, Page, Register, Store, Tombstone, Whose};

/// Things of a page: few, so that there are several.
const PAGE: usize = 12;

/// What stands beside administration's fakes.
#[derive(Debug, Default)]
pub struct Beside {
    /// Items, uploads, groups: whatever a test has put there.
    pub items: BTreeSet<Found>,
    /// Machine clients that are not let in.
    pub parked: BTreeSet<String>,
    /// Calls that are not settled.
    pub open: BTreeMap<TenantId, usize>,
    /// Tombstones.
    pub tombstones: BTreeMap<TenantId, Tombstone>,
    /// Positions of entries that are in chains.
    pub chained: BTreeSet<String>,
}

/// The estate of all tenants.
#[derive(Debug)]
pub struct FakeEstate {
    pub(super) table: Arc<FakeTable>,
    pub(super) pool: Arc<FakePool>,
    pub(super) objects: Arc<InMemoryObjects>,
    pub(super) faults: Arc<Faults>,
    pub(super) beside: Mutex<Beside>,
}

/// Something in a store.
pub fn found(store: Store, place: &str, name: &str) -> Found {
    Found { store, place: place.to_owned(), name: name.to_owned(), owner: None, expires_at: None }
}

fn failed(operation: &'static str) -> EstateError {
    EstateError { operation, store: Store::TenancyTable, source: "made to fail".into() }
}

impl FakeEstate {
    /// What stands beside administration's fakes.
    pub fn beside(&self) -> MutexGuard<'_, Beside> {
        self.beside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything of everybody.
    pub async fn all(&self) -> BTreeSet<Found> {
        let mut all = BTreeSet::new();
        for store in Store::ALL {
            all.extend(self.in_store(store).await);
        }
        all
    }

    async fn in_store(&self, store: Store) -> BTreeSet<Found> {
        let beside = self.beside().items.iter().filter(|it| it.store == store).cloned().collect();
        let mut all: BTreeSet<Found> = beside;
        match store {
            Store::TenancyTable => self.registered(&mut all),
            Store::UserPool => self.of_pool(&mut all),
            Store::StatementsBucket => {
                for key in self.objects.list("").await.unwrap_or_default() {
                    all.insert(found(store, "", &key));
                }
            }
            _ => {}
        }
        all
    }

    fn registered(&self, all: &mut BTreeSet<Found>) {
        let (data, beside) = (self.table.data(), self.beside());
        let mut item = |place: String, name: String, owner: Option<&TenantId>| {
            let owner = owner.map(ToString::to_string);
            all.insert(Found { owner, ..found(Store::TenancyTable, &place, &name) });
        };
        for id in data.tenants.keys() {
            item(format!("TENANT#{id}"), "META".into(), Some(id));
        }
        for (id, version) in data.versions.keys() {
            item(format!("TENANT#{id}"), format!("VERSION#{version:012}"), None);
        }
        for (owner, entry) in &data.audit {
            let name = format!("AUDIT#{}", entry.position());
            item(format!("TENANT#{owner}"), name, Some(&entry.tenant_id));
        }
        for subject in data.unfinished.keys() {
            item("UNFINISHED".into(), subject.clone(), None);
        }
        for (client_id, (owner, _)) in &data.clients {
            item(format!("CALLERS#{owner}"), format!("CLIENT#{client_id}"), None);
            let is_parked = beside.parked.contains(client_id);
            let name = if is_parked { "PARKED" } else { "META" };
            item(format!("CLIENT#{client_id}"), name.into(), Some(owner));
        }
        for role in data.aws_roles.values() {
            let name = format!("AWSROLE#{}:{}", role.account_id, role.role_name);
            item(format!("CALLERS#{}", role.tenant_id), name.clone(), None);
            item(name, "META".into(), Some(&role.tenant_id));
        }
        for (issuer, it) in &data.issuers {
            let Some(owner) = &it.issuer.tenant_id else { continue };
            item(format!("CALLERS#{owner}"), format!("ISSUER#{issuer}"), Some(owner));
            item(format!("ISSUER#{issuer}"), "META".into(), Some(owner));
        }
        for id in beside.tombstones.keys() {
            item(format!("TENANT#{id}"), "TOMBSTONE".into(), None);
        }
    }

    fn of_pool(&self, all: &mut BTreeSet<Found>) {
        let data = self.pool.data();
        for person in data.people.values() {
            for group in &person.groups {
                all.insert(found(Store::UserPool, "groups", group));
                let id = person.user.id.as_str();
                all.insert(found(Store::UserPool, &format!("members/{group}"), id));
            }
        }
        for (client_id, (name, _)) in &data.clients {
            let owner = Some(name.clone());
            all.insert(Found { owner, ..found(Store::UserPool, "clients", client_id) });
        }
    }

    async fn delete(&self, gone: &Found) {
        self.beside().items.remove(gone);
        match gone.store {
            Store::StatementsBucket => {
                let _ = self.objects.delete(&gone.name).await;
            }
            Store::UserPool => self.delete_of_pool(gone),
            Store::TenancyTable => self.delete_item(gone),
            _ => {}
        }
    }

    fn delete_of_pool(&self, gone: &Found) {
        let mut data = self.pool.data();
        match gone.place.split_once('/') {
            Some((_, group)) => {
                if let Some(person) = data.people.get_mut(&gone.name) {
                    person.groups.remove(group);
                }
            }
            None if gone.place == "clients" => {
                data.clients.remove(&gone.name);
            }
            None => {
                for person in data.people.values_mut() {
                    person.groups.remove(&gone.name);
                }
            }
        }
    }

    fn delete_item(&self, gone: &Found) {
        let mut data = self.table.data();
        let (kind, id) = gone.place.split_once('#').unwrap_or((&gone.place, ""));
        match (kind, gone.name.split_once('#')) {
            ("UNFINISHED", _) => {
                data.unfinished.remove(&gone.name);
            }
            ("TENANT", None) if gone.name == "META" => {
                data.tenants.retain(|tenant, _| tenant.as_str() != id);
            }
            ("TENANT", Some(("VERSION", number))) => {
                data.versions.retain(|(tenant, version), _| {
                    tenant.as_str() != id || number.parse() != Ok(*version)
                });
            }
            ("CALLERS", Some(("CLIENT", client_id))) => {
                data.clients.remove(client_id);
            }
            ("CALLERS", Some(("AWSROLE", name))) => {
                data.aws_roles.retain(|(account, role), _| format!("{account}:{role}") != name);
            }
            ("AWSROLE", _) => {
                data.aws_roles.retain(|(account, role), _| format!("{account}:{role}") != id);
            }
            ("CALLERS", Some(("ISSUER", name))) => {
                data.issuers.remove(name);
            }
            ("ISSUER", _) => {
                data.issuers.remove(id);
            }
            ("CLIENT", _) => {
                data.clients.remove(id);
                self.beside().parked.remove(id);
            }
            _ => {}
        }
    }
}

impl Estate for FakeEstate {
    async fn list(
        &self,
        _: &Whose,
        store: Store,
        after: Option<&str>,
    ) -> Result<Page, EstateError> {
        let list = async {
            let place_of = |it: &Found| format!("{}\u{0}{}", it.place, it.name);
            let all = self.in_store(store).await;
            let mut found: Vec<Found> = all
                .into_iter()
                .filter(|it| after.is_none_or(|after| place_of(it).as_str() > after))
                .collect();
            found.sort_by_key(place_of);
            let has_more = found.len() > PAGE;
            found.truncate(PAGE);
            let next = found.last().filter(|_| has_more).map(place_of);
            Ok(Page { found, next })
        };
        self.faults.call("list", list, failed).await
    }

    async fn remove(&self, gone: &Found) -> Result<(), EstateError> {
        let remove = async {
            self.delete(gone).await;
            Ok(())
        };
        self.faults.call("remove", remove, failed).await
    }

    async fn is_there(&self, wanted: &Found) -> Result<bool, EstateError> {
        let is_same = |it: &Found| {
            (it.store, &it.place, &it.name) == (wanted.store, &wanted.place, &wanted.name)
        };
        let look = async { Ok(self.in_store(wanted.store).await.iter().any(is_same)) };
        self.faults.call("is_there", look, failed).await
    }
}

impl Register for FakeEstate {
    async fn open_calls(&self, id: &TenantId, _: &LobId) -> Result<usize, StoreError> {
        let count = async { Ok(self.beside().open.get(id).copied().unwrap_or_default()) };
        self.faults.call("open_calls", count, store_error).await
    }

    async fn park_client(
        &self,
        id: &TenantId,
        client_id: &str,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let park = async {
            let mut data = self.table.data();
            let is_own = data.clients.get(client_id).is_some_and(|(owner, _)| owner == id);
            let is_new = is_own && self.beside().parked.insert(client_id.to_owned());
            if is_new {
                data.audit.push((id.to_string(), entry.clone()));
            }
            Ok(is_new)
        };
        self.faults.call("park_client", park, store_error).await
    }

    async fn unpark_client(
        &self,
        id: &TenantId,
        client_id: &str,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let unpark = async {
            let mut data = self.table.data();
            let is_own = data.clients.get(client_id).is_some_and(|(owner, _)| owner == id);
            let is_parked = is_own && self.beside().parked.remove(client_id);
            if is_parked {
                data.audit.push((id.to_string(), entry.clone()));
            }
            Ok(is_parked)
        };
        self.faults.call("unpark_client", unpark, store_error).await
    }

    async fn bury(
        &self,
        id: &TenantId,
        tombstone: &Tombstone,
        entry: &AuditEntry,
    ) -> Result<Tombstone, StoreError> {
        let bury = async {
            let stands = self.beside().tombstones.get(id).cloned();
            if let Some(stands) = stands {
                return Ok(stands);
            }
            self.table.data().audit.push((id.to_string(), entry.clone()));
            self.beside().tombstones.insert(id.clone(), tombstone.clone());
            Ok(tombstone.clone())
        };
        self.faults.call("bury", bury, store_error).await
    }

    async fn tombstone(&self, id: &TenantId) -> Result<Option<Tombstone>, StoreError> {
        let read = async { Ok(self.beside().tombstones.get(id).cloned()) };
        self.faults.call("tombstone", read, store_error).await
    }
}

fn unused<T>(operation: &'static str) -> Result<T, AuditError> {
    Err(chain_error(operation))
}

fn chain_error(operation: &'static str) -> AuditError {
    AuditError { operation, subject: "a test".to_owned(), source: "made to fail".into() }
}

impl ChainStore for FakeEstate {
    async fn head(&self, chain: &ChainId) -> Result<Head, AuditError> {
        let read = async {
            let sequence = u64::try_from(self.beside().chained.len()).unwrap_or_default();
            Ok(Head { sequence, ..Head::empty(chain.clone()) })
        };
        self.faults.call("head", read, chain_error).await
    }

    async fn heads(&self) -> Result<Vec<Head>, AuditError> {
        unused("list")
    }

    async fn chained(
        &self,
        _: &ChainId,
        positions: &[String],
    ) -> Result<BTreeSet<String>, AuditError> {
        let look = async {
            let beside = self.beside();
            Ok(positions.iter().filter(|it| beside.chained.contains(*it)).cloned().collect())
        };
        self.faults.call("chained", look, chain_error).await
    }

    async fn claim(&self, _: &Head, _: Date) -> Result<Option<Date>, AuditError> {
        unused("claim")
    }

    async fn advance(&self, _: &Head, _: &SegmentNote) -> Result<bool, AuditError> {
        unused("advance")
    }

    async fn set_checked(&self, _: &ChainId, _: &str) -> Result<(), AuditError> {
        unused("check")
    }

    async fn segments(
        &self,
        _: &ChainId,
        _: u64,
        _: usize,
    ) -> Result<Vec<SegmentNote>, AuditError> {
        unused("list")
    }
}

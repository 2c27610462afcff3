//! Configuration, remembered between calls.
//!
//! Remembering it is safe: a reservation is refused as stale when the entitlements that it was
//! checked against are not the current ones.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use admission::{EntitlementStore, Entitlements, StoreError};
use inference::{Alias, AliasStore, Catalog, CatalogStore, ReadCatalogError};
use tenancy::{ModelId, TenantContext, TenantId};

/// Tenants that are remembered at most.
const MAX_TENANTS: usize = 10_000;

/// A store, and what it last said.
#[derive(Debug)]
pub struct Cache<C> {
    store: C,
    /// For how many milliseconds the catalog and aliases are used before they are read again.
    max_age_ms: i64,
    tenants: Mutex<HashMap<TenantId, Entry<Arc<Entitlements>>>>,
    aliases: Mutex<HashMap<TenantId, Entry<(u64, Aliases)>>>,
    catalog: Mutex<Option<Entry<Arc<Catalog>>>>,
}

/// A tenant's own aliases, by name.
type Aliases = Arc<BTreeMap<ModelId, Arc<Alias>>>;

#[derive(Debug, Clone)]
struct Entry<T> {
    value: T,
    read_ms: i64,
}

/// How old an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// As old as it is: a later check makes sure of it.
    Remembered,
    /// A second at most: it is the last word. The second keeps a flood of wrong requests off the store.
    Recent,
    /// Not remembered at all: what was remembered has proved wrong.
    Reread,
}

impl Freshness {
    fn accepts(self, age_ms: i64, remembered_ms: i64) -> bool {
        match self {
            Self::Remembered => age_ms < remembered_ms,
            Self::Recent => age_ms < remembered_ms.min(1_000),
            Self::Reread => false,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<C> Cache<C> {
    /// A cache that has not asked `store` yet. It uses the catalog and aliases for `max_age` before it reads them
    /// again.
    pub fn new(store: C, max_age: Duration) -> Self {
        Self {
            store,
            max_age_ms: i64::try_from(max_age.as_millis()).unwrap_or(i64::MAX),
            tenants: Mutex::default(),
            aliases: Mutex::default(),
            catalog: Mutex::default(),
        }
    }
}

impl<C: EntitlementStore + CatalogStore + AliasStore> Cache<C> {
    /// The caller's tenant's entitlements; `None` if it was never onboarded.
    pub(crate) async fn entitlements(
        &self,
        context: &TenantContext,
        freshness: Freshness,
        now_ms: i64,
    ) -> Result<Option<Arc<Entitlements>>, StoreError> {
        let known = lock(&self.tenants).get(&context.tenant_id).cloned();
        let is_of_lob =
            |entry: &Entry<Arc<Entitlements>>| entry.value.tenant.lob_id == context.lob_id;
        if let Some(entry) = known.filter(is_of_lob)
            && freshness.accepts(now_ms - entry.read_ms, i64::MAX)
        {
            return Ok(Some(entry.value));
        }
        let Some(entitlements) = self.store.entitlements(context).await? else { return Ok(None) };
        let value = Arc::new(entitlements);
        let mut tenants = lock(&self.tenants);
        if tenants.len() >= MAX_TENANTS {
            tenants.clear();
        }
        tenants.insert(
            context.tenant_id.clone(),
            Entry { value: Arc::clone(&value), read_ms: now_ms },
        );
        Ok(Some(value))
    }

    /// The caller's tenant's own aliases, of this version of its entitlements. Those that cannot be
    /// read again are used as they were.
    pub(crate) async fn aliases(
        &self,
        context: &TenantContext,
        entitlement_version: u64,
        now_ms: i64,
    ) -> Result<Aliases, ReadCatalogError> {
        let known = lock(&self.aliases).get(&context.tenant_id).cloned();
        if let Some(Entry { value: (version, aliases), read_ms }) = &known
            && *version == entitlement_version
            && now_ms - read_ms < self.max_age_ms
        {
            return Ok(Arc::clone(aliases));
        }
        let value = match (self.store.aliases(context).await, known) {
            (Ok(aliases), _) => Arc::new(aliases),
            (Err(error), Some(entry)) => {
                tracing::warn!(%error, "aliases could not be read again and are used as they were");
                entry.value.1
            }
            (Err(error), None) => return Err(error),
        };
        let mut all = lock(&self.aliases);
        if all.len() >= MAX_TENANTS {
            all.clear();
        }
        let entry = Entry { value: (entitlement_version, Arc::clone(&value)), read_ms: now_ms };
        all.insert(context.tenant_id.clone(), entry);
        Ok(value)
    }

    /// The catalog. One that cannot be read again is used as it was.
    pub(crate) async fn catalog(
        &self,
        freshness: Freshness,
        now_ms: i64,
    ) -> Result<Arc<Catalog>, ReadCatalogError> {
        let known = lock(&self.catalog).clone();
        if let Some(entry) = &known
            && freshness.accepts(now_ms - entry.read_ms, self.max_age_ms)
        {
            return Ok(Arc::clone(&entry.value));
        }
        let value = match (self.store.catalog().await, known) {
            (Ok(catalog), _) => Arc::new(catalog),
            (Err(error), Some(entry)) => {
                tracing::warn!(%error, "the catalog could not be read again and is used as it was");
                entry.value
            }
            (Err(error), None) => return Err(error),
        };
        *lock(&self.catalog) = Some(Entry { value: Arc::clone(&value), read_ms: now_ms });
        Ok(value)
    }
}

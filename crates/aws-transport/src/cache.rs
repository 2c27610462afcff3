//! What is loaded once for everyone who needs it, and kept until it is about to expire.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};

/// A value with the time for which it is good.
#[derive(Debug, Clone)]
pub(crate) struct Kept<V> {
    pub(crate) value: V,
    pub(crate) expires_at: SystemTime,
    /// When it is to be replaced.
    pub(crate) refresh_at: SystemTime,
}

type Loading<V, E> = Shared<BoxFuture<'static, Result<Kept<V>, E>>>;

struct Slot<V, E> {
    kept: Option<Kept<V>>,
    /// The request for a new one, which everyone who needs it waits for.
    loading: Option<Loading<V, E>>,
    last_used: u64,
}

struct Slots<K, V, E> {
    by_key: HashMap<K, Slot<V, E>>,
    uses: u64,
}

/// Values by key; the least recently used one makes room for a new one.
pub(crate) struct Cache<K, V, E> {
    slots: Mutex<Slots<K, V, E>>,
    capacity: usize,
}

impl<K: Clone + Eq + Hash, V: Clone, E: Clone> Cache<K, V, E> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { slots: Mutex::new(Slots { by_key: HashMap::new(), uses: 0 }), capacity }
    }

    /// The value of `key` at `now`, made by `load` if there is none or if it is due for refresh.
    ///
    /// However many callers wait, `load` runs once. If it fails, a value that is merely due is
    /// used on.
    pub(crate) async fn get(
        &self,
        key: &K,
        now: SystemTime,
        load: impl FnOnce() -> BoxFuture<'static, Result<Kept<V>, E>>,
    ) -> Result<Kept<V>, E> {
        let (loading, usable) = {
            let mut slots = self.lock();
            let slot = slots.touch(key, self.capacity);
            let usable = slot.kept.clone().filter(|kept| now < kept.expires_at);
            if let Some(kept) = usable.as_ref().filter(|kept| now < kept.refresh_at) {
                return Ok(kept.clone());
            }
            (slot.loading.get_or_insert_with(|| load().shared()).clone(), usable)
        };

        let outcome = loading.clone().await;

        // Only the first of those who waited finds its own request in the slot.
        if let Some(slot) = self.lock().by_key.get_mut(key)
            && slot.loading.as_ref().is_some_and(|current| current.ptr_eq(&loading))
        {
            slot.loading = None;
            if let Ok(kept) = &outcome {
                slot.kept = Some(kept.clone());
            }
        }
        outcome.or_else(|error| usable.ok_or(error))
    }

    /// Whether there is a value of `key`, in whatever state.
    pub(crate) fn contains(&self, key: &K) -> bool {
        self.lock().by_key.contains_key(key)
    }

    /// Drops the value of `key`, because it is no longer taken.
    pub(crate) fn forget(&self, key: &K) {
        self.lock().by_key.remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, Slots<K, V, E>> {
        // Nothing that runs under the lock can leave the map half changed.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash, V, E> Slots<K, V, E> {
    fn touch(&mut self, key: &K, capacity: usize) -> &mut Slot<V, E> {
        self.uses += 1;
        if !self.by_key.contains_key(key) && self.by_key.len() >= capacity {
            let oldest = self
                .by_key
                .iter()
                .min_by_key(|(_, slot)| slot.last_used)
                .map(|(key, _)| key.clone());
            oldest.and_then(|key| self.by_key.remove(&key));
        }
        let slot = self.by_key.entry(key.clone()).or_insert_with(|| Slot {
            kept: None,
            loading: None,
            last_used: 0,
        });
        slot.last_used = self.uses;
        slot
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;

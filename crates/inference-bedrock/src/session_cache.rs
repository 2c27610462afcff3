//! Sessions that are kept until they are about to expire.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use tenancy::{LobId, TenantId};

use crate::session::SessionError;

/// How long before its end a session is replaced; the calls that start meanwhile still have it.
pub(crate) const REFRESH_AHEAD: Duration = Duration::from_mins(5);

/// All that a session depends on. Two calls share a session only if they agree in all of it, so
/// no session reaches a tenant, a state of its entitlements or a model that it was not made for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SessionKey {
    pub(crate) tenant_id: TenantId,
    pub(crate) lob_id: LobId,
    pub(crate) entitlement_version: u64,
    /// The session policy: of the whole allowlist, or of one model.
    pub(crate) policy: String,
}

/// Credentials of a tenant.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) credentials: Credentials,
    pub(crate) expires_at: SystemTime,
    /// When it is to be replaced.
    pub(crate) refresh_at: SystemTime,
}

type Loading = Shared<BoxFuture<'static, Result<Session, SessionError>>>;

#[derive(Default)]
struct Slot {
    session: Option<Session>,
    /// The request for a new one, which everyone who needs it waits for.
    loading: Option<Loading>,
    last_used: u64,
}

#[derive(Default)]
struct Slots {
    by_key: HashMap<SessionKey, Slot>,
    uses: u64,
}

/// Sessions by key; the least recently used one makes room for a new one.
pub(crate) struct SessionCache {
    slots: Mutex<Slots>,
    capacity: usize,
}

impl SessionCache {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { slots: Mutex::default(), capacity }
    }

    /// The session of `key` at `now`, made by `load` if there is none or if it is due for refresh.
    ///
    /// However many callers wait, `load` runs once. If it fails, a session that is merely due is
    /// used on.
    pub(crate) async fn get(
        &self,
        key: &SessionKey,
        now: SystemTime,
        load: impl FnOnce() -> BoxFuture<'static, Result<Session, SessionError>>,
    ) -> Result<Session, SessionError> {
        let (loading, usable) = {
            let mut slots = self.lock();
            let slot = slots.touch(key, self.capacity);
            let usable = slot.session.clone().filter(|session| now < session.expires_at);
            if let Some(session) = usable.as_ref().filter(|session| now < session.refresh_at) {
                return Ok(session.clone());
            }
            (slot.loading.get_or_insert_with(|| load().shared()).clone(), usable)
        };

        let outcome = loading.clone().await;

        // Only the first of those who waited finds its own request in the slot.
        if let Some(slot) = self.lock().by_key.get_mut(key)
            && slot.loading.as_ref().is_some_and(|current| current.ptr_eq(&loading))
        {
            slot.loading = None;
            if let Ok(session) = &outcome {
                slot.session = Some(session.clone());
            }
        }
        outcome.or_else(|error| usable.ok_or(error))
    }

    /// Whether there is a session of `key`, in whatever state.
    pub(crate) fn contains(&self, key: &SessionKey) -> bool {
        self.lock().by_key.contains_key(key)
    }

    /// Drops the session of `key`, because the provider no longer takes it.
    pub(crate) fn forget(&self, key: &SessionKey) {
        self.lock().by_key.remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        // Nothing that runs under the lock can leave the map half changed.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    fn touch(&mut self, key: &SessionKey, capacity: usize) -> &mut Slot {
        self.uses += 1;
        if !self.by_key.contains_key(key) && self.by_key.len() >= capacity {
            let oldest = self
                .by_key
                .iter()
                .min_by_key(|(_, slot)| slot.last_used)
                .map(|(key, _)| key.clone());
            oldest.and_then(|key| self.by_key.remove(&key));
        }
        let slot = self.by_key.entry(key.clone()).or_default();
        slot.last_used = self.uses;
        slot
    }
}

#[cfg(test)]
#[path = "session_cache_tests.rs"]
mod tests;

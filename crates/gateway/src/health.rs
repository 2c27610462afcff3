//! What this instance and the others know of the targets' health.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use inference::ProviderError;
use routing::{Breakers, Health, HealthStore};
use tenancy::ModelId;

/// How old the others' knowledge may be, in milliseconds.
const MAX_AGE_MS: i64 = 5_000;

/// Breakers of this instance, told of by the others and telling them. Nobody waits for it: what the
/// others know comes in beside a call, and serves the next one.
pub struct SharedHealth<H> {
    breakers: Arc<Breakers>,
    store: Arc<H>,
    read_ms: Arc<AtomicI64>,
}

impl<H: HealthStore + 'static> SharedHealth<H> {
    /// Nothing is known yet.
    pub fn new(store: H) -> Self {
        Self {
            breakers: Arc::default(),
            store: Arc::new(store),
            read_ms: Arc::new(AtomicI64::new(i64::MIN)),
        }
    }

    /// Asks what the others know, unless that was done a moment ago.
    pub(crate) fn refresh(&self, now_ms: i64) {
        let read_ms = self.read_ms.load(Ordering::Relaxed);
        if now_ms < read_ms.saturating_add(MAX_AGE_MS) {
            return;
        }
        self.read_ms.store(now_ms, Ordering::Relaxed);
        let (store, breakers) = (Arc::clone(&self.store), Arc::clone(&self.breakers));
        tokio::spawn(async move {
            match store.open_targets().await {
                Ok(open) => {
                    for (target, until_ms) in open {
                        breakers.open(&target, until_ms);
                    }
                }
                Err(error) => tracing::warn!(%error, "what others know could not be read"),
            }
        });
    }

    /// Whether a call may go to `target`; see [`Breakers::probe`].
    pub(crate) fn probe(&self, target: &ModelId, now_ms: i64) -> bool {
        self.breakers.probe(target, now_ms)
    }

    pub(crate) fn succeeded(&self, target: &ModelId) {
        self.breakers.succeeded(target);
    }

    /// Takes note of a failure. The others are told only where there is another target to turn to.
    pub(crate) fn failed(
        &self,
        target: &ModelId,
        error: &ProviderError,
        has_alternative: bool,
        now_ms: i64,
    ) {
        let Some(until_ms) = self.breakers.failed(target, error, now_ms) else { return };
        tracing::warn!(model = %target, until_ms, "a target is left alone for a while");
        if !has_alternative {
            return;
        }
        let (store, target) = (Arc::clone(&self.store), target.clone());
        tokio::spawn(async move {
            if let Err(error) = store.trip(&target, until_ms).await {
                tracing::warn!(%error, "others could not be told");
            }
        });
    }
}

impl<H: Send + Sync> Health for SharedHealth<H> {
    fn is_open(&self, target: &ModelId, now_ms: i64) -> bool {
        self.breakers.is_open(target, now_ms)
    }
}

impl<H> fmt::Debug for SharedHealth<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedHealth").field("breakers", &self.breakers).finish_non_exhaustive()
    }
}

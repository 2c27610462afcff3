//! Somebody is told when a limit refuses its first call.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use admission::{Alert, AlertStore as _, Denial, Minute, Scope};

use crate::state::{Ports, State};

/// Alerts that are remembered at most; one that is forgotten costs a write that changes nothing.
const MAX_REMEMBERED: usize = 1_000;

/// The alerts that this instance has noted, so that a flood of refused calls writes once.
#[derive(Debug, Default)]
pub struct Exhausted(Mutex<HashSet<String>>);

impl Exhausted {
    /// Whether it is the first time that this instance meets the alert.
    fn is_new(&self, id: &str) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_REMEMBERED {
            known.clear();
        }
        known.insert(id.to_owned())
    }

    fn forget(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

/// Notes that a limit of `scope` refused a call, once in its window. A note that fails is made by the
/// next call that is refused.
pub(crate) async fn note<P: Ports>(state: &State<P>, scope: &Scope, denial: &Denial, now_ms: i64) {
    let Denial::Exceeded { cap, used, .. } = denial else { return };
    let now = Minute::of(now_ms);
    let Some(alert) = Alert::exhausted(scope, cap, *used, &state.calendar, now) else { return };
    let id = alert.id();
    if !state.exhausted.is_new(&id) {
        return;
    }
    if let Err(error) = state.ledger.claim(&alert, now_ms).await {
        state.exhausted.forget(&id);
        tracing::warn!(%error, "an exhausted limit is told of later");
    }
}

//! Which targets keep failing: a circuit breaker for each.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use inference::{ProviderError, ProviderErrorKind};
use tenancy::ModelId;

/// Failures in a row after which a target is left alone.
const TRIP_AFTER: u32 = 3;

/// How long a target is left alone that said nothing about it.
const OPEN_MS: i64 = 10_000;

/// How long a target is left alone at most, whatever it says.
const MAX_OPEN_MS: i64 = 120_000;

/// How long a probe has before another call may probe.
const PROBE_MS: i64 = 5_000;

/// What is known of the targets.
pub trait Health {
    /// Whether `target` is better left alone at `now_ms` (Unix milliseconds).
    fn is_open(&self, target: &ModelId, now_ms: i64) -> bool;
}

/// How a target is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As if nothing had happened.
    Closed,
    /// It is left alone until this moment (Unix milliseconds).
    Open {
        /// Then one call probes it.
        until_ms: i64,
    },
}

#[derive(Debug, Clone, Copy, Default)]
struct Breaker {
    failures: u32,
    open_until_ms: i64,
}

/// One breaker per target. A target that fails several times in a row, or wants to be left alone
/// (`Retry-After`), is passed over for a time; then one call probes it, and an answer of the model's own
/// closes the breaker.
#[derive(Debug, Default)]
pub struct Breakers(Mutex<HashMap<ModelId, Breaker>>);

impl Breakers {
    fn lock(&self) -> MutexGuard<'_, HashMap<ModelId, Breaker>> {
        // Nothing that runs under the lock can leave the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a failure at `now_ms`; the moment until which the target is to be left alone, if
    /// this failure tripped its breaker.
    pub fn failed(&self, target: &ModelId, error: &ProviderError, now_ms: i64) -> Option<i64> {
        match error.kind {
            ProviderErrorKind::Throttled
            | ProviderErrorKind::QuotaExceeded
            | ProviderErrorKind::Timeout
            | ProviderErrorKind::Unavailable
            | ProviderErrorKind::Internal
            | ProviderErrorKind::Interrupted => {}
            // The model was reached: whatever it says of this request, it is alive.
            ProviderErrorKind::InvalidRequest | ProviderErrorKind::ModelError => {
                self.succeeded(target);
                return None;
            }
            // Said by what stands before the model.
            ProviderErrorKind::AccessDenied | ProviderErrorKind::ModelNotFound => return None,
        }
        let mut breakers = self.lock();
        let breaker = breakers.entry(target.clone()).or_default();
        let was_probing = breaker.failures >= TRIP_AFTER;
        breaker.failures = breaker.failures.saturating_add(1);
        let wish = error.retry_after.map(|wish| milliseconds(wish).min(MAX_OPEN_MS));
        let trips = wish.is_some() || was_probing || breaker.failures >= TRIP_AFTER;
        let until_ms = now_ms + wish.unwrap_or(OPEN_MS);
        if !trips || until_ms <= breaker.open_until_ms {
            return None;
        }
        breaker.open_until_ms = until_ms;
        Some(until_ms)
    }

    /// Takes note of a success.
    pub fn succeeded(&self, target: &ModelId) {
        self.lock().remove(target);
    }

    /// Opens the breaker of `target` until `until_ms`, as another instance found. After that one call
    /// probes it, as if this instance had seen the failures.
    pub fn open(&self, target: &ModelId, until_ms: i64) {
        let mut breakers = self.lock();
        let breaker = breakers.entry(target.clone()).or_default();
        if until_ms > breaker.open_until_ms {
            *breaker = Breaker { failures: TRIP_AFTER, open_until_ms: until_ms };
        }
    }

    /// Whether the call that asks may go ahead as the probe of a target whose time is over; others are
    /// told to keep away until the probe has had its time.
    pub fn probe(&self, target: &ModelId, now_ms: i64) -> bool {
        let mut breakers = self.lock();
        let Some(breaker) = breakers.get_mut(target) else { return true };
        if now_ms < breaker.open_until_ms {
            return false;
        }
        if breaker.failures >= TRIP_AFTER {
            breaker.open_until_ms = now_ms + PROBE_MS;
        }
        true
    }

    /// How `target` is treated at `now_ms`.
    pub fn state(&self, target: &ModelId, now_ms: i64) -> State {
        match self.lock().get(target) {
            Some(breaker) if now_ms < breaker.open_until_ms => {
                State::Open { until_ms: breaker.open_until_ms }
            }
            _ => State::Closed,
        }
    }
}

impl Health for Breakers {
    fn is_open(&self, target: &ModelId, now_ms: i64) -> bool {
        matches!(self.state(target, now_ms), State::Open { .. })
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// What the instances know of targets' health could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("failed to share the health of targets")]
pub struct HealthStoreError {
    /// What the store said.
    pub source: Box<dyn Error + Send + Sync>,
}

/// Shares open breakers between instances.
pub trait HealthStore: Send + Sync {
    /// The targets that are left alone, each until its moment (Unix milliseconds).
    fn open_targets(
        &self,
    ) -> impl Future<Output = Result<Vec<(ModelId, i64)>, HealthStoreError>> + Send;

    /// Tells the others to leave `target` alone until `until_ms` (Unix milliseconds), unless they
    /// were told of a later moment.
    fn trip(
        &self,
        target: &ModelId,
        until_ms: i64,
    ) -> impl Future<Output = Result<(), HealthStoreError>> + Send;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(kind: ProviderErrorKind, retry_after: Option<u64>) -> ProviderError {
        ProviderError {
            kind,
            message: String::new(),
            provider_request_id: None,
            may_have_run: false,
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    #[test]
    fn three_failures_in_a_row_open_a_breaker_and_one_success_closes_it() {
        let (breakers, target) = (Breakers::default(), "m".parse().unwrap());
        let down = error(ProviderErrorKind::Unavailable, None);
        assert_eq!(breakers.failed(&target, &down, 0), None);
        assert_eq!(breakers.failed(&target, &down, 1), None);
        assert_eq!(breakers.failed(&target, &down, 2), Some(2 + OPEN_MS));
        assert!(breakers.is_open(&target, 3) && !breakers.is_open(&target, 2 + OPEN_MS));
        breakers.succeeded(&target);
        assert_eq!(breakers.state(&target, 3), State::Closed);
    }

    #[test]
    fn after_its_time_one_call_probes() {
        let (breakers, target) = (Breakers::default(), "m".parse().unwrap());
        let down = error(ProviderErrorKind::Timeout, None);
        for _ in 0..3 {
            breakers.failed(&target, &down, 0);
        }
        assert!(!breakers.probe(&target, OPEN_MS - 1));
        assert!(breakers.probe(&target, OPEN_MS), "the first");
        assert!(!breakers.probe(&target, OPEN_MS), "the second");
        assert_eq!(
            breakers.failed(&target, &down, OPEN_MS + 1),
            Some(OPEN_MS + 1 + OPEN_MS),
            "a failed probe opens it at once"
        );
    }

    #[test]
    fn what_others_found_is_probed_by_one_call_too() {
        let (breakers, target) = (Breakers::default(), "m".parse().unwrap());
        breakers.open(&target, 1_000);
        breakers.open(&target, 500);
        assert!(breakers.is_open(&target, 999), "an earlier moment changes nothing");
        let goers = (0..5).filter(|_| breakers.probe(&target, 1_000)).count();
        assert_eq!(goers, 1);
        breakers.open(&target, 1_000);
        assert!(breakers.is_open(&target, 1_000), "what is known already does not end the probe");
        breakers.succeeded(&target);
        assert!(breakers.probe(&target, 1_000) && breakers.probe(&target, 1_000));
    }

    #[test]
    fn who_wants_to_be_left_alone_is_left_alone() {
        let (breakers, target) = (Breakers::default(), "m".parse().unwrap());
        let throttled = error(ProviderErrorKind::Throttled, Some(4));
        assert_eq!(breakers.failed(&target, &throttled, 10), Some(4_010));
        let forever = error(ProviderErrorKind::Throttled, Some(86_400));
        assert_eq!(breakers.failed(&target, &forever, 10), Some(10 + MAX_OPEN_MS));
    }

    #[test]
    fn what_is_not_the_target_s_fault_opens_no_breaker() {
        let target = "m".parse().unwrap();
        for kind in [
            ProviderErrorKind::InvalidRequest,
            ProviderErrorKind::ModelError,
            ProviderErrorKind::AccessDenied,
            ProviderErrorKind::ModelNotFound,
        ] {
            let breakers = Breakers::default();
            for _ in 0..9 {
                assert_eq!(breakers.failed(&target, &error(kind, None), 0), None);
            }
            assert_eq!(breakers.state(&target, 0), State::Closed, "{kind:?}");
        }
    }

    #[test]
    fn a_probe_that_the_model_answers_closes_its_breaker_whatever_it_says() {
        let target = "m".parse().unwrap();
        for (kind, is_alive) in [
            (ProviderErrorKind::InvalidRequest, true),
            (ProviderErrorKind::ModelError, true),
            (ProviderErrorKind::AccessDenied, false),
            (ProviderErrorKind::ModelNotFound, false),
        ] {
            let breakers = Breakers::default();
            breakers.open(&target, 1_000);
            assert!(breakers.probe(&target, 1_000));
            assert_eq!(breakers.failed(&target, &error(kind, None), 1_001), None);
            assert_eq!(breakers.probe(&target, 1_002), is_alive, "{kind:?}");
        }
    }

    proptest! {
        /// Whatever happens, every target gets another chance: after its longest wait and a probe's
        /// time it is asked again, and by one call only if it had been found failing.
        #[test]
        fn no_target_is_left_alone_for_good(
            steps in prop::collection::vec((0..5_u8, 0..20_000_i64, 0..500_u64), 0..60)
        ) {
            let (breakers, target, mut now) = (Breakers::default(), "m".parse().unwrap(), 0);
            let mut in_a_row = 0;
            for (step, wait, retry_after) in steps {
                now += wait;
                match step {
                    0 => {
                        breakers.succeeded(&target);
                        in_a_row = 0;
                    }
                    1 => {
                        let throttled = error(ProviderErrorKind::Throttled, Some(retry_after));
                        breakers.failed(&target, &throttled, now);
                        in_a_row += 1;
                    }
                    2 => breakers.open(&target, now + wait),
                    3 => {
                        breakers.failed(&target, &error(ProviderErrorKind::Internal, None), now);
                        in_a_row += 1;
                    }
                    _ => {
                        let goers = (0..5).filter(|_| breakers.probe(&target, now)).count();
                        prop_assert!(in_a_row < TRIP_AFTER || goers <= 1, "{} at once", goers);
                    }
                }
                prop_assert!(!breakers.is_open(&target, now + MAX_OPEN_MS + PROBE_MS));
            }
        }
    }
}

//! What follows when an attempt failed before any content was sent.

use std::time::Duration;

use inference::{ProviderError, ProviderErrorKind, RetryPolicy};

/// An attempt that failed before the client had seen anything of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// Which target it was, in the order of the call.
    target: usize,
    kind: ProviderErrorKind,
    /// Whether another model may take what this one found too long.
    is_about_length: bool,
    may_have_run: bool,
    retry_after: Option<Duration>,
}

impl Failure {
    /// The failure of the target at `target` in the order of the call.
    pub fn new(target: usize, error: &ProviderError) -> Self {
        Self {
            target,
            kind: error.kind,
            is_about_length: error.is_about_length(),
            may_have_run: error.may_have_run,
            retry_after: error.retry_after,
        }
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Ask the same target again.
    Retry {
        /// After so long.
        wait: Duration,
    },
    /// Ask the next target, at once.
    Next,
    /// Tell the client.
    GiveUp,
}

/// Decides after the last of `failures`, none of which brought content.
///
/// `is_alias` says whether the client asked for an alias: only then is there a policy. A model that is
/// called by its own name is asked a second time only if the first call was cleanly refused for the
/// moment (throttled, a connection that was not accepted): nothing has run, so nothing is billed twice
/// on behalf of somebody who did not ask for it.
///
/// `targets` counts those of the call, `elapsed` is the time since it came in, `jitter` is any random number.
pub fn next(
    policy: &RetryPolicy,
    is_alias: bool,
    targets: usize,
    failures: &[Failure],
    elapsed: Duration,
    jitter: u64,
) -> Decision {
    let Some(last) = failures.last() else { return Decision::Next };
    let of_target = failures.iter().filter(|failure| failure.target == last.target).count();
    let (made, of_target) = (count(failures.len()), count(of_target));
    let deadline = Duration::from_millis(policy.deadline_ms);
    if made >= policy.max_attempts || (is_alias && elapsed >= deadline) {
        return Decision::GiveUp;
    }
    let may_retry = match last.kind {
        ProviderErrorKind::Throttled
        | ProviderErrorKind::Unavailable
        | ProviderErrorKind::Internal
        | ProviderErrorKind::Interrupted => true,
        // Whoever took too long will do so again; the others do not depend on the moment.
        ProviderErrorKind::Timeout
        | ProviderErrorKind::QuotaExceeded
        | ProviderErrorKind::ModelError
        | ProviderErrorKind::ModelNotFound
        | ProviderErrorKind::AccessDenied
        | ProviderErrorKind::InvalidRequest => false,
    } && of_target < policy.max_attempts_per_target
        && (is_alias || !last.may_have_run);
    if may_retry {
        let wait = wait(policy, of_target, last.retry_after, jitter);
        let is_in_time = !is_alias || elapsed.saturating_add(wait) < deadline;
        if wait <= Duration::from_millis(policy.max_backoff_ms) && is_in_time {
            return Decision::Retry { wait };
        }
    }
    let is_hopeless = last.kind == ProviderErrorKind::InvalidRequest && !last.is_about_length;
    if is_alias && !is_hopeless && last.target + 1 < targets {
        Decision::Next
    } else {
        Decision::GiveUp
    }
}

/// What the provider wants, else a random part of a time that doubles ("full jitter",
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).
fn wait(
    policy: &RetryPolicy,
    of_target: u32,
    retry_after: Option<Duration>,
    jitter: u64,
) -> Duration {
    if let Some(wait) = retry_after {
        return wait;
    }
    let doubled = policy.backoff_ms.saturating_mul(1 << of_target.saturating_sub(1).min(20));
    let most = doubled.min(policy.max_backoff_ms);
    Duration::from_millis(jitter % most.saturating_add(1))
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn failure(target: usize, kind: ProviderErrorKind) -> Failure {
        Failure { target, kind, is_about_length: false, may_have_run: false, retry_after: None }
    }

    fn after(failures: &[Failure]) -> Decision {
        next(&RetryPolicy::default(), true, 3, failures, Duration::ZERO, 7)
    }

    #[test]
    fn a_moment_s_failure_is_tried_again_and_then_left() {
        let throttled = failure(0, ProviderErrorKind::Throttled);
        assert_eq!(after(&[throttled]), Decision::Retry { wait: Duration::from_millis(7) });
        assert_eq!(after(&[throttled, throttled]), Decision::Next);
    }

    #[test]
    fn what_will_not_change_is_left_at_once() {
        for kind in [
            ProviderErrorKind::Timeout,
            ProviderErrorKind::QuotaExceeded,
            ProviderErrorKind::ModelError,
            ProviderErrorKind::ModelNotFound,
            ProviderErrorKind::AccessDenied,
        ] {
            assert_eq!(after(&[failure(0, kind)]), Decision::Next, "{kind:?}");
            assert_eq!(after(&[failure(2, kind)]), Decision::GiveUp, "{kind:?}: the last one");
        }
    }

    #[test]
    fn a_wrong_request_is_wrong_everywhere_unless_it_is_too_long() {
        let wrong = failure(0, ProviderErrorKind::InvalidRequest);
        assert_eq!(after(&[wrong]), Decision::GiveUp);
        assert_eq!(after(&[Failure { is_about_length: true, ..wrong }]), Decision::Next);
    }

    #[test]
    fn a_retry_after_is_honoured_or_the_target_left() {
        let wants = |seconds| Failure {
            retry_after: Some(Duration::from_secs(seconds)),
            ..failure(0, ProviderErrorKind::Throttled)
        };
        assert_eq!(after(&[wants(1)]), Decision::Retry { wait: Duration::from_secs(1) });
        assert_eq!(after(&[wants(3)]), Decision::Next);
    }

    #[test]
    fn a_model_by_its_own_name_is_asked_again_only_if_nothing_ran() {
        let alone = |failures: &[Failure]| {
            next(&RetryPolicy::default(), false, 1, failures, Duration::ZERO, 0)
        };
        let refused = failure(0, ProviderErrorKind::Unavailable);
        assert_eq!(alone(&[refused]), Decision::Retry { wait: Duration::ZERO });
        assert_eq!(alone(&[refused, refused]), Decision::GiveUp);
        assert_eq!(alone(&[Failure { may_have_run: true, ..refused }]), Decision::GiveUp);
    }

    fn any_failure() -> impl Strategy<Value = (ProviderErrorKind, bool, bool, Option<u64>)> {
        let kinds = prop::sample::select(vec![
            ProviderErrorKind::InvalidRequest,
            ProviderErrorKind::Throttled,
            ProviderErrorKind::Timeout,
            ProviderErrorKind::ModelError,
            ProviderErrorKind::Unavailable,
            ProviderErrorKind::Internal,
            ProviderErrorKind::Interrupted,
        ]);
        (kinds, any::<bool>(), any::<bool>(), prop::option::of(0..5_000_u64))
    }

    proptest! {
        /// However the targets fail, the call ends within its attempts, its targets and its time.
        #[test]
        fn every_call_comes_to_its_end(
            script in prop::collection::vec(any_failure(), 20), targets in 1..5_usize, is_alias: bool,
            max_attempts in 1..6_u32, per_target in 1..4_u32, took_ms in 0..400_u64, jitter: u64,
        ) {
            let policy = RetryPolicy {
                max_attempts, max_attempts_per_target: per_target, deadline_ms: 1_000, ..RetryPolicy::default()
            };
            let (mut failures, mut target, mut elapsed) = (Vec::new(), 0, Duration::ZERO);
            for (kind, is_about_length, may_have_run, retry_after) in script {
                prop_assert!(!is_alias || elapsed < Duration::from_secs(1), "begins in time");
                let retry_after = retry_after.map(Duration::from_millis);
                failures.push(Failure { target, kind, is_about_length, may_have_run, retry_after });
                elapsed += Duration::from_millis(took_ms);
                match next(&policy, is_alias, targets, &failures, elapsed, jitter) {
                    Decision::Retry { wait } => {
                        prop_assert!(is_alias || !may_have_run, "twice on nobody's behalf");
                        prop_assert!(wait >= retry_after.unwrap_or_default(), "sooner than wanted");
                        prop_assert!(wait <= Duration::from_millis(policy.max_backoff_ms));
                        elapsed += wait;
                    }
                    Decision::Next => target += 1,
                    Decision::GiveUp => break,
                }
                prop_assert!(target < targets);
            }
            prop_assert!(failures.len() <= usize::try_from(max_attempts).unwrap());
            for target in 0..targets {
                let of_target = failures.iter().filter(|failure| failure.target == target).count();
                prop_assert!(of_target <= usize::try_from(per_target).unwrap());
            }
        }
    }
}

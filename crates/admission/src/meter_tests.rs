//! Tables for each rule of a meter, and random histories that must never overrun a limit.

use proptest::prelude::*;

use super::*;

/// 2026-11-23T12:00:00Z
const NOON: Minute = Minute(29_923_920);

fn id(call_id: &str) -> RecordId {
    RecordId::first(call_id)
}

fn reservation(amount: u64, tokens: u64, minute: Minute) -> Reservation {
    Reservation {
        tenant_id: "acme".parse().unwrap(),
        amount_nanousd: NanoUsd(amount),
        tokens,
        requests: 1,
        minute,
        deadline_ms: minute.start_ms() + 900_000,
        detail: None,
    }
}

/// A meter that has used 5 requests, 50 tokens (80 in the day) and 500 nano-USD at noon.
fn used() -> Meter {
    Meter {
        minute: Some(NOON),
        minute_requests: 5,
        minute_tokens: 50,
        day_tokens: 80,
        committed: NanoUsd(500),
        settled: NanoUsd(500),
        ..Meter::new(Status::Active, 1)
    }
}

#[track_caller]
fn check(limits: Limits, minute: Minute, expected: Option<Limit>) {
    let outcome = used().decide(&limits, 1, &reservation(100, 10, minute));
    let limit = match outcome {
        Ok(_) => None,
        Err(Denial::Exceeded { limit, .. }) => Some(limit),
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(limit, expected, "{limits:?}");
}

#[test]
fn a_limit_may_be_reached_but_not_passed() {
    let next_minute = Minute(NOON.0 + 1);
    for (allowed, expected) in [(6, None), (5, Some(Limit::RequestsPerMinute))] {
        check(Limits { requests_per_minute: Some(allowed), ..Limits::default() }, NOON, expected);
        check(
            Limits { requests_per_minute: Some(allowed), ..Limits::default() },
            next_minute,
            None,
        );
    }
    for (allowed, expected) in [(60, None), (59, Some(Limit::TokensPerMinute))] {
        check(Limits { tokens_per_minute: Some(allowed), ..Limits::default() }, NOON, expected);
        check(Limits { tokens_per_minute: Some(allowed), ..Limits::default() }, next_minute, None);
    }
    for (allowed, expected) in [(90, None), (89, Some(Limit::TokensPerDay))] {
        check(Limits { tokens_per_day: Some(allowed), ..Limits::default() }, next_minute, expected);
        check(
            Limits { tokens_per_day: Some(allowed), ..Limits::default() },
            Minute(NOON.0 + 1_440),
            None,
        );
    }
    for (allowed, expected) in [(600, None), (599, Some(Limit::BudgetPerMonth))] {
        let limits = Limits { budget_per_month: Some(NanoUsd(allowed)), ..Limits::default() };
        check(limits, Minute(NOON.0 + 1_440), expected);
        check(limits, Minute(NOON.0 + 31 * 1_440), None);
    }
}

#[test]
fn a_slower_clock_cannot_bring_an_old_window_back() {
    let limits = Limits { requests_per_minute: Some(5), ..Limits::default() };
    check(limits, Minute(NOON.0 - 1), Some(Limit::RequestsPerMinute));
}

#[test]
fn a_suspended_scope_and_stale_limits_are_refused() {
    let suspended = Meter { status: Status::Suspended, ..used() };
    assert_eq!(
        suspended.decide(&Limits::default(), 1, &reservation(1, 1, NOON)),
        Err(Denial::Suspended)
    );
    assert_eq!(used().decide(&Limits::default(), 2, &reservation(1, 1, NOON)), Err(Denial::Stale));
}

#[test]
fn settling_gives_back_to_the_windows_it_was_taken_from() {
    let mut meter = used();
    meter.reserve(Roll::None, &id("a"), reservation(100, 10, NOON));
    meter.settle(&id("a"), 4, NanoUsd(30));
    meter.settle(&id("a"), 4, NanoUsd(30));
    assert_eq!((meter.minute_requests, meter.minute_tokens, meter.day_tokens), (6, 54, 84));
    assert_eq!((meter.committed, meter.settled), (NanoUsd(530), NanoUsd(530)));

    meter.reserve(Roll::None, &id("b"), reservation(100, 10, NOON));
    meter.reserve(Roll::Month, &id("c"), reservation(7, 7, Minute(NOON.0 + 31 * 1_440)));
    meter.settle(&id("b"), 4, NanoUsd(30));
    assert_eq!((meter.minute_tokens, meter.day_tokens), (7, 7), "the new windows are untouched");
    assert_eq!((meter.committed, meter.settled), (NanoUsd(7), NanoUsd(0)));
}

#[test]
fn a_release_leaves_no_trace() {
    let mut meter = used();
    meter.reserve(Roll::None, &id("a"), reservation(100, 10, NOON));
    meter.release(&id("a"));
    assert_eq!(meter, used());
}

#[test]
fn a_request_beyond_the_whole_limit_is_not_worth_repeating() {
    let limits = Limits { tokens_per_minute: Some(9), ..Limits::default() };
    let denial = used().decide(&limits, 1, &reservation(1, 10, NOON)).unwrap_err();
    assert!(denial.is_permanent() && !denial.is_momentary());
    assert_eq!(denial.retry_after_ms(0), None);
}

#[test]
fn a_further_attempt_takes_tokens_and_money_but_no_request() {
    let limits = Limits { requests_per_minute: Some(6), ..Limits::default() };
    let retry = |amount| Reservation { requests: 0, ..reservation(amount, 10, NOON) };
    let mut meter = used();
    meter.reserve(Roll::None, &id("a"), reservation(100, 10, NOON));
    assert!(meter.decide(&limits, 1, &reservation(100, 10, NOON)).is_err(), "the minute is full");

    let second = RecordId { attempt: 2, ..id("a") };
    let roll = meter.decide(&limits, 1, &retry(100)).unwrap();
    meter.reserve(roll, &second, retry(100));
    assert_eq!((meter.minute_requests, meter.minute_tokens), (6, 70));
    assert_eq!((meter.committed, meter.open.len()), (NanoUsd(700), 2));

    let lowered = Limits { requests_per_minute: Some(1), ..Limits::default() };
    assert!(meter.decide(&lowered, 1, &retry(100)).is_ok(), "it takes nothing of that limit");
    let budget = Limits { budget_per_month: Some(NanoUsd(700)), ..Limits::default() };
    assert!(meter.decide(&budget, 1, &retry(1)).is_err(), "but what it costs counts");

    meter.release(&second);
    assert_eq!((meter.minute_requests, meter.minute_tokens, meter.open.len()), (6, 60, 1));
    meter.release(&id("a"));
    assert_eq!(meter, used());
}

#[test]
fn a_reservation_without_requests_is_one_request() {
    let stored = r#"{"tenant_id":"acme","amount":1,"tokens":2,"minute":3,"deadline":4}"#;
    let read: Reservation = serde_json::from_str(stored).unwrap();
    assert_eq!(read.requests, 1);
    assert_eq!(serde_json::to_string(&read).unwrap(), stored, "and as small as it was");
    let retry = Reservation { requests: 0, ..read };
    let text = serde_json::to_string(&retry).unwrap();
    assert_eq!(serde_json::from_str::<Reservation>(&text).unwrap(), retry, "{text}");
}

/// A step of a history.
#[derive(Debug, Clone)]
enum Step {
    Reserve { amount: u64, tokens: u64, requests: u32 },
    Settle { which: usize, share: u64 },
    Release { which: usize },
    Wait { minutes: i64 },
    Skew { minutes: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (1..200u64, 1..50u64, 0..=1u32)
            .prop_map(|(amount, tokens, requests)| Step::Reserve { amount, tokens, requests }),
        3 => (any::<usize>(), 0..=100u64).prop_map(|(which, share)| Step::Settle { which, share }),
        1 => any::<usize>().prop_map(|which| Step::Release { which }),
        1 => prop_oneof![Just(1i64), Just(60), Just(1_440), Just(20 * 1_440)].prop_map(|minutes| Step::Wait { minutes }),
        1 => (-2..=0i64).prop_map(|minutes| Step::Skew { minutes }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_history_overruns_a_limit(steps in proptest::collection::vec(step(), 1..120)) {
        let limits = Limits {
            requests_per_minute: Some(8),
            tokens_per_minute: Some(150),
            tokens_per_day: Some(400),
            budget_per_month: Some(NanoUsd(1_000)),
        };
        let (mut meter, mut now, mut skew, mut spent) = (Meter::new(Status::Active, 1), NOON, 0, NanoUsd::ZERO);
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Wait { minutes } => now = Minute(now.0 + minutes),
                Step::Skew { minutes } => skew = minutes,
                Step::Reserve { amount, tokens, requests } => {
                    let wanted = Reservation { requests, ..reservation(amount, tokens, Minute(now.0 + skew)) };
                    if let Ok(roll) = meter.decide(&limits, 1, &wanted) {
                        if roll == Roll::Month {
                            spent = NanoUsd::ZERO;
                        }
                        let id = RecordId { call_id: (number / 3).to_string(), attempt: 1 + u32::try_from(number % 3).unwrap() };
                        meter.reserve(roll, &id, wanted);
                    }
                }
                Step::Settle { which, share } => {
                    let Some((id, open)) = meter.open.iter().nth(which % meter.open.len().max(1)) else { continue };
                    let (id, open) = (RecordId::from_open_key(id).unwrap(), open.clone());
                    let amount = NanoUsd(open.amount_nanousd.0 * share / 100);
                    if meter.rolled_since(&open) < Roll::Month {
                        spent = spent + amount;
                    }
                    meter.settle(&id, open.tokens * share / 100, amount);
                }
                Step::Release { which } => {
                    let Some(id) = meter.open.keys().nth(which % meter.open.len().max(1)) else { continue };
                    let id = RecordId::from_open_key(id).unwrap();
                    meter.release(&id);
                }
            }
            prop_assert!(meter.minute_requests <= 8 && meter.minute_tokens <= 150 && meter.day_tokens <= 400);
            prop_assert!(meter.committed <= NanoUsd(1_000));
            prop_assert_eq!(meter.committed, meter.settled + meter.reserved());
            prop_assert_eq!(meter.settled, spent, "counters equal the sum of what was settled");
        }
    }
}

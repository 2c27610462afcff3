//! Tables for each rule of a meter. Random histories are in `tests/model.rs`.

use metering::NanoUsd;

use super::*;
use crate::{MeterRef, Metric, Part, Scope};

/// 2026-11-23T12:00:00Z, a Monday.
const NOON: Minute = Minute(29_923_920);

/// Minutes of a day.
const DAY: i64 = 1_440;

fn id(call_id: &str) -> RecordId {
    RecordId::first(call_id)
}

fn reservation(amount: u64, tokens: u64, minute: Minute) -> Reservation {
    Reservation {
        tenant_id: "acme".parse().unwrap(),
        amount_nanousd: NanoUsd(amount),
        input_tokens: tokens - tokens / 2,
        output_tokens: tokens / 2,
        requests: 1,
        minute,
        deadline_ms: minute.start_ms() + 900_000,
        part: Part::WHOLE,
    }
}

/// A meter that has used as much at noon as 5 requests, 50 tokens and 500 nano-USD are.
fn used() -> Meter {
    let mut meter = Meter { minute: Some(NOON), ..Meter::new(Status::Active, 1) };
    for counter in Counter::ALL {
        let used = Used { requests: 5, input_tokens: 25, output_tokens: 25, amount: NanoUsd(500) };
        meter.counters.set(counter, used.of_metric(counter.metric));
    }
    meter
}

fn cap(metric: Metric, period: Option<Period>, allowed: u64) -> Cap {
    let counter = period.and_then(|period| Counter::of(metric, period));
    Cap { limit_id: "limit".to_owned(), counter, allowed, whole: allowed, on_exhausted: None }
}

fn gate(caps: Vec<Cap>) -> Gate {
    let meter = MeterRef::of(Scope::Tenant("acme".parse().unwrap()));
    Gate { meter, caps, entitlement_version: Some(1) }
}

fn decide(meter: &Meter, caps: Vec<Cap>, reservation: &Reservation) -> Result<Roll, Denial> {
    meter.decide(&Calendar::utc(), &gate(caps), reservation)
}

fn reserve(meter: &mut Meter, id: &RecordId, reservation: Reservation) {
    let roll = decide(meter, vec![], &reservation).unwrap();
    meter.reserve(&gate(vec![]), roll, id, reservation);
}

#[test]
fn a_limit_may_be_reached_but_not_passed_in_its_window() {
    // How many minutes later its window is over, for what is counted in that period.
    let later = [
        (Period::Minute, 1),
        (Period::Hour, 60),
        (Period::Day, DAY),
        (Period::Week, 7 * DAY),
        (Period::Month, 8 * DAY),
        (Period::Quarter, 39 * DAY),
        (Period::Year, 39 * DAY),
        (Period::Total, 4_000 * DAY),
    ];
    let taken = reservation(100, 10, NOON);
    for counter in Counter::ALL {
        let reached = used().counters.get(counter) + taken.takes(counter.metric);
        let caps = |allowed| vec![cap(counter.metric, Some(counter.period), allowed)];
        assert!(decide(&used(), caps(reached), &taken).is_ok(), "{counter:?}");
        let denial = decide(&used(), caps(reached - 1), &taken).unwrap_err();
        assert!(matches!(denial, Denial::Exceeded { .. }), "{counter:?}");

        let wait = later.iter().find(|(period, _)| *period == counter.period).unwrap().1;
        let later = reservation(100, 10, Minute(NOON.0 + wait));
        let is_total = counter.period == Period::Total;
        assert_eq!(decide(&used(), caps(reached - 1), &later).is_err(), is_total, "{counter:?}");
        let earlier = reservation(100, 10, Minute(NOON.0 + wait - 1));
        if counter.period < Period::Week {
            assert!(
                decide(&used(), caps(reached - 1), &earlier).is_err() || wait > 60,
                "{counter:?}"
            );
        }
    }
}

#[test]
fn a_slower_clock_cannot_bring_an_old_window_back() {
    let caps = || vec![cap(Metric::Requests, Some(Period::Minute), 5)];
    assert!(decide(&used(), caps(), &reservation(1, 2, Minute(NOON.0 - 1))).is_err());
    let mut meter = used();
    reserve(&mut meter, &id("late"), reservation(1, 2, Minute(NOON.0 - 1)));
    assert_eq!(meter.minute, Some(NOON), "it counts in the minute that has begun");
    assert_eq!(meter.open["late-1"].minute, NOON);
}

#[test]
fn a_suspended_scope_and_old_entitlements_are_refused_and_new_ones_are_believed() {
    let caps = Vec::new;
    let suspended = Meter { status: Status::Suspended, ..used() };
    assert_eq!(decide(&suspended, caps(), &reservation(1, 2, NOON)), Err(Denial::Suspended));
    let newer = Meter { entitlement_version: 2, ..used() };
    assert_eq!(decide(&newer, caps(), &reservation(1, 2, NOON)), Err(Denial::Stale));

    // A change that reached the configuration, and not the meter: the next call repairs that.
    let mut behind = Meter { entitlement_version: 0, status: Status::Suspended, ..used() };
    reserve(&mut behind, &id("a"), reservation(1, 2, NOON));
    assert_eq!((behind.entitlement_version, behind.status), (1, Status::Active));
}

#[test]
fn settling_gives_back_to_the_windows_it_was_taken_from() {
    let (utc, of) = (Calendar::utc(), |m: Metric, p: Period| Counter::of(m, p).unwrap());
    let mut meter = used();
    reserve(&mut meter, &id("a"), reservation(100, 10, NOON));
    let spent = Used { requests: 1, input_tokens: 3, output_tokens: 1, amount: NanoUsd(30) };
    meter.settle(&utc, &id("a"), spent);
    meter.settle(&utc, &id("a"), spent);
    let count = |meter: &Meter, m, p| meter.counters.get(of(m, p));
    assert_eq!(count(&meter, Metric::Requests, Period::Minute), 6);
    assert_eq!(count(&meter, Metric::TotalTokens, Period::Month), 54);
    assert_eq!(count(&meter, Metric::InputTokens, Period::Hour), 28);
    assert_eq!(count(&meter, Metric::Cost, Period::Total), 530);

    reserve(&mut meter, &id("b"), reservation(100, 10, NOON));
    reserve(&mut meter, &id("c"), reservation(7, 7, Minute(NOON.0 + 8 * DAY)));
    meter.settle(&utc, &id("b"), spent);
    assert_eq!(count(&meter, Metric::TotalTokens, Period::Month), 7, "a new month, untouched");
    assert_eq!(count(&meter, Metric::Cost, Period::Month), 7);
    assert_eq!(
        count(&meter, Metric::Cost, Period::Quarter),
        530 + 30 + 7,
        "still the same quarter"
    );
    assert_eq!(meter.reserved(&utc, of(Metric::Cost, Period::Quarter)), 7);
}

#[test]
fn a_release_leaves_no_trace() {
    let mut meter = used();
    reserve(&mut meter, &id("a"), reservation(100, 10, NOON));
    meter.settle(&Calendar::utc(), &id("a"), Used::NOTHING);
    assert_eq!(meter, used());
}

#[test]
fn a_request_beyond_the_whole_limit_is_not_worth_repeating() {
    let caps = vec![cap(Metric::TotalTokens, Some(Period::Minute), 9)];
    let denial = decide(&used(), caps, &reservation(1, 10, NOON)).unwrap_err();
    assert!(denial.is_permanent() && !denial.is_momentary());
    assert_eq!(denial.retry_after_ms(0), None);
    let total = vec![cap(Metric::Cost, Some(Period::Total), 500)];
    let denial = decide(&used(), total, &reservation(1, 10, NOON)).unwrap_err();
    assert_eq!((denial.is_permanent(), denial.retry_after_ms(0)), (false, None), "it never resets");
}

#[test]
fn calls_that_run_at_the_same_time_are_limited_too() {
    let caps = || vec![cap(Metric::Concurrency, None, 2)];
    let mut meter = used();
    reserve(&mut meter, &id("a"), reservation(1, 2, NOON));
    assert!(decide(&meter, caps(), &reservation(1, 2, NOON)).is_ok());
    reserve(&mut meter, &id("b"), reservation(1, 2, NOON));
    let denial = decide(&meter, caps(), &reservation(1, 2, NOON)).unwrap_err();
    assert!(denial.is_momentary());
    assert_eq!(denial.retry_after_ms(NOON.start_ms()), Some(1_000));
    meter.settle(&Calendar::utc(), &id("a"), Used::NOTHING);
    assert!(decide(&meter, caps(), &reservation(1, 2, NOON)).is_ok());
}

#[test]
fn a_further_attempt_takes_tokens_and_money_but_no_request() {
    let caps = |allowed| vec![cap(Metric::Requests, Some(Period::Minute), allowed)];
    let retry = |amount| Reservation { requests: 0, ..reservation(amount, 10, NOON) };
    let mut meter = used();
    reserve(&mut meter, &id("a"), reservation(100, 10, NOON));
    assert!(decide(&meter, caps(6), &reservation(100, 10, NOON)).is_err(), "the minute is full");
    assert!(decide(&meter, caps(6), &retry(100)).is_ok());
    assert!(decide(&meter, caps(1), &retry(100)).is_ok(), "it takes nothing of that limit");
    let second = RecordId { attempt: 2, ..id("a") };
    reserve(&mut meter, &second, retry(100));
    let budget = vec![cap(Metric::Cost, Some(Period::Month), 700)];
    assert!(decide(&meter, budget, &retry(1)).is_err(), "but what it costs counts");
    meter.settle(&Calendar::utc(), &second, Used::NOTHING);
    meter.settle(&Calendar::utc(), &id("a"), Used::NOTHING);
    assert_eq!(meter, used());
}

#[test]
fn a_meter_is_stored_flat_and_read_back() {
    let mut meter = used();
    reserve(&mut meter, &id("a"), reservation(100, 10, NOON));
    let stored = serde_json::to_value(&meter).unwrap();
    assert_eq!(stored["usd_month"], 600);
    assert_eq!(stored["open"]["a-1"]["a"], 100);
    assert_eq!(serde_json::from_value::<Meter>(stored).unwrap(), meter);
    let bare = serde_json::json!({"status": "active", "open": {}, "meter_kind": "METER"});
    assert_eq!(serde_json::from_value::<Meter>(bare).unwrap(), Meter::new(Status::Active, 0));
}

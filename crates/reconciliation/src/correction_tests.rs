use super::*;
use crate::compare::Sides;
use crate::policy::Policy;
use crate::report::{Evidence, Part, Row, Subject};

/// A report with a difference of `pico` on each of `days`.
fn report(source_version: &str, now: &str, days: &[(i8, i128, Reason)]) -> Report {
    let subject = Subject {
        period: "2026-11".into(),
        now: now.parse().unwrap(),
        source_version: source_version.into(),
        usage_types_version: "1".into(),
    };
    let mut report = Report::new(subject, &Sides::default(), Policy::default());
    report.rows = days
        .iter()
        .map(|(day, pico, reason)| Row {
            day: Date::new(2026, 11, *day).unwrap(),
            tenant_id: Some("acme".parse().unwrap()),
            principal: None,
            model: Some("nova".into()),
            class: None,
            usage_type: None,
            terms: None,
            ledger_quantity: 0,
            provider_quantity: 0,
            ledger_cost: Amount::ZERO,
            provider_cost: Amount(*pico),
            ledger_unit_price: None,
            provider_unit_price: None,
            parts: vec![Part { amount: Amount(*pico), ..Part::new(*reason, 1, Evidence::Bill) }],
        })
        .collect();
    report
}

fn amounts(corrections: &[Correction]) -> Vec<(i8, i64)> {
    corrections.iter().map(|entry| (entry.key.day.day(), entry.amount_nanousd)).collect()
}

const LATER: &str = "2026-12-10T00:00:00Z";

#[test]
fn a_rerun_books_nothing_and_a_newer_bill_the_difference() {
    let first = report(
        "a",
        LATER,
        &[(3, 5_000, Reason::PriceDifference), (4, -2_000, Reason::EstimatedRecords)],
    );
    let mut booked = corrections(&first, &BTreeMap::new());
    assert_eq!(amounts(&booked), [(3, 5), (4, -2)]);
    assert_eq!(corrections(&first, &Posted::sum(&booked)), []);

    // The newer bill has another difference on the third, and none on the fourth.
    let second = report("b", LATER, &[(3, 9_000, Reason::PriceDifference)]);
    let delta = corrections(&second, &Posted::sum(&booked));
    assert_eq!(amounts(&delta), [(3, 4), (4, 2)]);
    assert!(delta.iter().all(|entry| entry.sequence == 2 && entry.source_version == "b"));
    booked.extend(delta);
    assert_eq!(corrections(&second, &Posted::sum(&booked)), []);
    let ids: std::collections::BTreeSet<_> = booked.iter().map(|entry| &entry.id).collect();
    assert_eq!(ids.len(), 4, "each entry has an id of its own");
}

#[test]
fn a_run_that_was_cut_is_continued_with_the_same_ids() {
    let report =
        report("a", LATER, &[(3, 5_000, Reason::PriceDifference), (4, 7_000, Reason::Duplicate)]);
    let whole = corrections(&report, &BTreeMap::new());
    let rest = corrections(&report, &Posted::sum(whole.first()));
    assert_eq!(rest, whole.get(1..).unwrap());
}

#[test]
fn of_two_runs_with_different_bills_only_one_can_write() {
    let ids = |source| -> Vec<_> {
        let report = report(source, LATER, &[(3, 5_000, Reason::PriceDifference)]);
        corrections(&report, &BTreeMap::new()).into_iter().map(|entry| entry.id).collect()
    };
    assert_eq!(ids("a"), ids("b"), "the second write is refused, and its run reads again");
}

#[test]
fn only_what_the_provider_is_right_about_is_corrected_and_only_when_it_is_final() {
    let now = "2026-11-06T00:00:00Z";
    let days = [
        (3, 5_000, Reason::TokenCountDifference),
        (3, 7_000, Reason::Unexplained),
        (3, -3_000, Reason::MissingAtProvider),
        (3, 1_000, Reason::Timing),
        (4, 9_000, Reason::MissingInLedger),
    ];
    assert_eq!(amounts(&corrections(&report("a", now, &days), &BTreeMap::new())), [(3, 5)]);
    assert_eq!(
        amounts(&corrections(&report("a", LATER, &days), &BTreeMap::new())),
        [(3, 5), (4, 9)]
    );
}

#[test]
fn what_was_booked_of_a_day_that_is_open_again_stays() {
    let booked =
        corrections(&report("a", LATER, &[(4, 9_000, Reason::Duplicate)]), &BTreeMap::new());
    let too_early = report("b", "2026-11-05T00:00:00Z", &[]);
    assert_eq!(corrections(&too_early, &Posted::sum(&booked)), []);
}

#[test]
fn fractions_of_a_nano_dollar_are_rounded_once_for_the_day() {
    let days = [(3, 300, Reason::PriceDifference), (3, 300, Reason::PriceDifference)];
    assert_eq!(amounts(&corrections(&report("a", LATER, &days), &BTreeMap::new())), [(3, 1)]);
}

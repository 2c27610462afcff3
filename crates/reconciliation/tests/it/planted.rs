//! Every kind of difference, planted into a month: each is found and called by its name, and nothing else is.

use std::collections::BTreeMap;

use metering::{ServiceTier, TokenUsage, UsageRecord};
use reconciliation::fakes::{self, Call};
use reconciliation::{Amount, Evidence, LineItem, LineKind, Posted, Reason, Report, corrections};

use crate::world::{
    Expected, Found, HAIKU, NOVA, NOW, SONNET, World, call, found, gateway, price, time, tokens,
    traffic,
};

const DAY_MS: i64 = 86_400_000;

/// Plants one difference of each kind and says what is to be found of it: of days on which nobody else
/// calls, so that it is known by hand.
fn plant(world: &mut World, expected: &mut Expected) {
    let mut number = 1_000_000;
    let mut next = |tenant: &str, model: &str, day: u64, second: u64, usage: TokenUsage| {
        number += 1;
        call(number, tenant, model, time(day, second), usage)
    };
    plant_calls(world, expected, &mut next);
    plant_counts(world, expected, &mut next);
    plant_prices_and_times(world, expected, &mut next);
    plant_lines(world, expected, &mut next);
}

/// Makes a call of a tenant, of a model, on a day and second, that consumed something.
type Next<'a> = &'a mut dyn FnMut(&str, &str, u64, u64, TokenUsage) -> UsageRecord;

fn plant_calls(world: &mut World, expected: &mut Expected, next: Next<'_>) {
    // A call that the ledger lost, beside one that it has.
    world.both(next("acme", SONNET, 26, 40_000, tokens(1_000, 100)));
    let lost = next("acme", SONNET, 26, 41_000, tokens(200, 30));
    world.seen.push(Call::of(&lost));
    expected.add(Reason::MissingInLedger, ("acme", SONNET, 26), "input", 200, 200 * 3_300_000);
    expected.add(Reason::MissingInLedger, ("acme", SONNET, 26), "output", 30, 30 * 16_500_000);

    // A tenant of which the ledger knows nothing.
    world.seen.push(Call::of(&next("stark", NOVA, 26, 40_000, tokens(50, 5))));
    expected.add(Reason::MissingInLedger, ("stark", NOVA, 26), "input", 50, 50 * 800_000);
    expected.add(Reason::MissingInLedger, ("stark", NOVA, 26), "output", 5, 5 * 3_200_000);

    // A call that AWS never billed.
    world.both(next("globex", SONNET, 26, 40_000, tokens(1_000, 100)));
    world.ledger.push(next("globex", SONNET, 26, 42_000, tokens(700, 70)));
    expected.add(
        Reason::MissingAtProvider,
        ("globex", SONNET, 26),
        "input",
        -700,
        -700 * 3_300_000,
    );
    expected.add(
        Reason::MissingAtProvider,
        ("globex", SONNET, 26),
        "output",
        -70,
        -70 * 16_500_000,
    );

    // A call in the ledger twice.
    let twice = next("initech", SONNET, 26, 40_000, tokens(400, 40));
    world.both(twice.clone());
    let mut again = twice;
    again.id.attempt = 2;
    world.ledger.push(again);
    expected.add(Reason::Duplicate, ("initech", SONNET, 26), "input", -400, -400 * 3_300_000);
    expected.add(Reason::Duplicate, ("initech", SONNET, 26), "output", -40, -40 * 16_500_000);
}

fn plant_counts(world: &mut World, expected: &mut Expected, next: Next<'_>) {
    // A call whose output was counted differently.
    let ours = next("umbrella", SONNET, 26, 40_000, tokens(500, 90));
    let mut theirs = ours.clone();
    theirs.usage.output = 120;
    world.seen.push(Call::of(&theirs));
    world.ledger.push(ours);
    expected.add(
        Reason::TokenCountDifference,
        ("umbrella", SONNET, 26),
        "output",
        30,
        30 * 16_500_000,
    );

    // An estimate: the function died, so the record has all that was reserved.
    let truth = next("acme", HAIKU, 26, 40_000, tokens(300, 44));
    let mut estimate = truth.clone();
    estimate.usage = tokens(2_000, 4_096);
    estimate.is_estimated = true;
    estimate.provider_request_id = None;
    fakes::price(&mut estimate, &price);
    world.seen.push(Call::of(&truth));
    world.ledger.push(estimate);
    expected.add(
        Reason::EstimatedRecords,
        ("acme", HAIKU, 26),
        "input",
        -1_700,
        -1_700 * 1_000_000,
    );
    expected.add(
        Reason::EstimatedRecords,
        ("acme", HAIKU, 26),
        "output",
        -4_052,
        -4_052 * 5_000_000,
    );
}

fn plant_prices_and_times(world: &mut World, expected: &mut Expected, next: Next<'_>) {
    // A day of a model at another price.
    world.both(next("globex", NOVA, 26, 40_000, tokens(1_000, 100)));
    let day = world.ledger.last().unwrap().started_ms.div_euclid(DAY_MS);
    world.repriced = Some(("globex", NOVA, day, 110));
    expected.add(Reason::PriceDifference, ("globex", NOVA, 26), "input", 0, 1_000 * 80_000);
    expected.add(Reason::PriceDifference, ("globex", NOVA, 26), "output", 0, 100 * 320_000);

    // A call that was made with one tier and billed as another.
    let flex = UsageRecord {
        service_tier: ServiceTier::Flex,
        ..next("initech", NOVA, 26, 40_000, tokens(1_000, 100))
    };
    let mut as_priced = flex.clone();
    fakes::price(&mut as_priced, &price);
    world.ledger.push(as_priced);
    world.seen.push(Call::of(&UsageRecord { service_tier: ServiceTier::Default, ..flex }));
    expected.add(Reason::PriceDifference, ("initech", NOVA, 26), "input", 0, 1_000 * 400_000);
    expected.add(Reason::PriceDifference, ("initech", NOVA, 26), "output", 0, 100 * 1_600_000);

    // A call just before midnight, billed on the next day, of which there are other calls.
    for day in [27, 28] {
        world.both(next("umbrella", HAIKU, day, 40_000, tokens(1_000, 100)));
    }
    let ours = next("umbrella", HAIKU, 27, 86_390, tokens(60, 6));
    let mut theirs = ours.clone();
    theirs.id.call_id = fakes::call_id(time(28, 20), 7);
    world.seen.push(Call::of(&theirs));
    world.ledger.push(ours);
    for (day, sign) in [(27, -1), (28, 1)] {
        expected.add(
            Reason::Timing,
            ("umbrella", HAIKU, day),
            "input",
            sign * 60,
            sign * 60 * 1_000_000,
        );
        expected.add(
            Reason::Timing,
            ("umbrella", HAIKU, day),
            "output",
            sign * 6,
            sign * 6 * 5_000_000,
        );
    }
}

fn plant_lines(world: &mut World, expected: &mut Expected, next: Next<'_>) {
    // Somebody else in the account, and somebody whom the bill does not name.
    let eve = "arn:aws:iam::123456789012:user/eve";
    let stranger = next("acme", NOVA, 27, 40_000, tokens(900, 0));
    world.seen.push(Call { principal: Some(eve.into()), ..Call::of(&stranger) });
    expected.add(
        Reason::UnknownCaller,
        (eve, "USE1-NovaPro-input-tokens", 27),
        "",
        0,
        900 * 800_000,
    );
    let item = |kind, usage_type: &str, principal: Option<String>, cost: i128| LineItem {
        usage_start: time(27, 0),
        kind,
        product_code: "AmazonBedrock".into(),
        usage_type: usage_type.into(),
        pricing_unit: "1K tokens".into(),
        principal,
        amount: Amount(1_000_000_000_000),
        cost: Amount(cost),
        ..LineItem::default()
    };
    world.extra.push(item(LineKind::Usage, "USE1-NovaPro-output-tokens", None, 3_200_000_000));
    expected.add(Reason::Untagged, ("", "USE1-NovaPro-output-tokens", 27), "", 0, 3_200_000_000);

    // Something new, a credit, a tax, and something that is not Bedrock's.
    let acme = Some(gateway().principal(&"acme".parse().unwrap()));
    world.extra.push(item(LineKind::Usage, "USE1-Nova9-input-tokens", acme.clone(), 5_000_000));
    expected.add(
        Reason::UnmappedUsageType,
        ("acme", "USE1-Nova9-input-tokens", 27),
        "",
        0,
        5_000_000,
    );
    world.extra.push(item(LineKind::Credit, "USE1-NovaPro-input-tokens", acme, -750_000_000));
    expected.add(
        Reason::CreditOrRefund,
        ("acme", "USE1-NovaPro-input-tokens", 27),
        "",
        0,
        -750_000_000,
    );
    world.extra.push(item(LineKind::Fee, "", None, 123_000_000));
    expected.add(Reason::FeeOrTax, ("", "", 27), "", 0, 123_000_000);
    let other = item(LineKind::Usage, "USE1-Requests", None, 999_000_000_000);
    world.extra.push(LineItem { product_code: "AmazonS3".into(), ..other });
}

#[test]
fn of_a_month_without_differences_nothing_is_reported() {
    let world = World::of(traffic(10_000));
    for is_logged in [true, false] {
        let report = World { is_logged, ..world.clone() }.report();
        assert_eq!(found(&report), Found::new());
        assert_eq!(report.rows, []);
        assert!(report.is_within_gate && report.is_final);
        assert_eq!((report.records, report.unpriced_records), (10_000, 0));
        assert_eq!(report.matched_records, if is_logged { 10_000 } else { 0 });
        assert_eq!(report.totals.len(), 4);
        for total in &report.totals {
            let reasons: Vec<_> = total.by_reason.keys().collect();
            assert_eq!(reasons, [&Reason::Rounding], "a record is rounded up, a bill is not");
        }
        assert_eq!(corrections(&report, &BTreeMap::new()), []);
    }
}

#[test]
fn every_planted_difference_is_found_and_nothing_else() {
    let mut world = World::of(traffic(12_000));
    let mut expected = Expected::default();
    plant(&mut world, &mut expected);
    let report = world.report();
    assert_eq!(found(&report), expected.0);
    assert!(report.records > 12_000 && report.matched_records > 12_000);

    // Prices are named where they are what differs.
    let priced = report.rows.iter().find(|row| {
        row.tenant_id.as_ref().is_some_and(|tenant| tenant.as_str() == "globex")
            && row.parts.iter().any(|part| part.reason == Reason::PriceDifference)
    });
    let priced = priced.unwrap();
    assert_eq!(priced.ledger_unit_price, Some(Amount(800_000)));
    assert_eq!(priced.provider_unit_price, Some(Amount(880_000)));

    // What is found call by call says which.
    let lost = report.rows.iter().flat_map(|row| &row.parts);
    let lost: Vec<_> = lost.filter(|part| part.evidence == Evidence::Records).collect();
    assert!(lost.iter().all(|part| part.calls == 1 && part.samples.len() == 1), "{lost:?}");

    // The gate is about what nobody can explain: of acme, five micro-dollars of something new.
    let acme = report.totals.iter().find(|total| total.tenant_id == "acme".parse().ok()).unwrap();
    assert_eq!(acme.residual, Amount(5_000_000));
    assert!(acme.is_within_gate && acme.residual_bp == 1 && report.is_within_gate);
}

#[test]
fn what_the_bill_alone_shows_has_the_same_names() {
    let mut world = World::of(traffic(12_000));
    let mut expected = Expected::default();
    plant(&mut world, &mut expected);
    world.is_logged = false;
    // Without a log, a call in the ledger twice looks like one that AWS never billed.
    let as_seen =
        |reason| if reason == Reason::Duplicate { Reason::MissingAtProvider } else { reason };
    let expected: Found = expected
        .0
        .into_iter()
        .map(|(key, value)| ((as_seen(key.0), key.1, key.2, key.3, key.4), value))
        .collect();
    assert_eq!(found(&world.report()), expected);
}

#[test]
fn a_day_that_is_not_billed_yet_is_late_and_not_missing() {
    let mut world = World::of(traffic(10_000));
    // Two days before the end of the traffic, of which half is not on the bill yet.
    world.now = "2026-11-26T10:00:00Z".parse().unwrap();
    let late = time(25, 43_200).as_millisecond();
    world.seen.retain(|call| call.record.started_ms < late);
    world.is_logged = false;
    let report = world.report();
    let found = found(&report);
    assert!(!found.is_empty());
    assert!(
        found.keys().all(|(reason, _, _, day, _)| (*reason, *day) == (Reason::Timing, 25)),
        "{found:?}"
    );
    assert!(!report.is_final && report.is_within_gate);
    assert_eq!(corrections(&report, &BTreeMap::new()), []);
    // When it is final it is missing.
    world.now = NOW.parse().unwrap();
    let missing = self::found(&world.report());
    assert!(missing.keys().all(|(reason, ..)| *reason == Reason::MissingAtProvider), "{missing:?}");
}

#[test]
fn corrections_bring_the_ledger_to_the_bill() {
    let mut world = World::of(traffic(10_000));
    let mut expected = Expected::default();
    plant(&mut world, &mut expected);
    let report = world.report();
    let entries = corrections(&report, &BTreeMap::new());
    let corrected = &report.policy.corrected;
    let wanted: Amount = expected
        .0
        .iter()
        .filter(|(key, _)| corrected.contains(&key.0))
        .map(|(_, value)| value.1)
        .sum();
    let booked: i128 = entries.iter().map(|entry| i128::from(entry.amount_nanousd)).sum();
    let fractions = i128::try_from(entries.len()).unwrap() * 500;
    assert!((Amount::from_nano(booked) - wanted).0.abs() <= fractions, "{booked} {wanted}");
    assert_eq!(corrections(&report, &Posted::sum(&entries)), [], "a second run books nothing");
}

#[test]
fn a_residual_of_half_a_percent_does_not_pass_the_gate() {
    // With a log that bears the ledger out, a bill that says otherwise is explained by nothing.
    let mut world = World::of(Vec::new());
    world.both(call(1, "acme", NOVA, time(3, 40_000), tokens(1_000_000, 0)));
    let residual = |tokens: i128| LineItem {
        usage_start: time(3, 36_000),
        product_code: "AmazonBedrock".into(),
        usage_type: "USE1-NovaPro-input-tokens".into(),
        pricing_unit: "1K tokens".into(),
        principal: Some(gateway().principal(&"acme".parse().unwrap())),
        amount: Amount(tokens * 1_000_000_000),
        cost: Amount(tokens * 800_000),
        ..LineItem::default()
    };
    for (tokens, is_within_gate) in [(4_900, true), (5_100, false)] {
        world.extra = vec![residual(tokens)];
        let report = world.report();
        assert_eq!(report.is_within_gate, is_within_gate, "{tokens}");
        let reasons: Vec<_> =
            report.rows.iter().flat_map(|row| &row.parts).map(|part| part.reason).collect();
        assert_eq!(reasons, [Reason::Unexplained]);
    }
}

#[test]
fn only_what_was_called_near_midnight_is_billed_on_the_other_day() {
    let mut world = World::of(Vec::new());
    world.is_logged = false;
    for (number, day) in [(1, 3), (2, 4)] {
        world.both(call(number, "acme", NOVA, time(day, 40_000), tokens(1_000, 100)));
    }
    // Billed on the next day, though it was made at noon; a tenth of it was made near midnight.
    world.ledger.push(call(3, "acme", NOVA, time(3, 43_200), tokens(900, 90)));
    world.ledger.push(call(4, "acme", NOVA, time(3, 86_390), tokens(100, 10)));
    world.seen.push(Call::of(&call(5, "acme", NOVA, time(4, 43_200), tokens(1_000, 100))));
    let report = world.report();
    let found = found(&report);
    let input = |reason, day| {
        let model = "amazon.nova-pro-v1:0".to_owned();
        found.get(&(reason, "acme".into(), model, day, "input".into())).map(|found| found.0)
    };
    assert_eq!(input(Reason::Timing, 3), Some(-100));
    assert_eq!(input(Reason::Timing, 4), Some(100));
    assert_eq!(input(Reason::MissingAtProvider, 3), Some(-900));
    assert_eq!(input(Reason::MissingInLedger, 4), Some(900));
}

#[test]
fn a_record_that_does_not_cost_what_its_price_list_says_is_counted_and_compared() {
    let mut world = World::of(traffic(100));
    let mut free = call(1_000, "acme", NOVA, time(26, 40_000), tokens(1_000, 100));
    free.is_priced = false;
    world.seen.push(Call::of(&free));
    free.cost_nanousd.0 = 0;
    world.ledger.push(free);
    let report = world.report();
    assert_eq!(report.unpriced_records, 1);
    let mut expected = Expected::default();
    let whose = ("acme", NOVA, 26);
    expected.add(Reason::PriceDifference, whose, "input", 0, 1_000 * 800_000);
    expected.add(Reason::PriceDifference, whose, "output", 0, 100 * 3_200_000);
    assert_eq!(found(&report), expected.0);
}

#[test]
fn the_report_is_json_and_csv() {
    let mut world = World::of(traffic(100));
    plant(&mut world, &mut Expected::default());
    let report = world.report();
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    let csv = String::from_utf8(report.to_csv().unwrap()).unwrap();
    let parts: usize = report.rows.iter().map(|row| row.parts.len()).sum();
    assert_eq!(csv.lines().count(), 1 + parts);
    assert!(csv.contains("2026-11-26,globex,,amazon.nova-pro-v1:0,input,,1000,1000,0.0008,0.00088,0.0000008,0.00000088,price_difference,0,0.00008,"), "{csv}");
}

use metering::{PicoUsd, RecordId, TokenUsage};

use super::*;
use crate::fakes;

const MODEL: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";

fn gateway() -> Gateway {
    Gateway::new("arn:aws:iam::123456789012:role/weir-TenantAccessRole-AB").unwrap()
}

fn at(minute: i64) -> Timestamp {
    "2026-11-03T12:00:00Z".parse::<Timestamp>().unwrap().checked_add(minute.minutes()).unwrap()
}

fn record(number: u64, minute: i64) -> UsageRecord {
    let usage = TokenUsage { input: 100, output: 20, cache_write_1h: 7, ..TokenUsage::default() };
    let prices = |_: &UsageRecord, _| Some(PicoUsd(1));
    fakes::record(number, ("acme", MODEL), at(minute), usage, &prices).unwrap()
}

fn invocation(record: &UsageRecord) -> Invocation {
    Invocation {
        request_id: record.provider_request_id.clone().unwrap(),
        at: called_at(record),
        principal: gateway().principal(&record.tenant_id),
        model: base_model(&record.provider_model_id).to_owned(),
        terms: Terms::new(&record.region, record.service_tier, record.profile_scope),
        tokens: LoggedTokens {
            input: record.usage.input,
            output: record.usage.output,
            cache_read: record.usage.cache_read,
            cache_write: record.usage.cache_write_5m + record.usage.cache_write_1h,
        },
    }
}

/// Each reason with the calls and what the provider has more, summed over classes.
fn found(outcome: &Matches) -> BTreeMap<Reason, (u64, i128)> {
    let facts = outcome.facts.iter();
    facts.map(|(key, fact)| (key.reason, (fact.calls, fact.quantities.values().sum()))).collect()
}

fn matched(outcome: &Matches) -> u64 {
    outcome.matched.values().sum()
}

fn matcher() -> Matcher {
    Matcher::new(gateway(), Policy::default())
}

#[test]
fn records_and_invocations_meet_in_any_order() {
    let mut matcher = matcher();
    let (first, second) = (record(1, 0), record(2, 1));
    matcher.add_record(&first);
    matcher.add_invocation(invocation(&second));
    matcher.add_invocation(invocation(&first));
    matcher.add_record(&second);
    matcher.add_invocation(invocation(&second));
    let outcome = matcher.finish();
    assert_eq!((matched(&outcome), outcome.logged_again), (2, 1));
    assert!(outcome.facts.is_empty());
}

#[test]
fn what_is_on_one_side_only_is_missing_on_the_other() {
    let mut matcher = matcher();
    matcher.add_record(&record(1, 0));
    matcher.add_invocation(invocation(&record(2, 0)));
    let stranger =
        Invocation { principal: "arn:aws:iam::1:user/eve".into(), ..invocation(&record(3, 0)) };
    matcher.add_invocation(stranger);
    assert_eq!(
        found(&matcher.finish()),
        BTreeMap::from([
            (Reason::MissingAtProvider, (1, -127)),
            (Reason::MissingInLedger, (1, 127)),
            (Reason::UnknownCaller, (1, 127)),
        ])
    );
}

#[test]
fn nothing_is_missing_where_nothing_is_logged() {
    let mut matcher = matcher();
    matcher.add_record(&record(1, 0));
    let elsewhere = Invocation { at: at(24 * 60), ..invocation(&record(2, 0)) };
    matcher.add_invocation(elsewhere);
    assert_eq!(found(&matcher.finish()), BTreeMap::from([(Reason::MissingInLedger, (1, 127))]));
}

#[test]
fn a_call_in_the_ledger_twice_is_one_too_many() {
    let mut matcher = matcher();
    let twin = UsageRecord { id: RecordId::first("0199"), ..record(1, 0) };
    for record in [&record(1, 0), &twin] {
        matcher.add_record(record);
    }
    matcher.add_invocation(invocation(&twin));
    matcher.add_record(&twin);
    let outcome = matcher.finish();
    assert_eq!(
        (matched(&outcome), found(&outcome)),
        (1, BTreeMap::from([(Reason::Duplicate, (2, -254))]))
    );
}

#[test]
fn counts_that_differ_are_named_by_class() {
    let mut matcher = matcher();
    let mut logged = invocation(&record(1, 0));
    logged.tokens.output += 5;
    logged.tokens.cache_write -= 2;
    matcher.add_record(&record(1, 0));
    matcher.add_invocation(logged);
    let outcome = matcher.finish();
    let (key, fact) = outcome.facts.first_key_value().unwrap();
    assert_eq!(key.reason, Reason::TokenCountDifference);
    assert_eq!(
        fact.quantities,
        BTreeMap::from([(TokenClass::Output, 5), (TokenClass::CacheWrite1h, -2)])
    );
    assert_eq!(fact.samples, ["request-1"]);
}

#[test]
fn an_estimate_without_a_request_id_is_paired_with_the_nearest_call_of_its_tenant() {
    let estimate = |number, minute| UsageRecord {
        is_estimated: true,
        provider_request_id: None,
        usage: TokenUsage { input: 900, output: 900, ..TokenUsage::default() },
        ..record(number, minute)
    };
    let mut matcher = matcher();
    matcher.add_record(&estimate(1, 0));
    matcher.add_record(&estimate(2, 5));
    // Half an hour later is another call.
    matcher.add_invocation(invocation(&record(3, 35)));
    matcher.add_invocation(invocation(&record(1, 0)));
    assert_eq!(
        found(&matcher.finish()),
        BTreeMap::from([
            (Reason::EstimatedRecords, (2, 127 - 1_800 - 1_800)),
            (Reason::MissingInLedger, (1, 127)),
        ])
    );
}

#[test]
fn memory_holds_what_is_young() {
    let mut matcher = matcher();
    for hour in 0..100 {
        for number in 0..10 {
            let record = record(hour * 10 + number, i64::try_from(hour * 60).unwrap());
            matcher.add_record(&record);
            if number > 0 {
                matcher.add_invocation(invocation(&record));
            }
        }
        matcher.advance(at(i64::try_from(hour * 60).unwrap()));
        assert!(matcher.records.len() + matcher.done.len() + matcher.invocations.len() <= 20);
    }
    let outcome = matcher.finish();
    assert_eq!(matched(&outcome), 900);
    let missing: u64 = outcome.facts.values().map(|fact| fact.calls).sum();
    assert_eq!(missing, 100);
}

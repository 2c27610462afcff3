use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{Counter, ModelSelector, read_rules};

fn tenant() -> Scope {
    Scope::Tenant("acme".parse().unwrap())
}

fn read(scope: &Scope, rules: &Value) -> Result<Vec<LimitRule>, InvalidRule> {
    let rules = read_rules(rules)?;
    check_rules(scope, &rules)?;
    Ok(rules)
}

/// A good limit, with `changes` over it; a change to null takes the field away.
fn rule(changes: &Value) -> Value {
    let mut rule =
        json!({"id": "budget", "metric": "cost", "period": "month", "amount": 50_000_000_000u64});
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            rule.as_object_mut().unwrap().remove(name);
        } else {
            rule[name] = value.clone();
        }
    }
    rule
}

#[track_caller]
fn check(changes: &Value, field: Option<&str>) {
    let found = read(&tenant(), &json!([rule(changes)]));
    let found = found.err().map(|error| error.field);
    assert_eq!(
        found.as_deref(),
        field.map(|field| format!("limits[0].{field}")).as_deref(),
        "{changes}"
    );
}

#[test]
fn each_field_takes_what_it_is_for() {
    for good in [
        json!({}),
        json!({"currency": "USD"}),
        json!({"metric": "requests", "period": "minute", "amount": 1}),
        json!({"metric": "concurrency", "period": null, "amount": 5}),
        json!({"models": {"family": "claude"}, "enforcement": "soft", "thresholds": []}),
        json!({"reserved": {"interactive": 30, "standard": 20}, "max_share": 50, "on_exhausted": "approval"}),
        json!({"on_exhausted": {"fallback": "claude-haiku-4-5"}}),
        json!({"valid_from": "2026-11-01T00:00:00Z", "valid_until": "2026-11-01T02:00:00+01:00"}),
        json!({"amount": MAX_COST}),
    ] {
        check(&good, None);
    }
}

#[test]
fn a_number_that_is_no_amount_is_named() {
    for bad in [
        json!(-1),
        json!(-9_223_372_036_854_775_808i64),
        json!(1.5),
        json!(100.0),
        json!(1e30),
        json!("50"),
        json!("NaN"),
        json!("Infinity"),
        json!(true),
        json!([50]),
        json!({"value": 50}),
        json!(0),
        json!(MAX_COST + 1),
        json!(u64::MAX),
    ] {
        check(&json!({"amount": bad}), Some("amount"));
    }
    check(&json!({"metric": "requests", "period": "day", "amount": MAX_COUNT + 1}), Some("amount"));
    check(
        &json!({"metric": "concurrency", "period": null, "amount": MAX_CONCURRENCY + 1}),
        Some("amount"),
    );
    check(&json!({"amount": null}), Some("amount"));
    // What JSON has no number for is no JSON at all.
    for text in ["NaN", "Infinity", "1e999", "0x10", "1_000", "+5", "05"] {
        assert!(serde_json::from_str::<Value>(text).is_err(), "{text}");
    }
}

#[test]
fn other_currencies_are_not_converted() {
    for bad in [json!("EUR"), json!("usd"), json!("cents"), json!(840), json!({"code": "USD"})] {
        check(&json!({"currency": bad}), Some("currency"));
    }
    let error = read(&tenant(), &json!([rule(&json!({"amount_usd": 50}))])).unwrap_err();
    assert_eq!(error.field, "limits[0].amount_usd");
    assert!(error.message.contains("`amount_usd`") && error.message.contains("nano-USD"));
}

#[test]
fn a_metric_has_the_periods_in_which_it_is_counted() {
    for (metric, period, is_good) in [
        ("cost", Some("total"), true),
        ("cost", Some("week"), true),
        ("cost", Some("minute"), false),
        ("cost", None, false),
        ("total_tokens", Some("hour"), true),
        ("total_tokens", Some("year"), false),
        ("concurrency", Some("minute"), false),
        ("requests", Some("fortnight"), false),
    ] {
        check(&json!({"metric": metric, "period": period}), (!is_good).then_some("period"));
    }
    check(&json!({"metric": "euros"}), Some("metric"));
}

#[test]
fn other_fields_are_named_too() {
    for (bad, field) in [
        (json!({"id": ""}), "id"),
        (json!({"id": "a#b"}), "id"),
        (json!({"id": "a".repeat(65)}), "id"),
        (json!({"id": 5}), "id"),
        (json!({"models": {"model": "a", "family": "b"}}), "models"),
        (json!({"models": {}}), "models"),
        (json!({"models": {"model": "a b"}}), "models.model"),
        (json!({"models": "claude"}), "models"),
        (json!({"enforcement": "strict"}), "enforcement"),
        (json!({"reserved": {"interactive": 60, "standard": 40}}), "reserved"),
        (json!({"reserved": {"vip": 10}}), "reserved.vip"),
        (json!({"reserved": {"batch": 10}}), "reserved.batch"),
        (json!({"reserved": {"interactive": 0}}), "reserved.interactive"),
        (json!({"reserved": {"interactive": 30.5}}), "reserved.interactive"),
        (json!({"max_share": 0}), "max_share"),
        (json!({"max_share": 101}), "max_share"),
        (json!({"enforcement": "soft", "max_share": 50}), "max_share"),
        (json!({"enforcement": "soft", "on_exhausted": "approval"}), "on_exhausted"),
        (json!({"valid_from": "2026-11-01"}), "valid_from"),
        (json!({"valid_from": 1_795_435_200}), "valid_from"),
        (
            json!({"valid_from": "2026-12-01T00:00:00Z", "valid_until": "2026-12-01T00:00:00Z"}),
            "valid_until",
        ),
        (json!({"thresholds": [80, 50]}), "thresholds"),
        (json!({"thresholds": [50, 50]}), "thresholds"),
        (json!({"thresholds": [0]}), "thresholds[0]"),
        (json!({"thresholds": [50, 300]}), "thresholds[1]"),
        (json!({"thresholds": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]}), "thresholds"),
        (json!({"on_exhausted": "fallback"}), "on_exhausted"),
        (json!({"on_exhausted": {"fallback": 3}}), "on_exhausted.fallback"),
        (json!({"raises": [{"amount": -5}]}), "raises[0].amount"),
        (json!({"metric": "concurrency", "period": null, "amount": 1, "max_share": 50}), "amount"),
    ] {
        check(&bad, Some(field));
    }
    for bad in [json!(null), json!({}), json!("x"), json!([5])] {
        assert!(read(&tenant(), &bad).is_err(), "{bad}");
    }
    let many: Vec<Value> =
        (0..=50).map(|number| rule(&json!({"id": format!("l{number}")}))).collect();
    assert_eq!(read(&tenant(), &json!(many)).unwrap_err().field, "limits");
}

#[test]
fn a_share_needs_somebody_below() {
    let rules = json!([rule(&json!({"max_share": 50}))]);
    assert!(read(&Scope::Org, &rules).is_ok());
    let project = Scope::Project("acme".parse().unwrap(), "web-shop".parse().unwrap());
    assert_eq!(read(&project, &rules).unwrap_err().field, "limits[0].max_share");
}

#[track_caller]
fn check_two(first: &Value, second: &Value, is_good: bool) {
    let second =
        rule(&[json!({"id": "second"}), second.clone()].iter().fold(json!({}), |mut all, part| {
            all.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
            all
        }));
    let found = read(&tenant(), &json!([rule(first), second]));
    assert_eq!(found.is_ok(), is_good, "{first} {second} {found:?}");
}

#[test]
fn the_same_is_limited_once_at_a_time() {
    let until = |text: &str| json!({"valid_until": text});
    let from = |text: &str| json!({"valid_from": text});
    let (november, december) = ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z");
    check_two(&json!({}), &json!({}), false);
    check_two(&until(december), &from(december), true);
    check_two(&from(december), &until(december), true);
    check_two(&until(december), &from(november), false);
    check_two(&from(november), &until(december), false);
    check_two(&until(december), &until(november), false);
    check_two(&json!({"enforcement": "soft"}), &json!({}), false);
    check_two(&json!({}), &json!({"period": "day"}), true);
    check_two(&json!({}), &json!({"models": {"family": "claude"}}), true);
    check_two(
        &json!({"models": {"model": "claude"}}),
        &json!({"models": {"family": "claude"}}),
        true,
    );
    let twice = json!([rule(&json!({})), rule(&json!({"period": "day"}))]);
    assert_eq!(read(&tenant(), &twice).unwrap_err().field, "limits[1].id");
}

fn raise(id: &str, amount: u64) -> Raise {
    Raise {
        id: id.to_owned(),
        amount,
        valid_from: "2026-11-20T00:00:00Z".parse().unwrap(),
        valid_until: "2026-11-21T00:00:00Z".parse().unwrap(),
        granted_by: "u-1".to_owned().try_into().unwrap(),
        reason: String::new(),
    }
}

#[test]
fn a_raise_is_held_to_the_same_bounds() {
    let mut limit = read(&tenant(), &json!([rule(&json!({}))])).unwrap().remove(0);
    let now = "2026-11-25T00:00:00Z".parse().unwrap();
    limit = with_raise(&limit, raise("r1", 5), now).unwrap();
    assert_eq!(with_raise(&limit, raise("r1", 5), now).unwrap_err().field, "limit.raises[1].id");
    assert_eq!(
        with_raise(&limit, raise("r2", 0), now).unwrap_err().field,
        "limit.raises[1].amount"
    );
    assert_eq!(with_raise(&limit, raise("r2", u64::MAX), now).unwrap_err().field, "limit.raises");
    let backwards =
        Raise { valid_until: "2026-11-19T00:00:00Z".parse().unwrap(), ..raise("r2", 5) };
    assert_eq!(
        with_raise(&limit, backwards, now).unwrap_err().field,
        "limit.raises[1].valid_until"
    );
    for number in 2..=MAX_RAISES {
        limit = with_raise(&limit, raise(&format!("r{number}"), 5), now).unwrap();
    }
    let limit = with_raise(&limit, raise("next", 5), now).unwrap();
    assert_eq!(limit.raises.len(), 1, "those that are over made room");
}

fn any_number() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u64>().prop_map(|number| json!(number)),
        (0..200u64).prop_map(|number| json!(number)),
        any::<i64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        Just(json!("12")),
    ]
}

fn any_moment() -> impl Strategy<Value = Value> {
    (0..4u32).prop_map(|day| json!(format!("2026-11-{:02}T00:00:00Z", day + 1)))
}

/// Rules of which about every other can be set.
fn any_rule() -> impl Strategy<Value = Value> {
    let word =
        |words: &'static [&'static str]| prop::sample::select(words).prop_map(|it| json!(it));
    let maybe = |strategy: BoxedStrategy<Value>| prop::option::weighted(0.3, strategy);
    (
        word(&["a", "b", "c", "d", "", "A"]),
        word(&["cost", "requests", "total_tokens", "concurrency"]),
        maybe(word(&["minute", "day", "month", "total"]).boxed()),
        prop_oneof![4 => (1..1_000u64).prop_map(|number| json!(number)), 1 => any_number()],
        maybe(word(&["hard", "soft"]).boxed()),
        maybe((0..100u64).prop_map(|share| json!({"interactive": share})).boxed()),
        maybe(any_number().boxed()),
        maybe(any_moment().boxed()),
        maybe(any_moment().boxed()),
        maybe(prop::collection::vec(0..120u64, 0..4).prop_map(|all| json!(all)).boxed()),
    )
        .prop_map(
            |(
                id,
                metric,
                period,
                amount,
                enforcement,
                reserved,
                share,
                from,
                until,
                thresholds,
            )| {
                let mut rule = json!({"id": id, "metric": metric, "amount": amount});
                for (name, value) in [
                    ("period", period),
                    ("enforcement", enforcement),
                    ("reserved", reserved),
                    ("max_share", share),
                    ("valid_from", from),
                    ("valid_until", until),
                    ("thresholds", thresholds),
                ] {
                    if let Some(value) = value {
                        rule[name] = value;
                    }
                }
                rule
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_accepted_can_be_held(rules in prop::collection::vec(any_rule(), 0..4)) {
        let Ok(rules) = read(&tenant(), &json!(rules)) else { return Ok(()) };
        let ids: BTreeSet<_> = rules.iter().map(|rule| rule.id.clone()).collect();
        prop_assert_eq!(ids.len(), rules.len());
        for rule in &rules {
            prop_assert_eq!(rule.counter().is_some(), rule.metric != Metric::Concurrency);
            prop_assert!(rule.counter().is_none_or(|counter| Counter::ALL.contains(&counter)));
            prop_assert!(i64::try_from(rule.amount_at(0)).is_ok());
            // Nobody is locked out by a share, and no class has more than the whole.
            let share = u64::from(rule.max_share.unwrap_or(100));
            for class in [PriorityClass::Batch, PriorityClass::Standard, PriorityClass::Interactive] {
                prop_assert!(rule.amount_for(class, 0) <= rule.amount);
                prop_assert!(rule.amount_for(class, 0) * share / 100 >= 1);
            }
            prop_assert_eq!(&rule.models, &ModelSelector::All);
            // At every moment that a rule begins, it is the only one for its metric and period.
            let starts = [Some(i64::MIN / 2), rule.valid_from.map(Timestamp::as_millisecond)];
            for moment in starts.into_iter().flatten() {
                let in_force = rules.iter().filter(|other| {
                    (other.metric, other.period) == (rule.metric, rule.period) && other.is_in_force(moment)
                });
                prop_assert!(in_force.count() <= 1);
            }
        }
        let again = serde_json::to_value(&rules).unwrap();
        prop_assert_eq!(read(&tenant(), &again).unwrap(), rules, "what is shown can be set again");
    }

    #[test]
    fn nothing_that_is_written_panics(text in ".{0,80}", number in any_number()) {
        let _ = read(&tenant(), &json!([{"id": text, "metric": "cost", "amount": number, text.clone(): number}]));
        let _ = serde_json::from_str::<Value>(&text).map(|value| read(&tenant(), &value));
    }
}

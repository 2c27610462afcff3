use super::*;

fn standard() -> Plan {
    Plan { id: "standard".to_owned(), valid_from: "2026-01".parse().unwrap(), ..Plan::at_cost() }
}

fn model() -> ModelId {
    "nova-lite".parse().unwrap()
}

#[test]
fn a_line_is_marked_up_discounted_and_rounded_once() {
    let usage = TokenUsage::default();
    let plan = Plan { markup_bp: 1_250, discount_bp: 333, ..standard() };
    // 1,001 × 1.125 × 0.9667 = 1088.6250375
    assert_eq!(plan.charge(&model(), 1_001, &usage), Some(1_089));
    let half = Plan { markup_bp: 5_000, discount_bp: 0, ..plan };
    assert_eq!(half.charge(&model(), 1, &usage), Some(2), "1.5 to the even neighbour");
    assert_eq!(half.charge(&model(), 3, &usage), Some(4), "4.5 to the even neighbour");
    assert_eq!(half.charge(&model(), u64::MAX.into(), &usage), None, "not a small amount");
    let free = Plan { discount_bp: 10_000, ..standard() };
    assert_eq!(free.charge(&model(), u64::MAX.into(), &usage), Some(0));
    assert_eq!(Plan::at_cost().charge(&model(), 1_001, &usage), Some(1_001));
}

#[test]
fn a_model_with_a_rate_is_billed_by_units_without_mark_up() {
    let rate = Rate {
        input: PicoUsd(1_000_000),
        output: PicoUsd(4_000_000),
        cache_read: Some(PicoUsd(100_000)),
        image: Some(PicoUsd(50_000_000_000)),
        ..Rate::default()
    };
    let plan = Plan {
        markup_bp: 9_999,
        discount_bp: 1_000,
        rates: BTreeMap::from([(model(), rate)]),
        ..standard()
    };
    let usage = TokenUsage {
        input: 10,
        input_audio: 1,
        output: 5,
        cache_read: 100,
        cache_write_5m: 2,
        images: 1,
        ..TokenUsage::default()
    };
    // 10,000 + 1,000 + 20,000 + 10,000 + 2,000 + 50,000,000 nano-USD, less a tenth
    assert_eq!(plan.charge(&model(), 7, &usage), Some(45_038_700));
    assert_eq!(
        plan.charge(&"other".parse().unwrap(), 10_000, &usage),
        Some(17_999),
        "10,000 × 1.9999 × 0.9 = 17,999.1"
    );
}

#[test]
fn the_youngest_plan_that_began_is_in_force_until_it_ends() {
    let from = |id: &str, from: &str, until: Option<&str>| Plan {
        id: id.to_owned(),
        valid_from: from.parse().unwrap(),
        valid_until: until.map(|it| it.parse().unwrap()),
        ..Plan::at_cost()
    };
    let plans = [
        from("c", "2026-07", Some("2026-09")),
        from("a", "2026-01", None),
        from("b", "2026-05", None),
    ];
    let in_force =
        |month: &str| Plan::in_force(&plans, month.parse().unwrap()).map(|plan| plan.id.as_str());
    assert_eq!(in_force("2025-12"), None);
    assert_eq!(in_force("2026-04"), Some("a"));
    assert_eq!(in_force("2026-05"), Some("b"));
    assert_eq!(in_force("2026-08"), Some("c"));
    assert_eq!(in_force("2026-09"), None, "an end is an end");
}

#[track_caller]
fn refused(field: &str, change: impl FnOnce(&mut Plan)) {
    let mut plan = standard();
    assert_eq!(plan.validate(), Ok(()));
    change(&mut plan);
    assert_eq!(plan.validate().map_err(|error| error.field), Err(field));
}

#[test]
fn plans_that_make_no_sense_are_refused() {
    let tokens = |id: &str| Allowance {
        id: id.to_owned(),
        volume: Volume::Tokens(1),
        models: BTreeSet::new(),
    };
    refused("id", |plan| plan.id = "a b".to_owned());
    refused("valid_until", |plan| plan.valid_until = Some(plan.valid_from));
    refused("flat_fee_nanousd", |plan| plan.flat_fee_nanousd = NanoUsd(u64::MAX));
    refused("markup_bp", |plan| plan.markup_bp = 1_000_001);
    refused("discount_bp", |plan| plan.discount_bp = 10_001);
    refused("included", |plan| plan.included = vec![tokens("a"), tokens("a")]);
    refused("included.id", |plan| plan.included = vec![tokens("")]);
}

#[test]
fn plans_are_read_strictly() {
    let read = |text: &str| serde_json::from_str::<Plan>(text);
    let plan = read(
        r#"{"id":"gold","valid_from":"2026-11","flat_fee_nanousd":50000000000,"markup_bp":1500,
            "included":[{"id":"free","volume":{"tokens":1000000},"models":["nova-lite"]},{"id":"money","volume":{"amount_nanousd":5}}],
            "rates":{"nova-pro":{"input":800000,"output":3200000}}}"#,
    )
    .unwrap();
    assert_eq!(plan.included[0].volume, Volume::Tokens(1_000_000));
    assert_eq!(read(&serde_json::to_string(&plan).unwrap()).unwrap(), plan);
    for text in [
        r#"{"id":"a","valid_from":"2026-11","markup_bp":-1}"#,
        r#"{"id":"a","valid_from":"2026-11","markup_bp":1.5}"#,
        r#"{"id":"a","valid_from":"2026-11","flat_fee_nanousd":1e3}"#,
        r#"{"id":"a","valid_from":"2026-11","flat_fee_usd":1}"#,
        r#"{"id":"a","valid_from":"November"}"#,
        r#"{"id":"a","valid_from":"2026-11","included":[{"id":"x","volume":{"tokens":1,"amount_nanousd":1}}]}"#,
    ] {
        assert!(read(text).is_err(), "{text}");
    }
}

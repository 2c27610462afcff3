//! A statement adds up, whatever the records, their order and the plan.

use std::collections::{BTreeMap, BTreeSet};

use billing::{
    Allowance, EntryKind, LobStatementBuilder, Plan, Rate, SignedNanoUsd, Statement, UsageLines,
    Volume,
};
use metering::{NanoUsd, PicoUsd, ServiceTier, TokenUsage, UsageRecord};
use proptest::prelude::*;

use crate::support::{DAY_MS, NOVEMBER_MS, entry, november, record, statement, tokens};

const MODELS: [&str; 4] = ["claude-sonnet-4-5", "nova-lite", "nova-pro", "titan-embed-v2"];

fn tokens_of(id: &str, tokens: u64, models: &[&str]) -> Allowance {
    let models = models.iter().map(|model| model.parse().unwrap()).collect();
    Allowance { id: id.to_owned(), volume: Volume::Tokens(tokens), models }
}

#[test]
fn a_statement_by_hand() {
    let plan = Plan {
        id: "team".to_owned(),
        flat_fee_nanousd: NanoUsd(20_000_000_000),
        markup_bp: 1_000,
        included: vec![
            tokens_of("first-tokens", 400, &["nova-lite"]),
            Allowance {
                id: "first-dollars".to_owned(),
                volume: Volume::AmountNanousd(1_000),
                models: BTreeSet::new(),
            },
        ],
        rates: BTreeMap::from([(
            "nova-pro".parse().unwrap(),
            Rate { input: PicoUsd(1_000), output: PicoUsd(2_000), ..Rate::default() },
        )]),
        ..Plan::at_cost()
    };
    let mut failed = record("acme", NOVEMBER_MS + 5, 3, "nova-lite", tokens(200, 0), 2_000);
    failed.id.attempt = 2;
    failed.is_estimated = true;
    let records = [
        record("acme", NOVEMBER_MS, 1, "nova-lite", tokens(500, 300), 10_000),
        failed,
        record("acme", NOVEMBER_MS + 9, 2, "nova-pro", tokens(1_000, 500), 1),
        record("acme", NOVEMBER_MS - 1, 4, "nova-lite", tokens(9, 9), 9),
        record("acme", NOVEMBER_MS + 30 * DAY_MS, 5, "nova-lite", tokens(9, 9), 9),
    ];
    let entries = vec![
        entry("flat-fee-2026-11", EntryKind::FlatFee, 20_000_000_000),
        entry("goodwill-1", EntryKind::Credit, -5_000),
        entry("correction-1", EntryKind::Correction, -7),
    ];
    let statement = statement(&plan, &records, entries);
    let line = |model: &str| {
        let line = statement.lines.iter().find(|line| line.key.model.as_str() == model).unwrap();
        [line.sum.cost_nanousd, line.gross_nanousd, line.included_nanousd, line.charge_nanousd]
            .map(|it| it.0)
    };
    // nova-lite: 12,000 × 1.1 = 13,200 for 1,000 tokens, 400 of them included: 5,280.
    // Then 1,000 nano-USD are shared over 7,920 and 2,000: 798.4 and 201.6.
    assert_eq!(line("nova-lite"), [12_000, 13_200, 5_280 + 798, 7_122]);
    assert_eq!(line("nova-pro"), [1, 2_000, 202, 1_798]);
    let used: Vec<_> = statement.included.iter().map(|it| (it.used, it.amount_nanousd.0)).collect();
    assert_eq!(used, [(400, 5_280), (1_000, 1_000)]);
    let totals = &statement.totals;
    assert_eq!((totals.sum.calls, totals.sum.records, totals.sum.estimated_records), (2, 3, 1));
    assert_eq!(totals.sum.estimated_cost_nanousd, NanoUsd(2_000));
    assert_eq!(totals.total_nanousd, SignedNanoUsd(7_122 + 1_798 + 20_000_000_000 - 5_000 - 7));
}

#[test]
fn a_digest_is_over_all_the_rest() {
    let records = [record("acme", NOVEMBER_MS, 1, "nova-lite", tokens(500, 300), 10_000)];
    let one = statement(&Plan::at_cost(), &records, Vec::new());
    assert_eq!(one.digest.len(), "sha256:".len() + 64);
    let json = one.to_json().unwrap();
    let read: Statement = serde_json::from_slice(&json).unwrap();
    assert_eq!(read, one);
    assert_eq!(read.to_json().unwrap(), json, "reading and writing changes nothing");
    let other = statement(&Plan::at_cost(), &records, vec![entry("a", EntryKind::Credit, -1)]);
    assert_ne!(one.digest, other.digest);
}

#[test]
fn another_tenants_record_is_no_small_thing() {
    let mut lines = UsageLines::new("acme".parse().unwrap(), november());
    lines.add(&record("globex", NOVEMBER_MS, 1, "nova-lite", tokens(1, 1), 1));
    let plan = billing::PlanInForce { plan: Plan::at_cost(), of: billing::Account::Org };
    let made = Statement::new(
        "acme".parse().unwrap(),
        "retail".parse().unwrap(),
        plan,
        lines,
        Vec::new(),
        1,
    );
    assert_eq!(made.unwrap_err().to_string(), "1 records are not of tenant `acme`");
}

fn usages() -> impl Strategy<Value = TokenUsage> {
    (0..5_000u64, 0..5_000u64, 0..3u64, prop::bool::weighted(0.9)).prop_map(
        |(input, output, images, has_tokens)| {
            let base = TokenUsage { images, ..TokenUsage::default() };
            if has_tokens {
                TokenUsage { input, output, cache_read: input / 3, ..base }
            } else {
                base
            }
        },
    )
}

/// Within a few days of the month, often near its beginning or end.
fn moments() -> impl Strategy<Value = i64> {
    let hours_ms = -7_200_000..7_200_000i64;
    prop_oneof![
        (-3 * DAY_MS..33 * DAY_MS).prop_map(|ms| NOVEMBER_MS + ms),
        hours_ms.clone().prop_map(|ms| NOVEMBER_MS + ms),
        hours_ms.prop_map(|ms| NOVEMBER_MS + 30 * DAY_MS + ms),
    ]
}

fn records() -> impl Strategy<Value = Vec<UsageRecord>> {
    let one =
        (0..MODELS.len(), usages(), 0..1_000_000_000u64, moments(), any::<bool>(), any::<bool>());
    prop::collection::vec(one, 0..40).prop_map(|all| {
        let numbered = all.into_iter().zip(0..);
        numbered
            .map(|((model, usage, cost, at_ms, is_flex, has_project), number)| {
                let mut record = record("acme", at_ms, number, MODELS[model], usage, cost);
                record.service_tier =
                    if is_flex { ServiceTier::Flex } else { ServiceTier::Default };
                record.project_id = has_project.then(|| "web-shop".parse().unwrap());
                record.is_estimated = number % 7 == 0;
                record
            })
            .collect()
    })
}

fn plans() -> impl Strategy<Value = Plan> {
    let allowance =
        (any::<bool>(), 0..200_000u64, prop::collection::btree_set(0..MODELS.len(), 0..3))
            .prop_map(|(is_tokens, amount, models)| {
                let volume = if is_tokens {
                    Volume::Tokens(amount)
                } else {
                    Volume::AmountNanousd(amount * 10_000)
                };
                (volume, models.into_iter().map(|model| MODELS[model].parse().unwrap()).collect())
            });
    let rates =
        prop::collection::btree_map(0..MODELS.len(), (0..50_000_000u64, 0..50_000_000u64), 0..3);
    (0..50_000u32, 0..=10_000u32, prop::collection::vec(allowance, 0..4), rates).prop_map(
        |(markup_bp, discount_bp, included, rates)| Plan {
            markup_bp,
            discount_bp,
            included: included
                .into_iter()
                .zip(0..)
                .map(|((volume, models), number)| Allowance {
                    id: format!("a{number}"),
                    volume,
                    models,
                })
                .collect(),
            rates: rates
                .into_iter()
                .map(|(model, (input, output))| {
                    let rate =
                        Rate { input: PicoUsd(input), output: PicoUsd(output), ..Rate::default() };
                    (MODELS[model].parse().unwrap(), rate)
                })
                .collect(),
            ..Plan::at_cost()
        },
    )
}

fn credits() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec(-1_000_000_000..0i64, 0..4)
}

proptest! {
    #[test]
    fn lines_and_entries_add_up_to_the_ledger(records in records(), plan in plans(), credits in credits()) {
        let entries: Vec<_> = credits.iter().zip(0..).map(|(amount, number)| entry(&format!("c{number}"), EntryKind::Credit, *amount)).collect();
        let statement = statement(&plan, &records, entries);
        let in_month: Vec<_> = records.iter().filter(|record| november().has(record.started_ms)).collect();
        prop_assert_eq!(statement.totals.sum.records, in_month.len() as u64);
        let cost: u64 = in_month.iter().map(|record| record.cost_nanousd.0).sum();
        prop_assert_eq!(statement.totals.sum.cost_nanousd.0, cost);
        let mut total = credits.iter().sum::<i64>();
        for line in &statement.lines {
            // Nothing but a credit is negative: what is included is never more than what is due.
            prop_assert_eq!(line.gross_nanousd.0.checked_sub(line.included_nanousd.0), Some(line.charge_nanousd.0));
            total += i64::try_from(line.charge_nanousd.0).unwrap();
        }
        prop_assert_eq!(statement.totals.total_nanousd, SignedNanoUsd(total));
        let included: u64 = statement.included.iter().map(|it| it.amount_nanousd.0).sum();
        prop_assert_eq!(statement.totals.included_nanousd.0, included);
        for it in &statement.included {
            let (Volume::Tokens(most) | Volume::AmountNanousd(most)) = it.volume;
            prop_assert!(it.used <= most);
        }
    }

    #[test]
    fn the_order_of_records_changes_nothing(
        (records, shuffled) in records().prop_flat_map(|it| (Just(it.clone()), Just(it).prop_shuffle())), plan in plans(),
    ) {
        prop_assert_eq!(statement(&plan, &records, Vec::new()).to_json().unwrap(), statement(&plan, &shuffled, Vec::new()).to_json().unwrap());
    }

    #[test]
    fn at_cost_is_what_the_ledger_says(records in records()) {
        let statement = statement(&Plan::at_cost(), &records, Vec::new());
        prop_assert_eq!(statement.totals.charge_nanousd, statement.totals.sum.cost_nanousd);
        prop_assert!(statement.lines.iter().all(|line| line.charge_nanousd == line.sum.cost_nanousd));
    }

    #[test]
    fn each_line_is_rounded_by_less_than_one(records in records(), markup_bp in 0..50_000u32, discount_bp in 0..=10_000u32) {
        let plan = Plan { markup_bp, discount_bp, ..Plan::at_cost() };
        for line in statement(&plan, &records, Vec::new()).lines {
            let exact = u128::from(line.sum.cost_nanousd.0) * u128::from(10_000 + markup_bp) * u128::from(10_000 - discount_bp);
            prop_assert!((u128::from(line.gross_nanousd.0) * 100_000_000).abs_diff(exact) <= 50_000_000);
        }
    }

    #[test]
    fn a_line_of_business_is_its_tenants_together(records in records(), plan in plans(), own in credits()) {
        let acme = statement(&plan, &records, Vec::new());
        let mut builder = LobStatementBuilder::new("retail".parse().unwrap(), november());
        for _ in 0..2 {
            builder.add(&acme).unwrap();
        }
        let mut other = acme.clone();
        other.tenant_id = "initech".parse().unwrap();
        builder.add(&other).unwrap();
        let entries = own.iter().zip(0..).map(|(amount, number)| entry(&format!("c{number}"), EntryKind::Credit, *amount)).collect();
        let lob = builder.finish(entries, 1).unwrap();
        prop_assert_eq!(lob.totals.sum.records, 2 * acme.totals.sum.records);
        prop_assert_eq!(lob.totals.total_nanousd.0, 2 * acme.totals.total_nanousd.0 + own.iter().sum::<i64>());
        let models: u64 = lob.models.iter().map(|model| model.charge_nanousd.0).sum();
        prop_assert_eq!(models, lob.totals.charge_nanousd.0);
    }
}

proptest! {
    /// Hours summed beforehand bill the same as their records, in a zone whose months begin at half past.
    #[test]
    fn whole_hours_may_be_summed_beforehand(records in records(), plan in plans()) {
        let half_hour_ms = 1_800_000;
        let span = billing::Span { start_ms: NOVEMBER_MS - half_hour_ms, end_ms: NOVEMBER_MS + 30 * DAY_MS - half_hour_ms, ..november() };
        let lines = || UsageLines::new("acme".parse().unwrap(), span.clone());
        let (mut from_records, mut from_hours) = (lines(), lines());
        for record in &records {
            from_records.add(record);
            let hour_ms = record.started_ms.div_euclid(2 * half_hour_ms) * 2 * half_hour_ms;
            let rollup = metering::Rollup::of(record);
            if span.has(hour_ms) && span.has(hour_ms + 2 * half_hour_ms - 1) {
                from_hours.add_rollup(&metering::RollupKey::of(record), &rollup, hour_ms);
            } else {
                from_hours.add(record);
            }
        }
        let bill = |lines| {
            let plan = billing::PlanInForce { plan: plan.clone(), of: billing::Account::Org };
            Statement::new("acme".parse().unwrap(), "retail".parse().unwrap(), plan, lines, Vec::new(), 1).unwrap()
        };
        prop_assert_eq!(bill(from_records), bill(from_hours));
    }
}

//! Any difference, of any size, anywhere.

use std::io::Write as _;

use jiff::Timestamp;
use metering::{ServiceTier, TokenUsage, UsageRecord};
use proptest::prelude::*;
use reconciliation::fakes::{self, Call};
use reconciliation::{
    Amount, Consume as _, CsvBill, Gunzip, LineItem, LineKind, LogReader, Reason,
};

use crate::world::{HAIKU, NOVA, SONNET, World, call, found, gateway, price, time, tokens};

/// What can be planted; each goes with the reason that is to be found.
#[derive(Debug, Clone, Copy)]
enum Planted {
    Lost,
    NeverBilled,
    Twice,
    Miscounted,
    Estimated,
    Repriced,
    OtherTier,
    Stranger,
    Nameless,
    NewUsageType,
    Credit,
    Tax,
    Midnight,
}

impl Planted {
    const ALL: [Self; 13] = [
        Self::Lost,
        Self::NeverBilled,
        Self::Twice,
        Self::Miscounted,
        Self::Estimated,
        Self::Repriced,
        Self::OtherTier,
        Self::Stranger,
        Self::Nameless,
        Self::NewUsageType,
        Self::Credit,
        Self::Tax,
        Self::Midnight,
    ];

    fn reason(self) -> Reason {
        match self {
            Self::Lost => Reason::MissingInLedger,
            Self::NeverBilled => Reason::MissingAtProvider,
            Self::Twice => Reason::Duplicate,
            Self::Miscounted => Reason::TokenCountDifference,
            Self::Estimated => Reason::EstimatedRecords,
            Self::Repriced | Self::OtherTier => Reason::PriceDifference,
            Self::Stranger => Reason::UnknownCaller,
            Self::Nameless => Reason::Untagged,
            Self::NewUsageType => Reason::UnmappedUsageType,
            Self::Credit => Reason::CreditOrRefund,
            Self::Tax => Reason::FeeOrTax,
            Self::Midnight => Reason::Timing,
        }
    }

    /// Plants it into the day of `record`, a call that is not there yet.
    fn into(self, world: &mut World, record: UsageRecord, percent: u64) {
        let line = |kind, usage_type: &str, cost: u64| LineItem {
            usage_start: Timestamp::from_millisecond(record.started_ms).unwrap(),
            kind,
            product_code: "AmazonBedrock".into(),
            usage_type: usage_type.into(),
            pricing_unit: "1K tokens".into(),
            principal: Some(gateway().principal(&record.tenant_id)),
            cost: Amount(if kind == LineKind::Credit { -i128::from(cost) } else { cost.into() }),
            ..LineItem::default()
        };
        let cost = record.cost_nanousd.0 + 1;
        match self {
            Self::Lost => world.seen.push(Call::of(&record)),
            Self::NeverBilled => world.ledger.push(record),
            Self::Twice => {
                world.both(record.clone());
                let mut again = record;
                again.id.attempt = 2;
                world.ledger.push(again);
            }
            Self::Miscounted => {
                let mut theirs = record.clone();
                theirs.usage.output += percent;
                world.seen.push(Call::of(&theirs));
                world.ledger.push(record);
            }
            Self::Estimated => {
                world.seen.push(Call::of(&record));
                let mut estimate = record;
                estimate.is_estimated = true;
                estimate.provider_request_id = None;
                estimate.usage.input += 1_000 * percent;
                estimate.usage.output += 100 * percent;
                fakes::price(&mut estimate, &price);
                world.ledger.push(estimate);
            }
            Self::Repriced => {
                let mut theirs = record.clone();
                theirs.cost_nanousd.0 = 0;
                let day = record.started_ms.div_euclid(86_400_000);
                let model =
                    [SONNET, HAIKU, NOVA].into_iter().find(|id| *id == record.provider_model_id);
                world.repriced = Some(("acme", model.unwrap(), day, 100 + percent));
                world.both(record);
            }
            Self::OtherTier => {
                let mut ours = record.clone();
                ours.service_tier = ServiceTier::Flex;
                fakes::price(&mut ours, &price);
                world.ledger.push(ours);
                world.seen.push(Call::of(&record));
            }
            Self::Stranger => {
                let principal = Some("arn:aws:iam::123456789012:user/eve".into());
                world.seen.push(Call { principal, ..Call::of(&record) });
            }
            Self::Nameless => {
                world.extra.push(LineItem {
                    principal: None,
                    ..line(LineKind::Usage, "USE1-NovaPro-input-tokens", cost)
                });
            }
            Self::NewUsageType => {
                world.extra.push(line(LineKind::Usage, "USE1-Nova9-input-tokens", cost));
            }
            Self::Credit => {
                world.extra.push(line(LineKind::Credit, "USE1-NovaPro-input-tokens", cost));
            }
            Self::Tax => world.extra.push(line(LineKind::Fee, "", cost)),
            Self::Midnight => {
                let start = record.started_ms.div_euclid(86_400_000) * 86_400_000;
                let at = |ms| Timestamp::from_millisecond(start + ms).unwrap();
                let mut ours = record.clone();
                ours.id.call_id = fakes::call_id(at(86_399_000), 1);
                let mut theirs = record;
                theirs.id.call_id = fakes::call_id(at(86_401_000), 1);
                world.ledger.push(ours);
                world.seen.push(Call::of(&theirs));
            }
        }
    }
}

/// Calls of two tenants on three days: those that are ordinary.
fn ordinary(usages: &[(u64, u64)]) -> World {
    let mut world = World::of(Vec::new());
    let mut number = 100;
    for (index, (input, output)) in usages.iter().enumerate() {
        for tenant in ["acme", "globex"] {
            for model in [SONNET, HAIKU, NOVA] {
                for day in 3..=5 {
                    number += 1;
                    let at = time(day, 20_000 + u64::try_from(index).unwrap() * 100);
                    world.both(call(number, tenant, model, at, tokens(*input, *output)));
                }
            }
        }
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_planted_difference_is_found_by_its_name_and_alone(
        usages in prop::collection::vec((1..10_000_000u64, 1..100_000u64), 1..4),
        planted in prop::sample::select(&Planted::ALL[..]),
        model in prop::sample::select(&[SONNET, HAIKU, NOVA][..]),
        (input, output) in (1..10_000_000u64, 1..100_000u64),
        percent in 1..100u64,
        is_logged in any::<bool>(),
    ) {
        let mut world = ordinary(&usages);
        world.is_logged = is_logged;
        let record = call(1, "acme", model, time(4, 50_000), tokens(input, output));
        planted.into(&mut world, record, percent);
        // The report's sums are checked where it is made.
        let report = world.report();
        let mut reasons: Vec<_> = found(&report).into_keys().map(|(reason, ..)| reason).collect();
        reasons.sort_unstable();
        reasons.dedup();
        let expected = match planted.reason() {
            Reason::Duplicate if !is_logged => Reason::MissingAtProvider,
            reason => reason,
        };
        prop_assert_eq!(reasons, [expected], "{:?} in {:?}", planted, report.rows);
    }

    #[test]
    fn whatever_the_sides_hold_the_parts_are_the_difference(
        calls in prop::collection::vec(
            (0..3usize, 3..6u64, 0..86_400u64, 0..3_000u64, 0..3_000u64, any::<[bool; 5]>()), 0..40
        ),
        is_logged in any::<bool>(),
        is_final in any::<bool>(),
    ) {
        let mut world = World::of(Vec::new());
        world.is_logged = is_logged;
        if !is_final {
            world.now = time(5, 0);
        }
        for (number, (model, day, second, input, output, [ours, theirs, estimated, flex, named])) in (1..).zip(calls) {
            let usage = TokenUsage { input, output, cache_read: input / 2, ..TokenUsage::default() };
            let model = [SONNET, HAIKU, NOVA][model];
            let usage = if model == SONNET { usage } else { TokenUsage { cache_read: 0, ..usage } };
            let mut record = call(number, "acme", model, time(day, second), usage);
            if theirs {
                world.seen.push(Call::of(&record));
            }
            if ours {
                record.is_estimated = estimated;
                record.usage.output += if estimated { 500 } else { 0 };
                record.service_tier = if flex { ServiceTier::Flex } else { ServiceTier::Default };
                if !named {
                    record.provider_request_id = None;
                }
                // A cost that its price list does not say is the ledger's all the same.
                if second % 7 != 0 {
                    fakes::price(&mut record, &price);
                }
                world.ledger.push(record);
            }
        }
        let report = world.report();
        let ledger: i128 = world.ledger.iter().map(|record| i128::from(record.cost_nanousd.0)).sum();
        let in_report: Amount = report.totals.iter().map(|total| total.ledger_cost).sum();
        prop_assert_eq!(in_report, Amount::from_nano(ledger), "no record's cost is lost");
        let billed: Amount = world.bill(&reconciliation::UsageTypes::built_in().unwrap()).iter().map(|item| item.cost).sum();
        let in_report: Amount = report.totals.iter().map(|total| total.provider_cost).sum();
        prop_assert_eq!(in_report, billed, "no line's cost is lost");
    }
}

proptest! {
    #[test]
    fn files_of_any_content_are_read_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        (cut, with) in (any::<prop::sample::Index>(), any::<u8>()),
    ) {
        // A bill with one byte changed, as text; and bytes that are nothing.
        let record = call(1, "acme", NOVA, time(4, 50_000), tokens(5, 6));
        let usage_types = reconciliation::UsageTypes::built_in().unwrap();
        let items = fakes::bill(&[Call::of(&record)], &gateway(), &usage_types, &price);
        let mut bill = Vec::new();
        let mut log = Vec::new();
        flate2::write::GzDecoder::new(&mut bill).write_all(&fakes::cur_csv_gz(&items).unwrap()).unwrap();
        let written = fakes::invocation_log_gz(&[Call::of(&record)], &gateway()).unwrap();
        flate2::write::GzDecoder::new(&mut log).write_all(&written).unwrap();
        for mut text in [bill, log, bytes.clone()] {
            if let Some(byte) = (!text.is_empty()).then(|| cut.index(text.len())).and_then(|at| text.get_mut(at)) {
                *byte = with;
            }
            let mut items = Vec::new();
            let mut bill = CsvBill::new(|item: LineItem| items.push(item));
            let _ = bill.records(&text);
            let _ = LogReader::new(|_| {}).records(&text);
            // What was taken is no less than nothing.
            prop_assert!(items.iter().all(|item| item.kind == LineKind::Credit || item.cost >= Amount::ZERO));
        }
        let mut gunzip = Gunzip::new(LogReader::new(|_| {}));
        let _ = gunzip.push(&bytes);
        let _ = gunzip.end();
        let _ = reconciliation::read_parquet(bytes.into(), |_| {});
    }
}

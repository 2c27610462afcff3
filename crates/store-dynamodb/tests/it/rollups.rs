//! Rollups count every record once, whatever the stream does.

use std::collections::BTreeMap;

use admission::UsageStore as _;
use aws_sdk_dynamodb::Client;
use metering::fakes::usage_record;
use metering::{
    AggregationStore as _, Delivery, Granularity, Late, NanoUsd, Progress, RecordId, RollupKey,
    RollupStore as _, Rollups as Sums, UsagePeriod, UsageRecord,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use store_dynamodb::Rollups;

use crate::support::{TABLE, context, dynamodb, ledger};

/// 2026-11-23T12:00:00Z
const NOON_MS: i64 = 1_795_435_200_000;

fn rollups(client: &Client) -> Rollups {
    Rollups::new(client.clone(), TABLE.to_owned())
}

fn hour(text: &str) -> UsagePeriod {
    text.parse().unwrap()
}

/// The `number`th record: a call at that time, in the bucket of the number's last digit.
fn record(tenant: &str, at_ms: i64, number: u64) -> UsageRecord {
    let lob = if tenant == "acme" { "retail" } else { "markets" };
    let principal = format!("dev-{}", number % 2).try_into().unwrap();
    let caller = (tenant.parse().unwrap(), lob.parse().unwrap(), principal);
    let id = RecordId::first(format!("{at_ms:012x}7000{number:016x}"));
    usage_record(caller, "model-a".parse().unwrap(), id, NanoUsd(1_000 + number))
}

/// What `metering-aggregator` does with a batch.
async fn deliver(rollups: &Rollups, batch: &[Delivery]) -> usize {
    let mut groups: BTreeMap<(UsagePeriod, RollupKey), Vec<&Delivery>> = BTreeMap::new();
    for delivery in batch {
        let of = (delivery.record.hour(), RollupKey::of(&delivery.record));
        groups.entry(of).or_default().push(delivery);
    }
    let mut new = 0;
    for ((hour, key), deliveries) in groups {
        new += rollups.add_live(hour, &key, &deliveries).await.unwrap().len();
    }
    new
}

/// One delivery of a stream to a consumer that has got as far as `reached`: from somewhere at or before
/// that, some records on.
fn delivered(len: usize, reached: &mut usize, back: usize, forth: usize) -> std::ops::Range<usize> {
    let start = reached.saturating_sub(back);
    let end = (*reached + forth).min(len);
    *reached = end;
    start..end
}

/// Whether it is acme's, how many hours later it is, and what it cost.
type Call = (bool, i64, u8);

/// Whose shard delivers, from where on, and how many.
type Cut = (bool, usize, usize);

#[test]
fn each_record_is_counted_once_however_deliveries_are_cut() {
    let cuts = proptest::collection::vec((any::<bool>(), 0..30_usize, 0..12_usize), 1..12);
    let records = proptest::collection::vec((any::<bool>(), 0..2_i64, any::<u8>()), 1..60);
    let mut runner = TestRunner::new(Config { cases: 24, ..Config::default() });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let check = |(records, cuts): (Vec<Call>, Vec<Cut>)| {
        runtime.block_on(async {
            let rollups = rollups(&dynamodb().await);
            // Two shards, as two tenants' partitions may be in; sequence numbers get longer on the way.
            let mut shards: [Vec<Delivery>; 2] = [Vec::new(), Vec::new()];
            for (number, (is_acme, later, salt)) in (0_u64..).zip(&records) {
                let tenant = if *is_acme { "acme" } else { "globex" };
                let at_ms = NOON_MS + later * 3_600_000;
                let record = record(tenant, at_ms, number * 256 + u64::from(*salt));
                let sequence = (90 + number * 7).to_string();
                shards[usize::from(*is_acme)].push(Delivery { sequence, record });
            }
            let mut reached = [0, 0];
            let whole = [(false, 60, 60), (true, 60, 60), (false, 60, 60)];
            for (shard, back, forth) in cuts.iter().chain(&whole) {
                let shard = usize::from(*shard);
                let len = shards[shard].len();
                let range = delivered(len, &mut reached[shard], *back, *forth);
                deliver(&rollups, &shards[shard][range]).await;
            }
            let mut found = Sums::default();
            for tenant in ["acme", "globex"] {
                let tenant = tenant.parse().unwrap();
                for hour in [hour("2026-11-23T12"), hour("2026-11-23T13")] {
                    for (key, rollup) in rollups.live(hour, &tenant).await.unwrap().0 {
                        found.merge(&key, &rollup);
                    }
                }
            }
            let expected: Sums = shards.iter().flatten().map(|it| &it.record).collect();
            prop_assert_eq!(found, expected);
            Ok(())
        })
    };
    runner.run(&(records, cuts), check).unwrap();
}

#[tokio::test]
async fn who_delivers_again_hears_that_nothing_was_new() {
    let rollups = rollups(&dynamodb().await);
    let delivery = |number| Delivery {
        sequence: format!("{}", 100 + number),
        record: record("acme", NOON_MS, number),
    };
    let batch: Vec<_> = (0..40).map(delivery).collect();
    assert_eq!(deliver(&rollups, &batch[..25]).await, 25);
    assert_eq!(deliver(&rollups, &batch[..25]).await, 0);
    assert_eq!(deliver(&rollups, &batch[10..]).await, 15);
    // The same one twice in one batch.
    let twice = [delivery(41), delivery(41)];
    assert_eq!(deliver(&rollups, &twice).await, 1);
}

#[tokio::test]
async fn deliveries_at_the_same_time_are_counted_once() {
    let rollups = rollups(&dynamodb().await);
    let batch: Vec<_> = (0..20)
        .map(|number| Delivery {
            sequence: format!("{}", 100 + number),
            // One key, so that all of them meet at one item.
            record: record("acme", NOON_MS, number * 2),
        })
        .collect();
    let all = (0..4).map(|_| deliver(&rollups, &batch));
    let new = futures::future::join_all(all).await;
    assert_eq!(new.iter().sum::<usize>(), 20);
    let expected: Sums = batch.iter().map(|it| &it.record).collect();
    let found = rollups.live(hour("2026-11-23T12"), &"acme".parse().unwrap()).await.unwrap();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn an_hours_records_are_found_and_no_other() {
    let client = dynamodb().await;
    let (ledger, rollups) = (ledger(&client), rollups(&client));
    let mut expected = Vec::new();
    for (tenant, at_ms) in [
        ("acme", NOON_MS - 1),
        ("acme", NOON_MS),
        ("acme", NOON_MS + 3_599_999),
        ("acme", NOON_MS + 3_600_000),
        ("globex", NOON_MS),
    ] {
        let record = record(tenant, at_ms, 7);
        let lob = record.lob_id.to_string();
        ledger.put_record(&context(tenant, &lob), &record).await.unwrap();
        if tenant == "acme" && record.hour() == hour("2026-11-23T12") {
            expected.push(record);
        }
    }
    let (noon, acme) = (hour("2026-11-23T12"), "acme".parse().unwrap());
    let of_hour: Vec<&UsageRecord> = expected.iter().collect();
    rollups.mark_hour(noon, &acme, &of_hour).await.unwrap();
    rollups.mark_hour(noon, &acme, &of_hour[..1]).await.unwrap();
    let [mark] = rollups.marks(noon).await.unwrap().try_into().unwrap();
    assert_eq!((mark.tenant_id.as_str(), mark.changes, mark.parts.len()), ("acme", 2, 1));
    let part = mark.parts.first().unwrap();
    let page = rollups.records(noon, &acme, part, None).await.unwrap();
    assert_eq!(page.records, expected);
    assert_eq!(page.next, None);
    assert_eq!(expected.len(), 2);
}

#[tokio::test]
async fn more_records_than_a_page_has_are_read_page_by_page() {
    let client = dynamodb().await;
    let (ledger, rollups) = (ledger(&client), rollups(&client));
    let context = context("acme", "retail");
    let numbers = 0..520_u64;
    for number in numbers.clone() {
        ledger.put_record(&context, &record("acme", NOON_MS, number * 16)).await.unwrap();
    }
    let (noon, acme) = (hour("2026-11-23T12"), "acme".parse().unwrap());
    let (mut found, mut from, mut pages) = (0, None, 0);
    loop {
        let page = rollups.records(noon, &acme, "0", from).await.unwrap();
        found += page.records.len();
        pages += 1;
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(found, 520);
    assert!(pages > 1);
}

#[tokio::test]
async fn progress_and_late_changes_are_kept() {
    let rollups = rollups(&dynamodb().await);
    let (noon, day) = (hour("2026-11-23T12"), hour("2026-11-23"));
    assert_eq!(rollups.progress(noon).await.unwrap(), Progress::default());
    let progress = Progress { written: vec![7, 0], rolled: vec![3, 0] };
    rollups.set_progress(noon, &progress).await.unwrap();
    assert_eq!(rollups.progress(noon).await.unwrap(), progress);
    assert_eq!(rollups.progress(day).await.unwrap(), Progress::default());
    assert_eq!(progress.clone().of_groups(2), progress);
    assert_eq!(progress.of_groups(1), Progress { written: vec![0], rolled: vec![0] });

    rollups.note_late(noon).await.unwrap();
    rollups.note_late(day).await.unwrap();
    let late = rollups.late().await.unwrap();
    let of = |period, changes| Late { period, changes };
    assert_eq!(late, [of(day, 1), of(noon, 1)]);
    // It changes again before what was read is dealt with.
    rollups.note_late(noon).await.unwrap();
    for late in &late {
        rollups.forget_late(late).await.unwrap();
    }
    assert_eq!(rollups.late().await.unwrap(), [of(noon, 2)]);

    assert_eq!(rollups.completed_ms().await.unwrap(), None);
    rollups.set_completed_ms(NOON_MS).await.unwrap();
    assert_eq!(rollups.completed_ms().await.unwrap(), Some(NOON_MS));

    rollups.mark(day, &"acme".parse().unwrap()).await.unwrap();
    let [mark] = rollups.marks(day).await.unwrap().try_into().unwrap();
    assert_eq!((mark.changes, mark.parts.len()), (1, 0));
}

#[tokio::test]
async fn final_rollups_take_the_place_of_live_ones_and_gaps_are_filled_from_below() {
    let rollups = rollups(&dynamodb().await);
    let acme = "acme".parse().unwrap();
    let of = |texts: &[(&str, u64)]| -> Vec<UsageRecord> {
        texts.iter().map(|(at, number)| record("acme", hour(at).start_ms(), *number)).collect()
    };
    // Two days in October with final rollups of their own; days in November of hours, live and final.
    let october = of(&[("2026-10-01T05", 2), ("2026-10-31T23", 4)]);
    for record in &october {
        let day = UsagePeriod::containing(Granularity::Day, record.called_ms());
        rollups.put_finals(day, &std::iter::once(record).collect()).await.unwrap();
    }
    let november = of(&[("2026-11-01T00", 6), ("2026-11-01T00", 8), ("2026-11-23T12", 1)]);
    for (number, record) in november.iter().enumerate() {
        let sequence = format!("{}", 100 + number);
        deliver(&rollups, &[Delivery { sequence, record: record.clone() }]).await;
    }
    // One that the stream never brought is in the final rollup only.
    let dropped = of(&[("2026-11-01T00", 10)]);
    let first_hour: Sums = november[..2].iter().chain(&dropped).collect();
    rollups.put_finals(hour("2026-11-01T00"), &first_hour).await.unwrap();
    // Somebody who has seen less comes too late.
    let less = november[..1].iter().collect();
    rollups.put_finals(hour("2026-11-01T00"), &less).await.unwrap();

    let range = hour("2026-10-01").start_ms()..hour("2026-12-01").start_ms();
    for (granularity, periods) in [
        (Granularity::Hour, vec!["2026-11-01T00", "2026-11-23T12"]),
        (Granularity::Day, vec!["2026-10-01", "2026-10-31", "2026-11-01", "2026-11-23"]),
        (Granularity::Month, vec!["2026-10", "2026-11"]),
    ] {
        let rows = rollups.rollups(&acme, granularity, range.start, range.end).await.unwrap();
        let mut found: Vec<_> = rows.iter().map(|row| row.period.to_string()).collect();
        found.dedup();
        assert_eq!(found, periods);
        let mut records = november.iter().chain(&dropped).collect::<Vec<_>>();
        if granularity != Granularity::Hour {
            records.extend(&october);
        }
        let cost: NanoUsd = records.iter().map(|record| record.cost_nanousd).sum();
        let attempts = rows.iter().map(|row| row.rollup.attempts).sum::<u64>();
        assert_eq!(rows.iter().map(|row| row.rollup.cost_nanousd).sum::<NanoUsd>(), cost);
        assert_eq!(attempts, records.len() as u64, "{granularity:?}");
    }
    // A range's end is not in it, and another tenant sees nothing.
    let (from, to) = (hour("2026-11-01T00").start_ms(), hour("2026-11-23T12").start_ms());
    let rows = rollups.rollups(&acme, Granularity::Hour, from, to).await.unwrap();
    assert!(rows.iter().all(|row| row.period == hour("2026-11-01T00")));
    let globex = "globex".parse().unwrap();
    let rows = rollups.rollups(&globex, Granularity::Month, range.start, range.end).await.unwrap();
    assert_eq!(rows, []);
}

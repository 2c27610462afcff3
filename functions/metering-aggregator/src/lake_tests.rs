//! Whoever dies wherever, and whatever is delivered again: lake and rollups are the records.

use std::collections::BTreeMap;

use ::lake::fakes::InMemoryObjects;
use ::lake::{ObjectError, ObjectStore, Version, read_usage};
use admission::fakes::InMemoryLedger;
use bytes::Bytes;
use lambda_runtime::{Context, LambdaEvent};
use metering::fakes::{InMemoryUsage, usage_record};
use metering::{
    AggregationStore as _, Granularity, NanoUsd, RecordId, RollupStore as _, Rollups, UsagePeriod,
    UsageRecord,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{LakeOutcome, LakeTask, State, handle, stream};

/// 2026-11-23T12:00:00Z
const NOON_MS: i64 = 1_795_435_200_000;
const HOUR_MS: i64 = 3_600_000;

type World = State<InMemoryLedger, InMemoryUsage, InMemoryObjects>;

fn world(lake_groups: u32) -> World {
    let ledger = InMemoryLedger::default();
    State {
        ledger,
        usage: InMemoryUsage::default(),
        objects: InMemoryObjects::default(),
        lake_groups,
    }
}

/// The `number`th record of a tenant, at that time.
fn record(tenant: &str, at_ms: i64, number: u64) -> UsageRecord {
    let principal = format!("dev-{}", number % 2).try_into().unwrap();
    let caller = (tenant.parse().unwrap(), "retail".parse().unwrap(), principal);
    let id = RecordId::first(format!("{at_ms:012x}7000{number:016x}"));
    usage_record(caller, "model-a".parse().unwrap(), id, NanoUsd(1_000 + number))
}

/// The records as the stream has them, the first with that sequence number.
fn event(first: usize, records: &[UsageRecord]) -> Value {
    let record = |(number, record): (usize, &UsageRecord)| {
        let image: serde_dynamo::Item = serde_dynamo::to_item(record).unwrap();
        json!({
            "eventName": "INSERT", "eventID": "1", "eventSource": "aws:dynamodb", "awsRegion": "us-east-1",
            "dynamodb": {
                "ApproximateCreationDateTime": NOON_MS / 1_000,
                "Keys": { "PK": { "S": "TENANT#x" }, "SK": { "S": format!("USAGE#{}", record.id) } },
                "NewImage": image, "SequenceNumber": (first + number).to_string(), "SizeBytes": 1,
            },
        })
    };
    json!({ "Records": records.iter().enumerate().map(record).collect::<Vec<_>>() })
}

impl World {
    /// Lets whoever comes die after so many operations, if that is given.
    fn allow(&self, operations: Option<u64>) {
        if let Some(operations) = operations {
            self.usage.allow(operations);
        }
    }

    /// Writes records into the ledger.
    fn write(&self, records: &[UsageRecord]) {
        for record in records {
            self.usage.record(record);
        }
    }

    /// Delivers `records[range]` at noon; whether all of it was taken.
    async fn deliver(&self, records: &[UsageRecord], range: std::ops::Range<usize>) -> bool {
        self.deliver_at(NOON_MS, records, range).await
    }

    async fn deliver_at(
        &self,
        now_ms: i64,
        records: &[UsageRecord],
        range: std::ops::Range<usize>,
    ) -> bool {
        let event = serde_json::from_value(event(range.start, &records[range])).unwrap();
        stream::batch(&self.ledger, &self.usage, event, now_ms).await.is_none()
    }

    fn task(&self, now_ms: i64) -> LakeTask<'_, InMemoryUsage, InMemoryObjects> {
        let groups = self.lake_groups;
        LakeTask { usage: &self.usage, objects: &self.objects, groups, now_ms }
    }

    async fn lake(&self, now_ms: i64) -> LakeOutcome {
        self.task(now_ms).run(|| false).await.unwrap()
    }

    /// Everything in the lake, each record in the hour where it is.
    fn in_lake(&self) -> Vec<UsageRecord> {
        let mut found = Vec::new();
        for (key, file) in self.objects.all() {
            let records = read_usage(file).unwrap();
            for record in &records {
                let group = ::lake::group(&record.tenant_id, self.lake_groups);
                assert_eq!(::lake::usage_key(record.hour(), group), key);
            }
            found.extend(records);
        }
        found.sort_by_key(|record| record.id.to_string());
        found
    }

    /// Lake and rollups say what the records say.
    async fn check(&self) {
        let records = self.usage.all_records();
        assert_eq!(self.in_lake(), records);
        let expected: Rollups = records.iter().collect();
        for granularity in Granularity::ALL {
            let mut finals: BTreeMap<UsagePeriod, Rollups> = BTreeMap::new();
            let mut by_period: BTreeMap<UsagePeriod, Rollups> = BTreeMap::new();
            for record in &records {
                let period = UsagePeriod::containing(granularity, record.called_ms());
                by_period.entry(period).or_default().add(record);
            }
            for (period, expected) in &by_period {
                for key in expected.0.keys() {
                    let found =
                        self.usage.finals_within(*period, granularity, &key.tenant_id).await;
                    let finals = finals.entry(*period).or_default();
                    finals.0.extend(found.unwrap().0);
                }
            }
            assert_eq!(finals, by_period, "{granularity:?}");
        }
        let mut read = Rollups::default();
        for tenant in ["acme", "globex"] {
            let tenant = tenant.parse().unwrap();
            let rows = self.usage.rollups(&tenant, Granularity::Hour, 0, i64::MAX).await.unwrap();
            for row in rows {
                read.merge(&row.key, &row.rollup);
            }
        }
        assert_eq!(read, expected);
    }
}

/// Records of two tenants and three hours, two of them of one day.
fn some_records(count: u64) -> Vec<UsageRecord> {
    let hours = [NOON_MS, NOON_MS + HOUR_MS, NOON_MS + 13 * HOUR_MS];
    let tenant = |number| if number % 3 == 0 { "globex" } else { "acme" };
    (0..count)
        .map(|number| (number, hours[usize::try_from(number % 7).unwrap() % 3]))
        .map(|(number, at_ms)| record(tenant(number), at_ms, number))
        .collect()
}

/// Long after everything, in the next month.
const LATER_MS: i64 = NOON_MS + 9 * 24 * HOUR_MS;

#[tokio::test]
async fn who_dies_between_any_two_steps_leaves_nothing_that_the_next_one_does_not_mend() {
    let records = some_records(12);
    for deaths in 0_u64.. {
        let world = world(2);
        world.write(&records);
        world.lake(NOON_MS).await;
        world.usage.allow(deaths);
        let mut is_whole = world.deliver(&records, 0..7).await;
        is_whole &= world.deliver(&records, 5..12).await;
        is_whole &= world.task(NOON_MS + 2 * HOUR_MS).run(|| false).await.is_ok();
        // The next day: the first two hours are final by now, the first day is, too.
        is_whole &= world.task(NOON_MS + 14 * HOUR_MS).run(|| false).await.is_ok();
        world.usage.heal();
        assert!(world.deliver(&records, 0..12).await);
        let outcome = world.lake(LATER_MS + 5 * 60_000).await;
        assert_eq!((outcome.differences, outcome.is_complete), (0, true));
        world.check().await;
        // Nothing changed since.
        let again = world.lake(LATER_MS + 10 * 60_000).await;
        assert_eq!(again, LakeOutcome { is_complete: true, ..LakeOutcome::default() });
        if is_whole {
            assert!(deaths > 40, "{deaths}");
            return;
        }
    }
}

#[tokio::test]
async fn what_the_stream_never_brought_is_in_the_final_file() {
    let world = world(2);
    let records: Vec<UsageRecord> = (0..3).map(|number| record("acme", NOON_MS, number)).collect();
    world.write(&records);
    // The messages of the others, each alone in its part of the ledger, are in the dead-letter queue.
    assert!(world.deliver(&records, 0..1).await);
    world.lake(NOON_MS + 60_000).await;
    assert_eq!(world.in_lake(), records[..1]);
    let outcome = world.lake(NOON_MS + 2 * HOUR_MS).await;
    assert_eq!((outcome.records, outcome.differences), (3, 0), "they are late, and not wrong");
    world.lake(LATER_MS).await;
    world.check().await;
}

#[tokio::test]
async fn a_lake_that_fails_is_written_later() {
    let records = some_records(12);
    for operation in ["look at", "replace", "list", "delete"] {
        let mut world = world(2);
        world.write(&records);
        world.deliver(&records, 0..12).await;
        world.lake(NOON_MS + HOUR_MS).await;
        // Fewer groups, so that there is something to delete.
        world.lake_groups = 1;
        world.objects.fail(operation);
        let late = [record("acme", NOON_MS, 100), record("globex", NOON_MS, 101)];
        world.write(&late);
        let all = [&records[..], &late].concat();
        world.deliver(&all, 0..14).await;
        world.task(LATER_MS).run(|| false).await.unwrap_err();
        world.objects.heal();
        world.lake(LATER_MS).await;
        world.check().await;
    }
}

#[tokio::test]
async fn groups_that_are_no_more_leave_nothing_behind() {
    let records = some_records(24);
    for (before, after) in [(1, 4), (4, 1), (3, 2)] {
        let mut world = world(before);
        world.write(&records[..12]);
        world.deliver(&records, 0..12).await;
        world.lake(NOON_MS + 2 * HOUR_MS).await;
        world.lake_groups = after;
        world.write(&records);
        world.deliver(&records, 12..24).await;
        world.lake(LATER_MS).await;
        world.check().await;
    }
}

/// A lake into which somebody else writes, just before this one's own file would come.
struct Contested<'a> {
    objects: &'a InMemoryObjects,
    other: Bytes,
}

impl ObjectStore for Contested<'_> {
    async fn put(&self, key: &str, bytes: Bytes, media_type: &str) -> Result<(), ObjectError> {
        self.objects.put(key, bytes, media_type).await
    }

    async fn replace(
        &self,
        key: &str,
        bytes: Bytes,
        media_type: &str,
        expected: Option<&Version>,
    ) -> Result<bool, ObjectError> {
        self.objects.put(key, self.other.clone(), media_type).await?;
        self.objects.replace(key, bytes, media_type, expected).await
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, ObjectError> {
        self.objects.get(key).await
    }

    async fn version(&self, key: &str) -> Result<Option<Version>, ObjectError> {
        self.objects.version(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, ObjectError> {
        self.objects.list(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<(), ObjectError> {
        self.objects.delete(key).await
    }
}

#[tokio::test]
async fn of_two_writers_the_one_that_read_first_does_not_win() {
    let world = world(1);
    let record = record("acme", NOON_MS, 1);
    world.usage.record(&record);
    world.deliver(std::slice::from_ref(&record), 0..1).await;
    let objects = Contested { objects: &world.objects, other: Bytes::from_static(b"newer") };
    let task =
        LakeTask { usage: &world.usage, objects: &objects, groups: 1, now_ms: NOON_MS + HOUR_MS };
    let outcome = task.run(|| false).await.unwrap();
    assert_eq!((outcome.files, outcome.is_complete), (0, false));
    assert_eq!(world.objects.all().into_values().collect::<Vec<_>>(), ["newer"]);
    // Which of them was right, nobody knows; it is written once more.
    world.lake(LATER_MS).await;
    world.check().await;
}

#[tokio::test]
async fn an_hour_that_was_forgotten_is_written_when_something_comes() {
    let world = world(1);
    let old = some_records(6);
    world.write(&old);
    world.deliver(&old, 0..6).await;
    world.lake(LATER_MS).await;
    // A week after the call somebody finds out that it was made.
    let late = record("acme", NOON_MS + 1, 77);
    world.usage.record(&late);
    let all = [&old[..], std::slice::from_ref(&late)].concat();
    assert!(world.deliver_at(LATER_MS, &all, 6..7).await);
    let outcome = world.lake(LATER_MS + 1).await;
    assert_eq!((outcome.files, outcome.records), (1, 3));
    world.check().await;
    assert_eq!(world.usage.late().await.unwrap(), []);
}

#[tokio::test]
async fn what_changed_while_nothing_ran_for_days_is_written_afterwards() {
    let world = world(1);
    world.lake(NOON_MS).await;
    let records = some_records(9);
    world.write(&records);
    world.deliver(&records, 0..9).await;
    world.lake(LATER_MS + 200 * HOUR_MS).await;
    world.check().await;
}

#[tokio::test]
async fn nothing_is_begun_when_time_is_up() {
    let world = world(1);
    let records = some_records(9);
    world.write(&records);
    world.deliver(&records, 0..9).await;
    let looks = std::cell::Cell::new(0);
    let is_over = || {
        looks.set(looks.get() + 1);
        looks.get() > 10
    };
    let outcome = world.task(NOON_MS + 14 * HOUR_MS).run(is_over).await.unwrap();
    assert_eq!((outcome.files, outcome.is_complete), (1, false));
    world.lake(LATER_MS).await;
    world.check().await;
}

#[tokio::test]
async fn a_record_that_no_stream_could_settle_is_in_the_lake_all_the_same() {
    let world = world(1);
    let records = some_records(4);
    world.write(&records);
    world.ledger.fail("settle");
    assert!(!world.deliver(&records, 0..4).await);
    let outcome = world.lake(LATER_MS).await;
    assert_eq!((outcome.records, outcome.differences), (4, 0));
    world.check().await;
}

#[tokio::test]
async fn a_schedule_says_which_task_it_is_for() {
    let world = world(1);
    let invoke = |payload: Value| handle(&world, LambdaEvent::new(payload, Context::default()));
    let swept = invoke(json!({ "time": "2026-11-23T12:00:00Z" })).await.unwrap();
    assert_eq!(swept["settled"], 0);
    let written = invoke(json!({ "task": "lake", "time": "2026-11-23T12:00:00Z" })).await.unwrap();
    // A context without a deadline has no time left.
    assert_eq!(written["files"], 0);
    invoke(json!({ "task": "dance" })).await.unwrap_err();
    invoke(json!({})).await.unwrap_err();
}

/// What may happen, in any order.
#[derive(Debug, Clone)]
enum Step {
    /// The stream delivers, from so far back and so far on, and whoever takes it dies after that many
    /// operations.
    Deliver { back: usize, forth: usize, allowed: Option<u64> },
    /// The lake's task runs so many hours later, and dies after that many operations.
    Write { hours: i64, allowed: Option<u64> },
}

fn step() -> impl Strategy<Value = Step> {
    let allowed = || proptest::option::of(0..40_u64);
    prop_oneof![
        (0..12_usize, 0..8_usize, allowed()).prop_map(|(back, forth, allowed)| Step::Deliver {
            back,
            forth,
            allowed
        }),
        (0..30_i64, allowed()).prop_map(|(hours, allowed)| Step::Write { hours, allowed }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_lake_and_rollups_become_the_records(
        count in 1..30_u64,
        groups in 1..4_u32,
        steps in proptest::collection::vec(step(), 0..20),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (world, records) = (world(groups), some_records(count));
            let (mut reached, mut now_ms) = (0, NOON_MS);
            for step in steps {
                match step {
                    Step::Deliver { back, forth, allowed } => {
                        let end = (reached + forth).min(records.len());
                        world.write(&records[..end]);
                        world.allow(allowed);
                        let range = reached.saturating_sub(back)..end;
                        let is_whole = world.deliver_at(now_ms, &records, range).await;
                        // What failed is delivered again before what follows it.
                        reached = if is_whole { end } else { reached };
                    }
                    Step::Write { hours, allowed } => {
                        now_ms += hours * HOUR_MS;
                        world.allow(allowed);
                        let _ = world.task(now_ms).run(|| false).await;
                    }
                }
                world.usage.heal();
            }
            world.write(&records);
            assert!(world.deliver_at(now_ms, &records, reached..records.len()).await);
            let outcome = world.lake(now_ms.max(LATER_MS)).await;
            assert_eq!((outcome.differences, outcome.is_complete), (0, true));
            world.check().await;
        });
    }
}

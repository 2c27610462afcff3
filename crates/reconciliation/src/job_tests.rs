use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use bytes::Bytes;
use metering::{PicoUsd, TokenUsage, UsageRecord};
use tenancy::TenantId;

use super::*;
use crate::class::TokenClass;
use crate::correction::Correction;
use crate::fakes::{self, Call};
use crate::policy::Reason;

const LOG: &str = "logs/AWSLogs/123456789012/BedrockModelInvocationLogs/us-east-1";

/// Buckets, the ledger and the books, in memory.
#[derive(Default)]
struct World {
    files: Mutex<BTreeMap<String, Bytes>>,
    records: Vec<UsageRecord>,
    booked: Mutex<BTreeMap<String, Correction>>,
    /// Corrections that are refused a first time, as if another run had been faster.
    rivals: Mutex<Vec<Correction>>,
    written: Mutex<BTreeMap<String, Vec<u8>>>,
    /// A file to put in place while the bill is read.
    replacement: Mutex<Option<(String, Bytes)>>,
}

impl SourceFiles for World {
    async fn list(&self, prefix: &str) -> Result<Vec<SourceFile>, StoreError> {
        let files = self.files.lock().unwrap();
        let found = files.iter().filter(|(key, _)| key.starts_with(prefix));
        Ok(found
            .map(|(key, bytes)| SourceFile {
                key: key.clone(),
                version: format!("{:x}", Sha256::digest(bytes).first().unwrap()),
                size: u64::try_from(bytes.len()).unwrap(),
            })
            .collect())
    }

    async fn read(&self, file: &SourceFile, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        let mut files = self.files.lock().unwrap();
        let bytes = files.get(&file.key).cloned().ok_or("gone")?;
        files.extend(self.replacement.lock().unwrap().take());
        let start = usize::try_from(offset).unwrap();
        // Shorter pieces than asked for, as networks have it.
        let end = bytes.len().min(start + usize::try_from(length).unwrap().min(1_000));
        Ok(bytes.slice(start..end))
    }
}

impl Records for World {
    async fn within(
        &self,
        from: Timestamp,
        until: Timestamp,
        take: &mut (dyn FnMut(UsageRecord) + Send),
    ) -> Result<(), StoreError> {
        assert!(until <= later(from, 6), "no more at once than was asked for");
        // A store may give more than that.
        let near = later(from, -1)..later(until, 1);
        let near = self.records.iter().filter(|record| near.contains(&called_at(record)));
        near.cloned().for_each(take);
        Ok(())
    }
}

impl Bookings for World {
    async fn corrections(
        &self,
        period: &str,
        _: &BTreeSet<TenantId>,
    ) -> Result<Vec<Correction>, StoreError> {
        let booked = self.booked.lock().unwrap();
        Ok(booked.values().filter(|entry| entry.period == period).cloned().collect())
    }

    async fn book(&self, correction: &Correction) -> Result<bool, StoreError> {
        let mut booked = self.booked.lock().unwrap();
        for rival in self.rivals.lock().unwrap().drain(..) {
            booked.insert(rival.id.clone(), rival);
        }
        let is_new = !booked.contains_key(&correction.id);
        booked.entry(correction.id.clone()).or_insert_with(|| correction.clone());
        Ok(is_new)
    }
}

impl Reports for World {
    async fn write(&self, key: &str, _: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.written.lock().unwrap().insert(key.to_owned(), bytes);
        Ok(())
    }
}

fn job() -> Job {
    Job {
        gateway: Gateway::new("arn:aws:iam::123456789012:role/weir-TenantAccessRole-AB").unwrap(),
        usage_types: UsageTypes::built_in().unwrap(),
        policy: Policy::default(),
        bill_prefix: "cur/weir/".into(),
        log_prefixes: vec![LOG.into()],
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of `UnitPrices`")]
fn price(_: &UsageRecord, class: TokenClass) -> Option<PicoUsd> {
    Some(PicoUsd(if class == TokenClass::Output { 3_200_000 } else { 800_000 }))
}

fn record(number: u64, at: &str, output: u64) -> UsageRecord {
    let usage = TokenUsage { input: 1_000, output, ..TokenUsage::default() };
    fakes::record(number, ("acme", "amazon.nova-pro-v1:0"), at.parse().unwrap(), usage, &price)
        .unwrap()
}

impl World {
    /// Bills and logs `calls` into the buckets.
    fn see(&mut self, calls: &[Call]) {
        let job = job();
        let month = Month::parse("2026-11").unwrap();
        let billed: Vec<_> =
            calls.iter().filter(|call| month.has(called_at(&call.record))).cloned().collect();
        let items = fakes::bill(&billed, &job.gateway, &job.usage_types, &price);
        for (name, items) in ["00001", "00002"].iter().zip(items.chunks(items.len().div_ceil(2))) {
            self.put(
                &format!("cur/weir/data/BILLING_PERIOD=2026-11/weir-{name}.csv.gz"),
                fakes::cur_csv_gz(items).unwrap(),
            );
        }
        for call in calls {
            let hour = TimeZone::UTC
                .to_datetime(called_at(&call.record))
                .strftime("%Y/%m/%d/%H")
                .to_string();
            let id = call.record.provider_request_id.as_ref().unwrap();
            let log = fakes::invocation_log_gz(std::slice::from_ref(call), &job.gateway).unwrap();
            self.put(&format!("{LOG}/{hour}/{id}.json.gz"), log);
            self.put(&format!("{LOG}/{hour}/data/{id}_input.json.gz"), b"a body".to_vec());
        }
        self.put(&format!("{LOG}/amazon-bedrock-logs-permission-check"), Vec::new());
    }

    fn put(&self, key: &str, bytes: Vec<u8>) {
        self.files.lock().unwrap().insert(key.to_owned(), bytes.into());
    }

    async fn run(&self) -> Result<Run, JobError> {
        let stores =
            Stores { bills: self, logs: self, records: self, bookings: self, reports: self };
        job().run(&stores, &price, "2026-11", "2026-12-20T00:00:00Z".parse().unwrap()).await
    }
}

/// Calls around the ends of the month and within it; the ledger counted less of one.
fn world() -> World {
    let mut world = World {
        records: vec![
            record(1, "2026-10-31T23:59:59Z", 10),
            record(2, "2026-11-01T00:00:00Z", 10),
            record(3, "2026-11-15T12:00:00Z", 10),
            record(4, "2026-11-30T23:59:59Z", 10),
            record(5, "2026-12-01T00:00:00Z", 10),
        ],
        ..World::default()
    };
    let mut calls: Vec<_> = world.records.iter().map(Call::of).collect();
    calls.get_mut(2).unwrap().record.usage.output = 25;
    world.see(&calls);
    world
}

fn reasons(report: &Report) -> Vec<Reason> {
    report.rows.iter().flat_map(|row| &row.parts).map(|part| part.reason).collect()
}

#[tokio::test]
async fn a_month_is_read_compared_reported_and_corrected_once() {
    let world = world();
    let run = world.run().await.unwrap();
    assert_eq!(reasons(&run.report), [Reason::TokenCountDifference]);
    assert_eq!((run.report.records, run.report.matched_records, run.booked), (3, 2, 1));
    let booked: Vec<_> =
        world.booked.lock().unwrap().values().map(|entry| entry.amount_nanousd).collect();
    assert_eq!(booked, [15 * 3_200]);
    let written = world.written.lock().unwrap().clone();
    assert_eq!(
        written.keys().collect::<Vec<_>>(),
        ["reconciliation/2026-11/report.csv", "reconciliation/2026-11/report.json"]
    );
    let json = written.get("reconciliation/2026-11/report.json").unwrap();
    assert_eq!(serde_json::from_slice::<Report>(json).unwrap(), run.report);

    let again = world.run().await.unwrap();
    assert_eq!((again.booked, again.report), (0, run.report));
}

#[tokio::test]
async fn a_newer_bill_is_another_version_and_books_the_difference() {
    let mut world = world();
    let first = world.run().await.unwrap();
    let mut calls: Vec<_> = world.records.iter().map(Call::of).collect();
    calls.get_mut(2).unwrap().record.usage.output = 12;
    world.see(&calls);
    let second = world.run().await.unwrap();
    assert_ne!(first.report.source_version, second.report.source_version);
    let booked: Vec<_> =
        world.booked.lock().unwrap().values().map(|entry| entry.amount_nanousd).collect();
    assert_eq!(booked, [15 * 3_200, -13 * 3_200]);
}

#[tokio::test]
async fn what_another_run_booked_meanwhile_is_not_booked_again() {
    let world = world();
    let run = world.run().await.unwrap();
    // The other run saw another bill.
    let mut rival = world.booked.lock().unwrap().values().next().unwrap().clone();
    rival.amount_nanousd = 1_000;
    world.booked.lock().unwrap().clear();
    world.rivals.lock().unwrap().push(rival);
    assert_eq!(world.run().await.unwrap().booked, 1);
    let sum: i64 = world.booked.lock().unwrap().values().map(|entry| entry.amount_nanousd).sum();
    assert_eq!(sum, 15 * 3_200, "{:?}", run.report.rows);
}

#[tokio::test]
async fn a_bill_that_changes_while_it_is_read_is_read_another_time() {
    let world = world();
    let key = "cur/weir/data/BILLING_PERIOD=2026-11/weir-00002.csv.gz".to_owned();
    *world.replacement.lock().unwrap() = Some((key, Bytes::from(fakes::cur_csv_gz(&[]).unwrap())));
    assert!(matches!(world.run().await, Err(JobError::BillReplaced)));
    assert!(world.written.lock().unwrap().is_empty() && world.booked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn of_an_export_that_keeps_its_runs_the_newest_counts() {
    let world = world();
    let files = std::mem::take(&mut *world.files.lock().unwrap());
    for (key, bytes) in files {
        let newest =
            key.replace("BILLING_PERIOD=2026-11/", "BILLING_PERIOD=2026-11/20261202T000000Z-ab/");
        world.put(&newest, bytes.to_vec());
    }
    world.put(
        "cur/weir/data/BILLING_PERIOD=2026-11/20261201T000000Z-cd/weir-00001.csv.gz",
        b"old".to_vec(),
    );
    assert_eq!(reasons(&world.run().await.unwrap().report), [Reason::TokenCountDifference]);
}

#[tokio::test]
async fn a_broken_or_missing_bill_reconciles_nothing() {
    let world = world();
    world.put("cur/weir/data/BILLING_PERIOD=2026-11/weir-00002.csv.gz", b"no bill".to_vec());
    assert!(matches!(world.run().await, Err(JobError::File { .. })));
    world.files.lock().unwrap().clear();
    assert!(matches!(world.run().await, Err(JobError::NoBill(_))));
    assert!(world.written.lock().unwrap().is_empty() && world.booked.lock().unwrap().is_empty());
}

#[test]
fn a_period_is_a_month() {
    for period in ["", "2026", "2026-13", "2026-11-01", "2026-1", "2026-00", "../../x"] {
        assert!(matches!(Month::parse(period), Err(JobError::Period(_))), "{period}");
    }
    let month = Month::parse("2024-02").unwrap();
    for hours in [1, 5, 24, 1_000] {
        let windows: Vec<_> = month.windows(hours, Timestamp::MAX).collect();
        let all: i64 =
            windows.iter().map(|(from, until)| until.duration_since(*from).as_hours()).sum();
        assert_eq!(all, 29 * 24 + 2);
        assert!(windows.windows(2).all(|pair| pair.first().unwrap().1 == pair.last().unwrap().0));
    }
}

#[tokio::test]
async fn an_export_may_be_parquet() {
    let world = world();
    let csv = world.run().await.unwrap();
    let job = job();
    let mut calls: Vec<_> = world.records.iter().map(Call::of).collect();
    calls.get_mut(2).unwrap().record.usage.output = 25;
    let items = fakes::bill(calls.get(1..4).unwrap(), &job.gateway, &job.usage_types, &price);
    world.files.lock().unwrap().retain(|key, _| !key.ends_with(".csv.gz"));
    let file = fakes::cur_parquet(&items, &[]).unwrap();
    world.put("cur/weir/data/BILLING_PERIOD=2026-11/weir-00001.snappy.parquet", file);
    let parquet = world.run().await.unwrap();
    assert_eq!(parquet.report.rows, csv.report.rows);
    assert_eq!(parquet.report.totals, csv.report.totals);
}

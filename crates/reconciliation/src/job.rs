//! The job: a month's bill, log and records, compared, reported and corrected.

use bytes::{Bytes, BytesMut};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use sha2::{Digest as _, Sha256};

use crate::caller::Gateway;
use crate::compare::Sides;
use crate::correction::{Posted, corrections};
use crate::cur::CsvBill;
use crate::invocation::LogReader;
use crate::ledger::{UnitPrices, called_at};
use crate::matching::Matcher;
use crate::parquet_bill::read_parquet;
use crate::policy::{Policy, day_of};
use crate::port::{Bookings, Records, Reports, SourceFile, SourceFiles, StoreError};
use crate::report::{Report, Subject};
use crate::stream::{Consume, Gunzip, ReadError};
use crate::usage_type::UsageTypes;

/// How much of a file is in memory at once.
const PIECE_BYTES: u64 = 4 * 1024 * 1024;

/// A Parquet file has its table of contents at its end, so it is read whole. A larger one is refused.
const MAX_PARQUET_BYTES: u64 = 256 * 1024 * 1024;

/// What files of exports end in.
const CSV: &str = ".csv.gz";
const PARQUET: &str = ".parquet";

/// How often booking starts again because another run booked meanwhile.
const BOOKING_ATTEMPTS: u32 = 5;

/// What to reconcile.
#[derive(Debug, Clone)]
pub struct Job {
    /// Whose calls are tenants'.
    pub gateway: Gateway,
    /// How to read the bill.
    pub usage_types: UsageTypes,
    /// What is tolerated and corrected.
    pub policy: Policy,
    /// Where the export is in its bucket: `<prefix>/<export name>`.
    pub bill_prefix: String,
    /// Where logs of invocations are in their bucket, up to `BedrockModelInvocationLogs/<region>`, one
    /// for each Region that is logged.
    pub log_prefixes: Vec<String>,
}

/// What the job works on.
pub struct Stores<'a, B, L, R, K, W> {
    /// The bucket of the export.
    pub bills: &'a B,
    /// The bucket of the logs.
    pub logs: &'a L,
    /// The ledger.
    pub records: &'a R,
    /// Where corrections go.
    pub bookings: &'a K,
    /// Where reports go.
    pub reports: &'a W,
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What it found.
    pub report: Report,
    /// Corrections that it booked.
    pub booked: u64,
    /// Where the report is; `.json` and `.csv`.
    pub report_key: String,
}

/// Why a month could not be reconciled. Trying again is safe.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Not `YYYY-MM`.
    #[error("`{0}` is not a month")]
    Period(String),
    /// There is no bill.
    #[error("there are no files of an export under `{0}`")]
    NoBill(String),
    /// AWS wrote the bill again while it was read.
    #[error("the bill was replaced while it was read")]
    BillReplaced,
    /// A file is not what it should be.
    #[error("failed to read `{key}`")]
    File {
        /// Which.
        key: String,
        /// What is wrong.
        source: ReadError,
    },
    /// A store failed.
    #[error("failed to {operation}")]
    Store {
        /// What was tried.
        operation: &'static str,
        /// What it said.
        source: StoreError,
    },
    /// A report cannot be written.
    #[error("failed to write the report: {0}")]
    Report(String),
    /// Other runs book all the time.
    #[error("corrections are booked by others")]
    Contended,
}

fn store(operation: &'static str) -> impl FnOnce(StoreError) -> JobError {
    move |source| JobError::Store { operation, source }
}

impl Job {
    /// Reconciles the month `period` as it is at `now`. Run it again whenever there is a newer bill.
    pub async fn run<B: SourceFiles, L: SourceFiles, R: Records, K: Bookings, W: Reports>(
        &self,
        stores: &Stores<'_, B, L, R, K, W>,
        prices: &(impl UnitPrices + Sync),
        period: &str,
        now: Timestamp,
    ) -> Result<Run, JobError> {
        let month = Month::parse(period)?;
        let mut sides = Sides::default();
        let files = self.bill_files(stores.bills, period).await?;
        for file in &files {
            let add = |item| sides.provider.add(&item, &self.usage_types, &self.gateway);
            if file.key.ends_with(PARQUET) {
                let bytes = read_whole(stores.bills, file).await?;
                read_parquet(bytes, add)
                    .map_err(|source| JobError::File { key: file.key.clone(), source })?;
            } else {
                read(stores.bills, file, CsvBill::new(add)).await?;
            }
        }
        if self.bill_files(stores.bills, period).await? != files {
            return Err(JobError::BillReplaced);
        }
        self.read_hours(stores.logs, stores.records, prices, &month, now, &mut sides).await?;
        let subject = Subject {
            period: period.to_owned(),
            now,
            source_version: version(&files),
            usage_types_version: self.usage_types.version.clone(),
        };
        let report = Report::new(subject, &sides, self.policy.clone());
        let report_key = write(stores.reports, &report).await?;
        let booked = book(stores.bookings, &report).await?;
        Ok(Run { report, booked, report_key })
    }

    /// The files of the export's newest run. An export that keeps its runs has a folder for each, named by
    /// its time; one that overwrites has none.
    async fn bill_files(
        &self,
        bills: &impl SourceFiles,
        period: &str,
    ) -> Result<Vec<SourceFile>, JobError> {
        let prefix =
            format!("{}/data/BILLING_PERIOD={period}/", self.bill_prefix.trim_end_matches('/'));
        let mut files = bills.list(&prefix).await.map_err(store("list the bill"))?;
        files.retain(|file| file.key.ends_with(CSV) || file.key.ends_with(PARQUET));
        files.sort();
        let folder =
            |file: &SourceFile| file.key.rsplit_once('/').map(|(folder, _)| folder.to_owned());
        let newest = files.iter().filter_map(folder).max();
        files.retain(|file| folder(file) == newest);
        if files.is_empty() { Err(JobError::NoBill(prefix)) } else { Ok(files) }
    }

    /// Reads the month's records and logs, some hours at a time, and an hour more on both sides: a call and its
    /// line in the log need not be of the same.
    async fn read_hours(
        &self,
        logs: &impl SourceFiles,
        records: &impl Records,
        prices: &(impl UnitPrices + Sync),
        month: &Month,
        now: Timestamp,
        sides: &mut Sides,
    ) -> Result<(), JobError> {
        let mut matcher = Matcher::new(self.gateway.clone(), self.policy.clone());
        let is_logged = !self.log_prefixes.is_empty();
        let window_h = i64::from(self.policy.window_h.max(1));
        for (from, until) in month.windows(window_h, now) {
            let ledger = &mut sides.ledger;
            let mut take = |record| {
                let at = called_at(&record);
                if !(from..until).contains(&at) {
                    return;
                }
                if month.has(at) {
                    ledger.add(&record, prices, &self.policy);
                }
                if is_logged {
                    matcher.add_record(&record);
                }
            };
            records.within(from, until, &mut take).await.map_err(store("read usage records"))?;
            for hour in (0..window_h).map(|hours| later(from, hours)).filter(|hour| *hour < until) {
                self.read_log(logs, hour, &mut matcher).await?;
            }
            matcher.advance(from);
        }
        let mut found = matcher.finish();
        found.facts.retain(|key, _| month.has_day(key.day));
        found.matched.retain(|day, _| month.has_day(*day));
        found.covered.retain(|(day, _)| month.has_day(*day));
        sides.matches = found;
        Ok(())
    }

    async fn read_log(
        &self,
        logs: &impl SourceFiles,
        hour: Timestamp,
        matcher: &mut Matcher,
    ) -> Result<(), JobError> {
        let hour = TimeZone::UTC.to_datetime(hour);
        for prefix in &self.log_prefixes {
            let prefix = format!(
                "{}/{:04}/{:02}/{:02}/{:02}/",
                prefix.trim_end_matches('/'),
                hour.year(),
                hour.month(),
                hour.day(),
                hour.hour()
            );
            let mut files =
                logs.list(&prefix).await.map_err(store("list the log of invocations"))?;
            // Bodies that are too large for a line lie in a folder of their own.
            files.retain(|file| {
                file.key
                    .strip_prefix(&prefix)
                    .is_some_and(|name| name.ends_with(".json.gz") && !name.contains('/'))
            });
            for file in files {
                let add = |invocation| matcher.add_invocation(invocation);
                read(logs, &file, LogReader::new(add)).await?;
            }
        }
        Ok(())
    }
}

/// Reads a file in pieces.
async fn read(
    files: &impl SourceFiles,
    file: &SourceFile,
    consumer: impl Consume + Send,
) -> Result<(), JobError> {
    let failed = |source| JobError::File { key: file.key.clone(), source };
    let mut gunzip = Gunzip::new(consumer);
    let mut offset = 0;
    while offset < file.size {
        let piece = files.read(file, offset, PIECE_BYTES).await.map_err(store("read a file"))?;
        if piece.is_empty() {
            break;
        }
        gunzip.push(&piece).map_err(failed)?;
        offset += u64::try_from(piece.len()).unwrap_or(u64::MAX);
    }
    gunzip.end().map_err(failed)?;
    Ok(())
}

/// Reads a Parquet file.
async fn read_whole(files: &impl SourceFiles, file: &SourceFile) -> Result<Bytes, JobError> {
    if file.size > MAX_PARQUET_BYTES {
        return Err(JobError::File { key: file.key.clone(), source: ReadError::TooLong });
    }
    let mut whole = BytesMut::new();
    loop {
        let offset = u64::try_from(whole.len()).unwrap_or(u64::MAX);
        if offset >= file.size {
            return Ok(whole.freeze());
        }
        let piece = files.read(file, offset, PIECE_BYTES).await.map_err(store("read a file"))?;
        if piece.is_empty() {
            return Ok(whole.freeze());
        }
        whole.extend_from_slice(&piece);
    }
}

/// Which bill it is: the same files with the same content.
fn version(files: &[SourceFile]) -> String {
    let mut digest = Sha256::new();
    for SourceFile { key, version, size } in files {
        digest.update(format!("{key}\n{version}\n{size}\n"));
    }
    let bytes = digest.finalize().first_chunk::<16>().copied().unwrap_or_default();
    format!("{:032x}", u128::from_be_bytes(bytes))
}

/// Where reports are.
pub const REPORTS: &str = "reconciliation/";

/// Where the report of a month is, without `.json` and `.csv`.
pub fn report_of(period: &str) -> String {
    format!("{REPORTS}{period}/report")
}

async fn write(reports: &impl Reports, report: &Report) -> Result<String, JobError> {
    let key = report_of(&report.period);
    let json =
        serde_json::to_vec_pretty(report).map_err(|error| JobError::Report(error.to_string()))?;
    let csv = report.to_csv().map_err(|error| JobError::Report(error.to_string()))?;
    for (extension, content_type, bytes) in
        [("json", "application/json", json), ("csv", "text/csv", csv)]
    {
        let name = format!("{key}.{extension}");
        reports.write(&name, content_type, bytes).await.map_err(store("write the report"))?;
    }
    Ok(key)
}

/// Books what is still to be booked. A run that was cut left some of it; another run's entries are taken
/// into account, or refuse this one's by their ids.
async fn book(bookings: &impl Bookings, report: &Report) -> Result<u64, JobError> {
    let tenants = report.totals.iter().filter_map(|total| total.tenant_id.clone()).collect();
    let mut booked = 0;
    for _ in 0..BOOKING_ATTEMPTS {
        let posted = bookings.corrections(&report.period, &tenants).await;
        let posted = Posted::sum(&posted.map_err(store("read corrections"))?);
        let mut is_contended = false;
        for entry in corrections(report, &posted) {
            if bookings.book(&entry).await.map_err(store("book a correction"))? {
                booked += 1;
            } else {
                is_contended = true;
            }
        }
        if !is_contended {
            return Ok(booked);
        }
    }
    Err(JobError::Contended)
}

/// A calendar month, in UTC as bills are.
struct Month {
    first: Date,
    last: Date,
}

impl Month {
    fn parse(period: &str) -> Result<Self, JobError> {
        let invalid = || JobError::Period(period.chars().take(16).collect());
        if period.len() != 7 {
            return Err(invalid());
        }
        let first: Date = format!("{period}-01").parse().map_err(|_| invalid())?;
        Ok(Self { first, last: first.last_of_month() })
    }

    fn has_day(&self, day: Date) -> bool {
        (self.first..=self.last).contains(&day)
    }

    fn has(&self, at: Timestamp) -> bool {
        self.has_day(day_of(at))
    }

    /// Pieces of `hours` of the time from an hour before it until an hour after it, or until `now`.
    fn windows(
        &self,
        hours: i64,
        now: Timestamp,
    ) -> impl Iterator<Item = (Timestamp, Timestamp)> + use<> {
        let start = TimeZone::UTC.to_timestamp(self.first.at(0, 0, 0, 0)).unwrap_or_default();
        let end = TimeZone::UTC.to_timestamp(self.last.at(23, 0, 0, 0)).unwrap_or_default();
        let until = later(end, 2).min(now);
        std::iter::successors(Some(later(start, -1)), move |from| Some(later(*from, hours)))
            .take_while(move |from| *from < until)
            .map(move |from| (from, later(from, hours).min(until)))
    }
}

fn later(at: Timestamp, hours: i64) -> Timestamp {
    at.checked_add(hours.hours()).unwrap_or(at)
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;

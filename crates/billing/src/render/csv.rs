//! Statements as tables: a row for each line, covered volume, entry and the total.
//!
//! The column `amount` adds up to the total; it has all nine decimals.

use ::csv::{QuoteStyle, Writer, WriterBuilder};
use metering::{NanoUsd, TokenUsage};

use crate::entry::LedgerEntry;
use crate::{Line, LobStatement, SignedNanoUsd, Statement, StatementError, Totals};

const STATEMENT: [&str; 29] = [
    "row",
    "period",
    "lob_id",
    "tenant_id",
    "project_id",
    "model",
    "provider",
    "region",
    "service_tier",
    "profile_scope",
    "price_version",
    "calls",
    "records",
    "cache_hits",
    "estimated_records",
    "input",
    "output",
    "input_audio",
    "output_audio",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "images",
    "search_units",
    "guardrail_units",
    "cost_usd",
    "id",
    "description",
    "amount_usd",
];

const LOB: [&str; 9] =
    ["row", "period", "lob_id", "of", "calls", "records", "cost_usd", "description", "amount_usd"];

/// Text that no spreadsheet takes for a formula.
fn cell(text: &str) -> String {
    let is_formula =
        text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    if is_formula { format!("'{text}") } else { text.to_owned() }
}

fn dollars(amount: NanoUsd) -> String {
    format!("{}.{:09}", amount.0 / 1_000_000_000, amount.0 % 1_000_000_000)
}

fn writer() -> Writer<Vec<u8>> {
    WriterBuilder::new().quote_style(QuoteStyle::Necessary).from_writer(Vec::new())
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StatementError {
    StatementError::Write(error.into())
}

fn finish(writer: Writer<Vec<u8>>) -> Result<Vec<u8>, StatementError> {
    writer.into_inner().map_err(|error| failed(error.into_error()))
}

/// A tenant's statement as CSV.
pub fn statement_csv(statement: &Statement) -> Result<Vec<u8>, StatementError> {
    let mut rows = writer();
    rows.write_record(STATEMENT).map_err(failed)?;
    let mut write =
        |row: &str, middle: [String; 22], id: &str, description: &str, amount: String| {
            let head = [
                row.to_owned(),
                statement.span.period.to_string(),
                statement.lob_id.to_string(),
                statement.tenant_id.to_string(),
            ];
            let tail = [cell(id), cell(description), amount];
            rows.write_record(head.iter().chain(&middle).chain(&tail)).map_err(failed)
        };
    for line in &statement.lines {
        write("usage", usage(line), "", "", dollars(line.gross_nanousd))?;
    }
    for it in &statement.included {
        let covered = SignedNanoUsd::try_from(it.amount_nanousd)?;
        write("included", <[String; 22]>::default(), &it.id, "", (-covered).to_decimal())?;
    }
    for entry in &statement.entries {
        let middle = <[String; 22]>::default();
        write(
            entry.kind.as_str(),
            middle,
            &entry.id,
            &description(entry),
            entry.amount_nanousd.to_decimal(),
        )?;
    }
    let Totals { sum, total_nanousd, .. } = &statement.totals;
    let blank = || std::array::from_fn::<_, 7, _>(|_| String::new());
    let total = middle(
        blank(),
        [sum.calls, sum.records, sum.cache_hits, sum.estimated_records],
        &sum.usage,
        sum.cost_nanousd,
    );
    write("total", total, "", &statement.digest, total_nanousd.to_decimal())?;
    finish(rows)
}

fn description(entry: &LedgerEntry) -> String {
    match &entry.refers_to {
        None => entry.reason.clone(),
        Some(subject) => format!("{} ({subject})", entry.reason),
    }
}

fn usage(line: &Line) -> [String; 22] {
    let key = &line.key;
    let names = [
        key.project_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        cell(key.model.as_str()),
        cell(&key.provider),
        cell(&key.region),
        key.service_tier.as_str().to_owned(),
        key.profile_scope.as_str().to_owned(),
        cell(&key.price_version),
    ];
    let sum = &line.sum;
    middle(
        names,
        [sum.calls, sum.records, sum.cache_hits, sum.estimated_records],
        &sum.usage,
        sum.cost_nanousd,
    )
}

fn middle(names: [String; 7], counts: [u64; 4], usage: &TokenUsage, cost: NanoUsd) -> [String; 22] {
    let kinds = [
        usage.input,
        usage.output,
        usage.input_audio,
        usage.output_audio,
        usage.cache_read,
        usage.cache_write_5m,
        usage.cache_write_1h,
        usage.images,
        usage.search_units,
        usage.guardrail_units,
    ];
    let numbers = counts.into_iter().chain(kinds).map(|number| number.to_string());
    let mut cells = names.into_iter().chain(numbers).chain([dollars(cost)]);
    std::array::from_fn(|_| cells.next().unwrap_or_default())
}

/// The statement of a line of business as CSV.
pub fn lob_csv(statement: &LobStatement) -> Result<Vec<u8>, StatementError> {
    let mut rows = writer();
    rows.write_record(LOB).map_err(failed)?;
    let mut write =
        |row: &str, of: &str, totals: Option<&Totals>, description: &str, amount: SignedNanoUsd| {
            let sum = totals.map(|totals| totals.sum);
            rows.write_record([
                row.to_owned(),
                statement.span.period.to_string(),
                statement.lob_id.to_string(),
                cell(of),
                sum.map(|sum| sum.calls.to_string()).unwrap_or_default(),
                sum.map(|sum| sum.records.to_string()).unwrap_or_default(),
                sum.map(|sum| dollars(sum.cost_nanousd)).unwrap_or_default(),
                cell(description),
                amount.to_decimal(),
            ])
            .map_err(failed)
        };
    for tenant in &statement.tenants {
        let totals = &tenant.totals;
        write(
            "tenant",
            tenant.tenant_id.as_str(),
            Some(totals),
            &tenant.digest,
            totals.total_nanousd,
        )?;
    }
    for entry in &statement.entries {
        write(entry.kind.as_str(), &entry.id, None, &description(entry), entry.amount_nanousd)?;
    }
    let totals = &statement.totals;
    write("total", "", Some(totals), &statement.digest, totals.total_nanousd)?;
    finish(rows)
}

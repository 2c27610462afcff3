//! Statements on paper. Amounts have all nine decimals, so that whoever adds them up by hand agrees.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use metering::{NanoUsd, TokenUsage};

use super::font::Font;
use super::page::{LEFT, RIGHT, Sheets, Style};
use crate::amount::grouped;
use crate::{
    Account, EntryKind, LedgerEntry, Line, LobStatement, Plan, SignedNanoUsd, Span, Statement,
    Totals, UsageSum,
};

const TITLE: Style = Style { font: Font::Bold, size: 20.0, grey: 0.0 };
const SUBTITLE: Style = Style { font: Font::Regular, size: 13.0, grey: 0.25 };
const HEADING: Style = Style { font: Font::Bold, size: 10.5, grey: 0.0 };
const LABEL: Style = Style { font: Font::Regular, size: 7.5, grey: 0.45 };
const VALUE: Style = Style { font: Font::Regular, size: 9.0, grey: 0.0 };
const COLUMN: Style = Style { font: Font::Bold, size: 7.0, grey: 0.3 };
const CELL: Style = Style { font: Font::Regular, size: 8.0, grey: 0.0 };
const NOTE: Style = Style { font: Font::Regular, size: 6.5, grey: 0.45 };
const STRONG: Style = Style { font: Font::Bold, size: 8.5, grey: 0.0 };
const DUE: Style = Style { font: Font::Bold, size: 12.0, grey: 0.0 };

/// A tenant's statement as PDF.
pub fn statement_pdf(statement: &Statement) -> Vec<u8> {
    let subject = format!("tenant {}", statement.tenant_id);
    let mut sheets = begin(&statement.span, statement.version, &subject, &statement.digest);
    facts(
        &mut sheets,
        [
            [
                ("Tenant", statement.tenant_id.to_string()),
                ("Line of business", statement.lob_id.to_string()),
            ],
            [
                ("Period", period(&statement.span)),
                ("Plan", terms(&statement.plan, &statement.plan_of)),
            ],
            [
                ("Calls", count(statement.totals.sum.calls)),
                ("Usage records", count(statement.totals.sum.records)),
            ],
        ],
    );
    summary(&mut sheets, &statement.totals);
    usage(&mut sheets, &statement.lines);
    included(&mut sheets, statement);
    entries(&mut sheets, &statement.entries);
    total(&mut sheets, statement.totals.total_nanousd);
    sheets.finish(&format!("Statement of {subject}, {}", statement.span.period))
}

/// The statement of a line of business as PDF.
pub fn lob_pdf(statement: &LobStatement) -> Vec<u8> {
    let subject = format!("line of business {}", statement.lob_id);
    let mut sheets = begin(&statement.span, statement.version, &subject, &statement.digest);
    facts(
        &mut sheets,
        [
            [
                ("Line of business", statement.lob_id.to_string()),
                ("Tenants", count_of(statement.tenants.len())),
            ],
            [("Period", period(&statement.span)), ("Currency", "US dollars".to_owned())],
            [
                ("Calls", count(statement.totals.sum.calls)),
                ("Usage records", count(statement.totals.sum.records)),
            ],
        ],
    );
    summary(&mut sheets, &statement.totals);
    let table = Table {
        title: "Tenants",
        columns: &[
            ("TENANT", LEFT, Some(180.0)),
            ("CALLS", 300.0, None),
            ("PROVIDER COST", 420.0, None),
            ("AMOUNT, USD", RIGHT, None),
        ],
        note_x: LEFT,
    };
    table.begin(&mut sheets, 30.0);
    for tenant in &statement.tenants {
        let cost = dollars(tenant.totals.sum.cost_nanousd);
        let amount = exact(tenant.totals.total_nanousd);
        table.row(
            &mut sheets,
            &[tenant.tenant_id.as_str(), &count(tenant.totals.sum.calls), &cost, &amount],
            None,
        );
    }
    entries(&mut sheets, &statement.entries);
    total(&mut sheets, statement.totals.total_nanousd);
    let table = Table {
        title: "The same usage by model",
        columns: &[
            ("MODEL", LEFT, Some(180.0)),
            ("CALLS", 300.0, None),
            ("PROVIDER COST", 420.0, None),
            ("CHARGED, USD", RIGHT, None),
        ],
        note_x: LEFT,
    };
    sheets.skip(14.0);
    table.begin(&mut sheets, 30.0);
    for model in &statement.models {
        let UsageSum { calls, cost_nanousd, .. } = model.sum;
        table.row(
            &mut sheets,
            &[
                model.model.as_str(),
                &count(calls),
                &dollars(cost_nanousd),
                &dollars(model.charge_nanousd),
            ],
            None,
        );
    }
    sheets.finish(&format!("Statement of {subject}, {}", statement.span.period))
}

fn begin(span: &Span, version: u32, subject: &str, digest: &str) -> Sheets {
    let mut sheets =
        Sheets::new(format!("Statement of {subject}, {} \u{2022} {digest}", span.period));
    sheets.text(LEFT, 16.0, TITLE, "Statement");
    sheets.text_to(RIGHT, 16.0, SUBTITLE, &span.period.title());
    if version == 0 {
        sheets.text_to(RIGHT, 30.0, LABEL, "Draft: the month is not closed");
    }
    sheets.skip(38.0);
    sheets.rule(1.2, 0.0);
    sheets.skip(10.0);
    sheets
}

fn facts(sheets: &mut Sheets, rows: [[(&str, String); 2]; 3]) {
    let middle = LEFT + 250.0;
    for row in rows {
        for ((label, value), x) in row.into_iter().zip([LEFT, middle]) {
            sheets.text(x, 10.0, LABEL, label);
            let value = VALUE.font.cut(&value, VALUE.size, 240.0);
            sheets.text(x, 22.0, VALUE, &value);
        }
        sheets.skip(29.0);
    }
    sheets.skip(8.0);
}

/// What it comes to, at the head of the first page.
fn summary(sheets: &mut Sheets, totals: &Totals) {
    let gross = SignedNanoUsd::try_from(totals.gross_nanousd).unwrap_or_default();
    let included = SignedNanoUsd::try_from(totals.included_nanousd).unwrap_or_default();
    let rows = [
        ("Usage", gross),
        ("Included in the plan", -included),
        ("Plan fee", totals.flat_fee_nanousd),
        ("Credits", totals.credits_nanousd),
        ("Adjustments", totals.adjustments_nanousd),
        ("Corrections of earlier months", totals.corrections_nanousd),
    ];
    let shown: Vec<_> = rows
        .into_iter()
        .filter(|(name, amount)| *name == "Usage" || *amount != SignedNanoUsd::ZERO)
        .collect();
    let rows = f32::from(u8::try_from(shown.len()).unwrap_or(u8::MAX));
    let height = 15.0 * rows + 40.0;
    sheets.reserve(height);
    sheets.field(height, 0.955);
    sheets.skip(6.0);
    for (name, amount) in shown {
        sheets.text(LEFT + 4.0, 11.0, VALUE, name);
        sheets.text_to(RIGHT - 4.0, 11.0, VALUE, &exact(amount));
        sheets.skip(15.0);
    }
    sheets.skip(5.0);
    sheets.rule(0.6, 0.3);
    let due = totals.total_nanousd;
    let name = if due.0 < 0 { "In your favour" } else { "Amount due" };
    sheets.text(LEFT + 4.0, 18.0, DUE, name);
    sheets.text_to(RIGHT - 4.0, 18.0, DUE, &format!("USD {}", due.to_cents()));
    sheets.skip(29.0 + 20.0);
}

const USAGE: Table<'static> = Table {
    title: "Usage",
    columns: &[
        ("MODEL", LEFT, Some(126.0)),
        ("PROVIDER, REGION", 178.0, Some(86.0)),
        ("TIER, SCOPE", 268.0, Some(70.0)),
        ("CALLS", 374.0, None),
        ("INPUT", 429.0, None),
        ("OUTPUT", 474.0, None),
        ("AMOUNT, USD", RIGHT, None),
    ],
    note_x: LEFT,
};

fn usage(sheets: &mut Sheets, lines: &[Line]) {
    if lines.is_empty() {
        return;
    }
    USAGE.begin(sheets, 60.0);
    let mut project = None;
    for line in lines {
        if project != Some(&line.key.project_id) {
            let name = line.key.project_id.as_ref().map_or_else(
                || "Outside of projects".to_owned(),
                |project_id| format!("Project {project_id}"),
            );
            USAGE.group(sheets, &name);
            project = Some(&line.key.project_id);
        }
        let key = &line.key;
        USAGE.row(
            sheets,
            &[
                key.model.as_str(),
                &format!("{}, {}", key.provider, key.region),
                &format!(
                    "{}, {}",
                    key.service_tier.as_str(),
                    key.profile_scope.as_str().replace('_', "-")
                ),
                &count(line.sum.calls),
                &count(line.sum.usage.total_input()),
                &count(line.sum.usage.total_output()),
                &dollars(line.gross_nanousd),
            ],
            Some(&note(line)),
        );
    }
}

/// What else is to be said of a line.
fn note(line: &Line) -> String {
    let UsageSum { usage, estimated_records, unpriced_records, cache_hits, records, calls, .. } =
        &line.sum;
    let TokenUsage { images, search_units, guardrail_units, .. } = usage;
    let cached = usage.cache_read + usage.cache_write_5m + usage.cache_write_1h;
    let parts = [
        (records.saturating_sub(*calls), "further attempts"),
        (cached, "tokens through prompt caches"),
        (*images, "pictures"),
        (*search_units, "search units"),
        (*guardrail_units, "guardrail units"),
        (*cache_hits, "from the response cache"),
        (*estimated_records, "estimated"),
        (*unpriced_records, "without a price"),
    ];
    let numbers = parts.into_iter().filter(|(number, _)| *number > 0);
    let parts = numbers.map(|(number, what)| format!("{} {what}", count(number)));
    let prices = format!("prices {}", line.key.price_version);
    std::iter::once(prices).chain(parts).collect::<Vec<_>>().join(" \u{2022} ")
}

fn included(sheets: &mut Sheets, statement: &Statement) {
    if statement.included.is_empty() {
        return;
    }
    let table = Table {
        title: "Included in the plan",
        columns: &[
            ("VOLUME", LEFT, Some(180.0)),
            ("INCLUDED", 330.0, None),
            ("USED", 430.0, None),
            ("AMOUNT, USD", RIGHT, None),
        ],
        note_x: LEFT,
    };
    sheets.skip(14.0);
    table.begin(sheets, 30.0);
    for it in &statement.included {
        let (most, used) = match it.volume {
            crate::Volume::Tokens(most) => (format!("{} tokens", count(most)), count(it.used)),
            crate::Volume::AmountNanousd(most) => {
                (format!("USD {}", dollars(NanoUsd(most))), dollars(NanoUsd(it.used)))
            }
        };
        let amount = SignedNanoUsd::try_from(it.amount_nanousd).unwrap_or_default();
        table.row(sheets, &[&it.id, &most, &used, &exact(-amount)], None);
    }
}

fn entries(sheets: &mut Sheets, entries: &[LedgerEntry]) {
    if entries.is_empty() {
        return;
    }
    let table = Table {
        title: "Fees, credits, adjustments and corrections",
        columns: &[
            ("KIND", LEFT, Some(58.0)),
            ("REASON", 110.0, Some(350.0)),
            ("AMOUNT, USD", RIGHT, None),
        ],
        note_x: 110.0,
    };
    sheets.skip(14.0);
    table.begin(sheets, 30.0);
    for entry in entries {
        let kind = match entry.kind {
            EntryKind::Credit => "Credit",
            EntryKind::Adjustment => "Adjustment",
            EntryKind::Correction => "Correction",
            EntryKind::FlatFee => "Plan fee",
        };
        let note = match &entry.refers_to {
            None => entry.id.clone(),
            Some(subject) => format!("{} \u{2022} on {subject}", entry.id),
        };
        table.row(sheets, &[kind, &entry.reason, &exact(entry.amount_nanousd)], Some(&note));
    }
}

fn total(sheets: &mut Sheets, total: SignedNanoUsd) {
    sheets.reserve(30.0);
    sheets.skip(6.0);
    sheets.rule(0.8, 0.0);
    sheets.text(LEFT, 13.0, STRONG, "Total, USD");
    sheets.text_to(RIGHT, 13.0, STRONG, &exact(total));
    sheets.skip(18.0);
}

/// A table with its head on each page.
struct Table<'a> {
    title: &'a str,
    /// Heads, with where text begins and how wide it may be, or else where numbers end.
    columns: &'a [(&'a str, f32, Option<f32>)],
    /// Where what else is to be said of a row begins.
    note_x: f32,
}

impl Table<'_> {
    /// Begins where there is room for its head and `rows` points of rows.
    fn begin(&self, sheets: &mut Sheets, rows: f32) {
        sheets.reserve(42.0 + rows);
        sheets.text(LEFT, 10.0, HEADING, self.title);
        sheets.skip(22.0);
        self.head(sheets);
    }

    fn head(&self, sheets: &mut Sheets) {
        self.cells(sheets, 8.0, COLUMN, self.columns.iter().map(|(head, _, _)| *head));
        sheets.skip(12.0);
        sheets.rule(0.6, 0.3);
        sheets.skip(3.0);
    }

    fn group(&self, sheets: &mut Sheets, name: &str) {
        if sheets.reserve(36.0) {
            self.head(sheets);
        }
        sheets.text(LEFT, 11.0, STRONG, name);
        sheets.skip(16.0);
    }

    fn row(&self, sheets: &mut Sheets, cells: &[&str], note: Option<&str>) {
        let height = if note.is_some() { 22.0 } else { 14.0 };
        if sheets.reserve(height) {
            self.head(sheets);
        }
        self.cells(sheets, 9.0, CELL, cells.iter().copied());
        if let Some(note) = note {
            let x = self.note_x;
            sheets.text(x, 17.0, NOTE, &NOTE.font.cut(note, NOTE.size, RIGHT - x));
        }
        sheets.skip(height);
        sheets.rule(0.25, 0.85);
    }

    fn cells<'t>(
        &self,
        sheets: &mut Sheets,
        down: f32,
        style: Style,
        cells: impl Iterator<Item = &'t str>,
    ) {
        for (cell, (_, x, width)) in cells.zip(self.columns) {
            match width {
                None => sheets.text_to(*x, down, style, cell),
                Some(width) => {
                    let cut = style.font.cut(cell, style.size, *width);
                    sheets.text(*x, down, style, &cut);
                }
            }
        }
    }
}

fn period(span: &Span) -> String {
    let zone = TimeZone::get(&span.time_zone).unwrap_or(TimeZone::UTC);
    let day =
        |ms: i64| zone.to_datetime(Timestamp::from_millisecond(ms).unwrap_or_default()).date();
    format!("{} to {}, {}", day(span.start_ms), day(span.end_ms - 1), span.time_zone)
}

fn terms(plan: &Plan, of: &Account) -> String {
    let whose = match of {
        Account::Org => "of the organisation",
        Account::Lob(_) => "of its line of business",
        Account::Tenant(_) => "own",
    };
    format!("{} ({whose})", plan.id)
}

fn count(number: u64) -> String {
    grouped(number.into())
}

fn count_of(number: usize) -> String {
    count(u64::try_from(number).unwrap_or(u64::MAX))
}

fn dollars(amount: NanoUsd) -> String {
    format!("{}.{:09}", count(amount.0 / 1_000_000_000), amount.0 % 1_000_000_000)
}

fn exact(amount: SignedNanoUsd) -> String {
    let sign = if amount.0 < 0 { "-" } else { "" };
    format!("{sign}{}", dollars(NanoUsd(amount.0.unsigned_abs())))
}

//! Statements on paper and in spreadsheets.

use std::collections::BTreeSet;

use billing::render::{statement_csv, statement_pdf};
use billing::{Allowance, EntryKind, LedgerEntry, Plan, Statement, Volume};
use metering::{NanoUsd, ProfileScope, ServiceTier, UsageRecord};

use crate::support::{DAY_MS, NOVEMBER_MS, entry, record, statement, tokens};

fn records(count: u64) -> impl Iterator<Item = UsageRecord> {
    let models = [
        "anthropic.claude-sonnet-4-5",
        "amazon.nova-lite",
        "openai.gpt-oss-120b",
        "cohere.embed-v4",
    ];
    (0..count).map(move |number| {
        let model = models[usize::try_from(number % 4).unwrap()];
        let at_ms = NOVEMBER_MS + i64::try_from(number % 30).unwrap() * DAY_MS;
        let mut record = record(
            "acme",
            at_ms,
            number,
            model,
            tokens(120_000 + number * 977, 8_000 + number * 31),
            713_000_000 * (number + 1) + 7,
        );
        record.project_id = [None, Some("web-shop"), Some("claims-triage")]
            [usize::try_from(number / 7 % 3).unwrap()]
        .map(|it| it.parse().unwrap());
        record.service_tier = [ServiceTier::Default, ServiceTier::Priority, ServiceTier::Flex]
            [usize::try_from(number / 5 % 3).unwrap()];
        record.profile_scope =
            if number % 2 == 0 { ProfileScope::Geo } else { ProfileScope::InRegion };
        record.is_estimated = number % 9 == 0;
        record.usage.cache_read = number * 50_000;
        record
    })
}

fn example() -> Statement {
    let plan = Plan {
        id: "enterprise".to_owned(),
        markup_bp: 350,
        discount_bp: 100,
        included: vec![
            Allowance {
                id: "claude-tokens".to_owned(),
                volume: Volume::Tokens(5_000_000),
                models: BTreeSet::from(["anthropic.claude-sonnet-4-5".parse().unwrap()]),
            },
            Allowance {
                id: "first-hundred".to_owned(),
                volume: Volume::AmountNanousd(100_000_000_000),
                models: BTreeSet::new(),
            },
        ],
        ..Plan::at_cost()
    };
    let entries = vec![
        entry("flat-fee-2026-11", EntryKind::FlatFee, 2_500_000_000_000),
        entry("goodwill-1", EntryKind::Credit, -75_000_000_000),
        LedgerEntry {
            reason: "=HYPERLINK(\"https://example.com\") Zürich – 3 €".to_owned(),
            ..entry("zz-adjustment", EntryKind::Adjustment, 1)
        },
        LedgerEntry {
            reason: "Usage of October 2026 recorded after it was closed".to_owned(),
            refers_to: Some("2026-10".to_owned()),
            ..entry("late-usage-2026-10-1", EntryKind::Correction, 318_224_017)
        },
    ];
    statement(&plan, &records(400).collect::<Vec<_>>(), entries)
}

#[test]
fn the_amounts_of_a_table_add_up_to_its_total() {
    let statement = example();
    let csv = statement_csv(&statement).unwrap();
    let mut rows = csv::Reader::from_reader(csv.as_slice());
    let amounts = rows.records().map(|row| {
        let row = row.unwrap();
        assert_eq!(row.len(), 29);
        let nano: i128 = row[28].replace('.', "").parse().unwrap();
        (row[0].to_owned(), nano)
    });
    let (total, parts): (Vec<_>, Vec<_>) = amounts.partition(|(row, _)| row == "total");
    assert_eq!(total, [("total".to_owned(), parts.iter().map(|(_, amount)| amount).sum())]);
    assert_eq!(total[0].1, i128::from(statement.totals.total_nanousd.0));
}

#[test]
fn no_cell_is_a_formula() {
    let csv = statement_csv(&example()).unwrap();
    let mut rows = csv::ReaderBuilder::new().has_headers(false).from_reader(csv.as_slice());
    let mut quoted = 0;
    for row in rows.records() {
        for cell in &row.unwrap() {
            quoted += u32::from(cell.starts_with("'="));
            let is_number = cell.replace('.', "").parse::<i128>().is_ok();
            assert!(is_number || !cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell}");
        }
    }
    assert_eq!(quoted, 1);
}

#[test]
fn paper_is_the_same_however_often_it_is_made() {
    let statement = example();
    let pdf = statement_pdf(&statement);
    assert_eq!(pdf, statement_pdf(&statement));
    assert!(pdf.starts_with(b"%PDF-1.7") && pdf.len() < 60_000, "{} bytes", pdf.len());
    let count = |needle: &[u8]| pdf.windows(needle.len()).filter(|it| *it == needle).count();
    assert!(count(b"/Type /Page\n") >= 2, "it has more lines than a page");
    let free = billing::render::statement_pdf(&crate::support::statement(
        &Plan { flat_fee_nanousd: NanoUsd::ZERO, ..Plan::at_cost() },
        &[],
        Vec::new(),
    ));
    assert!(free.starts_with(b"%PDF"), "nor does an empty one fail");
}

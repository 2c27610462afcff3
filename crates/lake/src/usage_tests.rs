//! What is written is read; every field has a column, and is documented.

use std::collections::BTreeSet;

use metering::fakes::usage_record;
use metering::{NanoUsd, Outcome, RecordId, TokenUsage};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const CALL_ID: &str = "0198f0c2a7b37d1e8f00aabbccddeeff";

fn full_record() -> UsageRecord {
    let caller = ("acme".parse().unwrap(), "retail".parse().unwrap());
    let principal = "dev-1".to_owned().try_into().unwrap();
    let id = RecordId { call_id: CALL_ID.to_owned(), attempt: 2 };
    usage_record((caller.0, caller.1, principal), "model-a".parse().unwrap(), id, NanoUsd(42))
}

fn written(records: &[UsageRecord]) -> Bytes {
    let mut writer = UsageWriter::new().unwrap();
    for record in records {
        writer.push(record).unwrap();
    }
    writer.finish().unwrap()
}

/// Where each value of a record as JSON stands; what is in lists and maps of any length is one value.
fn fields(record: &UsageRecord) -> BTreeSet<String> {
    let record = serde_json::to_value(record).unwrap();
    let record = record.as_object().unwrap();
    let usage = record["usage"].as_object().unwrap().keys().map(|name| format!("usage.{name}"));
    record.keys().filter(|name| *name != "usage").cloned().chain(usage).collect()
}

#[test]
fn every_field_has_a_column_and_no_column_is_of_another() {
    let columns = COLUMNS.map(|column| column.field.to_owned());
    assert_eq!(BTreeSet::from(columns), fields(&full_record()));
    assert_eq!(BTreeSet::from(COLUMNS.map(|column| column.name)).len(), COLUMNS.len());
}

#[test]
fn every_column_is_documented_as_it_is() {
    let page = include_str!("../../../docs/usage-record.md");
    let documented = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let documented: Vec<_> = documented
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            assert!(cells[3].len() > 10, "{row}");
            (cells[0], cells[1], cells[2])
        })
        .collect();
    let columns = COLUMNS.map(|column| (column.name, column.field, column.kind.glue_type()));
    assert_eq!(documented, columns);
}

#[test]
fn the_tables_columns_are_those_of_the_files() {
    let template = include_str!("../../../template.yaml");
    let declared: Vec<_> = template
        .lines()
        .skip_while(|line| line.trim() != "# The columns of crates/lake.")
        .skip(1)
        .map_while(|line| line.trim().strip_prefix("- {Name: ")?.strip_suffix('}'))
        .filter_map(|column| column.split_once(", Type: "))
        .map(|(name, kind)| (name, kind.trim_matches('\'')))
        .collect();
    let columns = COLUMNS.map(|column| (column.name, column.kind.glue_type()));
    assert_eq!(declared, columns);
}

#[test]
fn a_file_of_no_records_is_a_file() {
    assert_eq!(read_usage(written(&[])).unwrap(), []);
    read_usage(Bytes::from_static(b"PAR1 but not really")).unwrap_err();
}

#[test]
fn a_file_of_several_row_groups_is_read_in_order() {
    let record = |number: usize| {
        let mut record = full_record();
        record.id.call_id = format!("{number:032x}");
        record
    };
    let records: Vec<_> = (0..ROW_GROUP * 2 + 7).map(record).collect();
    let file = written(&records);
    assert!(file.len() < records.len() * 100, "{} bytes", file.len());
    assert_eq!(read_usage(file).unwrap(), records);
}

#[test]
fn an_amount_that_no_column_can_hold_stays_a_large_one() {
    let record = UsageRecord { cost_nanousd: NanoUsd(u64::MAX), ..full_record() };
    let [read] = read_usage(written(&[record])).unwrap().try_into().unwrap();
    assert_eq!(read.cost_nanousd, NanoUsd(i64::MAX as u64));
}

fn any_record() -> impl Strategy<Value = UsageRecord> {
    let number = || 0..=i64::MAX as u64;
    let usage = proptest::array::uniform10(number());
    let options = (
        proptest::option::of(select(vec!["web-shop", "search"])),
        proptest::option::of(".{0,20}"),
        proptest::option::of(number()),
        proptest::collection::btree_map(".{0,8}", ".{0,8}", 0..4),
        proptest::collection::vec(".{0,12}", 0..4),
    );
    let outcomes =
        [Outcome::Completed, Outcome::Refused, Outcome::Failed, Outcome::Abandoned].to_vec();
    let others =
        (number(), any::<[bool; 4]>(), ".{0,20}", any::<i64>(), select(outcomes), number());
    (usage, options, others).prop_map(|(usage, options, others)| {
        let [input, output, input_audio, output_audio, cache_read, short, long, images, ..] = usage;
        let [.., search_units, guardrail_units] = usage;
        let (project, request_id, first_ms, tags, meters) = options;
        let (cost, flags, asked, started_ms, outcome, latency_ms) = others;
        let [is_streamed, is_cache_hit, is_estimated, is_priced] = flags;
        let mut record = full_record();
        record.choice.route = request_id.clone();
        record.choice.requested_model = asked;
        UsageRecord {
            project_id: project.map(|project| project.parse().unwrap()),
            shadow_of: request_id.clone(),
            provider_request_id: request_id,
            time_to_first_token_ms: first_ms,
            tags,
            meters,
            usage: TokenUsage {
                input,
                output,
                input_audio,
                output_audio,
                cache_read,
                cache_write_5m: short,
                cache_write_1h: long,
                images,
                search_units,
                guardrail_units,
            },
            cost_nanousd: NanoUsd(cost),
            is_streamed,
            is_cache_hit,
            is_estimated,
            is_priced,
            started_ms,
            outcome,
            latency_ms,
            ..record
        }
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(records in proptest::collection::vec(any_record(), 0..12)) {
        prop_assert_eq!(read_usage(written(&records)).unwrap(), records);
    }
}

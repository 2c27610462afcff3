//! Bills as Parquet files.
//!
//! Their numbers are binary fractions. Each is taken as the shortest decimal that stands for it, which is the
//! one that was put in, and goes the same way as the text of a CSV file from there.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use parquet::schema::types::Type;

use crate::cur::{LineItem, PRODUCT, REQUIRED, RowError, TAGS};
use crate::stream::ReadError;

/// Gives each line of a file to `take`. Columns that are not looked at are not read.
pub fn read_parquet(file: Bytes, mut take: impl FnMut(LineItem)) -> Result<(), ReadError> {
    let reader = SerializedFileReader::new(file).map_err(ReadError::Parquet)?;
    let schema = reader.metadata().file_metadata().schema();
    let columns = columns(schema).map_err(|source| ReadError::Row { row: 0, source })?;
    let projection = Type::group_type_builder(schema.name())
        .with_fields(columns)
        .build()
        .map_err(ReadError::Parquet)?;
    let rows = RowIter::from_file_into(Box::new(reader));
    let rows = rows.project(Some(projection)).map_err(ReadError::Parquet)?;
    for (number, row) in (1..).zip(rows) {
        let row = row.map_err(ReadError::Parquet)?;
        let item = line_item(&row).map_err(|source| ReadError::Row { row: number, source })?;
        take(item);
    }
    Ok(())
}

fn columns(schema: &Type) -> Result<Vec<Arc<Type>>, RowError> {
    let column =
        |name: &str| schema.get_fields().iter().find(|field| field.name() == name).cloned();
    let mut columns = Vec::new();
    for name in REQUIRED {
        columns.push(column(name).ok_or(RowError::NoColumn(name))?);
    }
    columns.extend([TAGS, PRODUCT].into_iter().filter_map(column));
    Ok(columns)
}

fn line_item(row: &Row) -> Result<LineItem, RowError> {
    let texts: BTreeMap<&str, Cow<'_, str>> = row
        .get_column_iter()
        .filter_map(|(name, field)| Some((name.as_str(), text(field)?)))
        .collect();
    LineItem::from_columns(|column| texts.get(column).map(AsRef::as_ref))
}

/// A value as a CSV file has it; none if there is none.
fn text(field: &Field) -> Option<Cow<'_, str>> {
    let time = |time: Result<Timestamp, jiff::Error>| {
        time.map_or_else(|_| String::new(), |at| at.to_string())
    };
    Some(match field {
        Field::Null => return None,
        Field::Str(text) => Cow::Borrowed(text),
        // Never with an exponent. What is no number is none to whoever parses it.
        Field::Double(number) => Cow::Owned(number.to_string()),
        Field::TimestampMillis(ms) => Cow::Owned(time(Timestamp::from_millisecond(*ms))),
        Field::TimestampMicros(us) => Cow::Owned(time(Timestamp::from_microsecond(*us))),
        Field::MapInternal(map) => {
            let entries =
                map.entries().iter().filter_map(|(key, value)| Some((text(key)?, text(value)?)));
            let entries: BTreeMap<_, _> = entries.collect();
            Cow::Owned(serde_json::to_string(&entries).unwrap_or_default())
        }
        other => Cow::Owned(other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::Amount;
    use crate::fakes;

    fn items() -> Vec<LineItem> {
        let line = |number: i128| LineItem {
            usage_start: "2026-11-03T14:00:00Z".parse().unwrap(),
            product_code: "AmazonBedrock".into(),
            usage_type: format!("USE1-NovaPro-{number}"),
            pricing_unit: "1K tokens".into(),
            amount: Amount(29_481_000_000_000 + number * 1_000_000_000),
            cost: Amount(1 + number * 97_287_300_000),
            ..LineItem::default()
        };
        let tags = BTreeMap::from([("iamPrincipal/tenant_id".to_owned(), "acme".to_owned())]);
        let more =
            BTreeMap::from([("a".to_owned(), "\"".to_owned()), ("b".to_owned(), String::new())]);
        vec![
            LineItem { principal: Some("arn:aws:sts::1:x".into()), tags, ..line(0) },
            line(1),
            LineItem { tags: more, product_name: Some("Nova Pro".into()), ..line(2) },
        ]
    }

    fn read(file: Vec<u8>) -> Result<Vec<LineItem>, ReadError> {
        let mut found = Vec::new();
        read_parquet(file.into(), |item| found.push(item))?;
        Ok(found)
    }

    #[test]
    fn a_bill_reads_the_same_in_either_format() {
        let items = items();
        assert_eq!(read(fakes::cur_parquet(&items, &[]).unwrap()).unwrap(), items);
    }

    #[test]
    fn what_is_no_bill_is_refused() {
        let items = items();
        let file = fakes::cur_parquet(&items, &["line_item_iam_principal"]).unwrap();
        assert_eq!(
            read(file).unwrap_err().to_string(),
            "row 0: the export has no column `line_item_iam_principal`"
        );
        assert!(matches!(read(b"PAR1".to_vec()), Err(ReadError::Parquet(_))));
        let whole = fakes::cur_parquet(&items, &[]).unwrap();
        assert!(matches!(
            read(whole.get(..whole.len() - 1).unwrap().to_vec()),
            Err(ReadError::Parquet(_))
        ));
    }

    #[test]
    fn binary_fractions_that_are_no_numbers_are_refused() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let text = text(&Field::Double(number)).unwrap().into_owned();
            assert!(text.parse::<Amount>().is_err(), "{text}");
        }
        let tiny = text(&Field::Double(1.1e-8)).unwrap().into_owned();
        assert_eq!(tiny.parse(), Ok(Amount(11_000)));
        let sum = text(&Field::Double(0.1 + 0.2)).unwrap().into_owned();
        assert_eq!(sum.parse(), Ok(Amount(300_000_000_000)));
    }
}

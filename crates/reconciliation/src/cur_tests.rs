use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::stream::Gunzip;

const HEADER: &str = "identity_line_item_id,line_item_usage_start_date,line_item_line_item_type,\
    line_item_product_code,line_item_usage_type,pricing_unit,line_item_usage_amount,\
    line_item_unblended_cost,line_item_currency_code,line_item_iam_principal,tags,product";

const ROW: &str = "a,2026-11-03T14:00:00.000Z,Usage,AmazonBedrock,USE1-NovaPro-input-tokens,1K tokens,\
    29.481,0.0972873,USD,arn:aws:sts::1:assumed-role/r/t-acme,\
    \"{\"\"iamPrincipal/tenant_id\"\":\"\"acme\"\"}\",\"{\"\"product_name\"\":\"\"Nova\nPro\"\"}\"";

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn read(file: &[u8], piece: usize) -> Result<Vec<LineItem>, ReadError> {
    let mut items = Vec::new();
    let mut bill = Gunzip::new(CsvBill::new(|item| items.push(item)));
    for piece in file.chunks(piece) {
        bill.push(piece)?;
    }
    bill.end()?;
    Ok(items)
}

fn read_row(row: &str) -> Result<LineItem, String> {
    let items =
        read(&gzip(&format!("{HEADER}\n{row}\n")), 1_000).map_err(|error| error.to_string())?;
    Ok(items.into_iter().next().unwrap())
}

#[test]
fn a_bill_reads_the_same_in_pieces_of_any_size() {
    // A raw newline is no JSON, so the map is given one as JSON writes it.
    let row = ROW.replace("Nova\nPro", "Nova Pro");
    let file =
        gzip(&format!("{HEADER}\r\n{row}\r\n{row}\n\"b\nb\"{}", row.strip_prefix('a').unwrap()));
    let whole = read(&file, usize::MAX).unwrap();
    assert_eq!(whole.len(), 3);
    for piece in [1, 2, 7, 100] {
        assert_eq!(read(&file, piece).unwrap(), whole);
    }
    let item = whole.first().unwrap();
    assert_eq!(item.amount, Amount(29_481_000_000_000));
    assert_eq!(item.cost, Amount(97_287_300_000));
    assert_eq!(item.usage_start, "2026-11-03T14:00:00Z".parse().unwrap());
    assert_eq!(item.tags.get("iamPrincipal/tenant_id").unwrap(), "acme");
    assert_eq!(item.product_name.as_deref(), Some("Nova Pro"));
}

#[test]
fn what_is_cut_or_no_bill_is_refused() {
    let row = ROW.replace("Nova\nPro", "Nova Pro");
    let file = gzip(&format!("{HEADER}\n{row}\n"));
    assert!(matches!(read(file.get(..file.len() - 9).unwrap(), 50), Err(ReadError::Gzip(_))));
    assert!(matches!(read(b"not compressed", 50), Err(ReadError::Gzip(_))));
    assert!(matches!(read(&gzip(""), 50), Err(ReadError::Empty)));
    let without = HEADER.replace("line_item_iam_principal", "line_item_resource_id");
    let error = read(&gzip(&format!("{without}\n{row}\n")), 50).unwrap_err();
    assert_eq!(error.to_string(), "row 1: the export has no column `line_item_iam_principal`");
}

#[test]
fn numbers_that_are_none_are_refused_with_their_row() {
    let row = ROW.replace("Nova\nPro", "Nova Pro");
    let with = |from: &str, to: &str| read_row(&row.replace(from, to)).map(|_| ()).unwrap_err();
    assert_eq!(
        with("0.0972873", "NaN"),
        "row 2: `line_item_unblended_cost`: `NaN` is not a plain decimal number"
    );
    assert_eq!(
        with("0.0972873", "9.7E-2"),
        "row 2: `line_item_unblended_cost`: `9.7E-2` is not a plain decimal number"
    );
    assert_eq!(
        with("0.0972873", "-0.09"),
        "row 2: `line_item_unblended_cost` is negative in a line that is no credit"
    );
    assert_eq!(
        with("29.481", "-29.481"),
        "row 2: `line_item_usage_amount` is negative in a line that is no credit"
    );
    assert_eq!(with(",USD,", ",EUR,"), "row 2: the currency is `EUR`, not USD");
    assert_eq!(with("2026-11-03T14", "yesterday"), "row 2: `yesterday:00:00.000Z` is not a time");
    assert_eq!(with("\"\"acme\"\"", "1"), "row 2: `tags` is not a map of texts");
    let credit =
        read_row(&row.replace(",Usage,", ",Credit,").replace("0.0972873", "-0.09")).unwrap();
    assert_eq!((credit.kind, credit.cost), (LineKind::Credit, Amount(-90_000_000_000)));
}

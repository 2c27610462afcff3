//! Rows as CSV (RFC 4180), safe to open in a spreadsheet.

use metering::Rollup;
use serde_json::Value;

use super::query::Dimension;
use super::rows::{Key, columns};

/// The rows, below a line of names.
pub(super) fn document(group_by: &[Dimension], rows: &[(Key, Rollup)]) -> String {
    let mut text = String::new();
    let groups = group_by.iter().map(|dimension| dimension.as_str().to_owned());
    let names = columns(&Rollup::default()).into_iter().map(|(name, _)| name.to_owned());
    line(&mut text, groups.chain(names));
    for (key, rollup) in rows {
        let groups = key.iter().map(|value| field(value.as_deref().unwrap_or_default()));
        let numbers = columns(rollup).into_iter().map(|(_, value)| match value {
            Value::String(text) => text,
            number => number.to_string(),
        });
        line(&mut text, groups.chain(numbers));
    }
    text
}

fn line(text: &mut String, fields: impl Iterator<Item = String>) {
    text.push_str(&fields.collect::<Vec<_>>().join(","));
    text.push_str("\r\n");
}

/// A text as one field. A spreadsheet takes what begins like a formula for one; an apostrophe stops it.
fn field(value: &str) -> String {
    let is_formula = value.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    let value = if is_formula { format!("'{value}") } else { value.to_owned() };
    if value.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_is_a_formula_or_breaks_its_line() {
        for (value, expected) in [
            ("acme", "acme"),
            ("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\""),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@sum", "'@sum"),
            ("\tx", "'\tx"),
            ("a,b", "\"a,b\""),
            ("a\r\nb", "\"a\r\nb\""),
            ("", ""),
        ] {
            assert_eq!(field(value), expected);
        }
    }
}

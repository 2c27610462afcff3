//! One text for one value: what is hashed has to be the same bytes wherever it is written again.
//!
//! No spaces; names in the order of their code points; texts with only what JSON must escape escaped, in
//! its short form where it has one; whole numbers with all their digits, and no others. That is RFC 8785
//! for everything that Weir records but whole numbers beyond 2^53, which RFC 8785 (and each library of
//! it) would round: an amount in nano-USD is soon that large. A number that is not whole is kept as text
//! ([`exact`]), so that nobody who checks a hash needs to write fractions as ECMAScript does.

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The canonical text of a value; none if a number in it is not whole.
pub fn canonical(value: &Value) -> Option<String> {
    let mut text = String::new();
    write(value, &mut text)?;
    Some(text)
}

fn write(value: &Value, text: &mut String) -> Option<()> {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(true) => text.push_str("true"),
        Value::Bool(false) => text.push_str("false"),
        Value::Number(number) if number.is_f64() => return None,
        Value::Number(number) => write!(text, "{number}").ok()?,
        Value::String(string) => quote(string, text)?,
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(item, text)?;
            }
            text.push(']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            // The order of UTF-8's bytes is that of code points.
            fields.sort_by_key(|(name, _)| *name);
            text.push('{');
            for (index, (name, value)) in fields.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                quote(name, text)?;
                text.push(':');
                write(value, text)?;
            }
            text.push('}');
        }
    }
    Some(())
}

/// `serde_json` escapes what JSON demands, and in the form that RFC 8785 demands.
fn quote(string: &str, text: &mut String) -> Option<()> {
    text.push_str(&serde_json::to_string(string).ok()?);
    Some(())
}

/// The value with every number that is not whole as text.
#[must_use]
pub fn exact(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => Value::String(number.to_string()),
        Value::Array(items) => items.into_iter().map(exact).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (name, exact(value))).collect()
        }
        other => other,
    }
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn one_value_has_one_text() {
        let value = json!({
            "b": [1, -2, 0, u64::MAX, i64::MIN, true, null],
            "a": {"\u{1f600}": 1, "\u{e000}": 2, "z": "\"\\/\u{8}\u{c}\n\r\t\u{1}\u{7f}\u{e9}\u{2028}"},
            "": {},
        });
        let expected = "{\"\":{},\"a\":{\"z\":\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\u{7f}\u{e9}\u{2028}\",\"\u{e000}\":2,\"\u{1f600}\":1},\"b\":[1,-2,0,18446744073709551615,-9223372036854775808,true,null]}";
        assert_eq!(canonical(&value).unwrap(), expected);
    }

    #[test]
    fn fractions_become_text_and_others_stay() {
        let value = json!({"a": [0.5, 1e30, 7], "b": {"c": -0.0}});
        assert_eq!(canonical(&value), None);
        let text = canonical(&exact(value)).unwrap();
        assert_eq!(text, r#"{"a":["0.5","1e+30",7],"b":{"c":"-0.0"}}"#);
    }

    #[test]
    fn hashes_are_those_of_everybody_else() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(b""), empty);
    }

    proptest! {
        #[test]
        fn a_text_read_again_is_written_the_same(names in proptest::collection::vec(any::<String>(), 0..6), number: i64) {
            let fields = names.into_iter().map(|name| (name.clone(), json!([name, number]))).collect();
            let text = canonical(&Value::Object(fields)).unwrap();
            let again: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(canonical(&again).unwrap(), text);
        }
    }
}

//! JSON as `serde_json` holds it, and as the SDK does.

use aws_smithy_types::{Document, Number};
use serde_json::Value;

/// The same JSON for the SDK. Integers stay integers.
pub(crate) fn to_document(value: Value) -> Document {
    match value {
        Value::Null => Document::Null,
        Value::Bool(flag) => Document::Bool(flag),
        Value::Number(number) => to_number(&number).map_or(Document::Null, Document::Number),
        Value::String(text) => Document::String(text),
        Value::Array(items) => Document::Array(items.into_iter().map(to_document).collect()),
        Value::Object(fields) => Document::Object(
            fields.into_iter().map(|(name, value)| (name, to_document(value))).collect(),
        ),
    }
}

fn to_number(number: &serde_json::Number) -> Option<Number> {
    number
        .as_u64()
        .map(Number::PosInt)
        .or_else(|| number.as_i64().map(Number::NegInt))
        .or_else(|| number.as_f64().map(Number::Float))
}

/// The same JSON from the SDK. What JSON cannot say (infinity, not a number) becomes `null`.
pub(crate) fn to_value(document: &Document) -> Value {
    match document {
        Document::Null => Value::Null,
        Document::Bool(flag) => Value::Bool(*flag),
        Document::Number(Number::PosInt(number)) => Value::from(*number),
        Document::Number(Number::NegInt(number)) => Value::from(*number),
        Document::Number(Number::Float(number)) => Value::from(*number),
        Document::String(text) => Value::String(text.clone()),
        Document::Array(items) => Value::Array(items.iter().map(to_value).collect()),
        Document::Object(fields) => Value::Object(
            fields.iter().map(|(name, value)| (name.clone(), to_value(value))).collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Map;

    use super::*;

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_survives_the_way_there_and_back(value in json()) {
            prop_assert_eq!(to_value(&to_document(value.clone())), value);
        }
    }
}

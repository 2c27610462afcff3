//! The smallest answer that a JSON schema accepts.

use serde_json::{Map, Value, json};

use crate::prompt::list;

/// Deep enough for every schema of a test; a recursive one ends here.
const MAX_DEPTH: usize = 16;

/// An instance of `schema` with its required properties only.
///
/// Knows the keywords that structured output allows: `$ref`, `const`, `enum`, `default`, `anyOf`, `oneOf`,
/// `allOf`, `type`, `required`, `items`, `minItems`, `minLength`, `minimum`, `exclusiveMinimum`.
pub(crate) fn minimal_instance(schema: &Value) -> Value {
    instance(schema, schema, 0)
}

fn instance(root: &Value, schema: &Value, depth: usize) -> Value {
    if depth > MAX_DEPTH {
        return Value::Null;
    }
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(reference.trim_start_matches('#')).unwrap_or(&Value::Null);
        return instance(root, target, depth + 1);
    }
    if let Some(value) =
        schema.get("const").or_else(|| schema.get("default")).or_else(|| schema.pointer("/enum/0"))
    {
        return value.clone();
    }
    for keyword in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = list(schema, keyword).first() {
            return instance(root, first, depth + 1);
        }
    }
    match kind(schema) {
        "object" => object(root, schema, depth),
        "array" => {
            let count = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0).min(64);
            let items = schema.get("items").unwrap_or(&Value::Null);
            (0..count).map(|_| instance(root, items, depth + 1)).collect()
        }
        "string" => {
            let length = schema.get("minLength").and_then(Value::as_u64).unwrap_or(0).min(4096);
            let mut text = String::from("sim");
            while u64::try_from(text.len()).unwrap_or(u64::MAX) < length {
                text.push('m');
            }
            Value::from(text)
        }
        "integer" | "number" => number(schema),
        "boolean" => Value::from(true),
        _ => Value::Null,
    }
}

fn kind(schema: &Value) -> &str {
    let named = schema.get("type").and_then(|kind| kind.as_str().or_else(|| kind.get(0)?.as_str()));
    named.unwrap_or(if schema.get("properties").is_some() { "object" } else { "null" })
}

fn object(root: &Value, schema: &Value, depth: usize) -> Value {
    let properties = schema.get("properties");
    let fields: Map<String, Value> = list(schema, "required")
        .iter()
        .filter_map(Value::as_str)
        .map(|name| {
            let property = properties.and_then(|all| all.get(name)).unwrap_or(&Value::Null);
            (name.to_owned(), instance(root, property, depth + 1))
        })
        .collect();
    Value::Object(fields)
}

fn number(schema: &Value) -> Value {
    if let Some(minimum) = schema.get("minimum") {
        return minimum.clone();
    }
    schema
        .get("exclusiveMinimum")
        .and_then(Value::as_i64)
        .map_or(json!(0), |minimum| json!(minimum + 1))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::minimal_instance;

    #[track_caller]
    fn check(schema: &Value, expected: &Value) {
        assert_eq!(minimal_instance(schema), *expected);
    }

    #[test]
    fn only_required_properties_are_filled() {
        let schema = json!({"type": "object", "required": ["city", "days", "unit"], "properties": {
            "city": {"type": "string"}, "days": {"type": "integer", "minimum": 1},
            "unit": {"enum": ["C", "F"]}, "note": {"type": "string"}}});
        check(&schema, &json!({"city": "sim", "days": 1, "unit": "C"}));
    }

    #[test]
    fn references_and_alternatives_are_followed() {
        let schema = json!({"$ref": "#/$defs/list", "$defs": {
            "list": {"type": "array", "minItems": 2, "items": {"anyOf": [{"$ref": "#/$defs/word"}, {"type": "null"}]}},
            "word": {"type": ["string", "null"], "minLength": 5}}});
        check(&schema, &json!(["simmm", "simmm"]));
    }

    #[test]
    fn a_recursive_schema_ends() {
        let schema =
            json!({"type": "object", "required": ["next"], "properties": {"next": {"$ref": "#"}}});
        assert!(minimal_instance(&schema).is_object());
    }
}

//! JSON from strangers: every fault has a place and a name, and no object says a thing twice.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::BadRequest;

/// Reads a JSON object. Keys may occur once only, at any depth: of two values the gateway might
/// check one and the provider obey the other. `serde_json` stops at 128 levels.
pub(crate) fn parse_object(text: &str) -> Result<Map<String, Value>, BadRequest> {
    if text.trim_ascii().is_empty() {
        return Err(BadRequest::body("invalid_json", "The body is empty: send a JSON object."));
    }
    let duplicate = RefCell::new(None);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Tree { duplicate: &duplicate }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| bad_json(&error, duplicate.take()))?;
    match value {
        Value::Object(object) => Ok(object),
        other => Err(BadRequest::body(
            "invalid_type",
            format!("The body must be a JSON object, not {}.", name_of(&other)),
        )),
    }
}

fn bad_json(error: &serde_json::Error, duplicate: Option<String>) -> BadRequest {
    let place = format!("line {}, column {}", error.line(), error.column());
    if let Some(key) = duplicate {
        let key: String = key.chars().take(64).collect();
        let message =
            format!("The key `{key}` occurs more than once in an object ({place}): keep one.");
        return BadRequest::new("duplicate_key", key, message);
    }
    let text = error.to_string();
    if text.starts_with("recursion limit exceeded") {
        return BadRequest::body(
            "invalid_json",
            format!("The body is nested deeper than 128 levels ({place})."),
        );
    }
    let reason = text.split(" at line ").next().unwrap_or_default();
    BadRequest::body("invalid_json", format!("The body is not valid JSON: {reason} ({place})."))
}

/// What kind of value it is, with its article, to complete "not ...".
pub(crate) fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a decimal number",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Builds a [`Value`], and leaves the first key that occurs twice in `duplicate`.
#[derive(Clone, Copy)]
struct Tree<'a> {
    duplicate: &'a RefCell<Option<String>>,
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(self)? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                self.duplicate.replace(Some(key));
                return Err(A::Error::custom("duplicate key"));
            }
            let value = entries.next_value_seed(self)?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

//! Values in a JSON text by pointer (<https://www.rfc-editor.org/rfc/rfc6901>), read, and set so that the
//! rest of the text stays as it is.

use serde_json::{Map, Value};

use crate::BadRequest;
use crate::wire::members::{Edit, Member, Members};

/// The keys that `pointer` goes through.
fn keys(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~")).collect()
}

/// What stands at `pointer`; `null` counts as absent. A key that differs only by case from one on the way
/// is refused: a model that ignores case would read another value than the one that was checked.
pub(super) fn value_at<'a>(
    body: &'a Map<String, Value>,
    pointer: &str,
) -> Result<Option<&'a Value>, BadRequest> {
    let mut object = body;
    let keys = keys(pointer);
    for (place, name) in keys.iter().enumerate() {
        for key in object.keys() {
            if key.eq_ignore_ascii_case(name) && key != name {
                let message = format!("Unknown field `{key}`: write `{name}`.");
                return Err(BadRequest::new("unknown_parameter", key.as_str(), message));
            }
        }
        let value = object.get(name).filter(|value| !value.is_null());
        match value {
            value if place + 1 == keys.len() => return Ok(value),
            Some(Value::Object(inner)) => object = inner,
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// `text` with `value` at `pointer`, objects on the way added where they are missing; `None` if something
/// other than an object stands in the way.
pub(super) fn with_value(text: &str, pointer: &str, value: &Value) -> Option<String> {
    let keys = keys(pointer);
    (!keys.is_empty()).then(|| set(text, &keys, value)).flatten()
}

fn set(text: &str, keys: &[String], value: &Value) -> Option<String> {
    let Some((key, rest)) = keys.split_first() else {
        return Some(value.to_string());
    };
    let members = Members::of(text).ok()?;
    let Some(member) = members.iter().find(|member| member.key == *key) else {
        let quoted = Value::from(key.as_str()).to_string();
        let escaped = quoted.get(1..quoted.len().saturating_sub(1))?;
        let value = set("{}", rest, value)?;
        return Some(members.rewrite(text, |_| Edit::Keep, &[(escaped, value)]));
    };
    let new = match text.get(member.value.clone())? {
        "null" => set("{}", rest, value)?,
        inner => set(inner, rest, value)?,
    };
    let edit = |member: &Member| {
        if member.key == *key { Edit::Replace(new.clone()) } else { Edit::Keep }
    };
    Some(members.rewrite(text, edit, &[]))
}

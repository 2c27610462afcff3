//! What is different between two documents.

use serde::Serialize;
use serde_json::{Map, Value};

/// One place where they differ; what is not there is `null`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Where, as a JSON pointer (RFC 6901).
    pub path: String,
    /// How it was.
    pub before: Value,
    /// How it is.
    pub after: Value,
}

impl Difference {
    /// The field of the document that it is in.
    pub fn field(&self) -> &str {
        self.path.split('/').nth(1).unwrap_or_default()
    }
}

/// Where `after` differs from `before`, in the order of their paths. Lists are compared as a whole.
pub fn differences(before: &impl Serialize, after: &impl Serialize) -> Vec<Difference> {
    // What cannot be written as JSON is in neither document.
    let value = |document: Result<Value, _>| document.unwrap_or(Value::Null);
    let (before, after) = (value(serde_json::to_value(before)), value(serde_json::to_value(after)));
    let mut found = Vec::new();
    compare("", &before, &after, &mut found);
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

fn compare(path: &str, before: &Value, after: &Value, found: &mut Vec<Difference>) {
    if before == after {
        return;
    }
    let (Some(was), Some(is)) = (fields(before), fields(after)) else {
        found.push(Difference {
            path: path.to_owned(),
            before: before.clone(),
            after: after.clone(),
        });
        return;
    };
    let names = was.keys().chain(is.keys().filter(|name| !was.contains_key(*name)));
    for name in names {
        let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
        let value = |fields: &Map<String, Value>| fields.get(name).cloned().unwrap_or_default();
        compare(&path, &value(was), &value(is), found);
    }
}

/// The fields of an object that is not empty: an empty one is a value like any other.
fn fields(value: &Value) -> Option<&Map<String, Value>> {
    value.as_object().filter(|fields| !fields.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_place_is_named_once() {
        let before = json!({"name": "a", "tags": {"x/y": "1", "z": "2"}, "models": ["m"]});
        let after = json!({"name": "a", "tags": {"z": "3"}, "models": ["m", "n"], "contact": {"email": "e"}});
        let found = differences(&before, &after);
        let paths: Vec<_> = found.iter().map(|it| (it.path.as_str(), it.field())).collect();
        assert_eq!(
            paths,
            [
                ("/contact", "contact"),
                ("/models", "models"),
                ("/tags/x~1y", "tags"),
                ("/tags/z", "tags")
            ]
        );
        assert_eq!((&found[2].before, &found[2].after), (&json!("1"), &Value::Null));
        assert_eq!(differences(&before, &before), []);
    }
}

//! What a client sends, in the names and types of its schema.

use serde_json::{Map, Value};

use crate::error::{ScimError, ScimType};
use crate::schema::{Attribute, COMMON, Kind, Mutability, ResourceType};

/// A resource: attributes in the names and types of its schema, none that is empty.
pub type Resource = Map<String, Value>;

/// Members of one group.
pub const MAX_MEMBERS: usize = 10_000;
/// Values of any other attribute.
const MAX_VALUES: usize = 50;
/// Characters of a text.
const MAX_CHARS: usize = 1_024;

/// Reads a resource to create or to replace. What is unknown, or not the client's to say, is left out.
///
/// # Errors
/// Naming the attribute that is missing, or not what it has to be.
pub fn read(resource_type: &ResourceType, body: &Value) -> Result<Resource, ScimError> {
    let Some(body) = body.as_object() else {
        return Err(ScimError::bad(ScimType::InvalidSyntax, "The body is a JSON object."));
    };
    let said = body.iter().find(|(name, _)| name.eq_ignore_ascii_case("schemas"));
    let is_said = said.and_then(|(_, value)| value.as_array()).is_some_and(|ids| {
        let is_own = |id: &Value| {
            id.as_str().is_some_and(|id| id.eq_ignore_ascii_case(resource_type.schema.id))
        };
        ids.iter().any(is_own)
    });
    if !is_said {
        let detail = format!("`schemas` is a list with `{}` in it.", resource_type.schema.id);
        return Err(ScimError::bad(ScimType::InvalidSyntax, detail));
    }
    check(resource_type, body)
}

/// Brings attributes into form; the same again changes nothing.
pub(crate) fn check(
    resource_type: &ResourceType,
    body: &Map<String, Value>,
) -> Result<Resource, ScimError> {
    let mut resource = Resource::new();
    for (name, value) in body {
        if let Some(schema) = resource_type.extension(name) {
            let Some(fields) = value.as_object() else {
                if value.is_null() {
                    continue;
                }
                return Err(wrong(schema.id, "an object"));
            };
            let kept = object(schema.attributes, schema.id, fields)?;
            if !kept.is_empty() {
                resource.insert(schema.id.to_owned(), Value::Object(kept));
            }
            continue;
        }
        let Some(attribute) = resource_type.attribute(name) else { continue };
        if attribute.name == "schemas" || attribute.mutability == Mutability::ReadOnly {
            continue;
        }
        if let Some(value) = typed(attribute, attribute.name, value)? {
            resource.insert(attribute.name.to_owned(), value);
        }
    }
    let attributes = COMMON.iter().chain(resource_type.schema.attributes);
    let mut required = attributes.filter(|it| it.is_required && it.name != "schemas");
    if let Some(missing) = required.find(|it| !resource.contains_key(it.name)) {
        let detail = format!("`{}` is required.", missing.name);
        return Err(ScimError::bad(ScimType::InvalidValue, detail));
    }
    Ok(resource)
}

fn object(
    attributes: &'static [Attribute],
    place: &str,
    fields: &Map<String, Value>,
) -> Result<Map<String, Value>, ScimError> {
    let mut kept = Map::new();
    for (name, value) in fields {
        let Some(attribute) = crate::schema::find(attributes, name) else { continue };
        if attribute.mutability == Mutability::ReadOnly {
            continue;
        }
        if let Some(value) = typed(attribute, &format!("{place}.{}", attribute.name), value)? {
            kept.insert(attribute.name.to_owned(), value);
        }
    }
    Ok(kept)
}

/// A value in the type of its attribute; `None` if there is nothing in it.
pub(crate) fn typed(
    attribute: &'static Attribute,
    place: &str,
    value: &Value,
) -> Result<Option<Value>, ScimError> {
    if value.is_null() {
        return Ok(None);
    }
    if !attribute.is_multi {
        return one(attribute, place, value);
    }
    let single = [value.clone()];
    let values = value.as_array().map_or(single.as_slice(), Vec::as_slice);
    let max = if attribute.name == "members" { MAX_MEMBERS } else { MAX_VALUES };
    if values.len() > max {
        let detail = format!("`{place}` has at most {max} values.");
        return Err(ScimError::bad(ScimType::TooMany, detail));
    }
    let mut kept = Vec::with_capacity(values.len());
    for value in values {
        kept.extend(one(attribute, place, value)?);
    }
    let is_primary = |it: &&Value| it.get("primary") == Some(&Value::Bool(true));
    if kept.iter().filter(is_primary).count() > 1 {
        let detail = format!("One value of `{place}` at most is the primary one.");
        return Err(ScimError::bad(ScimType::InvalidValue, detail));
    }
    Ok((!kept.is_empty()).then_some(Value::Array(kept)))
}

pub(crate) fn one(
    attribute: &'static Attribute,
    place: &str,
    value: &Value,
) -> Result<Option<Value>, ScimError> {
    match (attribute.kind, value) {
        (_, Value::Null) => Ok(None),
        (Kind::Boolean, Value::Bool(_)) => Ok(Some(value.clone())),
        // Entra ID's dialect: "True" and "False".
        (Kind::Boolean, Value::String(text)) => match text.to_ascii_lowercase().parse::<bool>() {
            Ok(flag) => Ok(Some(flag.into())),
            Err(_) => Err(wrong(place, "true or false")),
        },
        (Kind::Boolean, _) => Err(wrong(place, "true or false")),
        (Kind::String | Kind::Reference | Kind::DateTime, Value::String(text)) => {
            if text.chars().count() > MAX_CHARS || text.chars().any(char::is_control) {
                return Err(wrong(place, "a text of at most 1,024 characters, on one line"));
            }
            Ok((!text.is_empty()).then(|| value.clone()))
        }
        (Kind::String | Kind::Reference | Kind::DateTime, _) => Err(wrong(place, "a text")),
        (Kind::Complex, Value::Object(fields)) => {
            let kept = object(attribute.sub, place, fields)?;
            Ok((!kept.is_empty()).then_some(Value::Object(kept)))
        }
        // Some clients send the value alone.
        (Kind::Complex, Value::String(_)) if attribute.is_multi && attribute.value().is_some() => {
            let fields = [("value".to_owned(), value.clone())].into_iter().collect();
            one(attribute, place, &Value::Object(fields))
        }
        (Kind::Complex, _) => Err(wrong(place, "an object")),
    }
}

fn wrong(place: &str, rule: &str) -> ScimError {
    ScimError::bad(ScimType::InvalidValue, format!("`{place}` is {rule}."))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::schema::{GROUP, GROUP_EXTENSION, USER};

    fn user(fields: &Value) -> Result<Value, ScimError> {
        let mut body = json!({"schemas": [USER.schema.id], "userName": "ann"});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        read(&USER, &body).map(Value::Object)
    }

    #[test]
    fn what_was_sent_takes_the_form_of_its_schema() {
        let read = user(&json!({
            "ID": "mine", "EXTERNALID": "E-1", "Active": "False", "displayName": null, "title": "Boss",
            "name": {"GivenName": "Ann", "nick": "A", "formatted": ""}, "emails": {"value": "a@x.example", "Primary": "true"},
            "groups": [{"value": "g"}], "meta": {"version": "x"}, "password": "secret",
        }));
        let expected = json!({
            "userName": "ann", "externalId": "E-1", "active": false, "name": {"givenName": "Ann"},
            "emails": [{"value": "a@x.example", "primary": true}],
        });
        assert_eq!(read.unwrap(), expected);
        let body = json!({
            "schemas": [GROUP.schema.id], "displayName": "Builders", "members": ["u1", {"value": "u2", "type": "User"}],
            GROUP_EXTENSION.id: {"role": "developer", "other": 1},
        });
        let expected = json!({
            "displayName": "Builders", "members": [{"value": "u1"}, {"value": "u2", "type": "User"}],
            GROUP_EXTENSION.id: {"role": "developer"},
        });
        assert_eq!(Value::Object(super::read(&GROUP, &body).unwrap()), expected);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (fields, name) in [
            (json!({"userName": ""}), "userName"),
            (json!({"userName": 5}), "userName"),
            (json!({"userName": "a\u{0}"}), "userName"),
            (json!({"displayName": "a".repeat(1_025)}), "displayName"),
            (json!({"active": "perhaps"}), "active"),
            (json!({"active": 1}), "active"),
            (json!({"name": "Ann"}), "name"),
            (json!({"name": {"givenName": ["Ann"]}}), "name.givenName"),
            (json!({"emails": [1]}), "emails"),
            (json!({"emails": vec![json!({"value": "a"}); 51]}), "emails"),
            (
                json!({"emails": [{"value": "a", "primary": true}, {"value": "b", "primary": true}]}),
                "emails",
            ),
        ] {
            let error = user(&fields).unwrap_err();
            assert!(error.detail.contains(&format!("`{name}`")), "{fields} {error}");
        }
        for body in
            [json!([]), json!({"userName": "ann"}), json!({"schemas": "x", "userName": "ann"})]
        {
            assert_eq!(read(&USER, &body).unwrap_err().scim_type, Some(ScimType::InvalidSyntax));
        }
    }

    proptest! {
        /// What is kept has nothing in it that the schema has not, and is read the same again.
        #[test]
        fn what_is_kept_is_in_form(
            name in "(?i)(userName|externalId|displayName|active|emails|name|groups|meta|id|[a-z]{1,8})",
            value in prop_oneof![
                Just(json!(null)), Just(json!(true)), Just(json!("True")), Just(json!(7)), Just(json!("text")),
                Just(json!({"value": "v", "primary": "False", "other": {}})), Just(json!([{"value": "v"}, "w", null])),
            ],
        ) {
            if let Ok(Value::Object(kept)) = user(&json!({name: value})) {
                for (name, value) in &kept {
                    let attribute = USER.attribute(name).unwrap();
                    prop_assert_eq!(attribute.name, name);
                    prop_assert!(attribute.mutability != Mutability::ReadOnly);
                    prop_assert_eq!(value.is_array(), attribute.is_multi);
                }
                prop_assert_eq!(check(&USER, &kept).unwrap(), kept);
            }
        }
    }
}

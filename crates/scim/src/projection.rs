//! Which attributes an answer has (RFC 7644, 3.9).

use serde_json::{Map, Value};

use crate::error::{ScimError, ScimType};
use crate::path::AttributePath;
use crate::resource::Resource;
use crate::schema::{Attribute, Kind, ResourceType};

/// Names of one request.
const MAX_NAMES: usize = 100;

/// What a client wants to see of a resource.
#[derive(Debug, Clone, Default)]
pub struct Projection {
    names: Vec<AttributePath>,
    is_exclusion: bool,
}

impl Projection {
    /// The one that the parameters `attributes` and `excludedAttributes` ask for.
    ///
    /// # Errors
    /// Both are given, or a name is none.
    pub fn parse(attributes: Option<&str>, excluded: Option<&str>) -> Result<Self, ScimError> {
        let (text, is_exclusion) = match (attributes, excluded) {
            (None, None) => return Ok(Self::default()),
            (Some(text), None) => (text, false),
            (None, Some(text)) => (text, true),
            (Some(_), Some(_)) => {
                let detail = "Give `attributes` or `excludedAttributes`, not both.";
                return Err(ScimError::bad(ScimType::InvalidValue, detail));
            }
        };
        let listed = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let parsed: Option<Vec<_>> = listed.map(AttributePath::parse).collect();
        let names = parsed.filter(|names| names.len() <= MAX_NAMES).ok_or_else(|| {
            let detail =
                format!("Attributes are at most {MAX_NAMES} names with commas between them.");
            ScimError::bad(ScimType::InvalidValue, detail)
        })?;
        Ok(Self { names, is_exclusion })
    }

    /// Whether the attribute is wanted, or a part of it: what costs something to find need not be found.
    pub fn wants(&self, resource_type: &ResourceType, name: &str) -> bool {
        let is_named = |sub_too: bool| {
            self.names.iter().any(|path| {
                path.find(resource_type).is_some_and(|found| {
                    found.extension.is_none()
                        && found.attribute.name == name
                        && (sub_too || found.sub.is_none())
                })
            })
        };
        if self.is_exclusion { !is_named(false) } else { self.names.is_empty() || is_named(true) }
    }

    /// The resource with what is wanted, and what always is there.
    pub fn apply(&self, resource_type: &ResourceType, resource: Resource) -> Resource {
        if self.names.is_empty() {
            return resource;
        }
        let mut shown = Map::new();
        for (name, value) in resource {
            if let Some(schema) = resource_type.extension(&name) {
                let is_whole = self.names.iter().any(|path| {
                    path.name.is_empty()
                        && path
                            .schema
                            .as_deref()
                            .is_some_and(|it| it.eq_ignore_ascii_case(schema.id))
                });
                let Value::Object(fields) = value else { continue };
                let kept: Map<_, _> = fields
                    .into_iter()
                    .filter(|(field, _)| {
                        let is_named = self.finds(resource_type, Some(schema.id), field, None);
                        (is_whole || is_named) != self.is_exclusion
                    })
                    .collect();
                if !kept.is_empty() {
                    shown.insert(name, Value::Object(kept));
                }
                continue;
            }
            let Some(attribute) = resource_type.attribute(&name) else { continue };
            let is_named = self.finds(resource_type, None, attribute.name, None);
            if attribute.is_always || is_named != self.is_exclusion {
                let value = if self.is_exclusion && !attribute.is_always {
                    self.parts(resource_type, attribute, value)
                } else {
                    Some(value)
                };
                shown.extend(value.map(|value| (name, value)));
            } else if !self.is_exclusion
                && let Some(value) = self.parts(resource_type, attribute, value)
            {
                shown.insert(name, value);
            }
        }
        shown
    }

    /// What is wanted of a complex attribute that is not named as a whole.
    fn parts(
        &self,
        resource_type: &ResourceType,
        attribute: &Attribute,
        value: Value,
    ) -> Option<Value> {
        if attribute.kind != Kind::Complex {
            return self.is_exclusion.then_some(value);
        }
        let part = |value: Value| match value {
            Value::Object(mut fields) => {
                fields.retain(|field, _| {
                    let is_named = self.finds(resource_type, None, attribute.name, Some(field));
                    is_named != self.is_exclusion
                });
                (!fields.is_empty()).then_some(Value::Object(fields))
            }
            other => Some(other),
        };
        match value {
            Value::Array(values) => {
                let kept: Vec<_> = values.into_iter().filter_map(part).collect();
                (!kept.is_empty()).then_some(Value::Array(kept))
            }
            value => part(value),
        }
    }

    fn finds(
        &self,
        resource_type: &ResourceType,
        extension: Option<&str>,
        name: &str,
        sub: Option<&str>,
    ) -> bool {
        self.names.iter().filter_map(|path| path.find(resource_type)).any(|found| {
            found.extension == extension
                && found.attribute.name == name
                && found.sub.map(|sub| sub.name) == sub
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::{GROUP, GROUP_EXTENSION, USER};

    #[track_caller]
    fn check(attributes: Option<&str>, excluded: Option<&str>, expected: &Value) {
        let user = json!({
            "schemas": ["s"], "id": "1", "userName": "ann", "active": true,
            "name": {"givenName": "Ann", "familyName": "Lee"},
            "emails": [{"value": "a@b.example", "type": "work"}], "meta": {"version": "W/\"1\"", "created": "t"},
        });
        let projection = Projection::parse(attributes, excluded).unwrap();
        let shown = projection.apply(&USER, user.as_object().unwrap().clone());
        assert_eq!(Value::Object(shown), *expected, "{attributes:?} {excluded:?}");
    }

    #[test]
    fn what_is_wanted_is_shown() {
        let all = json!({
            "schemas": ["s"], "id": "1", "userName": "ann", "active": true,
            "name": {"givenName": "Ann", "familyName": "Lee"},
            "emails": [{"value": "a@b.example", "type": "work"}], "meta": {"version": "W/\"1\"", "created": "t"},
        });
        check(None, None, &all);
        check(Some("USERNAME"), None, &json!({"schemas": ["s"], "id": "1", "userName": "ann"}));
        check(
            Some("name.givenName, emails.value"),
            None,
            &json!({"schemas": ["s"], "id": "1", "name": {"givenName": "Ann"}, "emails": [{"value": "a@b.example"}]}),
        );
        check(
            Some("meta.version"),
            None,
            &json!({"schemas": ["s"], "id": "1", "meta": {"version": "W/\"1\""}}),
        );
        check(Some("nothing"), None, &json!({"schemas": ["s"], "id": "1"}));
        check(
            None,
            Some("id,meta,emails,name.familyName,active"),
            &json!({"schemas": ["s"], "id": "1", "userName": "ann", "name": {"givenName": "Ann"}}),
        );
        assert!(Projection::parse(Some("a"), Some("b")).is_err());
        assert!(Projection::parse(Some("a b"), None).is_err());
    }

    #[test]
    fn an_extension_is_shown_by_its_name() {
        let id = GROUP_EXTENSION.id;
        let group = json!({"id": "1", "displayName": "B", id: {"role": "viewer"}});
        let group = group.as_object().unwrap();
        for name in [id.to_owned(), format!("{id}:role")] {
            let projection = Projection::parse(Some(&name), None).unwrap();
            let shown = projection.apply(&GROUP, group.clone());
            assert_eq!(Value::Object(shown), json!({"id": "1", id: {"role": "viewer"}}));
            let projection = Projection::parse(None, Some(&name)).unwrap();
            let shown = projection.apply(&GROUP, group.clone());
            assert_eq!(Value::Object(shown), json!({"id": "1", "displayName": "B"}));
        }
        let without = Projection::parse(None, Some("members")).unwrap();
        assert!(!without.wants(&GROUP, "members") && without.wants(&GROUP, "displayName"));
        assert!(Projection::parse(Some("members.value"), None).unwrap().wants(&GROUP, "members"));
        assert!(!Projection::parse(Some("displayName"), None).unwrap().wants(&GROUP, "members"));
    }
}

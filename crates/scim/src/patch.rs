//! Changes of a part of a resource (RFC 7644, 3.5.2), in the dialects of Entra ID and Okta, too.

use serde_json::{Map, Value};

use crate::error::{ScimError, ScimType};
use crate::filter::Filter;
use crate::path::{AttributePath, Found};
use crate::resource::{Resource, check, one, typed};
use crate::schema::{Attribute, Kind, Mutability, ResourceType, Schema, find};

/// Operations of one request.
pub const MAX_OPERATIONS: usize = 1_000;
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Add,
    Replace,
    Remove,
}

/// Where an operation works: `members`, `name.givenName`, `emails[type eq "work"].value`.
#[derive(Debug, Clone)]
struct Target {
    found: Found,
    filter: Option<Filter>,
}

/// What a path leads to.
#[derive(Debug, Clone)]
enum Place {
    Attribute(Target),
    Extension(&'static Schema),
    /// What is well known and not kept, or not the client's to set in passing.
    Nowhere,
}

#[derive(Debug, Clone)]
enum Operation {
    /// With the value in the type of what it is for; nothing, if there is nothing in it.
    At(Verb, Box<Target>, Option<Value>),
    RemoveExtension(&'static str),
}

/// A change of a part of a resource.
#[derive(Debug, Clone)]
pub struct Patch {
    operations: Vec<Operation>,
}

impl Patch {
    /// Reads the body of a PATCH.
    ///
    /// # Errors
    /// Naming what of it makes no sense.
    pub fn parse(resource_type: &ResourceType, body: &Value) -> Result<Self, ScimError> {
        let schemas = field(body, "schemas").and_then(Value::as_array);
        if !schemas.is_some_and(|ids| ids.iter().any(|id| id == PATCH)) {
            let detail = format!("`schemas` is a list with `{PATCH}` in it.");
            return Err(ScimError::bad(ScimType::InvalidSyntax, detail));
        }
        let given = field(body, "Operations").and_then(Value::as_array);
        let given =
            given.filter(|it| (1..=MAX_OPERATIONS).contains(&it.len())).ok_or_else(|| {
                let detail = format!("`Operations` is a list of 1 to {MAX_OPERATIONS} operations.");
                ScimError::bad(ScimType::InvalidSyntax, detail)
            })?;
        let mut operations = Vec::new();
        for operation in given {
            read(resource_type, operation, &mut operations)?;
        }
        Ok(Self { operations })
    }

    /// The resource as it is to be.
    ///
    /// # Errors
    /// An operation selects nothing, or what comes of it is no resource.
    pub fn apply(
        &self,
        resource_type: &ResourceType,
        resource: &Resource,
    ) -> Result<Resource, ScimError> {
        let mut changed = resource.clone();
        for operation in &self.operations {
            match operation {
                Operation::RemoveExtension(id) => {
                    changed.shift_remove(*id);
                }
                Operation::At(verb, target, value) => {
                    target.apply(*verb, value.as_ref(), &mut changed)?;
                }
            }
        }
        check(resource_type, &changed)
    }
}

/// A field of an object, whatever the case of its name.
fn field<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let fields = object.as_object()?;
    fields.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn read(
    resource_type: &ResourceType,
    given: &Value,
    operations: &mut Vec<Operation>,
) -> Result<(), ScimError> {
    let verb =
        match field(given, "op").and_then(Value::as_str).map(str::to_ascii_lowercase).as_deref() {
            Some("add") => Verb::Add,
            Some("replace") => Verb::Replace,
            Some("remove") => Verb::Remove,
            _ => {
                let detail = "`op` is `add`, `replace` or `remove`.";
                return Err(ScimError::bad(ScimType::InvalidSyntax, detail));
            }
        };
    let value = field(given, "value");
    if verb != Verb::Remove && value.is_none() {
        return Err(ScimError::bad(ScimType::InvalidValue, "`value` says what to set."));
    }
    match field(given, "path") {
        None | Some(Value::Null) => {
            if verb == Verb::Remove {
                let detail = "`path` says what to remove.";
                return Err(ScimError::bad(ScimType::NoTarget, detail));
            }
            let Some(fields) = value.and_then(Value::as_object) else {
                let detail = "Without `path`, `value` is an object of attributes.";
                return Err(ScimError::bad(ScimType::InvalidValue, detail));
            };
            for (path, value) in fields {
                place_all(resource_type, verb, path, Some(value), true, operations)?;
            }
            Ok(())
        }
        Some(Value::String(path)) => place_all(resource_type, verb, path, value, false, operations),
        Some(_) => Err(ScimError::bad(ScimType::InvalidPath, "`path` is a text.")),
    }
}

/// Adds what an operation at `path` does. `in_passing`: the path is one of many, and may lead nowhere.
fn place_all(
    resource_type: &ResourceType,
    verb: Verb,
    path: &str,
    value: Option<&Value>,
    in_passing: bool,
    operations: &mut Vec<Operation>,
) -> Result<(), ScimError> {
    match place(resource_type, path, in_passing)? {
        Place::Nowhere => {}
        Place::Attribute(target) => operations.push(target.operation(verb, value)?),
        Place::Extension(schema) if verb == Verb::Remove => {
            operations.push(Operation::RemoveExtension(schema.id));
        }
        Place::Extension(schema) => {
            let Some(fields) = value.and_then(Value::as_object) else {
                let detail = format!("The value of `{}` is an object.", schema.id);
                return Err(ScimError::bad(ScimType::InvalidValue, detail));
            };
            for (name, value) in fields {
                let Some(attribute) = find(schema.attributes, name) else { continue };
                let found = Found { extension: Some(schema.id), attribute, sub: None };
                let target = Target { found, filter: None };
                operations.push(target.operation(verb, Some(value))?);
            }
        }
    }
    Ok(())
}

fn place(resource_type: &ResourceType, text: &str, in_passing: bool) -> Result<Place, ScimError> {
    let shown: String = text.chars().take(64).collect();
    let refuse = |rule: &str| {
        Err(ScimError::bad(ScimType::InvalidPath, format!("The path `{shown}` {rule}.")))
    };
    let (name, within) = match text.split_once('[') {
        None => (text, None),
        Some((name, rest)) => match rest.rsplit_once(']') {
            None => return refuse("has a bracket that does not end"),
            Some((filter, sub)) => (name, Some((filter, sub))),
        },
    };
    let Some(path) = AttributePath::parse(name) else {
        return if in_passing { Ok(Place::Nowhere) } else { refuse("does not parse") };
    };
    if path.name.is_empty() {
        let schema = path.schema.as_deref().unwrap_or_default();
        return match resource_type.extension(schema) {
            Some(schema) if within.is_none() => Ok(Place::Extension(schema)),
            _ if in_passing || resource_type.is_not_kept(Some(schema), "") => Ok(Place::Nowhere),
            _ => refuse("names no schema that is kept"),
        };
    }
    let Some(mut found) = path.find(resource_type) else {
        let is_known = resource_type.is_not_kept(path.schema.as_deref(), &path.name);
        return if in_passing || is_known {
            Ok(Place::Nowhere)
        } else {
            refuse("leads to no attribute")
        };
    };
    if found.attribute.name == "schemas" {
        return Ok(Place::Nowhere);
    }
    let is_fixed = |it: &Attribute| it.mutability == Mutability::ReadOnly;
    if is_fixed(found.attribute) || found.sub.is_some_and(is_fixed) {
        if in_passing {
            return Ok(Place::Nowhere);
        }
        let detail = format!("`{shown}` is not the client's to change.");
        return Err(ScimError::bad(ScimType::Mutability, detail));
    }
    let Some((filter, sub)) = within else {
        return Ok(Place::Attribute(Target { found, filter: None }));
    };
    if !(found.attribute.is_multi && found.attribute.kind == Kind::Complex && found.sub.is_none()) {
        return refuse("has brackets where there is one value only");
    }
    let filter = Filter::parse_within(filter, found.attribute)?;
    if !sub.is_empty() {
        let name = sub.strip_prefix('.').and_then(|name| found.attribute.sub(name));
        let Some(sub) = name else { return refuse("does not end in a part of the attribute") };
        if is_fixed(sub) {
            let detail = format!("`{shown}` is not the client's to change.");
            return Err(ScimError::bad(ScimType::Mutability, detail));
        }
        found.sub = Some(sub);
    }
    Ok(Place::Attribute(Target { found, filter: Some(filter) }))
}

impl Target {
    /// The operation, with its value in form.
    fn operation(self, verb: Verb, value: Option<&Value>) -> Result<Operation, ScimError> {
        let attribute = self.found.attribute;
        if verb != Verb::Remove
            && self.filter.is_some()
            && self.found.sub.is_some_and(|it| it.mutability == Mutability::Immutable)
        {
            let detail = "What a value is cannot be changed: remove it, and add another one.";
            return Err(ScimError::bad(ScimType::Mutability, detail));
        }
        if verb == Verb::Remove
            && attribute.is_required
            && self.found.sub.is_none()
            && self.filter.is_none()
        {
            let detail = format!("`{}` is required.", attribute.name);
            return Err(ScimError::bad(ScimType::Mutability, detail));
        }
        let value = match (value, self.found.sub) {
            (None, _) => None,
            (Some(value), Some(sub)) => {
                one(sub, &format!("{}.{}", attribute.name, sub.name), value)?
            }
            (Some(value), None) if self.filter.is_some() && verb != Verb::Remove => {
                one(attribute, attribute.name, value)?
            }
            (Some(value), None) => typed(attribute, attribute.name, value)?,
        };
        Ok(Operation::At(verb, Box::new(self), value))
    }

    fn apply(
        &self,
        verb: Verb,
        value: Option<&Value>,
        resource: &mut Resource,
    ) -> Result<(), ScimError> {
        let name = self.found.attribute.name;
        let home = match self.found.extension {
            None => resource,
            Some(id) => {
                let object = resource.entry(id).or_insert_with(|| Value::Object(Map::new()));
                let Some(object) = object.as_object_mut() else { return Ok(()) };
                object
            }
        };
        if self.found.attribute.is_multi && self.found.attribute.kind == Kind::Complex {
            let mut values = match home.shift_remove(name) {
                Some(Value::Array(values)) => values,
                _ => Vec::new(),
            };
            let were_primary: Vec<Value> =
                values.iter().filter(|it| is_primary(it)).cloned().collect();
            self.apply_to_values(verb, value, &mut values)?;
            if values.iter().filter(|it| is_primary(it)).count() > 1 {
                for value in values.iter_mut().filter(|it| were_primary.contains(it)) {
                    value["primary"] = false.into();
                }
            }
            if !values.is_empty() {
                home.insert(name.to_owned(), Value::Array(values));
            }
            return Ok(());
        }
        match (self.found.sub, verb, value) {
            (None, Verb::Remove, _) | (None, Verb::Replace, None) => {
                home.shift_remove(name);
            }
            (_, Verb::Add, None) => {}
            // Parts that are not named stay as they are.
            (None, _, Some(Value::Object(fields))) => {
                object(home, name).extend(fields.clone());
            }
            (None, _, Some(value)) => {
                home.insert(name.to_owned(), value.clone());
            }
            (Some(sub), Verb::Remove, _) | (Some(sub), Verb::Replace, None) => {
                object(home, name).shift_remove(sub.name);
            }
            (Some(sub), _, Some(value)) => {
                object(home, name).insert(sub.name.to_owned(), value.clone());
            }
        }
        Ok(())
    }

    fn apply_to_values(
        &self,
        verb: Verb,
        value: Option<&Value>,
        values: &mut Vec<Value>,
    ) -> Result<(), ScimError> {
        let attribute = self.found.attribute;
        let is_selected = |it: &Value| {
            self.filter.as_ref().is_none_or(|filter| filter.matches_value(attribute, it))
        };
        let given = value.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        match (verb, self.found.sub, &self.filter) {
            // Entra ID names what to remove in the value.
            (Verb::Remove, None, None) if value.is_some() => {
                values.retain(|it| !given.iter().any(|other| is_same(it, other)));
            }
            (Verb::Remove, None, _) => values.retain(|it| !is_selected(it)),
            (Verb::Remove, Some(sub), _) => {
                for it in values.iter_mut().filter(|it| is_selected(it)) {
                    it.as_object_mut().map(|it| it.shift_remove(sub.name));
                }
            }
            (Verb::Replace, None, None) => *values = given.to_vec(),
            (Verb::Add, None, None) => {
                for it in given {
                    if !values.iter().any(|other| is_same(other, it)) {
                        values.push(it.clone());
                    }
                }
            }
            (_, sub, filter) => {
                let Some(value) = value else { return Ok(()) };
                let mut has_any = false;
                for it in values.iter_mut().filter(|it| is_selected(it)) {
                    has_any = true;
                    match (sub, it.as_object_mut(), value) {
                        (Some(sub), Some(it), value) => {
                            it.insert(sub.name.to_owned(), value.clone());
                        }
                        (None, Some(it), Value::Object(fields)) if verb == Verb::Add => {
                            it.extend(fields.clone());
                        }
                        _ => *it = value.clone(),
                    }
                }
                if has_any {
                    return Ok(());
                }
                let template = match filter {
                    None => Some(Map::new()),
                    Some(filter) if verb == Verb::Add => filter.template(attribute),
                    Some(_) => None,
                };
                let Some(mut made) = template else {
                    let detail = format!("No value of `{}` is selected.", attribute.name);
                    return Err(ScimError::bad(ScimType::NoTarget, detail));
                };
                match (sub, value) {
                    (Some(sub), value) => {
                        made.insert(sub.name.to_owned(), value.clone());
                    }
                    (None, Value::Object(fields)) => made.extend(fields.clone()),
                    (None, _) => {}
                }
                values.push(Value::Object(made));
            }
        }
        Ok(())
    }
}

/// A complex attribute, to change a part of it.
fn object<'a>(home: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let value = home.entry(name).or_insert_with(|| Value::Object(Map::new()));
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(fields) => fields,
        _ => unreachable!("it was made an object"),
    }
}

fn is_primary(value: &Value) -> bool {
    value.get("primary") == Some(&Value::Bool(true))
}

/// Whether two values are the same one: of members and addresses, the value says it.
fn is_same(one: &Value, other: &Value) -> bool {
    let same_type = |name| match (one.get(name), other.get(name)) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    };
    match (one.get("value"), other.get("value")) {
        (Some(one), Some(other)) => one == other && same_type("type"),
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::schema::{GROUP, GROUP_EXTENSION, USER};

    fn ann() -> Resource {
        let ann = json!({
            "userName": "ann", "active": true, "name": {"givenName": "Ann", "familyName": "Lee"},
            "emails": [
                {"value": "ann@acme.example", "type": "work", "primary": true},
                {"value": "ann@home.example", "type": "home"},
            ],
        });
        ann.as_object().unwrap().clone()
    }

    fn builders() -> Resource {
        let group =
            json!({"displayName": "Builders", "members": [{"value": "u1"}, {"value": "u2"}]});
        group.as_object().unwrap().clone()
    }

    fn patched(
        resource_type: &ResourceType,
        resource: &Resource,
        operations: &Value,
    ) -> Result<Value, ScimError> {
        let body = json!({"schemas": [PATCH], "Operations": operations});
        Patch::parse(resource_type, &body)?.apply(resource_type, resource).map(Value::Object)
    }

    /// What of the resource is different afterwards.
    #[track_caller]
    fn check_user(operations: &Value, expected: &Value) {
        let after = patched(&USER, &ann(), operations)
            .unwrap_or_else(|error| panic!("{operations} {error}"));
        let mut wanted = Value::Object(ann());
        for (name, value) in expected.as_object().unwrap() {
            if value.is_null() {
                wanted.as_object_mut().unwrap().remove(name);
            } else {
                wanted[name] = value.clone();
            }
        }
        assert_eq!(after, wanted, "{operations}");
    }

    #[track_caller]
    fn check_group(operations: &Value, members: &Value) {
        let after = patched(&GROUP, &builders(), operations).unwrap();
        assert_eq!(after.get("members").cloned().unwrap_or_default(), *members, "{operations}");
    }

    #[test]
    fn attributes_are_set_and_taken_away() {
        check_user(
            &json!([{"op": "replace", "path": "active", "value": false}]),
            &json!({"active": false}),
        );
        check_user(
            &json!([{"op": "add", "path": "displayName", "value": "A"}]),
            &json!({"displayName": "A"}),
        );
        check_user(&json!([{"op": "remove", "path": "active"}]), &json!({"active": null}));
        check_user(
            &json!([{"op": "replace", "path": "active", "value": null}]),
            &json!({"active": null}),
        );
        check_user(
            &json!([{"op": "replace", "path": "name.givenName", "value": "Anne"}]),
            &json!({"name": {"givenName": "Anne", "familyName": "Lee"}}),
        );
        check_user(
            &json!([{"op": "replace", "path": "name", "value": {"middleName": "B"}}]),
            &json!({"name": {"givenName": "Ann", "familyName": "Lee", "middleName": "B"}}),
        );
        check_user(&json!([{"op": "remove", "path": "name"}]), &json!({"name": null}));
        check_user(
            &json!([{"op": "remove", "path": "urn:ietf:params:scim:schemas:core:2.0:User:name.familyName"}]),
            &json!({"name": {"givenName": "Ann"}}),
        );
    }

    #[test]
    fn values_are_selected() {
        let (work, home) = (ann()["emails"][0].clone(), ann()["emails"][1].clone());
        check_user(
            &json!([{"op": "replace", "path": "emails[type eq \"home\"].value", "value": "x@y.example"}]),
            &json!({"emails": [work, {"value": "x@y.example", "type": "home"}]}),
        );
        check_user(
            &json!([{"op": "remove", "path": "emails[type eq \"work\"]"}]),
            &json!({"emails": [home]}),
        );
        check_user(
            &json!([{"op": "add", "path": "emails[type eq \"other\"].value", "value": "o@y.example"}]),
            &json!({"emails": [work, home, {"type": "other", "value": "o@y.example"}]}),
        );
        check_user(
            &json!([{"op": "replace", "path": "emails[type eq \"home\"]", "value": {"value": "n@y.example"}}]),
            &json!({"emails": [work, {"value": "n@y.example"}]}),
        );
        // One is the primary one: the one that was named last.
        check_user(
            &json!([{"op": "add", "path": "emails", "value": [{"value": "p@y.example", "primary": true}]}]),
            &json!({"emails": [
                {"value": "ann@acme.example", "type": "work", "primary": false}, home,
                {"value": "p@y.example", "primary": true},
            ]}),
        );
        check_user(
            &json!([{"op": "add", "path": "emails[type eq \"home\"].primary", "value": true}]),
            &json!({"emails": [
                {"value": "ann@acme.example", "type": "work", "primary": false},
                {"value": "ann@home.example", "type": "home", "primary": true},
            ]}),
        );
    }

    #[test]
    fn members_come_and_go() {
        let add = |value: Value| json!([{"op": "add", "path": "members", "value": value}]);
        check_group(
            &add(json!([{"value": "u2"}, {"value": "u3"}])),
            &json!([{"value": "u1"}, {"value": "u2"}, {"value": "u3"}]),
        );
        check_group(
            &add(json!({"value": "u3"})),
            &json!([{"value": "u1"}, {"value": "u2"}, {"value": "u3"}]),
        );
        check_group(
            &json!([{"op": "remove", "path": "members[value eq \"u1\"]"}]),
            &json!([{"value": "u2"}]),
        );
        check_group(
            &json!([{"op": "remove", "path": "members[value eq \"u9\"]"}]),
            &json!([{"value": "u1"}, {"value": "u2"}]),
        );
        check_group(
            &json!([{"op": "replace", "path": "members", "value": [{"value": "u3"}]}]),
            &json!([{"value": "u3"}]),
        );
        check_group(&json!([{"op": "remove", "path": "members"}]), &json!(null));
        check_group(
            &json!([{"op": "add", "value": {"members": [{"value": "u3"}]}}]),
            &json!([{"value": "u1"}, {"value": "u2"}, {"value": "u3"}]),
        );
    }

    /// As the provisioning services send it.
    #[test]
    fn dialects_are_understood() {
        // Entra ID: capitals, texts for booleans, dotted names, attributes that are not kept.
        check_user(
            &json!([
                {"op": "Replace", "path": "active", "value": "False"},
                {"op": "Add", "path": "title", "value": "Boss"},
                {"op": "Add", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "1"},
                {"op": "Add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "value": "X"},
            ]),
            &json!({"active": false}),
        );
        check_user(
            &json!([{"op": "Add", "value": {"name.givenName": "Anne", "displayName": "Anne L", "nickName": "A"}}]),
            &json!({"name": {"givenName": "Anne", "familyName": "Lee"}, "displayName": "Anne L"}),
        );
        check_group(
            &json!([{"op": "Remove", "path": "members", "value": [{"value": "u2"}]}]),
            &json!([{"value": "u1"}]),
        );
        check_group(
            &json!([{"op": "Add", "path": "members", "value": [{"$ref": null, "value": "u3"}]}]),
            &json!([{"value": "u1"}, {"value": "u2"}, {"value": "u3"}]),
        );
        // Okta: no path, and the id beside what changes.
        check_user(
            &json!([{"op": "replace", "value": {"active": false}}]),
            &json!({"active": false}),
        );
        let renamed = patched(
            &GROUP,
            &builders(),
            &json!([{"op": "replace", "value": {"id": "g1", "displayName": "Makers"}}]),
        );
        assert_eq!(renamed.unwrap()["displayName"], "Makers");
    }

    #[test]
    fn a_group_is_given_a_role() {
        let id = GROUP_EXTENSION.id;
        let role = |operations: Value| {
            let mut group = builders();
            group.insert(id.to_owned(), json!({"role": "viewer"}));
            patched(&GROUP, &group, &operations).unwrap().get(id).cloned()
        };
        let developer = Some(json!({"role": "developer"}));
        assert_eq!(
            role(json!([{"op": "replace", "path": format!("{id}:role"), "value": "developer"}])),
            developer
        );
        assert_eq!(
            role(json!([{"op": "replace", "path": id, "value": {"ROLE": "developer"}}])),
            developer
        );
        assert_eq!(role(json!([{"op": "add", "value": {id: {"role": "developer"}}}])), developer);
        assert_eq!(role(json!([{"op": "remove", "path": format!("{id}:role")}])), None);
        assert_eq!(role(json!([{"op": "remove", "path": id}])), None);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        use ScimType::{
            InvalidFilter, InvalidPath, InvalidSyntax, InvalidValue, Mutability, NoTarget,
        };
        for (operation, kind) in [
            (json!({"op": "move", "path": "active", "value": true}), InvalidSyntax),
            (json!({"path": "active", "value": true}), InvalidSyntax),
            (json!("add"), InvalidSyntax),
            (json!({"op": "remove"}), NoTarget),
            (json!({"op": "add", "path": "active"}), InvalidValue),
            (json!({"op": "add", "value": "x"}), InvalidValue),
            (json!({"op": "add", "path": 5, "value": "x"}), InvalidPath),
            (json!({"op": "add", "path": "", "value": "x"}), InvalidPath),
            (json!({"op": "add", "path": "no such", "value": "x"}), InvalidPath),
            (json!({"op": "add", "path": "nothing", "value": "x"}), InvalidPath),
            (json!({"op": "add", "path": "name.nothing", "value": "x"}), InvalidPath),
            (json!({"op": "add", "path": "emails[type eq \"work\"", "value": "x"}), InvalidPath),
            (
                json!({"op": "add", "path": "emails[type eq \"work\"].nothing", "value": "x"}),
                InvalidPath,
            ),
            (
                json!({"op": "add", "path": "emails[type eq \"work\"]value", "value": "x"}),
                InvalidPath,
            ),
            (json!({"op": "add", "path": "userName[value eq \"x\"]", "value": "x"}), InvalidPath),
            (
                json!({"op": "add", "path": "emails[type is \"work\"].value", "value": "x"}),
                InvalidFilter,
            ),
            (json!({"op": "add", "path": "emails[]", "value": "x"}), InvalidFilter),
            (
                json!({"op": "replace", "path": "emails[type eq \"fax\"].value", "value": "x"}),
                NoTarget,
            ),
            (json!({"op": "replace", "path": "id", "value": "x"}), Mutability),
            (json!({"op": "add", "path": "groups", "value": [{"value": "g"}]}), Mutability),
            (json!({"op": "replace", "path": "meta.version", "value": "x"}), Mutability),
            (json!({"op": "remove", "path": "userName"}), Mutability),
            (json!({"op": "replace", "path": "userName", "value": ""}), InvalidValue),
            (json!({"op": "replace", "path": "active", "value": "maybe"}), InvalidValue),
            (json!({"op": "replace", "path": "name", "value": "Ann"}), InvalidValue),
        ] {
            let error = patched(&USER, &ann(), &json!([operation])).unwrap_err();
            assert_eq!(error.scim_type, Some(kind), "{operation} {error}");
        }
        let fixed =
            json!([{"op": "replace", "path": "members[value eq \"u1\"].value", "value": "u3"}]);
        assert_eq!(patched(&GROUP, &builders(), &fixed).unwrap_err().scim_type, Some(Mutability));
        for body in [
            json!({}),
            json!({"schemas": [PATCH]}),
            json!({"schemas": [PATCH], "Operations": []}),
            json!([]),
        ] {
            assert_eq!(Patch::parse(&USER, &body).unwrap_err().scim_type, Some(InvalidSyntax));
        }
    }

    proptest! {
        /// Whatever is asked for: it is refused, or what comes of it is a resource in form.
        #[test]
        fn no_operation_does_harm(
            op in "add|Replace|REMOVE",
            path in r#"(userName|name|name.givenName|emails|members|groups|emails\[type (eq|ne) "(work|x)"\]|members\[value eq "u1"\]|[a-z\[\].:]{0,9})(\.value|\.primary|\.type|)"#,
            value in prop_oneof![
                Just(json!(null)), Just(json!(true)), Just(json!("text")), Just(json!(["a", "b"])), Just(json!({"value": "v", "primary": true})),
                Just(json!([{"value": "v", "primary": true}])), Just(json!({"givenName": "A"})),
            ],
        ) {
            for (resource_type, resource) in [(&USER, ann()), (&GROUP, builders())] {
                for operation in [json!({"op": op, "path": path, "value": value}), json!({"op": op, "value": {path.clone(): value}})] {
                    if let Ok(Value::Object(after)) = patched(resource_type, &resource, &json!([operation])) {
                        prop_assert_eq!(check(resource_type, &after).unwrap(), after);
                    }
                }
            }
        }
    }
}

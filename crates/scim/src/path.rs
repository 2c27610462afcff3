//! Names of attributes: `userName`, `name.givenName`, `urn:weir:scim:schemas:extension:2.0:Group:role`.

use serde_json::{Map, Value};

use crate::schema::{Attribute, ResourceType, find};

/// Names longer than this are none.
const MAX_NAME_BYTES: usize = 256;

/// The name of an attribute, or of a part of one, as somebody wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributePath {
    /// The schema that was named with it.
    pub(crate) schema: Option<String>,
    /// The attribute; empty, if a schema alone was named.
    pub(crate) name: String,
    /// The sub-attribute.
    pub(crate) sub: Option<String>,
}

/// An attribute that a path leads to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    /// The extension that it is in.
    pub(crate) extension: Option<&'static str>,
    pub(crate) attribute: &'static Attribute,
    pub(crate) sub: Option<&'static Attribute>,
}

impl AttributePath {
    /// The name that `text` is; `None` if it is no name.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > MAX_NAME_BYTES || !text.chars().all(is_of_name) {
            return None;
        }
        let (schema, rest) = if text.get(..4).is_some_and(|it| it.eq_ignore_ascii_case("urn:")) {
            let (schema, rest) = text.rsplit_once(':')?;
            // A version, as in `:2.0:User`, is no attribute: the whole text is the schema's name.
            if is_schema(text) {
                return Some(Self {
                    schema: Some(text.to_owned()),
                    name: String::new(),
                    sub: None,
                });
            }
            (Some(schema.to_owned()), rest)
        } else {
            (None, text)
        };
        let (name, sub) = match rest.split_once('.') {
            None => (rest, None),
            Some((name, sub)) => (name, Some(sub)),
        };
        let is_valid = is_name(name) && sub.is_none_or(is_name);
        is_valid.then(|| Self { schema, name: name.to_owned(), sub: sub.map(str::to_owned) })
    }

    /// The attribute of `resource_type` that it leads to.
    pub(crate) fn find(&self, resource_type: &ResourceType) -> Option<Found> {
        let (extension, attribute) = match &self.schema {
            None => (None, resource_type.attribute(&self.name)?),
            Some(id) if id.eq_ignore_ascii_case(resource_type.schema.id) => {
                (None, resource_type.attribute(&self.name)?)
            }
            Some(id) => {
                let extension = resource_type.extension(id)?;
                (Some(extension.id), find(extension.attributes, &self.name)?)
            }
        };
        let sub = match &self.sub {
            None => None,
            Some(sub) => Some(attribute.sub(sub)?),
        };
        Some(Found { extension, attribute, sub })
    }
}

impl Found {
    /// The object that the attribute is in.
    pub(crate) fn home<'a>(
        &self,
        resource: &'a Map<String, Value>,
    ) -> Option<&'a Map<String, Value>> {
        match self.extension {
            None => Some(resource),
            Some(id) => resource.get(id)?.as_object(),
        }
    }
}

/// The schemas whose names end where an attribute could stand.
fn is_schema(text: &str) -> bool {
    let last = text.rsplit(':').next().unwrap_or_default();
    let before = text.rsplit(':').nth(1).unwrap_or_default();
    // `..:2.0:User`: what follows a version is the schema's own name.
    !last.is_empty()
        && before.split('.').all(|it| !it.is_empty() && it.bytes().all(|b| b.is_ascii_digit()))
}

pub(crate) fn is_of_name(char: char) -> bool {
    char.is_ascii_alphanumeric() || "-_.:$".contains(char)
}

fn is_name(text: &str) -> bool {
    let rest = text.strip_prefix('$').unwrap_or(text);
    rest.starts_with(|first: char| first.is_ascii_alphabetic())
        && rest.chars().all(|it| it.is_ascii_alphanumeric() || it == '-' || it == '_')
}

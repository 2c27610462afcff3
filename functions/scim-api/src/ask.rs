//! What a request asks for: a page, a filter, a state that it has seen, a body.

use http::{Response, StatusCode, header};
use http_api::{Ask, Body};
use scim::{Filter, Projection, Resource, ResourceType, ScimError, ScimType, list};
use serde_json::Value;

use crate::answer::{answer, empty, tag};

/// Resources of a page at most.
pub(crate) const MAX_RESULTS: usize = 200;
const DEFAULT_RESULTS: usize = 100;
/// Bytes of what is kept of one resource: an item of the table takes no more than a few of these.
const MAX_BYTES: usize = 64 * 1_024;

/// The body, which is JSON.
pub(crate) fn body(ask: &Ask<'_>) -> Result<Value, ScimError> {
    serde_json::from_slice(ask.body()).map_err(|error| {
        ScimError::bad(ScimType::InvalidSyntax, format!("The body is not JSON: {error}."))
    })
}

/// Refuses what is too much to keep.
pub(crate) fn fits(resource: &Resource) -> Result<(), ScimError> {
    let length = serde_json::to_string(resource).map_or(0, |text| text.len());
    if length <= MAX_BYTES {
        return Ok(());
    }
    let detail = format!("A resource has {MAX_BYTES} bytes at most, members not counted.");
    Err(ScimError::of(413, detail))
}

/// Which attributes are wanted.
pub(crate) fn projection(ask: &Ask<'_>) -> Result<Projection, ScimError> {
    Projection::parse(ask.get("attributes"), ask.get("excludedAttributes"))
}

/// Refuses to change what is not any more what the client has seen, if it says what that was.
pub(crate) fn matches(ask: &Ask<'_>, version: u64) -> Result<(), ScimError> {
    if ask.header(&header::IF_MATCH).is_none() || ask.names(version) {
        return Ok(());
    }
    let detail = format!("It changed since you read it; its version is {} now.", tag(version));
    Err(ScimError::of(412, detail))
}

/// That nothing changed, if the client has seen this version already.
pub(crate) fn unchanged(ask: &Ask<'_>, version: u64) -> Option<Response<Body>> {
    let given = ask.header(&header::IF_NONE_MATCH)?;
    let is_seen = given == "*" || given.split(',').any(|it| it.trim() == tag(version));
    is_seen.then(|| empty(StatusCode::NOT_MODIFIED))
}

/// Which part of a list is wanted, and what of it.
pub(crate) struct Wanted {
    pub(crate) filter: Option<Filter>,
    projection: Projection,
    start: usize,
    count: usize,
}

impl Wanted {
    /// As the query says it.
    pub(crate) fn of_query(ask: &Ask<'_>, resource_type: &ResourceType) -> Result<Self, ScimError> {
        let number = |name: &str| {
            let parse = |text: &str| text.parse().map_err(|_| not_a(name, "whole number"));
            ask.get(name).map(parse).transpose()
        };
        let (filter, projection) = (ask.get("filter"), projection(ask)?);
        Self::new(resource_type, filter, projection, (number("startIndex")?, number("count")?))
    }

    /// As the body of a `.search` says it (RFC 7644, 3.4.3).
    pub(crate) fn of_body(ask: &Ask<'_>, resource_type: &ResourceType) -> Result<Self, ScimError> {
        let body = body(ask)?;
        let field = |name: &str| body.get(name).filter(|value| !value.is_null());
        let names = |name: &str| {
            let Some(value) = field(name) else { return Ok(None) };
            let texts = value.as_array().map(|it| it.iter().map(Value::as_str).collect());
            let texts: Option<Vec<_>> = texts.flatten();
            let texts = texts.ok_or_else(|| not_a(name, "list of names"))?;
            Ok(Some(texts.join(",")))
        };
        let number = |name: &str| {
            let read = |it: &Value| {
                let number = it.as_i64().and_then(|it| i32::try_from(it).ok());
                number.ok_or_else(|| not_a(name, "whole number"))
            };
            field(name).map(read).transpose()
        };
        let filter = field("filter");
        let filter = filter.map(|it| it.as_str().ok_or_else(|| not_a("filter", "text")));
        let (shown, hidden) = (names("attributes")?, names("excludedAttributes")?);
        let projection = Projection::parse(shown.as_deref(), hidden.as_deref())?;
        let numbers = (number("startIndex")?, number("count")?);
        Self::new(resource_type, filter.transpose()?, projection, numbers)
    }

    /// What is below zero is zero (RFC 7644, 3.4.2.4).
    fn new(
        resource_type: &ResourceType,
        filter: Option<&str>,
        projection: Projection,
        (start, count): (Option<i32>, Option<i32>),
    ) -> Result<Self, ScimError> {
        let filter = filter.map(|text| Filter::parse(text, resource_type)).transpose()?;
        let number = |it: i32| usize::try_from(it).unwrap_or(0);
        let count = count.map_or(DEFAULT_RESULTS, number).min(MAX_RESULTS);
        Ok(Self { filter, projection, start: start.map_or(1, number).max(1), count })
    }

    /// Those of `all` that the filter selects, as far as they are to be shown.
    pub(crate) fn select(&self, resource_type: &ResourceType, all: Vec<Resource>) -> Vec<Value> {
        let is_selected = |it: &Resource| {
            self.filter.as_ref().is_none_or(|filter| filter.matches(resource_type, it))
        };
        let shown = |it| Value::Object(self.projection.apply(resource_type, it));
        all.into_iter().filter(is_selected).map(shown).collect()
    }

    /// The page of what was selected.
    pub(crate) fn page(&self, selected: &[Value]) -> Response<Body> {
        let rest = selected.get(self.start - 1..).unwrap_or_default();
        let shown = rest.get(..self.count).unwrap_or(rest);
        answer(StatusCode::OK, &list(shown, selected.len(), self.start))
    }
}

fn not_a(name: &str, what: &str) -> ScimError {
    ScimError::bad(ScimType::InvalidValue, format!("`{name}` is a {what}."))
}

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

/// Which resources are wanted.
pub(crate) fn filter(
    ask: &Ask<'_>,
    resource_type: &ResourceType,
) -> Result<Option<Filter>, ScimError> {
    ask.get("filter").map(|text| Filter::parse(text, resource_type)).transpose()
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

/// The page that is wanted of `all`, of those that the filter selects.
pub(crate) fn page(
    ask: &Ask<'_>,
    resource_type: &ResourceType,
    filter: Option<&Filter>,
    all: Vec<Resource>,
) -> Result<Response<Body>, ScimError> {
    let projection = projection(ask)?;
    let start = number(ask, "startIndex", 1)?.max(1);
    let count = number(ask, "count", DEFAULT_RESULTS)?.min(MAX_RESULTS);
    let found: Vec<_> = all
        .into_iter()
        .filter(|it| filter.is_none_or(|filter| filter.matches(resource_type, it)))
        .collect();
    let total = found.len();
    let shown: Vec<_> = found
        .into_iter()
        .skip(start - 1)
        .take(count)
        .map(|it| Value::Object(projection.apply(resource_type, it)))
        .collect();
    Ok(answer(StatusCode::OK, &list(&shown, total, start)))
}

/// A number of the query; what is below zero is zero (RFC 7644, 3.4.2.4).
fn number(ask: &Ask<'_>, name: &str, default: usize) -> Result<usize, ScimError> {
    let Some(text) = ask.get(name) else { return Ok(default) };
    let number: i32 = text.parse().map_err(|_| {
        ScimError::bad(ScimType::InvalidValue, format!("`{name}` is a whole number."))
    })?;
    Ok(usize::try_from(number).unwrap_or(0))
}

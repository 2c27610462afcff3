//! Answers in the form of SCIM.

use http::{HeaderName, Response, StatusCode, header};
use http_api::{ApiError, Body, store_failed, with_header, with_type};
use inference::Family;
use jiff::Timestamp;
use scim::{Projection, Resource, ResourceType, ScimError};
use serde_json::{Value, json};

const MEDIA_TYPE: &str = "application/scim+json";

/// A JSON answer.
pub(crate) fn answer(status: StatusCode, body: &Value) -> Response<Body> {
    with_type(status, MEDIA_TYPE, body.to_string())
}

/// An answer that says nothing.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    with_type(status, MEDIA_TYPE, Vec::new())
}

/// The entity tag of a version; weak, since what else a resource shows (its groups, its members' names) is
/// not counted.
pub(crate) fn tag(version: u64) -> String {
    format!("W/{}", http_api::etag(version))
}

/// A resource as far as it is wanted, with its version and where it is.
pub(crate) fn one(
    status: StatusCode,
    resource_type: &ResourceType,
    resource: Resource,
    projection: &Projection,
) -> Response<Body> {
    let meta = resource.get("meta").cloned().unwrap_or_default();
    let text = |name: &str| meta.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let shown = projection.apply(resource_type, resource);
    let response = answer(status, &Value::Object(shown));
    let response = with_header(response, header::LOCATION, &text("location"));
    with_header(response, header::ETAG, &text("version"))
}

/// What the gateway says of every resource, around what the client said.
pub(crate) fn framed(
    resource_type: &ResourceType,
    base: &str,
    (id, version): (&str, u64),
    (created, modified): (Timestamp, Timestamp),
    resource: &Resource,
) -> Resource {
    let said = resource_type.extensions.iter().filter(|it| resource.contains_key(it.id));
    let schemas: Vec<_> =
        std::iter::once(resource_type.schema.id).chain(said.map(|it| it.id)).collect();
    let mut framed = Resource::new();
    framed.insert("schemas".into(), json!(schemas));
    framed.insert("id".into(), id.into());
    framed.extend(resource.clone());
    framed.insert(
        "meta".into(),
        json!({
            "resourceType": resource_type.name,
            "created": created,
            "lastModified": modified,
            "location": format!("{base}{}/{id}", resource_type.endpoint),
            "version": tag(version),
        }),
    );
    framed
}

/// What the client reads: the answer or the error, each under the request's id.
pub(crate) fn respond(id: &str, answered: Result<Response<Body>, ScimError>) -> Response<Body> {
    let response = answered.unwrap_or_else(|error| {
        let scim_type = error.scim_type.map(scim::ScimType::as_str);
        tracing::info!(request_id = id, status = error.status, scim_type, "request refused");
        let status = StatusCode::from_u16(error.status);
        answer(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &error.body())
    });
    with_header(response, HeaderName::from_static("x-request-id"), id)
}

/// What other routes refuse alike, in the form of SCIM.
#[expect(clippy::needless_pass_by_value, reason = "what `map_err` takes")]
pub(crate) fn api_error(error: ApiError) -> ScimError {
    let fault = error.fault();
    ScimError::of(fault.status(Family::Openai).as_u16(), fault.message.clone())
}

/// Something that is needed cannot be reached.
pub(crate) fn failed(error: impl std::error::Error + 'static) -> ScimError {
    api_error(store_failed(error))
}

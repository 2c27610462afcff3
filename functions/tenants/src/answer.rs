//! Answers of this function.

use administration::{InvalidCaller, InvalidField, UserPoolError};
use admission::StoreError;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_api::{ApiError, Body, full};
use inference::{Fault, FaultKind};
use serde_json::{Value, json};

/// A JSON answer.
pub(crate) fn answer(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(full(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // What one caller may see is nobody else's to keep.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A page of a list.
pub(crate) fn page(data: &[Value], next_cursor: Option<&str>) -> Response<Body> {
    answer(StatusCode::OK, &json!({"object": "list", "data": data, "next_cursor": next_cursor}))
}

/// The answer with the version of what it shows.
pub(crate) fn with_etag(mut response: Response<Body>, version: u64) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(&etag(version)) {
        response.headers_mut().insert(HeaderName::from_static("etag"), value);
    }
    response
}

/// The entity tag of a version.
pub(crate) fn etag(version: u64) -> String {
    format!("\"{version}\"")
}

/// A value that its field does not take.
pub(crate) fn invalid(field: impl Into<String>, message: impl Into<String>) -> ApiError {
    Fault::new(FaultKind::InvalidRequest, "invalid_value", message).about(field).into()
}

pub(crate) fn invalid_field(error: InvalidField) -> ApiError {
    if error.field.is_empty() {
        return ApiError::new(FaultKind::InvalidRequest, "invalid_document", error.message);
    }
    invalid(error.field, error.message)
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` takes")]
pub(crate) fn invalid_caller(error: InvalidCaller) -> ApiError {
    invalid(error.field, error.rule)
}

/// Something that stands in the way, and goes on standing there.
pub(crate) fn conflict(code: &'static str, message: impl Into<String>) -> ApiError {
    ApiError::new(FaultKind::Conflict, code, message).never_retried()
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` takes")]
pub(crate) fn store_failed(error: StoreError) -> ApiError {
    ApiError::store_failed(&error)
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` takes")]
pub(crate) fn pool_failed(error: UserPoolError) -> ApiError {
    ApiError::store_failed(&error)
}

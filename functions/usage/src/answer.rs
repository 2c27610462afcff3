//! Answers of this function.

use std::error::Error;

use admission::InvalidRule;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_api::{ApiError, Body, full};
use inference::{Fault, FaultKind};
use metering::NanoUsd;
use serde_json::Value;

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &Value) -> Response<Body> {
    with_type(status, "application/json", body.to_string())
}

/// An answer of some type.
pub(crate) fn with_type(
    status: StatusCode,
    media_type: &'static str,
    body: impl Into<Vec<u8>>,
) -> Response<Body> {
    let mut response = Response::new(full(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    // What one caller may see is nobody else's to keep.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The answer with one more header; unchanged if the value cannot be one.
pub(crate) fn with_header(
    mut response: Response<Body>,
    name: HeaderName,
    value: &str,
) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

/// The entity tag of a version.
pub(crate) fn etag(version: u64) -> String {
    format!("\"{version}\"")
}

/// That `what` is no more as the caller has seen it; its version now, if that is known.
pub(crate) fn changed(what: &str, version: Option<u64>) -> ApiError {
    let now = version.map(|version| format!(" Their ETag is {} now.", etag(version)));
    let message = format!(
        "These {what} were changed since you read them.{} Read them again, and make your change to what they are now.",
        now.unwrap_or_default()
    );
    ApiError::new(FaultKind::PreconditionFailed, "precondition_failed", message).never_retried()
}

/// An amount in dollars, as a decimal number in text.
pub(crate) fn usd(nanousd: u64) -> String {
    NanoUsd(nanousd).to_string().trim_start_matches('$').to_owned()
}

/// A value that its field does not take.
pub(crate) fn invalid(field: impl Into<String>, message: impl Into<String>) -> ApiError {
    Fault::new(FaultKind::InvalidRequest, "invalid_value", message).about(field).into()
}

pub(crate) fn invalid_rule(error: InvalidRule) -> ApiError {
    invalid(error.field, error.message)
}

pub(crate) fn store_failed(error: impl Error + 'static) -> ApiError {
    ApiError::store_failed(&error)
}

/// What the state of things does not allow; asking again would be answered the same.
pub(crate) fn conflict(code: &'static str, message: impl Into<String>) -> ApiError {
    ApiError::new(FaultKind::Conflict, code, message).never_retried()
}

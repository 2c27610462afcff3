//! Answers of administrative routes.

use std::error::Error;

use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use inference::{Family, Fault, FaultKind};
use serde_json::Value;

use crate::{ApiError, Body, full};

/// A JSON answer.
pub fn answer(status: StatusCode, body: &Value) -> Response<Body> {
    with_type(status, "application/json", body.to_string())
}

/// An answer of some type.
pub fn with_type(
    status: StatusCode,
    media_type: &'static str,
    body: impl Into<Vec<u8>>,
) -> Response<Body> {
    let mut response = Response::new(full(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    // What one caller may see is nobody else's to keep.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The answer with one more header; unchanged if the value cannot be one.
pub fn with_header(mut response: Response<Body>, name: HeaderName, value: &str) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

/// The entity tag of a version.
pub fn etag(version: u64) -> String {
    format!("\"{version}\"")
}

/// What the client of an administrative route reads: the answer, or the error in OpenAI's shape, each under
/// the request's id.
pub fn respond(id: &str, answered: Result<Response<Body>, ApiError>) -> Response<Body> {
    let response = answered.unwrap_or_else(|error| {
        let (status, code) = (error.fault().status(Family::Openai).as_u16(), error.fault().code);
        tracing::info!(request_id = id, status, code, "request refused");
        error.into_response(Family::Openai, id)
    });
    with_header(response, HeaderName::from_static("x-request-id"), id)
}

/// A value that its field or parameter does not take.
pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> ApiError {
    Fault::new(FaultKind::InvalidRequest, "invalid_value", message).about(field).into()
}

/// What the state of things does not allow; asking again would be answered the same.
pub fn conflict(code: &'static str, message: impl Into<String>) -> ApiError {
    ApiError::new(FaultKind::Conflict, code, message).never_retried()
}

/// Something that is needed and cannot be reached, for `map_err`.
pub fn store_failed(error: impl Error + 'static) -> ApiError {
    ApiError::store_failed(&error)
}

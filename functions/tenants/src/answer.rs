//! Answers of this function.

use administration::{InvalidCaller, InvalidField};
use http::{Response, StatusCode, header};
use http_api::{ApiError, Body, answer, etag, invalid, with_header};
use inference::FaultKind;
use serde_json::{Value, json};

/// A page of a list.
pub(crate) fn page(data: &[Value], next_cursor: Option<&str>) -> Response<Body> {
    answer(StatusCode::OK, &json!({"object": "list", "data": data, "next_cursor": next_cursor}))
}

/// The answer with the version of what it shows.
pub(crate) fn with_etag(response: Response<Body>, version: u64) -> Response<Body> {
    with_header(response, header::ETAG, &etag(version))
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

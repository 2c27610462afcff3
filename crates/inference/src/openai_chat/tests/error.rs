use http::StatusCode;
use serde_json::json;

use crate::BadRequest;
use crate::openai_chat::{ErrorBody, error_event, error_of_provider};
use crate::{ProviderError, ProviderErrorKind as Kind};

fn provider_error(kind: Kind, message: &str) -> ProviderError {
    ProviderError {
        kind,
        message: message.to_owned(),
        provider_request_id: None,
        may_have_run: false,
        retry_after: None,
    }
}

#[track_caller]
fn check(kind: Kind, status: u16, error_type: &str, code: &str) {
    let (actual, body) = error_of_provider(&provider_error(kind, "arn:aws:secret"));
    assert_eq!((actual.as_u16(), body.kind, body.code), (status, error_type, Some(code)));
    assert_eq!(
        body.message.contains("arn:aws:secret"),
        kind == Kind::InvalidRequest,
        "{}",
        body.message
    );
}

#[test]
fn provider_errors_have_a_status_and_a_code() {
    check(Kind::InvalidRequest, 400, "invalid_request_error", "invalid_value");
    check(Kind::AccessDenied, 403, "permission_error", "model_access_denied");
    check(Kind::ModelNotFound, 404, "invalid_request_error", "model_not_found");
    check(Kind::Throttled, 429, "requests", "rate_limit_exceeded");
    check(Kind::QuotaExceeded, 429, "requests", "rate_limit_exceeded");
    check(Kind::Timeout, 504, "server_error", "provider_timeout");
    check(Kind::ModelError, 502, "server_error", "model_error");
    check(Kind::Unavailable, 503, "server_error", "provider_unavailable");
    check(Kind::Internal, 502, "server_error", "provider_error");
    check(Kind::Interrupted, 502, "server_error", "provider_interrupted");
}

#[test]
fn a_prompt_that_is_too_long_has_openais_code() {
    let (status, body) = error_of_provider(&provider_error(
        Kind::InvalidRequest,
        "Input is too long for requested model.",
    ));
    assert_eq!((status, body.code), (StatusCode::BAD_REQUEST, Some("context_length_exceeded")));
}

#[test]
fn errors_have_openais_shape() {
    let error = BadRequest {
        message: "no".to_owned(),
        param: Some("model".to_owned()),
        code: "invalid_value",
    };
    let body = ErrorBody::from(error);
    let json = json!({"error": {"message": "no", "type": "invalid_request_error", "param": "model", "code": "invalid_value"}});
    assert_eq!(body.to_json(), json);
    assert_eq!(error_event(&body), format!("data: {json}\n\n"));
}

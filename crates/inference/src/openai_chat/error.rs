//! Errors in the dialect's shape: `{"error":{"message","type","param","code"}}`.

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{BadRequest, ProviderError, ProviderErrorKind};

/// What stands under `error` in an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorBody {
    /// What went wrong, for a person.
    pub message: String,
    /// The class of fault, for example `invalid_request_error`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The field at fault.
    pub param: Option<String>,
    /// The kind of fault, for programs.
    pub code: Option<&'static str>,
}

impl ErrorBody {
    /// The whole body: `{"error": ..}`.
    pub fn to_json(&self) -> Value {
        json!({ "error": self })
    }
}

impl From<BadRequest> for ErrorBody {
    fn from(error: BadRequest) -> Self {
        Self {
            message: error.message,
            kind: "invalid_request_error",
            param: error.param,
            code: Some(error.code),
        }
    }
}

/// An error as an event in a stream, for faults after the first byte. No `[DONE]` may follow it:
/// the SDKs raise the error when they read it, and a `[DONE]` would claim that the answer is whole.
pub fn error_event(error: &ErrorBody) -> Bytes {
    Bytes::from(format!("data: {}\n\n", error.to_json()))
}

/// The status and error by which a caller learns that the provider did not complete its call.
///
/// Only what the provider says about the request itself is passed on; what it says about its own
/// or the gateway's state belongs in logs.
pub fn error_of_provider(error: &ProviderError) -> (StatusCode, ErrorBody) {
    use ProviderErrorKind as Kind;
    let (status, kind, param, code, message) = match error.kind {
        Kind::InvalidRequest => {
            let code = if is_about_length(&error.message) {
                "context_length_exceeded"
            } else {
                "invalid_value"
            };
            let message = if error.message.trim().is_empty() {
                "The model refused the request as invalid and gave no reason."
            } else {
                error.message.as_str()
            };
            (StatusCode::BAD_REQUEST, "invalid_request_error", None, code, message)
        }
        Kind::AccessDenied => (
            StatusCode::FORBIDDEN,
            "permission_error",
            Some("model"),
            "model_access_denied",
            "The provider denied access to this model. Ask the people who run the gateway to enable it.",
        ),
        Kind::ModelNotFound => (
            StatusCode::NOT_FOUND,
            "invalid_request_error",
            Some("model"),
            "model_not_found",
            "The provider does not know this model, or not in this region.",
        ),
        Kind::Throttled => (
            StatusCode::TOO_MANY_REQUESTS,
            "requests",
            None,
            "rate_limit_exceeded",
            "The provider is throttling calls of this model. Wait a moment and try again.",
        ),
        Kind::QuotaExceeded => (
            StatusCode::TOO_MANY_REQUESTS,
            "requests",
            None,
            "rate_limit_exceeded",
            "The gateway's quota for this model at the provider is used up. Try again later, or use another model.",
        ),
        Kind::Timeout => (
            StatusCode::GATEWAY_TIMEOUT,
            "server_error",
            None,
            "provider_timeout",
            "The model took too long to answer. Try again, or ask for fewer tokens.",
        ),
        Kind::ModelError => (
            StatusCode::BAD_GATEWAY,
            "server_error",
            None,
            "model_error",
            "The model failed to answer this request. Try again.",
        ),
        Kind::Unavailable => (
            StatusCode::SERVICE_UNAVAILABLE,
            "server_error",
            None,
            "provider_unavailable",
            "The provider cannot serve this model at the moment. Try again shortly.",
        ),
        Kind::Internal => (
            StatusCode::BAD_GATEWAY,
            "server_error",
            None,
            "provider_error",
            "The provider failed. Try again.",
        ),
        Kind::Interrupted => (
            StatusCode::BAD_GATEWAY,
            "server_error",
            None,
            "provider_interrupted",
            "The connection to the provider broke before the answer was complete. Try again.",
        ),
    };
    (
        status,
        ErrorBody {
            message: message.to_owned(),
            kind,
            param: param.map(str::to_owned),
            code: Some(code),
        },
    )
}

/// Whether a provider's refusal is about the prompt's length; Bedrock has no exception of its own
/// for it, and clients act on OpenAI's code (they shorten the conversation).
fn is_about_length(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    [
        "too long",
        "context length",
        "context window",
        "too many input tokens",
        "too many total text bytes",
    ]
    .iter()
    .any(|sign| message.contains(sign))
}

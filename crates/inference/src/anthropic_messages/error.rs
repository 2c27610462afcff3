//! Errors that a provider sends as JSON: `{"type": "error", "error": {"type", "message"}}`.

use serde_json::Value;

use crate::protocol::unreadable;
use crate::{ProviderError, ProviderErrorKind};

/// What an error in an answer's body or stream means. The provider may have begun to answer.
pub(super) fn error_of(error: &Value) -> ProviderError {
    let inner = error.get("error").unwrap_or(error);
    let member = |name| inner.get(name).and_then(Value::as_str);
    let name = member("type").unwrap_or_default();
    let kind = match name {
        "invalid_request_error" | "request_too_large" => ProviderErrorKind::InvalidRequest,
        "authentication_error" | "permission_error" => ProviderErrorKind::AccessDenied,
        "not_found_error" => ProviderErrorKind::ModelNotFound,
        "rate_limit_error" => ProviderErrorKind::Throttled,
        "billing_error" => ProviderErrorKind::QuotaExceeded,
        "overloaded_error" => ProviderErrorKind::Unavailable,
        "timeout_error" => ProviderErrorKind::Timeout,
        _ => ProviderErrorKind::Internal,
    };
    let message = member("message").or_else(|| inner.as_str()).unwrap_or(name);
    let request_id = error.get("request_id").and_then(Value::as_str).map(str::to_owned);
    ProviderError { provider_request_id: request_id, ..unreadable(kind, message) }
}

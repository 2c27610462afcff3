//! What the simulator answers when it does not answer, before a surface words it.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::directive::ScriptedError;

/// An error answer, in no dialect yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// HTTP status when it is answered before the first byte.
    pub(crate) status: StatusCode,
    /// Bedrock's name, such as `ThrottlingException`.
    pub(crate) exception: String,
    /// For a person.
    pub(crate) message: String,
    /// What a script says beside; boxed, as it is rare and errors travel far.
    scripted: Box<Scripted>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Scripted {
    /// The `type` of OpenAI's and Anthropic's error objects; else it follows from the status.
    kind: Option<String>,
    /// The `code` of OpenAI's.
    code: Option<String>,
    /// The `retry-after` header.
    retry_after: Option<String>,
}

impl Fault {
    /// A request that Bedrock would not pass to a model.
    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::named("ValidationException", StatusCode::BAD_REQUEST, message)
    }

    /// A body that is not what the operation's model describes.
    pub(crate) fn serialization(message: impl Into<String>) -> Self {
        Self::named("SerializationException", StatusCode::BAD_REQUEST, message)
    }

    /// The signer may not call this model.
    pub(crate) fn access_denied(message: impl Into<String>) -> Self {
        Self::named("AccessDeniedException", StatusCode::FORBIDDEN, message)
    }

    /// The key is missing or wrong.
    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self::named("UnrecognizedClientException", StatusCode::UNAUTHORIZED, message)
    }

    /// There is no such operation.
    pub(crate) fn unknown_operation(message: impl Into<String>) -> Self {
        Self::named("UnknownOperationException", StatusCode::NOT_FOUND, message)
    }

    /// The simulator could not do its work.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::named("InternalServerException", StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    fn named(exception: &str, status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            exception: exception.to_owned(),
            message: message.into(),
            scripted: Box::default(),
        }
    }

    /// The error of a directive; what the script leaves out follows from what it names.
    pub(crate) fn scripted(script: &ScriptedError, fallback: &str) -> Self {
        let is_exception = |name: &&String| name.ends_with("Exception");
        let named = script.exception.as_ref().or(script.kind.as_ref().filter(is_exception));
        let exception = match (named, script.status) {
            (Some(name), _) => capitalized(name),
            (None, Some(status)) => exception_of(status).to_owned(),
            (None, None) => fallback.to_owned(),
        };
        let status = script
            .status
            .and_then(|status| StatusCode::from_u16(status).ok())
            .unwrap_or_else(|| status_of(&exception));
        let message = script
            .message
            .clone()
            .unwrap_or_else(|| format!("scripted {exception} of the model simulator"));
        let scripted = Scripted {
            kind: script.kind.clone().filter(|kind| !is_exception(&kind)),
            code: script.code.clone(),
            retry_after: script.retry_after.as_ref().map(|after| match after {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            }),
        };
        Self { scripted: Box::new(scripted), ..Self::named(&exception, status, message) }
    }

    /// The `retry-after` header.
    pub(crate) fn retry_after(&self) -> Option<&str> {
        self.scripted.retry_after.as_deref()
    }

    /// OpenAI's `type` and `code`.
    pub(crate) fn openai_names(&self) -> (&str, Option<&str>) {
        let (kind, code) = match self.status.as_u16() {
            401 => ("invalid_request_error", Some("invalid_api_key")),
            403 => ("permission_error", None),
            404 => ("invalid_request_error", Some("model_not_found")),
            429 => ("requests", Some("rate_limit_exceeded")),
            400 | 402 | 405..=407 | 409..=423 => ("invalid_request_error", None),
            _ => ("server_error", None),
        };
        let Scripted { kind: scripted, code: scripted_code, .. } = self.scripted.as_ref();
        match scripted {
            Some(scripted) => (scripted, scripted_code.as_deref()),
            None => (kind, scripted_code.as_deref().or(code)),
        }
    }

    /// OpenAI's error object, also sent within a stream of Chat Completions.
    pub(crate) fn openai_body(&self) -> Value {
        let (kind, code) = self.openai_names();
        json!({"error": {"message": self.message, "type": kind, "param": null, "code": code}})
    }

    /// Anthropic's error object, also sent within a stream.
    pub(crate) fn anthropic_body(&self, request_id: &str) -> Value {
        let kind = self.scripted.kind.as_deref().unwrap_or(match self.status.as_u16() {
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            409 => "conflict_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            504 => "timeout_error",
            503 | 529 => "overloaded_error",
            400 | 405..=423 => "invalid_request_error",
            _ => "api_error",
        });
        json!({"type": "error", "error": {"type": kind, "message": self.message}, "request_id": request_id})
    }

    /// The name of the stream's exception member: `throttlingException`.
    pub(crate) fn stream_member(&self) -> String {
        let mut letters = self.exception.chars();
        letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
    }
}

fn capitalized(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_Errors>
fn exception_of(status: u16) -> &'static str {
    match status {
        403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 => "ModelTimeoutException",
        409 => "ConflictException",
        424 => "ModelErrorException",
        429 => "ThrottlingException",
        503 | 529 => "ServiceUnavailableException",
        400..=499 => "ValidationException",
        _ => "InternalServerException",
    }
}

fn status_of(exception: &str) -> StatusCode {
    match exception {
        "AccessDeniedException" => StatusCode::FORBIDDEN,
        "ResourceNotFoundException" => StatusCode::NOT_FOUND,
        "ModelTimeoutException" => StatusCode::REQUEST_TIMEOUT,
        "ModelErrorException" | "ModelStreamErrorException" => StatusCode::FAILED_DEPENDENCY,
        "ThrottlingException" | "ModelNotReadyException" => StatusCode::TOO_MANY_REQUESTS,
        "ServiceUnavailableException" => StatusCode::SERVICE_UNAVAILABLE,
        "ValidationException"
        | "ServiceQuotaExceededException"
        | "ConflictException"
        | "SerializationException" => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

//! What the simulator answers when it does not answer, in Bedrock's and in OpenAI's shape.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::directive::ScriptedError;

/// An error answer, in no dialect yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// HTTP status when it is answered before the first byte.
    pub(crate) status: StatusCode,
    /// Bedrock's name, such as `ThrottlingException`.
    pub(crate) exception: String,
    /// OpenAI's `type`.
    pub(crate) kind: String,
    /// OpenAI's `code`.
    pub(crate) code: Option<String>,
    /// For a person.
    pub(crate) message: String,
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

    /// The simulator could not do its work.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::named("InternalServerException", StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    fn named(exception: &str, status: StatusCode, message: impl Into<String>) -> Self {
        let (kind, code) = openai_names(status);
        Self {
            status,
            exception: exception.to_owned(),
            kind: kind.to_owned(),
            code: code.map(str::to_owned),
            message: message.into(),
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
        let mut fault = Self::named(&exception, status, message);
        if let Some(kind) = script.kind.as_ref().filter(|kind| !is_exception(kind)) {
            fault.kind.clone_from(kind);
            fault.code = None;
        }
        if let Some(code) = &script.code {
            fault.code = Some(code.clone());
        }
        fault
    }

    /// The answer on Bedrock's own paths.
    pub(crate) fn into_bedrock(self) -> Response {
        let headers = [("x-amzn-errortype", self.exception)];
        (self.status, headers, Json(json!({"message": self.message}))).into_response()
    }

    /// The answer on the OpenAI paths.
    pub(crate) fn into_openai(self) -> Response {
        (self.status, Json(self.openai_body())).into_response()
    }

    /// OpenAI's error object, also sent within a stream.
    pub(crate) fn openai_body(&self) -> Value {
        json!({"error": {"message": self.message, "type": self.kind, "param": null, "code": self.code}})
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
        503 => "ServiceUnavailableException",
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

fn openai_names(status: StatusCode) -> (&'static str, Option<&'static str>) {
    match status.as_u16() {
        401 => ("invalid_request_error", Some("invalid_api_key")),
        403 => ("permission_error", None),
        404 => ("invalid_request_error", Some("model_not_found")),
        429 => ("requests", Some("rate_limit_exceeded")),
        400 | 402 | 405..=407 | 409..=423 => ("invalid_request_error", None),
        _ => ("server_error", None),
    }
}

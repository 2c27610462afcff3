//! What can be wrong with a call, in no client's dialect, and how each family of SDKs reads it.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{Family, ProviderError, ProviderErrorKind};

/// A request that cannot be served as it is; the caller must change it. Status 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadRequest {
    /// What is wrong and how to put it right.
    pub message: String,
    /// The path of the offending field, for example `messages[0].content`.
    pub param: Option<String>,
    /// The kind of fault, for programs.
    pub code: &'static str,
}

impl BadRequest {
    pub(crate) fn new(
        code: &'static str,
        param: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { message: message.into(), param: Some(param.into()), code }
    }

    /// The body as a whole is at fault.
    pub(crate) fn body(code: &'static str, message: impl Into<String>) -> Self {
        Self { message: message.into(), param: None, code }
    }

    /// A value that breaks a rule.
    pub(crate) fn value(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new("invalid_value", param, message)
    }

    /// Something that this model, or the gateway, cannot do.
    pub(crate) fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new("unsupported_parameter", param, message)
    }
}

/// What went wrong, and what the client can do about it: decides status and type in every dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The request is wrong. 400
    InvalidRequest,
    /// Nobody was recognised. 401
    Authentication,
    /// The caller may not. 403
    PermissionDenied,
    /// There is no such thing for the caller. 404
    NotFound,
    /// The path is there for another method. 405
    MethodNotAllowed,
    /// It is there already, or changed meanwhile. 409
    Conflict,
    /// It changed since the caller looked at it. 412
    PreconditionFailed,
    /// The caller does not say which state it changes. 428
    PreconditionRequired,
    /// More bytes than can be taken. 413
    TooLarge,
    /// Too many calls. 429
    RequestRate,
    /// Too many tokens. 429
    TokenRate,
    /// A budget is spent. 429
    Quota,
    /// The gateway failed. 500
    Internal,
    /// The provider failed. 502
    Provider,
    /// The gateway or the provider cannot serve now. 503
    Unavailable,
    /// The provider took too long. 504
    Timeout,
}

/// An error as a client is to learn of it, in no dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What it is.
    pub kind: FaultKind,
    /// What went wrong and what to do, for a person.
    pub message: String,
    /// The field at fault.
    pub param: Option<String>,
    /// The kind of fault, for programs.
    pub code: &'static str,
}

impl Fault {
    /// A fault about no field in particular.
    pub fn new(kind: FaultKind, code: &'static str, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), param: None, code }
    }

    /// The fault, said to be about `param`.
    #[must_use]
    pub fn about(self, param: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..self }
    }

    /// The HTTP status by which `family`'s SDKs know it.
    pub fn status(&self, family: Family) -> StatusCode {
        match self.kind {
            FaultKind::InvalidRequest => StatusCode::BAD_REQUEST,
            FaultKind::Authentication => StatusCode::UNAUTHORIZED,
            FaultKind::PermissionDenied => StatusCode::FORBIDDEN,
            FaultKind::NotFound => StatusCode::NOT_FOUND,
            FaultKind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            FaultKind::Conflict => StatusCode::CONFLICT,
            FaultKind::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            FaultKind::PreconditionRequired => StatusCode::PRECONDITION_REQUIRED,
            FaultKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            FaultKind::RequestRate | FaultKind::TokenRate | FaultKind::Quota => {
                StatusCode::TOO_MANY_REQUESTS
            }
            FaultKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            FaultKind::Provider if family == Family::Aws => StatusCode::FAILED_DEPENDENCY,
            FaultKind::Provider => StatusCode::BAD_GATEWAY,
            FaultKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            FaultKind::Timeout if family == Family::Aws => StatusCode::REQUEST_TIMEOUT,
            FaultKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The body of an error answer, as `family`'s SDKs read it.
    pub fn to_body(&self, family: Family, request_id: &str) -> Value {
        match family {
            Family::Openai => json!({"error": {
                "message": self.message,
                "type": self.openai_type(),
                "param": self.param,
                "code": self.code,
            }}),
            Family::Anthropic => json!({
                "type": "error",
                "error": {"type": self.anthropic_type(), "message": self.message},
                "request_id": request_id,
            }),
            Family::Aws => json!({"message": self.message}),
        }
    }

    /// OpenAI's `type`.
    pub fn openai_type(&self) -> &'static str {
        match self.kind {
            FaultKind::InvalidRequest
            | FaultKind::Authentication
            | FaultKind::NotFound
            | FaultKind::MethodNotAllowed
            | FaultKind::Conflict
            | FaultKind::PreconditionFailed
            | FaultKind::PreconditionRequired
            | FaultKind::TooLarge => "invalid_request_error",
            FaultKind::PermissionDenied => "permission_error",
            FaultKind::RequestRate => "requests",
            FaultKind::TokenRate => "tokens",
            FaultKind::Quota => "insufficient_quota",
            FaultKind::Internal
            | FaultKind::Provider
            | FaultKind::Unavailable
            | FaultKind::Timeout => "server_error",
        }
    }

    /// Anthropic's `error.type`.
    pub fn anthropic_type(&self) -> &'static str {
        match self.kind {
            FaultKind::InvalidRequest
            | FaultKind::MethodNotAllowed
            | FaultKind::PreconditionRequired => "invalid_request_error",
            FaultKind::Authentication => "authentication_error",
            FaultKind::PermissionDenied => "permission_error",
            FaultKind::NotFound => "not_found_error",
            FaultKind::Conflict | FaultKind::PreconditionFailed => "conflict_error",
            FaultKind::TooLarge => "request_too_large",
            FaultKind::RequestRate | FaultKind::TokenRate => "rate_limit_error",
            FaultKind::Quota => "billing_error",
            FaultKind::Internal | FaultKind::Provider => "api_error",
            FaultKind::Unavailable => "overloaded_error",
            FaultKind::Timeout => "timeout_error",
        }
    }

    /// Bedrock's exception (`x-amzn-errortype`).
    pub fn aws_exception(&self) -> &'static str {
        match self.kind {
            FaultKind::InvalidRequest
            | FaultKind::TooLarge
            | FaultKind::MethodNotAllowed
            | FaultKind::PreconditionRequired => "ValidationException",
            FaultKind::Authentication | FaultKind::PermissionDenied => "AccessDeniedException",
            FaultKind::NotFound => "ResourceNotFoundException",
            FaultKind::Conflict | FaultKind::PreconditionFailed => "ConflictException",
            FaultKind::RequestRate | FaultKind::TokenRate => "ThrottlingException",
            FaultKind::Quota => "ServiceQuotaExceededException",
            FaultKind::Internal => "InternalServerException",
            FaultKind::Provider => "ModelErrorException",
            FaultKind::Unavailable => "ServiceUnavailableException",
            FaultKind::Timeout => "ModelTimeoutException",
        }
    }
}

impl From<BadRequest> for Fault {
    fn from(error: BadRequest) -> Self {
        Self {
            kind: FaultKind::InvalidRequest,
            message: error.message,
            param: error.param,
            code: error.code,
        }
    }
}

impl From<&ProviderError> for Fault {
    /// How a client learns that the provider did not complete its call.
    ///
    /// Only what the provider says about the request itself is passed on; what it says about its own
    /// or the gateway's state belongs in logs.
    fn from(error: &ProviderError) -> Self {
        use ProviderErrorKind as Kind;

        let fault = |kind, code, message: &str| Self::new(kind, code, message);
        match error.kind {
            Kind::InvalidRequest => {
                let code =
                    if error.is_about_length() { "context_length_exceeded" } else { "invalid_value" };
                let message = if error.message.trim().is_empty() {
                    "The model refused the request as invalid and gave no reason."
                } else {
                    error.message.as_str()
                };
                fault(FaultKind::InvalidRequest, code, message)
            }
            Kind::AccessDenied => fault(
                FaultKind::PermissionDenied,
                "model_access_denied",
                "The provider denied access to this model. Ask the people who run the gateway to enable it.",
            )
            .about("model"),
            Kind::ModelNotFound => fault(
                FaultKind::NotFound,
                "model_not_found",
                "The provider does not know this model, or not in this region.",
            )
            .about("model"),
            Kind::Throttled => fault(
                FaultKind::RequestRate,
                "rate_limit_exceeded",
                "The provider is throttling calls of this model. Wait a moment and try again.",
            ),
            Kind::QuotaExceeded => fault(
                FaultKind::RequestRate,
                "rate_limit_exceeded",
                "The gateway's quota for this model at the provider is used up. Try again later, or use another model.",
            ),
            Kind::Timeout => fault(
                FaultKind::Timeout,
                "provider_timeout",
                "The model took too long to answer. Try again, or ask for fewer tokens.",
            ),
            Kind::ModelError => fault(
                FaultKind::Provider,
                "model_error",
                "The model failed to answer this request. Try again.",
            ),
            Kind::Unavailable => fault(
                FaultKind::Unavailable,
                "provider_unavailable",
                "The provider cannot serve this model at the moment. Try again shortly.",
            ),
            Kind::Internal => {
                fault(FaultKind::Provider, "provider_error", "The provider failed. Try again.")
            }
            Kind::Interrupted => fault(
                FaultKind::Provider,
                "provider_interrupted",
                "The connection to the provider broke before the answer was complete. Try again.",
            ),
        }
    }
}

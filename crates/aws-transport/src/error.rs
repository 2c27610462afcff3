//! What providers' errors mean to the gateway, whoever's shape they have.
//!
//! - AWS: <https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html>
//! - Anthropic: <https://docs.claude.com/en/api/errors>
//! - OpenAI: <https://platform.openai.com/docs/guides/error-codes>

use std::error::Error;
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::date_time::Format;
use aws_smithy_types::error::display::DisplayErrorContext;
use http::HeaderMap;
use inference::{ProviderError, ProviderErrorKind as Kind};
use serde_json::Value;

use crate::session::SessionError;

/// Characters of a provider's message that are kept.
const MAX_MESSAGE_CHARACTERS: usize = 2_000;

/// What a refusal means, and whether the provider may have done work before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// What went wrong.
    pub kind: Kind,
    /// Whether there may be something to pay.
    pub may_have_run: bool,
}

impl Meaning {
    /// A refusal before any work.
    pub const fn refused(kind: Kind) -> Self {
        Self { kind, may_have_run: false }
    }

    /// A failure that may have come after some work.
    pub const fn failed(kind: Kind) -> Self {
        Self { kind, may_have_run: true }
    }

    /// The meaning of an answer with this error code, if it is a known one, else of its status.
    pub fn of(code: Option<&str>, status: u16) -> Self {
        code.and_then(Self::of_code).unwrap_or_else(|| Self::of_status(status))
    }

    /// The meaning of an error code, if it is a known one.
    pub fn of_code(code: &str) -> Option<Self> {
        if is_rejected_session(code) {
            // The caller has no part in sessions and signatures: the fault is ours.
            return Some(Self::refused(Kind::Internal));
        }
        Some(match plain_code(code).as_str() {
            "accessdenied" | "permission_error" => Self::refused(Kind::AccessDenied),
            "authentication_error" | "conflict" => Self::refused(Kind::Internal),
            "billing_error" | "insufficient_quota" | "servicequotaexceeded" => {
                Self::refused(Kind::QuotaExceeded)
            }
            "internalfailure" | "internalserver" | "internalstreamfailure" => {
                Self::failed(Kind::Internal)
            }
            "model_not_found" | "not_found_error" | "resourcenotfound" => {
                Self::refused(Kind::ModelNotFound)
            }
            "modelerror" | "modelstreamerror" => Self::failed(Kind::ModelError),
            "modelnotready" | "overloaded_error" => Self::refused(Kind::Unavailable),
            "modeltimeout" | "timeout_error" => Self::failed(Kind::Timeout),
            "rate_limit_error" | "rate_limit_exceeded" | "throttling" | "toomanyrequests" => {
                Self::refused(Kind::Throttled)
            }
            "internaldependency" | "serviceunavailable" => Self::failed(Kind::Unavailable),
            "request_too_large" | "validation" => Self::refused(Kind::InvalidRequest),
            _ => return None,
        })
    }

    /// The meaning of a status without a code that says more.
    pub fn of_status(status: u16) -> Self {
        match status {
            // Nothing runs at an address that only names another.
            300..=399 => Self::refused(Kind::Internal),
            401 | 403 => Self::refused(Kind::AccessDenied),
            402 => Self::refused(Kind::QuotaExceeded),
            404 => Self::refused(Kind::ModelNotFound),
            408 | 504 => Self::failed(Kind::Timeout),
            424 => Self::failed(Kind::ModelError),
            429 => Self::refused(Kind::Throttled),
            400..=499 => Self::refused(Kind::InvalidRequest),
            502 | 503 => Self::failed(Kind::Unavailable),
            529 => Self::refused(Kind::Unavailable),
            _ => Self::failed(Kind::Internal),
        }
    }

    /// The error with this meaning.
    pub fn error(self, message: impl Into<String>) -> ProviderError {
        ProviderError {
            kind: self.kind,
            message: message.into(),
            provider_request_id: None,
            may_have_run: self.may_have_run,
            retry_after: None,
        }
    }
}

/// Whether `code` says that the session itself was not accepted, so that another may be.
pub fn is_rejected_session(code: &str) -> bool {
    let rejections =
        ["expiredtoken", "invalidclienttokenid", "invalidsignature", "unrecognizedclient"];
    rejections.contains(&plain_code(code).as_str())
}

/// `ThrottlingException:http://internal.amazon.com/` and `throttlingException` as `throttling`.
fn plain_code(code: &str) -> String {
    let code = code.split(':').next().unwrap_or(code).to_ascii_lowercase();
    let name = code.rsplit('#').next().unwrap_or(&code);
    name.strip_suffix("exception").unwrap_or(name).to_owned()
}

/// The error of a request that never got a response.
pub fn unanswered(error: &ConnectorError) -> ProviderError {
    let meaning = if is_unconnected(error) {
        Meaning::refused(Kind::Unavailable)
    } else if error.is_timeout() {
        Meaning::failed(Kind::Timeout)
    } else if error.is_user() {
        Meaning::refused(Kind::Internal)
    } else {
        Meaning::failed(Kind::Interrupted)
    };
    meaning.error(DisplayErrorContext(error).to_string())
}

/// Whether there was no connection to send the request on: name resolution, connecting or TLS failed.
fn is_unconnected(error: &ConnectorError) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error
            .downcast_ref::<hyper_util::client::legacy::Error>()
            .is_some_and(hyper_util::client::legacy::Error::is_connect)
        {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A request that we failed to put together.
pub fn unbuildable(error: impl Into<BoxError>) -> ProviderError {
    let error = error.into();
    Meaning::refused(Kind::Internal).error(DisplayErrorContext(error.as_ref()).to_string())
}

/// A provider's answer that is no success, understood.
#[derive(Debug)]
pub struct Refusal {
    /// What it means.
    pub error: ProviderError,
    /// Its status; `None` if there was no answer at all.
    pub status: Option<u16>,
    /// Its error code.
    pub code: Option<String>,
}

impl From<ProviderError> for Refusal {
    fn from(error: ProviderError) -> Self {
        Self { error, status: None, code: None }
    }
}

impl Refusal {
    /// Reads an answer whose status is none of success.
    pub(crate) fn read(status: u16, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Self {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let said = Said::read(body);
        let code = header("x-amzn-errortype").map(ToOwned::to_owned).or(said.code);
        let of_code = code.as_deref().and_then(Meaning::of_code);
        let of_kind = said.kind.as_deref().and_then(Meaning::of_code);
        let meaning = match (said.original_status, of_code.or(of_kind)) {
            // SageMaker says by 424 that the model's container refused, and here why.
            (Some(original @ 400..), _) => Meaning::of_status(original),
            // "Something failed" says less than a status that says what.
            (_, Some(meaning))
                if meaning.kind != Kind::Internal || status < 500 && status != 424 =>
            {
                meaning
            }
            _ => Meaning::of_status(status),
        };
        let message = said.message.or_else(|| {
            let location = header("location").filter(|_| (300..400).contains(&status))?;
            Some(format!(
                "it answered {status} and points to {location}; redirects are not followed: \
                 correct the address in the registry"
            ))
        });
        let message = message
            .or_else(|| code.clone())
            .unwrap_or_else(|| format!("status {status}, no reason given"));
        let mut error =
            meaning.error(message.chars().take(MAX_MESSAGE_CHARACTERS).collect::<String>());
        error.retry_after = retry_after(headers, now);
        Self { error, status: Some(status), code }
    }

    /// Whether AWS did not take the session, so that another may be taken. Where it speaks OpenAI's or
    /// Anthropic's dialect it says so by the status alone.
    pub fn is_rejected_session(&self) -> bool {
        self.status == Some(401) || self.code.as_deref().is_some_and(is_rejected_session)
    }
}

/// What the body of an error says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    /// The error's code.
    code: Option<String>,
    /// Its type, which says less than the code.
    kind: Option<String>,
    message: Option<String>,
    /// The status of the container behind SageMaker.
    original_status: Option<u16>,
}

impl Said {
    /// Understands the shapes of OpenAI, Anthropic, AWS, SageMaker, vLLM, TGI, Ollama and `FastAPI`.
    fn read(body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |at: &str| body.pointer(at).and_then(Value::as_str).map(ToOwned::to_owned);
        if let Some(original_status) = body.get("OriginalStatusCode").and_then(Value::as_u64) {
            let of_container = text("/OriginalMessage").unwrap_or_default();
            let said = Self::read(of_container.as_bytes());
            let message = said.message.or_else(|| text("/Message").or_else(|| text("/message")));
            let original_status = u16::try_from(original_status).ok();
            return Self { message, original_status, ..Self::default() };
        }
        match body.get("error") {
            Some(Value::String(message)) => Self {
                kind: text("/error_type"),
                message: Some(message.clone()),
                ..Self::default()
            },
            Some(_) => Self {
                code: text("/error/code"),
                kind: text("/error/type"),
                message: text("/error/message"),
                ..Self::default()
            },
            None => Self {
                code: text("/__type"),
                kind: text("/type"),
                message: ["/message", "/Message", "/detail"].into_iter().find_map(text),
                ..Self::default()
            },
        }
    }
}

/// How long to wait, by `retry-after-ms` or by `retry-after` in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let header = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |text: &str| text.parse::<f64>().ok();
    if let Some(milliseconds) = header("retry-after-ms").and_then(number) {
        return Duration::try_from_secs_f64(milliseconds / 1_000.0).ok();
    }
    let text = header("retry-after")?;
    if let Some(seconds) = number(text) {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = aws_smithy_types::DateTime::from_str(text, Format::HttpDate).ok()?;
    Some(SystemTime::try_from(date).ok()?.duration_since(now).unwrap_or_default())
}

impl From<SessionError> for ProviderError {
    fn from(error: SessionError) -> Self {
        let kind = match error {
            SessionError::ModelNotAllowed => Kind::AccessDenied,
            SessionError::Unavailable => Kind::Unavailable,
            SessionError::PolicyTooLarge | SessionError::Refused => Kind::Internal,
        };
        Meaning::refused(kind).error(error.to_string())
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;

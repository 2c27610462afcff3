//! What Bedrock's errors mean to the gateway.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html>

use std::error::Error;

use aws_sdk_bedrockruntime::config::http::HttpResponse;
use aws_sdk_bedrockruntime::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_bedrockruntime::operation::RequestId;
use aws_sdk_bedrockruntime::types::error::ConverseStreamOutputError;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::event_stream::RawMessage;
use inference::{ProviderError, ProviderErrorKind as Kind};

use crate::session::SessionError;

/// What a refusal means, and whether Bedrock may have done work before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meaning {
    pub(crate) kind: Kind,
    pub(crate) may_have_run: bool,
}

const fn refused(kind: Kind) -> Meaning {
    Meaning { kind, may_have_run: false }
}

const fn failed(kind: Kind) -> Meaning {
    Meaning { kind, may_have_run: true }
}

/// The meaning of an answer with this error code, if it is a known one, else of its status.
pub(crate) fn meaning(code: Option<&str>, status: u16) -> Meaning {
    code.and_then(meaning_of_code).unwrap_or_else(|| meaning_of_status(status))
}

fn meaning_of_code(code: &str) -> Option<Meaning> {
    if is_rejected_session(code) {
        // The caller has no part in sessions and signatures: the fault is ours.
        return Some(refused(Kind::Internal));
    }
    Some(match plain_code(code).as_str() {
        "accessdenied" => refused(Kind::AccessDenied),
        "conflict" => refused(Kind::Internal),
        "insufficient_quota" | "servicequotaexceeded" => refused(Kind::QuotaExceeded),
        "internalfailure" | "internalserver" => failed(Kind::Internal),
        "model_not_found" | "resourcenotfound" => refused(Kind::ModelNotFound),
        "modelerror" | "modelstreamerror" => failed(Kind::ModelError),
        "modelnotready" => refused(Kind::Unavailable),
        "modeltimeout" => failed(Kind::Timeout),
        "rate_limit_exceeded" | "throttling" | "toomanyrequests" => refused(Kind::Throttled),
        "serviceunavailable" => failed(Kind::Unavailable),
        "validation" => refused(Kind::InvalidRequest),
        _ => return None,
    })
}

fn meaning_of_status(status: u16) -> Meaning {
    match status {
        401 | 403 => refused(Kind::AccessDenied),
        404 => refused(Kind::ModelNotFound),
        408 | 504 => failed(Kind::Timeout),
        424 => failed(Kind::ModelError),
        429 => refused(Kind::Throttled),
        400..=499 => refused(Kind::InvalidRequest),
        502 | 503 => failed(Kind::Unavailable),
        _ => failed(Kind::Internal),
    }
}

/// Whether `code` says that the session itself was not accepted, so that another may be.
pub(crate) fn is_rejected_session(code: &str) -> bool {
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

/// The error of a Converse call that did not get an answer.
pub(crate) fn from_sdk<E>(error: &SdkError<E, HttpResponse>) -> ProviderError
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let (meaning, message) = match error {
        SdkError::ServiceError(service) => {
            let metadata = service.err().meta();
            let message =
                metadata.message().or(metadata.code()).unwrap_or("no reason given").to_owned();
            (meaning(metadata.code(), service.raw().status().as_u16()), message)
        }
        SdkError::DispatchFailure(failure) => {
            let meaning = failure
                .as_connector_error()
                .map_or_else(|| failed(Kind::Interrupted), meaning_of_connector_error);
            (meaning, DisplayErrorContext(error).to_string())
        }
        SdkError::ConstructionFailure(_) => {
            (refused(Kind::Internal), DisplayErrorContext(error).to_string())
        }
        SdkError::TimeoutError(_) => {
            (failed(Kind::Timeout), DisplayErrorContext(error).to_string())
        }
        _ => (failed(Kind::Interrupted), DisplayErrorContext(error).to_string()),
    };
    provider_error(meaning, message, error.raw_response().and_then(RequestId::request_id))
}

/// The error of a request that never got a response.
pub(crate) fn from_connector(error: &ConnectorError) -> ProviderError {
    provider_error(meaning_of_connector_error(error), DisplayErrorContext(error).to_string(), None)
}

fn meaning_of_connector_error(error: &ConnectorError) -> Meaning {
    if is_unconnected(error) {
        refused(Kind::Unavailable)
    } else if error.is_timeout() {
        failed(Kind::Timeout)
    } else if error.is_user() {
        refused(Kind::Internal)
    } else {
        failed(Kind::Interrupted)
    }
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

/// The error that ended a stream. Bedrock has run and bills what it did.
pub(crate) fn from_stream(
    error: &SdkError<ConverseStreamOutputError, RawMessage>,
    request_id: Option<&str>,
) -> ProviderError {
    use ConverseStreamOutputError as Exception;

    let (kind, message) = match error {
        SdkError::ServiceError(service) => {
            let exception = service.err();
            let kind = match exception {
                Exception::InternalServerException(_) => Kind::Internal,
                Exception::ModelStreamErrorException(_) => Kind::ModelError,
                Exception::ServiceUnavailableException(_) => Kind::Unavailable,
                Exception::ThrottlingException(_) => Kind::Throttled,
                Exception::ValidationException(_) => Kind::InvalidRequest,
                other => other
                    .code()
                    .and_then(meaning_of_code)
                    .map_or(Kind::Internal, |meaning| meaning.kind),
            };
            (kind, exception.message().or(exception.code()).unwrap_or("no reason given").to_owned())
        }
        SdkError::TimeoutError(_) => (Kind::Timeout, DisplayErrorContext(error).to_string()),
        _ => (Kind::Interrupted, DisplayErrorContext(error).to_string()),
    };
    provider_error(failed(kind), message, request_id)
}

/// The end of a stream that broke off, for a reason that only we know.
pub(crate) fn interrupted(message: impl Into<String>, request_id: Option<&str>) -> ProviderError {
    provider_error(failed(Kind::Interrupted), message.into(), request_id)
}

/// A stream that has been silent for too long.
pub(crate) fn silent(request_id: Option<&str>) -> ProviderError {
    provider_error(failed(Kind::Timeout), "the stream fell silent".to_owned(), request_id)
}

/// A request that we failed to put together.
pub(crate) fn unbuildable(error: impl Into<BoxError>) -> ProviderError {
    let error = error.into();
    provider_error(refused(Kind::Internal), DisplayErrorContext(error.as_ref()).to_string(), None)
}

/// The error with its meaning spelt out.
pub(crate) fn provider_error(
    meaning: Meaning,
    message: String,
    request_id: Option<&str>,
) -> ProviderError {
    ProviderError {
        kind: meaning.kind,
        message,
        provider_request_id: request_id.map(ToOwned::to_owned),
        may_have_run: meaning.may_have_run,
        retry_after: None,
    }
}

impl From<SessionError> for ProviderError {
    fn from(error: SessionError) -> Self {
        let kind = match error {
            SessionError::ModelNotAllowed => Kind::AccessDenied,
            SessionError::Unavailable => Kind::Unavailable,
            SessionError::PolicyTooLarge | SessionError::Refused => Kind::Internal,
        };
        provider_error(refused(kind), error.to_string(), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: Option<&str>, status: u16, kind: Kind, may_have_run: bool) {
        assert_eq!(meaning(code, status), Meaning { kind, may_have_run }, "{code:?} {status}");
    }

    #[test]
    fn only_clean_refusals_have_surely_not_run() {
        check(Some("ValidationException"), 400, Kind::InvalidRequest, false);
        check(Some("ServiceQuotaExceededException"), 400, Kind::QuotaExceeded, false);
        check(Some("AccessDeniedException"), 403, Kind::AccessDenied, false);
        check(Some("ExpiredTokenException"), 403, Kind::Internal, false);
        check(Some("UnrecognizedClientException"), 403, Kind::Internal, false);
        check(Some("ResourceNotFoundException"), 404, Kind::ModelNotFound, false);
        check(Some("ModelTimeoutException"), 408, Kind::Timeout, true);
        check(Some("ModelErrorException"), 424, Kind::ModelError, true);
        check(Some("ThrottlingException"), 429, Kind::Throttled, false);
        check(Some("ModelNotReadyException"), 429, Kind::Unavailable, false);
        check(Some("InternalServerException"), 500, Kind::Internal, true);
        check(Some("ServiceUnavailableException"), 503, Kind::Unavailable, true);
    }

    #[test]
    fn a_code_is_known_in_every_spelling() {
        check(
            Some("com.amazon.coral#ThrottlingException:http://internal/"),
            400,
            Kind::Throttled,
            false,
        );
        check(Some("throttlingException"), 200, Kind::Throttled, false);
    }

    #[test]
    fn the_status_speaks_for_an_unknown_code() {
        for (status, kind, may_have_run) in [
            (400, Kind::InvalidRequest, false),
            (413, Kind::InvalidRequest, false),
            (401, Kind::AccessDenied, false),
            (404, Kind::ModelNotFound, false),
            (429, Kind::Throttled, false),
            (302, Kind::Internal, true),
            (500, Kind::Internal, true),
            (502, Kind::Unavailable, true),
            (504, Kind::Timeout, true),
        ] {
            check(None, status, kind, may_have_run);
            check(Some("never heard of"), status, kind, may_have_run);
        }
    }
}

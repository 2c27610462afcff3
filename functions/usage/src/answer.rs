//! What answers of this function say in their own words.

use admission::InvalidRule;
use http::header;
use http_api::{ApiError, Ask, etag, invalid};
use inference::FaultKind;
use metering::NanoUsd;

/// Checks that the caller says which state of `what` it is about to replace.
pub(crate) fn require_match(ask: &Ask<'_>, what: &str) -> Result<(), ApiError> {
    if ask.header(&header::IF_MATCH).is_some() {
        return Ok(());
    }
    let message = format!(
        "Say which state of the {what} you change: If-Match with the ETag of GET, or `*` for whichever there is."
    );
    Err(invalid("If-Match", message))
}

/// That `what` is no more as the caller has seen it; its version now, if that is known.
pub(crate) fn changed(what: &str, version: Option<u64>) -> ApiError {
    let now = version.map(|version| format!(" Their ETag is {} now.", etag(version)));
    let message = format!(
        "These {what} were changed since you read them.{} Read them again, and make your change to what they are now.",
        now.unwrap_or_default()
    );
    ApiError::new(FaultKind::PreconditionFailed, "precondition_failed", message).never_retried()
}

/// An amount in dollars, as a decimal number in text.
pub(crate) fn usd(nanousd: u64) -> String {
    NanoUsd(nanousd).to_string().trim_start_matches('$').to_owned()
}

pub(crate) fn invalid_rule(error: InvalidRule) -> ApiError {
    invalid(error.field, error.message)
}

//! Requests that read and change documents: which state they mean, where a page begins, what is refused.

use administration::{AdministrationStore, Format, InvalidField};
use admission::AuditEntry;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Response, StatusCode, header};
use inference::{Fault, FaultKind};
use serde_json::{Map, Value, json};

use crate::answer::{answer, etag, invalid, with_header};
use crate::{ApiError, Ask, Body, refuse_unknown};

/// How many entries a page is to have.
pub fn limit(ask: &Ask<'_>, default: usize, max: usize) -> Result<usize, ApiError> {
    ask.number("limit", 1, max, default)
}

/// Where the page before ended, as [`cursor`] wrote it.
pub fn after(ask: &Ask<'_>) -> Result<Option<String>, ApiError> {
    let Some(text) = ask.get("cursor") else { return Ok(None) };
    let refuse = || invalid("cursor", "This is `next_cursor` of the page before.");
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| refuse())?;
    String::from_utf8(bytes).map(Some).map_err(|_| refuse())
}

/// Checks that the caller has seen what it is about to replace. `is_required`: it must say so.
pub fn matches(ask: &Ask<'_>, version: u64, is_required: bool) -> Result<(), ApiError> {
    if ask.header(&header::IF_NONE_MATCH).is_some() {
        let message = "It is there already. Read it, and change it with If-Match.";
        return Err(failed(message.to_owned()));
    }
    if ask.header(&header::IF_MATCH).is_none() {
        return if is_required { Err(required()) } else { Ok(()) };
    }
    if ask.names(version) {
        return Ok(());
    }
    let now = etag(version);
    Err(failed(format!(
        "It was changed since you read it. Its ETag is {now} now. Read it again, and make your change to what it is now."
    )))
}

/// Checks that the caller means to make what is not there. `is_required`: it must say so.
pub fn is_creating(ask: &Ask<'_>, is_required: bool) -> Result<(), ApiError> {
    if says_known(ask) {
        let message =
            "There is nothing to change: it is not there. Create it with If-None-Match: *.";
        return Err(failed(message.to_owned()));
    }
    match ask.header(&header::IF_NONE_MATCH) {
        Some("*") => Ok(()),
        Some(_) => Err(invalid("If-None-Match", "Here this is `*`: create it if it is not there.")),
        None if is_required => Err(required()),
        None => Ok(()),
    }
}

/// Whether the caller says that it means to change something that is there.
pub fn says_known(ask: &Ask<'_>) -> bool {
    ask.header(&header::IF_MATCH).is_some()
}

/// The body, which is an object in JSON or, if the content type says so, in YAML.
pub fn object(ask: &Ask<'_>) -> Result<Map<String, Value>, ApiError> {
    let Some(format) = Format::of(ask.header(&header::CONTENT_TYPE)) else {
        let message = "Documents are application/json or application/yaml.";
        return Err(invalid("Content-Type", message));
    };
    format.object(ask.body()).map_err(invalid_field)
}

/// The body of a request that need not have one.
pub fn object_if_any(ask: &Ask<'_>) -> Result<Map<String, Value>, ApiError> {
    if ask.body().is_empty() { Ok(Map::new()) } else { object(ask) }
}

/// A place in a list, for the next page.
pub fn cursor(place: &str) -> String {
    URL_SAFE_NO_PAD.encode(place)
}

fn required() -> ApiError {
    let message = "Say which state you change: If-Match with the ETag of GET, or If-None-Match: * to create what is not there.";
    let fault = Fault::new(FaultKind::PreconditionRequired, "precondition_required", message);
    ApiError::from(fault.about("If-Match")).never_retried()
}

fn failed(message: String) -> ApiError {
    ApiError::new(FaultKind::PreconditionFailed, "precondition_failed", message).never_retried()
}

/// That it changed while the request was served.
pub fn changed_meanwhile() -> ApiError {
    failed("It was changed at this moment by somebody else. Read it again, and make your change to what it is now.".to_owned())
}

/// A text of a body that need not be there.
pub fn take_text(body: &mut Map<String, Value>, name: &str) -> Result<Option<String>, ApiError> {
    match body.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(invalid(name, "This is a text.")),
    }
}

/// The version that a body names, and nothing else: one to go back to.
pub fn version(ask: &Ask<'_>) -> Result<u64, ApiError> {
    let mut body = object(ask)?;
    let version = body.remove("version").and_then(|version| version.as_u64());
    let Some(version) = version else {
        return Err(invalid("version", "Say which version: a number of the history."));
    };
    refuse_unknown(&body)?;
    Ok(version)
}

/// A flag of a body that need not be there.
pub fn take_flag(
    body: &mut Map<String, Value>,
    name: &str,
    default: bool,
) -> Result<bool, ApiError> {
    match body.remove(name) {
        None => Ok(default),
        Some(Value::Bool(flag)) => Ok(flag),
        Some(_) => Err(invalid(name, "This is true or false.")),
    }
}

/// A page of a list.
pub fn page(data: &[Value], next_cursor: Option<&str>) -> Response<Body> {
    answer(StatusCode::OK, &json!({"object": "list", "data": data, "next_cursor": next_cursor}))
}

/// The page of the first `limit` of `found`, which has one more if there are more; `position` says where
/// the next page begins after one.
pub fn page_of<T>(
    found: &[T],
    limit: usize,
    position: impl Fn(&T) -> String,
    shown: impl Fn(&T) -> Value,
) -> Response<Body> {
    let last = found.get(limit.saturating_sub(1)).filter(|_| found.len() > limit);
    let data: Vec<Value> = found.iter().take(limit).map(shown).collect();
    page(&data, last.map(|last| cursor(&position(last))).as_deref())
}

/// The answer with the version of what it shows.
pub fn with_etag(response: Response<Body>, version: u64) -> Response<Body> {
    with_header(response, header::ETAG, &etag(version))
}

/// What is wrong with a document.
pub fn invalid_field(error: InvalidField) -> ApiError {
    if error.field.is_empty() {
        return ApiError::new(FaultKind::InvalidRequest, "invalid_document", error.message);
    }
    invalid(error.field, error.message)
}

/// Notes who was refused what, as `entry` says, and gives the refusal back. What is not there for the
/// caller is no refusal.
pub async fn refused(
    store: &impl AdministrationStore,
    entry: AuditEntry,
    error: ApiError,
) -> ApiError {
    if error.fault().kind != FaultKind::PermissionDenied {
        return error;
    }
    let entry = AuditEntry { is_allowed: false, ..entry };
    if let Err(failed) = store.note(&entry).await {
        tracing::error!(error = %failed, "a refusal could not be noted");
    }
    error
}

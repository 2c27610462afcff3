//! What a request says besides its path.

use administration::Format;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, header};
use http_api::ApiError;
use inference::{Fault, FaultKind};
use serde_json::{Map, Value};

use crate::answer::{etag, invalid, invalid_field};

/// Query, headers and body of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) query: &'a [(String, String)],
    pub(crate) body: &'a [u8],
}

impl<'a> Ask<'a> {
    /// Checks that no parameter of the query is there twice: which one would count?
    pub(crate) fn is_said_once(&self) -> Result<(), ApiError> {
        for (index, (name, _)) in self.query.iter().enumerate() {
            if self.query.iter().skip(index + 1).any(|(other, _)| other == name) {
                return Err(invalid(shortened(name), "This parameter is there more than once."));
            }
        }
        Ok(())
    }

    /// A parameter of the query.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        let found = self.query.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A parameter that is `true` or `false`; no if it is not there.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(invalid(name, "This is `true` or `false`.")),
        }
    }

    /// How many entries a page is to have.
    pub(crate) fn limit(&self, default: usize, max: usize) -> Result<usize, ApiError> {
        let Some(text) = self.get("limit") else { return Ok(default) };
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| is_plain && (1..=max).contains(number));
        number.ok_or_else(|| invalid("limit", format!("This is a whole number from 1 to {max}.")))
    }

    /// Where the page before ended, as [`cursor`] wrote it.
    pub(crate) fn cursor(&self) -> Result<Option<String>, ApiError> {
        let Some(text) = self.get("cursor") else { return Ok(None) };
        let refuse = || invalid("cursor", "This is `next_cursor` of the page before.");
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| refuse())?;
        String::from_utf8(bytes).map(Some).map_err(|_| refuse())
    }

    /// Refuses parameters of the query that are not among `known`: a filter that is spelled wrong would
    /// answer with too much.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), ApiError> {
        match self.query.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) if known.is_empty() => {
                Err(invalid(shortened(name), "This route takes no parameters."))
            }
            Some((name, _)) => {
                let message =
                    format!("There is no such parameter; there are {}.", known.join(", "));
                Err(invalid(shortened(name), message))
            }
        }
    }

    fn header(&self, name: &HeaderName) -> Option<&'a str> {
        self.headers.get(name).map(|value| value.to_str().unwrap_or_default().trim())
    }

    /// Checks that the caller has seen what it is about to replace. `is_required`: it must say so.
    pub(crate) fn matches(&self, version: u64, is_required: bool) -> Result<(), ApiError> {
        if self.header(&header::IF_NONE_MATCH).is_some() {
            let message = "It is there already. Read it, and change it with If-Match.";
            return Err(failed(message.to_owned()));
        }
        let Some(given) = self.header(&header::IF_MATCH) else {
            return if is_required { Err(required()) } else { Ok(()) };
        };
        let mut tags = given.split(',').map(|tag| tag.trim().trim_start_matches("W/"));
        if given == "*" || tags.any(|tag| tag == etag(version)) {
            return Ok(());
        }
        let now = etag(version);
        Err(failed(format!(
            "It was changed since you read it. Its ETag is {now} now. Read it again, and make your change to what it is now."
        )))
    }

    /// Checks that the caller means to make what is not there. `is_required`: it must say so.
    pub(crate) fn is_creating(&self, is_required: bool) -> Result<(), ApiError> {
        if self.header(&header::IF_MATCH).is_some() {
            let message =
                "There is nothing to change: it is not there. Create it with If-None-Match: *.";
            return Err(failed(message.to_owned()));
        }
        match self.header(&header::IF_NONE_MATCH) {
            Some("*") => Ok(()),
            Some(_) => {
                Err(invalid("If-None-Match", "Here this is `*`: create it if it is not there."))
            }
            None if is_required => Err(required()),
            None => Ok(()),
        }
    }

    /// Whether the caller says that it means to change something that is there.
    pub(crate) fn says_known(&self) -> bool {
        self.header(&header::IF_MATCH).is_some()
    }

    /// The body, which is an object in JSON or, if the content type says so, in YAML.
    pub(crate) fn object(&self) -> Result<Map<String, Value>, ApiError> {
        let content_type = self.header(&header::CONTENT_TYPE);
        let Some(format) = Format::of(content_type) else {
            return Err(invalid(
                "Content-Type",
                "Documents are application/json or application/yaml.",
            ));
        };
        format.object(self.body).map_err(invalid_field)
    }

    /// The body of a request that need not have one.
    pub(crate) fn object_if_any(&self) -> Result<Map<String, Value>, ApiError> {
        if self.body.is_empty() { Ok(Map::new()) } else { self.object() }
    }
}

/// A place in a list, for the next page.
pub(crate) fn cursor(place: &str) -> String {
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
pub(crate) fn changed_meanwhile() -> ApiError {
    failed("It was changed at this moment by somebody else. Read it again, and make your change to what it is now.".to_owned())
}

/// A text of a body that need not be there.
pub(crate) fn take_text(
    body: &mut Map<String, Value>,
    name: &str,
) -> Result<Option<String>, ApiError> {
    match body.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(invalid(name, "This is a text.")),
    }
}

/// A flag of a body that need not be there.
pub(crate) fn take_flag(
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

/// Refuses what is left of a body once every known field was taken out.
pub(crate) fn refuse_unknown(rest: &Map<String, Value>) -> Result<(), ApiError> {
    match rest.keys().next() {
        None => Ok(()),
        Some(name) => {
            Err(invalid(shortened(name), format!("There is no field `{}` here.", shortened(name))))
        }
    }
}

/// A text from outside, as far as it is repeated.
pub(crate) fn shortened(name: &str) -> String {
    name.chars().take(64).collect()
}

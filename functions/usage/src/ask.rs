//! What a request says besides its path.

use http::{HeaderMap, header};
use http_api::ApiError;
use inference::{Fault, FaultKind};
use serde_json::{Map, Value};

use crate::answer::{etag, invalid};

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

    /// A parameter that is a number from `min` to `max`.
    pub(crate) fn number(
        &self,
        name: &str,
        min: usize,
        max: usize,
        default: usize,
    ) -> Result<usize, ApiError> {
        let Some(text) = self.get(name) else { return Ok(default) };
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| is_plain && (min..=max).contains(number));
        number.ok_or_else(|| invalid(name, format!("This is a whole number from {min} to {max}.")))
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

    /// Checks that the caller says which state of `what` it is about to replace.
    pub(crate) fn requires_match(&self, what: &str) -> Result<(), ApiError> {
        if self.headers.contains_key(header::IF_MATCH) {
            return Ok(());
        }
        let message = format!(
            "Say which state of the {what} you change: If-Match with the ETag of GET, or `*` for whichever there is."
        );
        Err(invalid("If-Match", message))
    }

    /// Whether `If-Match` names this version, or whichever there is.
    pub(crate) fn matches(&self, version: u64) -> bool {
        let given = self.headers.get(header::IF_MATCH).and_then(|it| it.to_str().ok());
        let given = given.unwrap_or_default().trim();
        let mut tags = given.split(',').map(|tag| tag.trim().trim_start_matches("W/"));
        given == "*" || tags.any(|tag| tag == etag(version))
    }

    /// The body, which is a JSON object.
    pub(crate) fn object(&self) -> Result<Map<String, Value>, ApiError> {
        let refuse = |message: String| {
            ApiError::from(Fault::new(FaultKind::InvalidRequest, "invalid_json", message))
        };
        match serde_json::from_slice(self.body) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => Err(refuse("The body is a JSON object.".to_owned())),
            Err(error) => Err(refuse(format!("The body is not JSON: {error}."))),
        }
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

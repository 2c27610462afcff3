//! What a request of an administrative route says besides its path.

use http::{HeaderMap, HeaderName, header};
use inference::{Fault, FaultKind};
use lambda_http::{Request, RequestExt as _};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::answer::{etag, invalid};
use crate::{ApiError, read};

/// Query, headers and body of a request.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    headers: &'a HeaderMap,
    query: Vec<(String, String)>,
    body: &'a [u8],
}

impl<'a> Ask<'a> {
    /// What `request` says.
    ///
    /// # Errors
    /// 413 or 400 if its body cannot be taken; 400 if a parameter of the query is there twice: which one
    /// would count?
    pub fn of(request: &'a Request) -> Result<Self, ApiError> {
        let query = request.query_string_parameters();
        let query: Vec<(String, String)> =
            query.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let ask = Self { headers: request.headers(), query, body: read(request)? };
        for (index, (name, _)) in ask.query.iter().enumerate() {
            if ask.query.iter().skip(index + 1).any(|(other, _)| other == name) {
                return Err(invalid(shortened(name), "This parameter is there more than once."));
            }
        }
        Ok(ask)
    }

    /// The body, as the client sent it.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// A header, without white space around it; empty if it is no text.
    pub fn header(&self, name: &HeaderName) -> Option<&'a str> {
        self.headers.get(name).map(|value| value.to_str().unwrap_or_default().trim())
    }

    /// Whether `If-Match` names this version, or whichever there is.
    pub fn names(&self, version: u64) -> bool {
        let given = self.header(&header::IF_MATCH).unwrap_or_default();
        let mut tags = given.split(',').map(|tag| tag.trim().trim_start_matches("W/"));
        given == "*" || tags.any(|tag| tag == etag(version))
    }

    /// A parameter of the query.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A parameter that is `true` or `false`; no if it is not there.
    ///
    /// # Errors
    /// 400 if it is something else.
    pub fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(invalid(name, "This is `true` or `false`.")),
        }
    }

    /// A parameter that is a number from `min` to `max`.
    ///
    /// # Errors
    /// 400 if it is something else.
    pub fn number(
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
    ///
    /// # Errors
    /// 400 for the first of them.
    pub fn only(&self, known: &[&str]) -> Result<(), ApiError> {
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

    /// The body, which is a JSON object.
    ///
    /// # Errors
    /// 400 if it is something else.
    pub fn object(&self) -> Result<Map<String, Value>, ApiError> {
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
///
/// # Errors
/// 400 for the first field.
pub fn refuse_unknown(rest: &Map<String, Value>) -> Result<(), ApiError> {
    match rest.keys().next() {
        None => Ok(()),
        Some(name) => {
            Err(invalid(shortened(name), format!("There is no field `{}` here.", shortened(name))))
        }
    }
}

/// A text from outside, as far as it is repeated.
pub fn shortened(name: &str) -> String {
    name.chars().take(64).collect()
}

/// The parts of a path behind `/v1/`, decoded; none of one that is elsewhere, has an empty part, or is no
/// text.
pub fn parts(path: &str) -> Option<Vec<String>> {
    parts_below("/v1/", path)
}

/// As [`parts`], behind `base`.
pub fn parts_below(base: &str, path: &str) -> Option<Vec<String>> {
    let decode = |part| percent_decode_str(part).decode_utf8().ok().map(String::from);
    let parts: Vec<String> =
        path.strip_prefix(base)?.split('/').map(decode).collect::<Option<_>>()?;
    (!parts.iter().any(String::is_empty)).then_some(parts)
}

//! The REQUEST authorizer event, as far as it is needed.

use std::collections::HashMap;

use serde::Deserialize;

use crate::refusal::InvalidToken;

/// How a browser, which can set no header, says its token when it opens a WebSocket: as the
/// subprotocol after this one.
const BEARER: &str = "bearer";

/// More than this cannot be a token of a registered issuer; API Gateway itself stops at 10,240 bytes of headers.
const MAX_HEADER_BYTES: usize = 8 * 1024;

/// What API Gateway asks about: a request without its body.
///
/// It holds a bearer token, so it has no `Debug`. Everything else in the event is left out, so that
/// no odd header of a client can make the event unreadable.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizerRequest {
    /// The method that is to be called, `arn:aws:execute-api:<region>:<account>:<api>/<stage>/<method>/<path>`.
    pub method_arn: String,
    /// The headers; of a repeated one, the last value.
    #[serde(default)]
    pub headers: Option<HashMap<String, String>>,
    /// The headers with all their values.
    #[serde(default)]
    pub multi_value_headers: Option<HashMap<String, Vec<String>>>,
    /// The query; of a repeated name, the last value.
    #[serde(default)]
    pub query_string_parameters: Option<HashMap<String, String>>,
    /// What API Gateway itself says about the request.
    #[serde(default)]
    pub request_context: RequestContext,
}

/// What API Gateway itself says about the request.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct RequestContext {
    /// Of a WebSocket API only: `CONNECT`, as messages are not authorized.
    #[serde(default)]
    pub event_type: Option<String>,
}

impl AuthorizerRequest {
    /// Whether a WebSocket is to be opened.
    pub(crate) fn is_connect(&self) -> bool {
        self.request_context.event_type.as_deref() == Some("CONNECT")
    }

    /// The one token of the request.
    ///
    /// Several are refused: which of them API Gateway keys its cache by is not ours to guess. That
    /// cache, which a WebSocket API has none of, is also why no other request may say its token anywhere
    /// but in the header.
    pub(crate) fn bearer_token(&self) -> Result<&str, InvalidToken> {
        let in_header = self.header("authorization")?.map(of_authorization).transpose()?;
        if !self.is_connect() {
            return in_header.ok_or(InvalidToken::Missing);
        }
        let in_protocol = self.header("sec-websocket-protocol")?.and_then(of_protocols);
        let query = self.query_string_parameters.iter().flatten();
        let mut in_query =
            query.filter(|(name, _)| *name == "token").map(|(_, token)| token.as_str());
        let mut tokens = [in_header, in_protocol, in_query.next()].into_iter().flatten();
        match (tokens.next(), tokens.next()) {
            (None, _) => Err(InvalidToken::Missing),
            (Some(token), None) if token.len() <= MAX_HEADER_BYTES => Ok(token),
            (Some(_), None) => Err(InvalidToken::TooLarge),
            (Some(_), Some(_)) => Err(InvalidToken::Repeated),
        }
    }

    /// The value of a header, whose name is given in lower case.
    fn header(&self, name: &'static str) -> Result<Option<&str>, InvalidToken> {
        let mut values: Vec<&str> =
            named(self.multi_value_headers.as_ref(), name).flatten().map(String::as_str).collect();
        if values.is_empty() {
            values = named(self.headers.as_ref(), name).map(String::as_str).collect();
        }
        match values.as_slice() {
            [] => Ok(None),
            [value] => Ok(Some(*value)),
            _ => Err(InvalidToken::Repeated),
        }
    }
}

/// The token in `Authorization: Bearer <token>`.
fn of_authorization(value: &str) -> Result<&str, InvalidToken> {
    if value.len() > MAX_HEADER_BYTES {
        return Err(InvalidToken::TooLarge);
    }
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(BEARER) => Ok(token),
        _ => Err(InvalidToken::NotBearer),
    }
}

/// The token in `Sec-WebSocket-Protocol: bearer, <token>`, if it is of that form.
fn of_protocols(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(',')?;
    (scheme.trim() == BEARER).then(|| token.trim())
}

fn named<'a, T>(
    headers: Option<&'a HashMap<String, T>>,
    name: &'static str,
) -> impl Iterator<Item = &'a T> {
    headers
        .into_iter()
        .flatten()
        .filter(move |(it, _)| it.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

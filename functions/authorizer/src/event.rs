//! The REQUEST authorizer event, as far as it is needed.

use std::collections::HashMap;

use serde::Deserialize;

use crate::refusal::InvalidToken;

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
    /// The query; of a repeated parameter, the last value.
    #[serde(default)]
    pub query_string_parameters: Option<HashMap<String, String>>,
    /// What is asked for.
    #[serde(default)]
    pub request_context: RequestContext,
}

/// What is asked for.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct RequestContext {
    /// `CONNECT` if a WebSocket is to be opened; absent for plain requests.
    #[serde(default)]
    pub event_type: Option<String>,
}

impl AuthorizerRequest {
    /// The token of the one `Authorization: Bearer <token>` header; of a WebSocket to be opened without
    /// that header, which browsers cannot set, the query's `token`.
    ///
    /// Several such headers are refused: which of them API Gateway keys its cache by is not ours to guess.
    /// By the query it keys nothing, so that of a plain request is not looked at.
    pub(crate) fn bearer_token(&self) -> Result<&str, InvalidToken> {
        match self.token_of_header() {
            Err(InvalidToken::Missing) => self.token_of_query(),
            token => token,
        }
    }

    fn token_of_query(&self) -> Result<&str, InvalidToken> {
        if self.request_context.event_type.as_deref() != Some("CONNECT") {
            return Err(InvalidToken::Missing);
        }
        let token = self.query_string_parameters.as_ref().and_then(|query| query.get("token"));
        match token {
            Some(token) if token.len() > MAX_HEADER_BYTES => Err(InvalidToken::TooLarge),
            Some(token) => Ok(token),
            None => Err(InvalidToken::Missing),
        }
    }

    fn token_of_header(&self) -> Result<&str, InvalidToken> {
        let mut values: Vec<&str> =
            named(self.multi_value_headers.as_ref()).flatten().map(String::as_str).collect();
        if values.is_empty() {
            values = named(self.headers.as_ref()).map(String::as_str).collect();
        }
        let value = match values.as_slice() {
            [] => return Err(InvalidToken::Missing),
            [value] => *value,
            _ => return Err(InvalidToken::RepeatedHeader),
        };
        if value.len() > MAX_HEADER_BYTES {
            return Err(InvalidToken::TooLarge);
        }
        match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token),
            _ => Err(InvalidToken::NotBearer),
        }
    }
}

fn named<T>(headers: Option<&HashMap<String, T>>) -> impl Iterator<Item = &T> {
    headers
        .into_iter()
        .flatten()
        .filter(|(name, _)| name.eq_ignore_ascii_case("authorization"))
        .map(|(_, value)| value)
}

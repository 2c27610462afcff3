//! Reading a presigned `GetCallerIdentity`, without trust and without asking anybody.
//!
//! What is sent to STS is put together anew from the parts read here, so nothing else of a token
//! ever gets anywhere.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::IdentityRequest;
use super::endpoint::AwsTokens;
use crate::refusal::InvalidToken;

/// How tokens of AWS roles begin. No JWT does: its header would have to decode to JSON.
pub(crate) const PREFIX: &str = "weir-aws-v1.";

/// The header whose signed value names the gateway. STS does not know it; it only finds that the
/// signature covers it, so a token that another gateway was sent does not verify here.
pub(super) const SERVER_ID_HEADER: &str = "x-weir-server-id";

/// A signature is good for this long at most, however long it says. STS itself takes none that is older,
/// and does not look at `X-Amz-Expires`: that is looked at here.
const MAX_LIFETIME_S: u64 = 900;

/// The clocks of callers may be ahead of ours by this many seconds.
const MAX_AHEAD_S: u64 = 60;

/// What STS's own encoding leaves as it is: the unreserved characters of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A well-formed request for an allowed STS, that is neither too old nor from the future. Who signed it, only STS knows.
pub(super) struct Presigned {
    pub(super) request: IdentityRequest,
    /// Of the Region's: the caller must be of the same one.
    pub(super) partition: &'static str,
    /// In Unix seconds.
    pub(super) expires_at: u64,
}

/// The parameters of the query, decoded. Each must stand there once, no other may; only roles have a session token.
#[derive(Default)]
struct Parameters {
    action: Option<String>,
    version: Option<String>,
    algorithm: Option<String>,
    credential: Option<String>,
    date: Option<String>,
    expires: Option<String>,
    signed_headers: Option<String>,
    security_token: Option<String>,
    signature: Option<String>,
}

impl Presigned {
    pub(super) fn parse(token: &str, tokens: &AwsTokens, now: u64) -> Result<Self, InvalidToken> {
        let encoded = token.strip_prefix(PREFIX).ok_or(InvalidToken::Malformed)?;
        let url = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| InvalidToken::Malformed)?;
        let url = String::from_utf8(url).map_err(|_| InvalidToken::Malformed)?;
        // No URL parser: what it would make equal to an allowed host is not wanted here.
        let rest = url.strip_prefix("https://").ok_or(InvalidToken::WrongEndpoint)?;
        let (host, query) = rest.split_once("/?").ok_or(InvalidToken::WrongEndpoint)?;
        let endpoint = tokens.endpoint(host).ok_or(InvalidToken::WrongEndpoint)?;
        let parameters = Parameters::parse(query)?;
        let signed_at = parameters.check(&endpoint.region)?;
        let lifetime_s = lifetime_s(parameters.expires.as_deref())?;
        let expires_at = signed_at.saturating_add(lifetime_s);
        if signed_at > now.saturating_add(MAX_AHEAD_S) {
            return Err(InvalidToken::NotYetValid);
        }
        if expires_at <= now {
            return Err(InvalidToken::Expired);
        }
        let request = IdentityRequest {
            host: endpoint.host.clone(),
            query: parameters.query(),
            server_id: tokens.server_id().to_owned(),
        };
        Ok(Self { request, partition: endpoint.partition, expires_at })
    }
}

impl Parameters {
    fn parse(query: &str) -> Result<Self, InvalidToken> {
        let mut parameters = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').ok_or(InvalidToken::Malformed)?;
            let value = decoded(value).ok_or(InvalidToken::Malformed)?;
            let place = parameters.place(name).ok_or(InvalidToken::UnknownParameter)?;
            if place.replace(value).is_some() {
                return Err(InvalidToken::RepeatedParameter);
            }
        }
        Ok(parameters)
    }

    fn place(&mut self, name: &str) -> Option<&mut Option<String>> {
        Some(match name {
            "Action" => &mut self.action,
            "Version" => &mut self.version,
            "X-Amz-Algorithm" => &mut self.algorithm,
            "X-Amz-Credential" => &mut self.credential,
            "X-Amz-Date" => &mut self.date,
            "X-Amz-Expires" => &mut self.expires,
            "X-Amz-SignedHeaders" => &mut self.signed_headers,
            "X-Amz-Security-Token" => &mut self.security_token,
            "X-Amz-Signature" => &mut self.signature,
            _ => return None,
        })
    }

    /// Checks everything but the times; when it was signed, in Unix seconds.
    fn check(&self, region: &str) -> Result<u64, InvalidToken> {
        let is = |value: &Option<String>, expected: &str| value.as_deref() == Some(expected);
        if !is(&self.action, "GetCallerIdentity") || !is(&self.version, "2011-06-15") {
            return Err(InvalidToken::WrongAction);
        }
        if !is(&self.algorithm, "AWS4-HMAC-SHA256") {
            return Err(InvalidToken::WrongAlgorithm);
        }
        // A header that is not signed could be added by whoever holds the token, and one more that is
        // could mean something to STS.
        if self.signed_headers.as_deref().and_then(|names| names.strip_prefix("host;"))
            != Some(SERVER_ID_HEADER)
        {
            return Err(InvalidToken::WrongSignedHeaders);
        }
        let is_digest = |text: &str| {
            text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        if !self.signature.as_deref().is_some_and(is_digest) {
            return Err(InvalidToken::WrongSignature);
        }
        let date = self.date.as_deref().ok_or(InvalidToken::Malformed)?;
        let signed_at = unix_time(date).ok_or(InvalidToken::Malformed)?;
        let credential = self.credential.as_deref().ok_or(InvalidToken::Malformed)?;
        let scope: Vec<&str> = credential.split('/').collect();
        let [key_id, day, of_region, "sts", "aws4_request"] = scope.as_slice() else {
            return Err(InvalidToken::WrongScope);
        };
        let is_key_id = (16..=128).contains(&key_id.len())
            && key_id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_key_id || *of_region != region || !date.starts_with(&format!("{day}T")) {
            return Err(InvalidToken::WrongScope);
        }
        Ok(signed_at)
    }

    /// The query anew, in the order in which it is signed.
    fn query(&self) -> String {
        let pairs = [
            ("Action", &self.action),
            ("Version", &self.version),
            ("X-Amz-Algorithm", &self.algorithm),
            ("X-Amz-Credential", &self.credential),
            ("X-Amz-Date", &self.date),
            ("X-Amz-Expires", &self.expires),
            ("X-Amz-Security-Token", &self.security_token),
            ("X-Amz-SignedHeaders", &self.signed_headers),
            ("X-Amz-Signature", &self.signature),
        ];
        let pairs = pairs.iter().filter_map(|(name, value)| {
            let value = value.as_deref()?;
            Some(format!("{name}={}", utf8_percent_encode(value, ENCODED)))
        });
        pairs.collect::<Vec<_>>().join("&")
    }
}

/// The value of a parameter, encoded as SDKs do: everything but unreserved characters as `%XX`.
fn decoded(value: &str) -> Option<String> {
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        let is_plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let mut is_digit = || bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit());
        if !(is_plain || byte == b'%' && is_digit() && is_digit()) {
            return None;
        }
    }
    let value = percent_decode_str(value).decode_utf8().ok()?;
    let is_graphic = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic());
    is_graphic.then(|| value.into_owned())
}

/// How long it is good for, as its signer says.
fn lifetime_s(expires: Option<&str>) -> Result<u64, InvalidToken> {
    let digits = expires
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0'));
    let lifetime_s: Option<u64> = digits.and_then(|digits| digits.parse().ok());
    lifetime_s.filter(|it| (1..=MAX_LIFETIME_S).contains(it)).ok_or(InvalidToken::WrongLifetime)
}

/// The Unix seconds of `20270115T080000Z`.
fn unix_time(date: &str) -> Option<u64> {
    let digits: Vec<i16> = date
        .strip_suffix('Z')
        .filter(|rest| rest.len() == 15 && rest.as_bytes().get(8) == Some(&b'T'))?
        .bytes()
        .filter(|byte| *byte != b'T')
        .map(|byte| byte.is_ascii_digit().then(|| i16::from(byte - b'0')))
        .collect::<Option<_>>()?;
    let [y1, y2, y3, y4, mo1, mo2, d1, d2, h1, h2, mi1, mi2, s1, s2] = digits.as_slice() else {
        return None;
    };
    let two = |tens: &i16, ones: &i16| i8::try_from(tens * 10 + ones).ok();
    let year = y1 * 1000 + y2 * 100 + y3 * 10 + y4;
    let moment = DateTime::new(
        year,
        two(mo1, mo2)?,
        two(d1, d2)?,
        two(h1, h2)?,
        two(mi1, mi2)?,
        two(s1, s2)?,
        0,
    )
    .ok()?;
    u64::try_from(TimeZone::UTC.to_timestamp(moment).ok()?.as_second()).ok()
}

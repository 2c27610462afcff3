//! Bodies in and out.

use std::convert::Infallible;

use bytes::Bytes;
use http::header;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use lambda_http::Request;

use crate::ApiError;

/// The body of every response: whole or streamed, it cannot fail. What goes wrong in a stream is an
/// event in it, since the runtime would write an error's text into the client's data.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Bytes of a request at most. Lambda takes 6 MB with the event around the body, which escapes it.
const MAX_BODY: usize = 6 * 1024 * 1024;

/// A body that is sent at once.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// The bytes of a request, as the client sent them.
///
/// # Errors
/// 413 if there are too many; 400 if they were not UTF-8.
pub fn read(request: &Request) -> Result<&[u8], ApiError> {
    let bytes: &[u8] = request.body().as_ref();
    if bytes.len() > MAX_BODY {
        return Err(ApiError::too_large(MAX_BODY));
    }
    if was_repaired(request, bytes) { Err(ApiError::not_utf8()) } else { Ok(bytes) }
}

/// Whether bytes that are not UTF-8 were replaced on the way.
///
/// API Gateway hands a body over as text, with U+FFFD for each byte that is none. Somebody may have
/// meant a U+FFFD; but then the body is as long as the client said.
fn was_repaired(request: &Request, bytes: &[u8]) -> bool {
    let said = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    said.is_some_and(|said: usize| said != bytes.len()) && has_replacement(bytes)
}

/// Whether U+FFFD stands in `bytes`.
fn has_replacement(bytes: &[u8]) -> bool {
    bytes.windows(3).any(|window| window == "\u{fffd}".as_bytes())
}

#[cfg(test)]
mod tests {
    use lambda_http::Body as EventBody;

    use super::*;

    #[track_caller]
    fn check(body: &str, content_length: Option<usize>, is_accepted: bool) {
        let mut request = Request::new(EventBody::Text(body.to_owned()));
        if let Some(length) = content_length {
            request.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        }
        assert_eq!(read(&request).is_ok(), is_accepted, "{body} {content_length:?}");
    }

    #[test]
    fn a_body_that_was_repaired_on_the_way_is_refused() {
        check("caf\u{fffd}", Some(4), false);
        check("caf\u{fffd}", Some(6), true);
        check("caf\u{fffd}", None, true);
        check("cafe", Some(4), true);
    }

    #[test]
    fn a_body_may_be_as_large_as_the_event_allows() {
        check(&"a".repeat(MAX_BODY), None, true);
        check(&"a".repeat(MAX_BODY + 1), None, false);
    }
}

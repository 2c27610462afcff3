//! Bodies in and out.

use std::convert::Infallible;

use bytes::Bytes;
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
/// 413 if there are too many.
pub fn read(request: &Request) -> Result<&[u8], ApiError> {
    let bytes: &[u8] = request.body().as_ref();
    if bytes.len() > MAX_BODY { Err(ApiError::too_large(MAX_BODY)) } else { Ok(bytes) }
}

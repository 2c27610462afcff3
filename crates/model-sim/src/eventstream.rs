//! Messages of AWS event streams (<https://smithy.io/2.0/aws/amazon-eventstream.html>).

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;

/// An event.
pub(crate) fn event(kind: &str, content_type: &'static str, payload: impl Into<Bytes>) -> Bytes {
    message(":event-type", kind, content_type, "event", payload)
}

/// An error that ends the stream.
pub(crate) fn exception(kind: &str, payload: impl Into<Bytes>) -> Bytes {
    message(":exception-type", kind, "application/json", "exception", payload)
}

fn message(
    type_header: &'static str,
    kind: &str,
    content_type: &'static str,
    message_type: &'static str,
    payload: impl Into<Bytes>,
) -> Bytes {
    let message = Message::new(payload)
        .add_header(Header::new(type_header, HeaderValue::String(kind.to_owned().into())))
        .add_header(Header::new(":content-type", HeaderValue::String(content_type.into())))
        .add_header(Header::new(":message-type", HeaderValue::String(message_type.into())));
    let mut bytes = Vec::new();
    match write_message_to(&message, &mut bytes) {
        Ok(()) => bytes.into(),
        // Only a message over the format's 16 MB cannot be framed, and no request is that long.
        Err(_) => Bytes::new(),
    }
}

/// An event whose checksum is wrong.
pub(crate) fn garbage() -> Bytes {
    let mut bytes = event("garbage", "application/json", "{}").to_vec();
    if let Some(last) = bytes.last_mut() {
        *last ^= 0xff;
    }
    bytes.into()
}

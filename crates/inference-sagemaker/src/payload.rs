//! What is in the frames of a streamed answer.

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use aws_smithy_types::event_stream::Message;
use aws_transport::Meaning;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use inference::{ByteStream, ProviderError, ProviderErrorKind as Kind};
use serde_json::Value;

/// The container's bytes, as they come in `PayloadPart` frames of `body`.
pub(crate) fn payloads(body: ByteStream, request_id: Option<String>) -> ByteStream {
    let reading = Reading {
        body,
        decoder: MessageFrameDecoder::new(),
        received: BytesMut::new(),
        is_within_frame: false,
    };
    futures::stream::unfold(Some(reading), move |reading| {
        let request_id = request_id.clone();
        async move {
            let mut reading = reading?;
            match reading.next().await? {
                Ok(bytes) => Some((Ok(bytes), Some(reading))),
                // Nothing follows an error.
                Err(error) => {
                    let error = ProviderError {
                        provider_request_id: error.provider_request_id.or(request_id),
                        ..error
                    };
                    Some((Err(error), None))
                }
            }
        }
    })
    .boxed()
}

struct Reading {
    body: ByteStream,
    decoder: MessageFrameDecoder,
    received: BytesMut,
    is_within_frame: bool,
}

impl Reading {
    async fn next(&mut self) -> Option<Result<Bytes, ProviderError>> {
        loop {
            match self.decoder.decode_frame(&mut self.received) {
                Err(error) => {
                    let message = format!("a frame of the answer is garbled: {error}");
                    return Some(Err(Meaning::failed(Kind::Interrupted).error(message)));
                }
                Ok(DecodedFrame::Complete(message)) => {
                    self.is_within_frame = !self.received.is_empty();
                    match payload(&message) {
                        Ok(bytes) if bytes.is_empty() => {}
                        outcome => return Some(outcome),
                    }
                }
                Ok(DecodedFrame::Incomplete) => match self.body.next().await {
                    Some(Ok(bytes)) => {
                        self.is_within_frame |= !bytes.is_empty();
                        self.received.extend_from_slice(&bytes);
                    }
                    Some(Err(error)) => return Some(Err(error)),
                    None if self.is_within_frame => {
                        let message = "the answer ended within a frame";
                        return Some(Err(Meaning::failed(Kind::Interrupted).error(message)));
                    }
                    None => return None,
                },
            }
        }
    }
}

/// The container's bytes in a frame; none in frames of a kind that is not known.
fn payload(message: &Message) -> Result<Bytes, ProviderError> {
    let header = |name: &str| {
        let header = message.headers().iter().find(|header| header.name().as_str() == name)?;
        header.value().as_string().ok().map(aws_smithy_types::str_bytes::StrBytes::as_str)
    };
    match header(":message-type") {
        Some("event") if header(":event-type") == Some("PayloadPart") => {
            Ok(message.payload().clone())
        }
        Some("event") => Ok(Bytes::new()),
        _ => {
            let name = header(":exception-type").or_else(|| header(":error-code"));
            Err(exception(name.unwrap_or("unnamed"), header(":error-message"), message.payload()))
        }
    }
}

/// The error in place of the rest. The container has run.
fn exception(name: &str, message: Option<&str>, payload: &[u8]) -> ProviderError {
    let body: Value = serde_json::from_slice(payload).unwrap_or_default();
    let text = |key: &str| body.get(key).and_then(Value::as_str);
    let kind = match text("ErrorCode") {
        Some("MODEL_INVOCATION_TIME_EXCEEDED") => Kind::Timeout,
        Some("STREAM_BROKEN") => Kind::Interrupted,
        _ => Meaning::of_code(name).map_or(Kind::Internal, |meaning| meaning.kind),
    };
    let message = text("Message").or_else(|| text("message")).or(message).unwrap_or(name);
    Meaning::failed(kind).error(message)
}

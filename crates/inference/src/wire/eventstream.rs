//! Amazon's event streams: messages with a length, headers, a payload and checksums
//! (<https://smithy.io/2.0/aws/amazon-eventstream.html>).

use aws_smithy_eventstream::frame;
use aws_smithy_types::event_stream as smithy;
use bytes::{Buf as _, Bytes, BytesMut};
use serde_json::{Value, json};

use crate::protocol::unreadable;
use crate::{Fault, FaultKind, ProviderError, ProviderErrorKind};

/// Two lengths and their checksum stand before a message's headers.
const PRELUDE_LENGTH: usize = 12;
/// A message with no headers and no payload: the prelude and a checksum.
const MIN_LENGTH: usize = PRELUDE_LENGTH + 4;
/// The longest message that the format allows.
const MAX_LENGTH: usize = 16 * 1024 * 1024;

/// A piece of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    /// Its bytes as they came, framing included.
    pub(crate) bytes: Bytes,
    /// What it is.
    pub(crate) kind: Kind,
    /// What it carries, almost always JSON.
    pub(crate) payload: Bytes,
}

/// What a message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An event of that type.
    Event(String),
    /// An exception that the service's model knows, of that type. The stream is over.
    Exception(String),
    /// Any other failure: its code and what is said about it. The stream is over.
    Error(String, String),
    /// No message at all, and why; nothing after it can be read.
    Garbage(String),
}

impl Message {
    /// The payload as JSON; `null` if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap_or_default()
    }

    /// The failure that this message reports. Whatever it is, the provider has begun, and bills what it did.
    pub(crate) fn error(&self) -> Option<ProviderError> {
        match &self.kind {
            Kind::Event(_) => None,
            Kind::Exception(name) => {
                let payload = self.json();
                let message = ["message", "Message", "originalMessage"]
                    .iter()
                    .find_map(|key| payload.get(key).and_then(Value::as_str));
                Some(unreadable(kind_of(name), message.unwrap_or(name)))
            }
            Kind::Error(code, message) => {
                Some(unreadable(kind_of(code), if message.is_empty() { code } else { message }))
            }
            Kind::Garbage(reason) => {
                Some(unreadable(ProviderErrorKind::Interrupted, reason.as_str()))
            }
        }
    }
}

/// What Bedrock means by an exception in mid-stream.
fn kind_of(code: &str) -> ProviderErrorKind {
    let code = code.to_ascii_lowercase();
    match code.strip_suffix("exception").unwrap_or(&code) {
        "modelstreamerror" | "modelerror" => ProviderErrorKind::ModelError,
        "modeltimeout" => ProviderErrorKind::Timeout,
        "serviceunavailable" | "modelnotready" => ProviderErrorKind::Unavailable,
        "throttling" | "toomanyrequests" => ProviderErrorKind::Throttled,
        "servicequotaexceeded" => ProviderErrorKind::QuotaExceeded,
        "validation" => ProviderErrorKind::InvalidRequest,
        "accessdenied" => ProviderErrorKind::AccessDenied,
        _ => ProviderErrorKind::Internal,
    }
}

/// Finds the messages in a stream, however its bytes are cut. All messages together hold all bytes
/// that came, in order.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    buffer: BytesMut,
    is_broken: bool,
}

impl Splitter {
    /// Takes bytes, and returns the messages that they complete. Nothing can be read after garbage:
    /// what follows it is garbage too.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Message> {
        self.buffer.extend_from_slice(bytes);
        let mut messages = Vec::new();
        while !self.is_broken {
            match self.next_length() {
                Ok(Some(length)) => {
                    let bytes = self.buffer.split_to(length).freeze();
                    let message = read(&bytes);
                    self.is_broken = matches!(message.kind, Kind::Garbage(_));
                    messages.push(message);
                }
                Ok(None) => return messages,
                Err(reason) => {
                    self.is_broken = true;
                    messages.push(garbage(self.buffer.split().freeze(), reason));
                }
            }
        }
        if !self.buffer.is_empty() {
            messages.push(garbage(self.buffer.split().freeze(), "what follows cannot be read"));
        }
        messages
    }

    /// The length of the message at the start of the buffer, once all of it is there.
    fn next_length(&self) -> Result<Option<usize>, &'static str> {
        let Some(mut prelude) = self.buffer.get(..PRELUDE_LENGTH) else { return Ok(None) };
        let (length, headers) = (prelude.get_u32() as usize, prelude.get_u32() as usize);
        if !(MIN_LENGTH..=MAX_LENGTH).contains(&length) || headers > length - MIN_LENGTH {
            return Err("the stream is no Amazon event stream");
        }
        Ok((self.buffer.len() >= length).then_some(length))
    }

    /// What is left when the stream has ended: the beginning of a message that never came whole.
    pub(crate) fn finish(&mut self) -> Option<Message> {
        let rest = self.buffer.split().freeze();
        (!rest.is_empty()).then(|| garbage(rest, "the stream broke off in the middle of a message"))
    }
}

fn garbage(bytes: Bytes, reason: impl Into<String>) -> Message {
    Message { bytes, kind: Kind::Garbage(reason.into()), payload: Bytes::new() }
}

/// Reads one whole message.
fn read(bytes: &Bytes) -> Message {
    let message = match frame::read_message_from(bytes.clone()) {
        Ok(message) => message,
        Err(error) => return garbage(bytes.clone(), format!("a message is damaged: {error}")),
    };
    let header = |name: &str| {
        let header = message.headers().iter().find(|header| header.name().as_str() == name)?;
        header.value().as_string().ok().map(|value| value.as_str().to_owned())
    };
    let kind = match header(":message-type").as_deref() {
        Some("event") => header(":event-type").map(Kind::Event),
        Some("exception") => header(":exception-type").map(Kind::Exception),
        Some("error") => header(":error-code")
            .map(|code| Kind::Error(code, header(":error-message").unwrap_or_default())),
        _ => None,
    };
    let kind =
        kind.unwrap_or_else(|| Kind::Garbage("a message does not say what it is".to_owned()));
    Message { bytes: bytes.clone(), kind, payload: message.payload().clone() }
}

/// A message that carries an event.
pub(crate) fn event(event_type: &str, payload: &Value) -> Bytes {
    write("event", ":event-type", event_type, payload)
}

/// A message that ends a stream with an exception.
pub(crate) fn exception(exception_type: &str, payload: &Value) -> Bytes {
    write("exception", ":exception-type", exception_type, payload)
}

/// The exception that a stream of Bedrock's ends with when something went wrong. It names one of
/// those that the service's model has for streams, for SDKs read no others.
pub(crate) fn fault(fault: &Fault) -> Bytes {
    let exception_type = match fault.kind {
        FaultKind::InvalidRequest
        | FaultKind::Authentication
        | FaultKind::PermissionDenied
        | FaultKind::NotFound
        | FaultKind::MethodNotAllowed
        | FaultKind::Conflict
        | FaultKind::PreconditionFailed
        | FaultKind::PreconditionRequired
        | FaultKind::TooLarge => "validationException",
        FaultKind::RequestRate | FaultKind::TokenRate | FaultKind::Quota => "throttlingException",
        FaultKind::Internal => "internalServerException",
        FaultKind::Provider | FaultKind::Timeout => "modelStreamErrorException",
        FaultKind::Unavailable => "serviceUnavailableException",
    };
    exception(exception_type, &json!({"message": fault.message}))
}

fn write(message_type: &'static str, name: &'static str, value: &str, payload: &Value) -> Bytes {
    let header = |name: &'static str, value: &str| {
        smithy::Header::new(name, smithy::HeaderValue::String(value.to_owned().into()))
    };
    let message = smithy::Message::new(payload.to_string())
        .add_header(header(name, value))
        .add_header(header(":content-type", "application/json"))
        .add_header(header(":message-type", message_type));
    let mut bytes = Vec::with_capacity(message.payload().len() + 128);
    // Fails for headers over 32 KB and payloads over 4 GB only, and then writes nothing.
    match frame::write_message_to(&message, &mut bytes) {
        Ok(()) => bytes.into(),
        Err(_) => Bytes::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(bytes: &[u8], chunk: usize) -> (Vec<Message>, Option<Message>) {
        let mut splitter = Splitter::default();
        let messages = bytes.chunks(chunk.max(1)).flat_map(|chunk| splitter.push(chunk)).collect();
        (messages, splitter.finish())
    }

    fn sample() -> Vec<u8> {
        [
            event("messageStart", &json!({"role": "assistant"})),
            event("contentBlockDelta", &json!({"delta": {"text": "Grüße"}})),
            exception("throttlingException", &json!({"message": "slow down"})),
        ]
        .concat()
    }

    #[test]
    fn what_is_written_can_be_read() {
        let (messages, rest) = read_all(&sample(), usize::MAX);
        let kinds: Vec<_> = messages.iter().map(|message| message.kind.clone()).collect();
        assert_eq!(
            kinds,
            [
                Kind::Event("messageStart".to_owned()),
                Kind::Event("contentBlockDelta".to_owned()),
                Kind::Exception("throttlingException".to_owned()),
            ]
        );
        assert_eq!(messages[1].json(), json!({"delta": {"text": "Grüße"}}));
        assert_eq!(messages[0].error(), None);
        let error = messages[2].error().unwrap();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (ProviderErrorKind::Throttled, "slow down")
        );
        assert_eq!(rest, None);
    }

    #[test]
    fn a_damaged_message_is_an_error_and_so_is_all_that_follows() {
        let mut bytes = sample();
        bytes[20] ^= 1;
        let (messages, _) = read_all(&bytes, usize::MAX);
        assert_eq!(messages.len(), 2);
        for message in &messages {
            assert_eq!(message.error().unwrap().kind, ProviderErrorKind::Interrupted);
        }
        assert_eq!(
            messages.iter().flat_map(|message| message.bytes.clone()).collect::<Vec<_>>(),
            bytes
        );
    }

    #[test]
    fn what_is_no_event_stream_is_found_out_at_once() {
        for bytes in [&b"<html><body>502"[..], b"{\"message\":\"no\"}", &[0; 12], &[0xff; 12]] {
            let (messages, _) = read_all(bytes, usize::MAX);
            assert_eq!(messages.len(), 1);
            assert_eq!(messages[0].error().unwrap().kind, ProviderErrorKind::Interrupted);
        }
    }

    #[test]
    fn a_message_cut_short_is_an_error() {
        let bytes = sample();
        let (messages, rest) = read_all(&bytes[..bytes.len() - 1], 7);
        assert_eq!(messages.len(), 2);
        assert_eq!(rest.unwrap().error().unwrap().kind, ProviderErrorKind::Interrupted);
    }

    #[test]
    fn other_failures_are_read_by_their_code() {
        let header = |name: &'static str, value: &'static str| {
            smithy::Header::new(name, smithy::HeaderValue::String(value.into()))
        };
        let message = smithy::Message::new(Bytes::new())
            .add_header(header(":message-type", "error"))
            .add_header(header(":error-code", "ServiceUnavailableException"))
            .add_header(header(":error-message", "come back later"));
        let mut bytes = Vec::new();
        frame::write_message_to(&message, &mut bytes).unwrap();
        let (messages, _) = read_all(&bytes, 1);
        let error = messages[0].error().unwrap();
        assert_eq!(error.kind, ProviderErrorKind::Unavailable);
        assert_eq!(error.message, "come back later");
    }

    #[test]
    fn faults_become_exceptions_that_the_stream_has() {
        let kind = |kind| {
            let (messages, _) = read_all(&fault(&Fault::new(kind, "code", "why")), 5);
            messages[0].kind.clone()
        };
        assert_eq!(kind(FaultKind::Timeout), Kind::Exception("modelStreamErrorException".into()));
        assert_eq!(kind(FaultKind::Quota), Kind::Exception("throttlingException".into()));
    }

    proptest! {
        #[test]
        fn cutting_changes_nothing(chunk in 1_usize..64) {
            prop_assert_eq!(read_all(&sample(), chunk), read_all(&sample(), usize::MAX));
        }

        #[test]
        fn any_bytes_are_read_without_loss(
            bytes in prop::collection::vec(any::<u8>(), 0..256),
            is_damaged in any::<bool>(),
            chunk in 1_usize..64,
        ) {
            let bytes = if is_damaged {
                let mut sample = sample();
                for pair in bytes.chunks_exact(2).take(3) {
                    let length = sample.len();
                    sample[usize::from(pair[0]) % length] ^= pair[1];
                }
                sample
            } else {
                bytes
            };
            let (messages, rest) = read_all(&bytes, chunk);
            let read: Vec<u8> =
                messages.iter().chain(&rest).flat_map(|message| message.bytes.clone()).collect();
            prop_assert_eq!(read, bytes);
        }
    }
}

//! How clients ask, and how strictly they read, in each dialect.

mod chat;
mod converse;
mod invoke;
mod messages;
mod responses;

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use bytes::BytesMut;
use inference::{BadRequest, GenerateRequest};
use metering::TokenUsage;
use serde_json::{Map, Value};

use crate::said::{Said, Scenario};

/// A dialect in which clients ask for answers.
pub(crate) trait Client {
    /// Its name in the table.
    fn name(&self) -> &'static str;

    /// What the gateway makes of a request.
    fn parse(
        &self,
        body: &Value,
        is_streaming: bool,
    ) -> Result<Box<dyn GenerateRequest>, BadRequest>;

    /// What of `usage` the dialect tells.
    fn told(&self, usage: TokenUsage) -> TokenUsage {
        usage
    }

    /// The first request of a scenario.
    fn request(&self, scenario: Scenario, is_streaming: bool) -> Value;

    /// The next request: the first, the whole answer to it, and the results of its calls.
    fn next_request(&self, request: Value, answer: &Value) -> Value;

    /// Reads a whole answer.
    fn read(&self, body: &Value) -> Said;

    /// Reads a stream as strictly as the dialect's SDKs and rules do.
    fn read_stream(&self, bytes: &[u8]) -> Said;

    /// The message of the error with which a stream ends.
    fn read_error(&self, bytes: &[u8]) -> String;
}

/// Every dialect.
pub(crate) const CLIENTS: [&dyn Client; 5] =
    [&chat::Chat, &responses::Responses, &messages::Messages, &converse::Converse, &invoke::Invoke];

fn push(array: &mut Value, element: Value) {
    array.as_array_mut().unwrap().push(element);
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text, not {value}")).to_owned()
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("a count, not {value}"))
}

fn arguments(value: &Value) -> Value {
    serde_json::from_str(&text(value)).unwrap()
}

/// The events of a stream of server-sent events: name and data.
fn server_sent(bytes: &[u8]) -> Vec<(Option<String>, String)> {
    let stream = str::from_utf8(bytes).unwrap();
    assert!(stream.ends_with("\n\n"));
    let events = stream.split("\n\n").filter(|event| !event.is_empty() && !event.starts_with(':'));
    events
        .map(|event| {
            let field = |name: &str| {
                event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)
            };
            (field("event: "), field("data: ").unwrap())
        })
        .collect()
}

fn append(text: &mut Value, piece: &Value) {
    let whole = text.as_str().unwrap_or_default().to_owned() + piece.as_str().unwrap();
    *text = whole.into();
}

/// The messages of an event stream: what they are, their names and payloads.
fn event_stream(bytes: &[u8]) -> Vec<(String, String, Value)> {
    let mut buffer = BytesMut::from(bytes);
    let mut decoder = MessageFrameDecoder::new();
    let mut messages = Vec::new();
    while let DecodedFrame::Complete(message) = decoder.decode_frame(&mut buffer).unwrap() {
        let headers: Map<String, Value> = message
            .headers()
            .iter()
            .map(|header| {
                (
                    header.name().as_str().to_owned(),
                    header.value().as_string().unwrap().as_str().into(),
                )
            })
            .collect();
        let kind = text(&headers[":message-type"]);
        let name = text(&headers[format!(":{kind}-type").as_str()]);
        messages.push((kind, name, serde_json::from_slice(message.payload()).unwrap()));
    }
    assert!(buffer.is_empty(), "whole messages only");
    messages
}

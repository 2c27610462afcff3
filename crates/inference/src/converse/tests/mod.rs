//! Tests of Converse, as a dialect and as a protocol.

mod bound;
mod canonical;
mod forward;
mod parse;
mod properties;
mod read;
mod recorded;
mod render;
mod stream;
mod unary;
mod write;

use serde_json::{Value, json};

use super::ConverseRequest;
use crate::{BadRequest, Capabilities, Model, Protocol, fixtures};

/// A model that can do everything.
fn able_model() -> Model {
    fixtures::model("anthropic.claude-test", Protocol::Converse)
}

/// A model that reads and writes text.
fn plain_model() -> Model {
    Model { capabilities: Capabilities::default(), ..able_model() }
}

/// A model that speaks another protocol.
fn foreign_model() -> Model {
    fixtures::model("openai.gpt-test", Protocol::OpenaiChat)
}

fn parse(body: &Value) -> Result<ConverseRequest, BadRequest> {
    ConverseRequest::parse("m", false, body.to_string().as_bytes())
}

/// A valid request with the members of `fields` on top.
fn request(fields: Value) -> Value {
    let mut body = json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}]});
    if let (Value::Object(body), Value::Object(fields)) = (&mut body, fields) {
        body.extend(fields);
    }
    body
}

/// A request whose one message holds these blocks.
fn saying(blocks: Value) -> Value {
    let mut body = request(json!({}));
    body["messages"][0]["content"] = blocks;
    body
}

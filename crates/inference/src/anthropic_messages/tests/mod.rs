//! Tests of the dialect and the protocol. Inputs of golden tests are in `testdata/anthropic_messages/`.

mod bound;
mod canonical;
mod codec;
mod count;
mod forward;
mod golden;
mod properties;
mod reader;
mod recorded;
mod renderer;
mod uploads;

use serde_json::{Value, json};

use super::MessagesRequest;
use crate::{AnswerHead, BadRequest, Capabilities, Model, Protocol, fixtures};

/// A model that can do everything, behind Converse.
fn converse_model() -> Model {
    Model {
        provider_model_id: "us.anthropic.claude-test-v1:0".to_owned(),
        ..fixtures::model("anthropic.claude-test", Protocol::Converse)
    }
}

/// A text-only model behind Converse.
fn plain_model() -> Model {
    Model { capabilities: Capabilities::default(), ..converse_model() }
}

/// A model that speaks the dialect itself.
fn native_model() -> Model {
    Model { protocols: vec![Protocol::AnthropicMessages], ..converse_model() }
}

fn parse(body: &Value) -> Result<MessagesRequest, BadRequest> {
    MessagesRequest::parse(body.to_string().as_bytes(), &[])
}

/// A valid request with the members of `fields` on top.
fn request(fields: Value) -> Value {
    let mut body =
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    if let (Value::Object(body), Value::Object(fields)) = (&mut body, fields) {
        body.extend(fields);
    }
    body
}

/// A request whose user says these blocks.
#[expect(clippy::needless_pass_by_value, reason = "callers write `says(json!(..))`")]
fn says(blocks: Value) -> Value {
    request(json!({"messages": [{"role": "user", "content": blocks}]}))
}

fn head() -> AnswerHead {
    AnswerHead {
        call_id: "01".to_owned(),
        created: 1_763_856_000,
        model: "claude-test".to_owned(),
        likely_input: 7,
    }
}

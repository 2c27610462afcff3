//! Tests of the dialect. Inputs of golden tests are in `testdata/openai_chat/`.

mod bound;
mod canonical;
mod codec;
mod forward;
mod golden;
mod parse;
mod properties;
mod reader;
mod renderer;
mod stream;

use serde_json::{Value, json};

use super::ChatRequest;
use crate::BadRequest;
use crate::{Capabilities, Model, Protocol, fixtures};

/// A model that can do everything, behind Converse.
fn converse_model() -> Model {
    Model {
        provider_model_id: "us.anthropic.claude-test-v1:0".to_owned(),
        owned_by: "anthropic".to_owned(),
        family: None,
        ..fixtures::model("anthropic.claude-test", Protocol::Converse)
    }
}

/// A text-only model behind Converse.
fn plain_model() -> Model {
    Model { capabilities: Capabilities::default(), ..converse_model() }
}

/// A model that speaks the dialect itself.
fn native_model() -> Model {
    Model {
        id: "openai.gpt-test".parse().unwrap(),
        provider_model_id: "us.openai.gpt-test-1:0".to_owned(),
        protocols: vec![Protocol::OpenaiChat],
        ..converse_model()
    }
}

fn parse(body: &Value) -> Result<ChatRequest, BadRequest> {
    ChatRequest::parse(body.to_string().as_bytes())
}

/// A valid request with the members of `fields` on top.
fn request(fields: Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    if let (Value::Object(body), Value::Object(fields)) = (&mut body, fields) {
        body.extend(fields);
    }
    body
}

/// A request with these messages.
fn conversation(messages: Value) -> Value {
    let mut body = json!({"model": "m"});
    body["messages"] = messages;
    body
}

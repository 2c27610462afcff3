//! Tests of the dialect. Inputs of golden tests are in `testdata/openai_chat/`.

mod bound;
mod canonical;
mod error;
mod forward;
mod golden;
mod parse;
mod properties;
mod scan;
mod stream;

use serde_json::{Value, json};

use super::{BadRequest, ChatRequest};
use crate::{Capabilities, Estimate, Model, Protocol};

/// A model that can do everything, behind Converse.
fn converse_model() -> Model {
    Model {
        id: "anthropic.claude-test".parse().unwrap(),
        provider_model_id: "us.anthropic.claude-test-v1:0".to_owned(),
        protocol: Protocol::Converse,
        owned_by: "anthropic".to_owned(),
        created: 1_760_000_000,
        context_window: 200_000,
        max_output_tokens: 8_192,
        default_max_tokens: 1_024,
        capabilities: Capabilities {
            images: true,
            tools: true,
            forced_tool_choice: true,
            sampling_parameters: true,
            structured_output: true,
            reasoning_effort: true,
        },
        drop_fields: Vec::new(),
        estimate: Estimate { overhead_tokens: 500, image_tokens: 1_600 },
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
        protocol: Protocol::OpenaiChat,
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

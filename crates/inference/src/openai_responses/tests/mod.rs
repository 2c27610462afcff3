//! Tests of the dialect and the protocol. Inputs of golden tests are in `testdata/openai_responses/`.

mod checker;
mod codec;
mod golden;
mod parse;
mod properties;
mod recorded;
mod render;
mod stored;
mod turns;

use serde_json::{Value, json};

use super::ResponsesRequest;
use crate::{
    AnswerHead, BadRequest, Capabilities, GenerateRequest as _, Model, ModelRequest, Protocol,
    fixtures,
};

/// A model that can do everything, behind another protocol.
fn converse_model() -> Model {
    Model {
        provider_model_id: "us.anthropic.claude-test-v1:0".to_owned(),
        owned_by: "anthropic".to_owned(),
        family: None,
        ..fixtures::model("anthropic.claude-test", Protocol::Converse)
    }
}

/// A text-only model behind another protocol.
fn plain_model() -> Model {
    Model { capabilities: Capabilities::default(), ..converse_model() }
}

/// A model that speaks the dialect itself.
fn native_model() -> Model {
    Model {
        provider_model_id: "us.openai.gpt-test-1:0".to_owned(),
        ..fixtures::model("openai.gpt-test", Protocol::OpenaiResponses)
    }
}

fn parse(body: &Value) -> Result<ResponsesRequest, BadRequest> {
    ResponsesRequest::parse(body.to_string().as_bytes())
}

/// A valid request with the members of `fields` on top.
fn request(fields: Value) -> Value {
    let mut body = json!({"model": "m", "input": "hi"});
    if let (Value::Object(body), Value::Object(fields)) = (&mut body, fields) {
        body.extend(fields);
    }
    body
}

fn canonical(body: &Value) -> Result<ModelRequest, BadRequest> {
    parse(body)?.to_canonical(&converse_model(), 100)
}

fn forwarded(request: &ResponsesRequest) -> Value {
    let sent = request.forward(&native_model(), 100).unwrap();
    serde_json::from_slice(&sent.body).unwrap()
}

fn head() -> AnswerHead {
    AnswerHead {
        call_id: "01J".to_owned(),
        created: 1_763_856_000,
        model: "anthropic.claude-test".to_owned(),
        likely_input: 7,
    }
}

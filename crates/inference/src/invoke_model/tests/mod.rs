mod codec;
mod parse;
mod pointer;
mod renderer;

use serde_json::Value;

use super::InvokeRequest;
use crate::{BadRequest, BodyFormat, Model, Protocol, fixtures};

/// A model of Anthropic's, asked in its own JSON.
fn claude() -> Model {
    Model {
        provider_model_id: "us.anthropic.claude-test-v1:0".to_owned(),
        ..fixtures::model("anthropic.claude-test", Protocol::InvokeModel)
    }
}

/// A model with a JSON of its own.
fn other(max_tokens: Option<&str>, images: Option<&str>) -> Model {
    let body = BodyFormat::Native {
        max_tokens: max_tokens.map(str::to_owned),
        images: images.map(str::to_owned),
    };
    Model { body: Some(body), ..fixtures::model("vendor.model", Protocol::InvokeModel) }
}

fn parse(body: &Value) -> Result<InvokeRequest, BadRequest> {
    InvokeRequest::parse("m", false, body.to_string().as_bytes(), &[])
}

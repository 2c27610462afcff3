//! Bedrock `InvokeModel` with Anthropic's body, as Claude Code and Anthropic's Bedrock clients speak it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use inference::invoke_model::InvokeRequest;
use inference::{BadRequest, GenerateRequest};
use serde_json::{Value, json};

use super::{Client, event_stream, messages, text};
use crate::said::{MODEL, Said, Scenario};

pub(super) struct Invoke;

impl Client for Invoke {
    fn name(&self) -> &'static str {
        "Bedrock InvokeModel, Anthropic's body"
    }

    fn parse(
        &self,
        body: &Value,
        is_streaming: bool,
    ) -> Result<Box<dyn GenerateRequest>, BadRequest> {
        let body = body.to_string();
        Ok(Box::new(InvokeRequest::parse(MODEL, is_streaming, body.as_bytes(), &[])?))
    }

    fn request(&self, scenario: Scenario, _: bool) -> Value {
        let mut body = json!({"anthropic_version": "bedrock-2023-05-31"});
        let rest = messages::conversation(scenario);
        body.as_object_mut().unwrap().extend(rest.as_object().cloned().unwrap());
        body
    }

    fn next_request(&self, request: Value, answer: &Value) -> Value {
        messages::next_request(request, answer)
    }

    fn read(&self, body: &Value) -> Said {
        messages::answer(body)
    }

    fn read_stream(&self, bytes: &[u8]) -> Said {
        let events = event_stream(bytes).into_iter().map(|(kind, name, payload)| {
            assert_eq!((kind.as_str(), name.as_str()), ("event", "chunk"));
            let chunk = STANDARD.decode(text(&payload["bytes"])).unwrap();
            serde_json::from_slice(&chunk).unwrap()
        });
        messages::stream(events.collect())
    }

    fn read_error(&self, bytes: &[u8]) -> String {
        let (kind, name, payload) = event_stream(bytes).pop().unwrap();
        assert_eq!((kind.as_str(), name.as_str()), ("exception", "serviceUnavailableException"));
        text(&payload["message"])
    }
}

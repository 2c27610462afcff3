//! What real clients sent.

use std::path::Path;

use serde_json::Value;

use crate::openai_responses::ResponsesRequest;
use crate::{GenerateRequest as _, Protocol, StoredResponse, fixtures};

/// The protocols of models that use tools.
const PROTOCOLS: [Protocol; 4] = [
    Protocol::Converse,
    Protocol::OpenaiChat,
    Protocol::OpenaiResponses,
    Protocol::AnthropicMessages,
];

/// Every recorded request to this dialect, with its folder and number.
fn recorded() -> Vec<(String, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/recorded");
    let mut requests = Vec::new();
    for client in std::fs::read_dir(root).unwrap() {
        let client = client.unwrap().path();
        for file in
            client.is_dir().then(|| std::fs::read_dir(&client).unwrap()).into_iter().flatten()
        {
            let path = file.unwrap().path();
            let request: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            if request["path"] == "/v1/responses" {
                requests.push((path.display().to_string(), request["body"].clone()));
            }
        }
    }
    requests
}

/// A response that holds whatever a recorded request refers to.
fn memory(body: &Value, request: &ResponsesRequest) -> StoredResponse {
    let items = body["input"].as_array().unwrap();
    // The calls that are answered, and messages for the rest.
    let mut output: Vec<Value> = items
        .iter()
        .filter(|item| item["type"] == "item_reference")
        .map(|item| serde_json::json!({"type": "message", "id": item["id"], "role": "assistant", "content": "recalled"}))
        .collect();
    if request.previous_response_id().is_some() {
        output.extend(items.iter().filter(|item| item["type"] == "function_call_output").map(|item| {
            serde_json::json!({"type": "function_call", "call_id": item["call_id"], "name": "get_weather", "arguments": "{}"})
        }));
    }
    StoredResponse {
        id: request.previous_response_id().unwrap_or("resp_other").to_owned(),
        input: vec![super::super::stored::user_message("earlier")],
        response: serde_json::json!({ "output": output }),
    }
}

#[test]
fn every_recorded_request_is_served() {
    let requests = recorded();
    assert!(requests.len() >= 15, "{}", requests.len());
    for (name, body) in requests {
        let bytes = body.to_string();
        let request = ResponsesRequest::parse(bytes.as_bytes())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let is_stored = body["input"]
            .as_array()
            .is_some_and(|items| items.iter().any(|item| item["type"] == "item_reference"));
        let request = if is_stored || request.previous_response_id().is_some() {
            let stored = memory(&body, &request);
            request.with_history(&[stored]).unwrap_or_else(|error| panic!("{name}: {error}"))
        } else {
            request
        };
        for protocol in PROTOCOLS {
            let model = fixtures::model("vendor.model", protocol);
            let fail = |error| -> ! { panic!("{name} by {}: {error}", protocol.as_str()) };
            let bound = request.bound(&model, None).unwrap_or_else(|error| fail(error));
            let canonical =
                request.to_canonical(&model, bound.max_tokens).unwrap_or_else(|error| fail(error));
            assert!(!canonical.messages.is_empty() && !canonical.tools.is_empty(), "{name}");
            let codec = protocol.codec().unwrap();
            codec.write(&canonical, &model, true).unwrap_or_else(|error| fail(error));
            request.forward(&model, bound.max_tokens).unwrap_or_else(|error| fail(error));
        }
    }
}

//! An Amazon event stream of Converse or `InvokeModel`, mangled in its frames or in what they carry: no
//! panic, no byte out of place, the same events however it is cut, and at most one error, which is the end.

#![no_main]

use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use inference::converse::ConverseRequest;
use inference::{AnswerHead, Frame, GenerateRequest, Model, Protocol};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

const HEADERS: [(&str, &str); 10] = [
    (":event-type", "messageStart"),
    (":event-type", "contentBlockStart"),
    (":event-type", "contentBlockDelta"),
    (":event-type", "contentBlockStop"),
    (":event-type", "messageStop"),
    (":event-type", "metadata"),
    (":event-type", "chunk"),
    (":event-type", "somethingNew"),
    (":exception-type", "throttlingException"),
    (":exception-type", "somethingElse"),
];

fn model(protocol: Protocol) -> Model {
    serde_json::from_value(json!({
        "id": "m", "provider_model_id": "m", "protocols": [protocol], "owned_by": "o", "created": 0,
        "context_window": 1, "max_output_tokens": 1, "default_max_tokens": 1, "capabilities": {},
    }))
    .expect("a valid model")
}

fn write_frame(body: &mut Vec<u8>, kind: u8, payload: &str) {
    let (name, value) = HEADERS[usize::from(kind) % HEADERS.len()];
    let message_type = if name == ":event-type" { "event" } else { "exception" };
    let headers =
        [(":message-type", message_type), (name, value), (":content-type", "application/json")];
    let message = headers.into_iter().fold(
        Message::new(payload.as_bytes().to_vec()),
        |message, (name, value)| {
            message.add_header(Header::new(name, HeaderValue::String(value.to_owned().into())))
        },
    );
    aws_smithy_eventstream::frame::write_message_to(&message, body).expect("a short message");
}

fn read(protocol: Protocol, body: &[u8], chunk: usize) -> Vec<Frame> {
    let mut reader = protocol.codec().expect("it has streams").stream(&model(protocol));
    let mut frames: Vec<_> = body.chunks(chunk).flat_map(|chunk| reader.push(chunk)).collect();
    frames.extend(reader.finish());
    frames
}

fuzz_target!(|input: (bool, u8, Vec<(u8, &str)>, &[u8])| {
    let (is_converse, chunk, messages, garbage) = input;
    let protocol = if is_converse { Protocol::Converse } else { Protocol::InvokeModel };
    let mut body = Vec::new();
    for (kind, payload) in &messages {
        write_frame(&mut body, *kind, payload);
    }
    body.extend_from_slice(garbage);

    let frames = read(protocol, &body, usize::from(chunk).max(1));
    let passed: Vec<u8> = frames.iter().flat_map(|frame| frame.bytes.to_vec()).collect();
    // Half a message at the end may be left out.
    assert!(body.starts_with(&passed));
    let events: Vec<_> = frames.iter().flat_map(|frame| frame.events.clone()).collect();
    let whole = read(protocol, &body, body.len().max(1));
    assert_eq!(events, whole.iter().flat_map(|frame| frame.events.clone()).collect::<Vec<_>>());
    let error = frames.iter().position(|frame| frame.error.is_some());
    let after = frames.iter().skip(error.map_or(frames.len(), |place| place + 1));
    assert!(after.into_iter().all(|frame| frame.error.is_none() && frame.events.is_empty()));

    let request = br#"{"messages":[{"role":"user","content":[{"text":"q"}]}]}"#;
    let request = ConverseRequest::parse("m", true, request).expect("a request");
    let mut renderer = request.renderer(AnswerHead {
        call_id: "1".to_owned(),
        created: 0,
        model: "m".to_owned(),
        likely_input: 0,
    });
    for event in &events {
        renderer.event(event);
    }
    renderer.finish();
});

//! A provider's stream: however its bytes are cut, the same bytes go out, the same events are read, and
//! clients of Chat Completions get the same answer, forwarded or translated.

#![no_main]

use std::sync::LazyLock;

use inference::openai_chat::ChatRequest;
use inference::{AnswerHead, Frame, GenerateRequest, Model, Protocol};
use libfuzzer_sys::fuzz_target;

static MODEL: LazyLock<Model> = LazyLock::new(|| {
    serde_json::from_value(serde_json::json!({
        "id": "vendor.model",
        "provider_model_id": "us.vendor.model-v1:0",
        "protocols": ["openai_chat"],
        "owned_by": "vendor",
        "created": 0,
        "context_window": 200_000,
        "max_output_tokens": 8_192,
        "default_max_tokens": 1_024,
        "capabilities": {},
    }))
    .expect("a valid model")
});

fn read(protocol: Protocol, chunks: &[&[u8]]) -> Vec<Frame> {
    let mut reader = protocol.codec().expect("it has streams").stream(&MODEL);
    let mut frames: Vec<_> = chunks.iter().flat_map(|chunk| reader.push(chunk)).collect();
    frames.extend(reader.finish());
    frames
}

fn bytes(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(|frame| frame.bytes.to_vec()).collect()
}

fuzz_target!(|input: (u8, Vec<u8>, &[u8])| {
    let (choice, cuts, stream) = input;
    let protocols =
        [Protocol::OpenaiChat, Protocol::OpenaiResponses, Protocol::AnthropicMessages];
    let protocol = protocols[usize::from(choice) % protocols.len()];
    let mut chunks = Vec::new();
    let mut rest = stream;
    for cut in cuts {
        let (head, tail) = rest.split_at(usize::from(cut).min(rest.len()));
        chunks.push(head);
        rest = tail;
    }
    chunks.push(rest);

    let whole = read(protocol, &[stream]);
    let cut = read(protocol, &chunks);
    assert_eq!(bytes(&cut), bytes(&whole));
    let events = |frames: &[Frame]| -> Vec<_> {
        frames.iter().flat_map(|frame| frame.events.clone()).collect()
    };
    assert_eq!(events(&cut), events(&whole));
    let error = |frames: &[Frame]| frames.iter().find_map(|frame| frame.error.clone());
    assert_eq!(error(&cut), error(&whole));

    let body = br#"{"model":"m","messages":[{"role":"user","content":"q"}],"stream":true}"#;
    let request = ChatRequest::parse(body).expect("a request");
    let head = || AnswerHead {
        call_id: "1".to_owned(),
        created: 0,
        model: "m".to_owned(),
        likely_input: 0,
    };
    let (mut forwarded, mut translated) = (request.renderer(head()), request.renderer(head()));
    for frame in &whole {
        assert!(forwarded.forwarded(frame).len() <= frame.bytes.len());
        for event in &frame.events {
            translated.event(event);
        }
    }
    forwarded.finish_forwarded();
    translated.finish();
});

use bytes::Bytes;
use serde_json::{Value, json};

use super::{native_model, parse, request};
use crate::openai_chat::ChatCodec;
use crate::{
    AnswerHead, AnswerRenderer, Codec, Event, Fault, FaultKind, GenerateRequest, StopReason,
};

const TEXT: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ab\"},\"finish_reason\":null}]}\n\n";
const STOP: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":5}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn renderer(includes_usage: bool) -> Box<dyn AnswerRenderer> {
    let options = json!({"stream": true, "stream_options": {"include_usage": includes_usage}});
    let head =
        AnswerHead { call_id: "1".to_owned(), created: 7, model: "m".to_owned(), likely_input: 3 };
    parse(&request(options)).unwrap().renderer(head)
}

fn forward(includes_usage: bool, stream: &str) -> (String, Box<dyn AnswerRenderer>) {
    let mut reader = ChatCodec.stream(&native_model());
    let mut renderer = renderer(includes_usage);
    let mut output = Vec::new();
    let frames: Vec<_> =
        reader.push(stream.as_bytes()).into_iter().chain(reader.finish()).collect();
    for frame in frames {
        output.extend_from_slice(&renderer.forwarded(&frame));
    }
    output.extend_from_slice(&renderer.finish_forwarded());
    (String::from_utf8(output).unwrap(), renderer)
}

fn fault() -> Fault {
    Fault::new(FaultKind::Provider, "provider_interrupted", "It broke.")
}

#[test]
fn the_usage_chunk_is_for_those_who_asked() {
    let stream = [TEXT, STOP, USAGE, DONE].concat();
    assert_eq!(forward(true, &stream).0, stream);
    assert_eq!(forward(false, &stream).0, [TEXT, STOP, DONE].concat());
}

#[test]
fn usage_beside_other_things_passes() {
    let role = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":0}}\n\n";
    let stream = [": ping\n\n", role, TEXT, STOP, DONE].concat();
    assert_eq!(forward(false, &stream).0, stream);
}

#[test]
fn an_end_that_is_missing_is_supplied() {
    assert_eq!(forward(false, &[TEXT, STOP].concat()).0, [TEXT, STOP, DONE].concat());
    assert_eq!(
        forward(false, &[TEXT, STOP, "data: [DONE]"].concat()).0,
        [TEXT, STOP, DONE].concat()
    );
    assert_eq!(forward(false, &[STOP, DONE, USAGE.trim_end()].concat()).0, [STOP, DONE].concat());
    assert_eq!(forward(false, TEXT).0, TEXT, "but not to half an answer");
    let error = "data: {\"error\":{\"message\":\"e\"}}\n\n";
    assert_eq!(forward(false, &[STOP, error].concat()).0, [STOP, error].concat());
}

#[test]
fn an_interruption_is_an_event_of_its_own() {
    let error = |bytes: Bytes| -> Value {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        serde_json::from_str(text.trim().strip_prefix("data: ").unwrap()).unwrap()
    };
    let expected = json!({"error": {"message": "It broke.", "type": "server_error", "param": null, "code": "provider_interrupted"}});
    let (_, mut renderer) = forward(false, TEXT);
    let bytes = renderer.interrupt(&fault());
    assert!(bytes.starts_with(b"data: "));
    assert_eq!(error(bytes), expected);
    assert!(renderer.finish_forwarded().is_empty());

    let mut reader = ChatCodec.stream(&native_model());
    let mut renderer = self::renderer(false);
    let giant = format!("data: {}", "y".repeat(1_500_000));
    for frame in reader.push(giant.as_bytes()) {
        assert!(!renderer.forwarded(&frame).is_empty());
    }
    let bytes = renderer.interrupt(&fault());
    assert!(bytes.starts_with(b"\n\ndata: "), "the giant event must end first");
    assert_eq!(error(bytes), expected);
}

#[test]
fn early_usage_is_no_reason_for_a_chunk() {
    let usage = |output| {
        Event::Usage(metering::TokenUsage { input: 4, output, ..metering::TokenUsage::default() })
    };
    let mut renderer = renderer(true);
    assert!(renderer.event(&usage(0)).is_empty());
    let stop = Event::Stop { reason: StopReason::EndTurn, stop_sequence: None };
    renderer.event(&stop);
    renderer.event(&usage(9));
    let end = String::from_utf8(renderer.finish().to_vec()).unwrap();
    assert!(end.contains("\"completion_tokens\":9") && end.ends_with(DONE), "{end}");
    assert_eq!(end.matches("\"usage\":{").count(), 1);
}

#[test]
fn a_conversation_keeps_its_key() {
    let key = |fields: Value| parse(&request(fields)).unwrap().affinity_key().unwrap();
    let first = json!([{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]);
    let mut second = first.clone();
    second.as_array_mut().unwrap().extend([
        json!({"role": "assistant", "content": "a"}),
        json!({"role": "user", "content": "r"}),
    ]);
    assert_eq!(key(json!({"messages": first})), key(json!({"messages": second})));
    assert_ne!(key(json!({"messages": first})), key(json!({})));
    assert_eq!(key(json!({"prompt_cache_key": "k"})), "k");
}

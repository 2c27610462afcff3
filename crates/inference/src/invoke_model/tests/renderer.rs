use metering::TokenUsage;
use serde_json::json;

use super::{claude, parse};
use crate::invoke_model::InvokeCodec;
use crate::wire::eventstream::{Kind, Splitter};
use crate::{
    AnswerHead, AnswerRenderer, Codec as _, Event, Fault, FaultKind, GenerateRequest as _,
    ModelResponse, ProviderAnswer, StopReason,
};

fn renderer() -> Box<dyn AnswerRenderer> {
    let body = json!({"anthropic_version": "v", "max_tokens": 1, "messages": [{"role": "user", "content": "q"}]});
    parse(&body).unwrap().renderer(AnswerHead {
        call_id: "01".to_owned(),
        created: 0,
        model: "m".to_owned(),
        likely_input: 7,
    })
}

#[test]
fn a_translated_stream_is_chunks_of_messages_events() {
    let usage = TokenUsage { input: 3, output: 5, cache_write_1h: 2, ..TokenUsage::default() };
    let events = [
        Event::TextDelta { block: 0, text: "ü".to_owned() },
        Event::BlockStop { block: 0 },
        Event::Stop { reason: StopReason::StopSequence, stop_sequence: Some("END".to_owned()) },
        Event::Usage(usage),
    ];
    let mut renderer = renderer();
    let mut stream: Vec<u8> = events.iter().flat_map(|event| renderer.event(event)).collect();
    stream.extend_from_slice(&renderer.finish());

    let messages = Splitter::default().push(&stream);
    assert!(messages.iter().all(|message| message.kind == Kind::Event("chunk".to_owned())));
    let mut reader = InvokeCodec.stream(&claude());
    let mut frames = reader.push(&stream);
    frames.extend(reader.finish());
    assert!(frames.iter().all(|frame| frame.error.is_none()));
    let read: Vec<_> = frames.into_iter().flat_map(|frame| frame.events).collect();
    assert_eq!(read[1..], events, "after the early usage");
}

#[test]
fn the_last_chunk_has_bedrocks_metrics() {
    let mut renderer = renderer();
    renderer.event(&Event::Stop { reason: StopReason::EndTurn, stop_sequence: None });
    let usage = TokenUsage {
        input: 3,
        output: 5,
        cache_read: 1,
        cache_write_1h: 2,
        ..TokenUsage::default()
    };
    renderer.event(&Event::Usage(usage));
    let last = Splitter::default().push(&renderer.finish()).pop().unwrap();
    let bytes = base64::Engine::decode(
        &base64::engine::general_purpose::STANDARD,
        last.json()["bytes"].as_str().unwrap(),
    )
    .unwrap();
    insta::assert_snapshot!(
        str::from_utf8(&bytes).unwrap(),
        @r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":3,"outputTokenCount":5,"cacheReadInputTokenCount":1,"cacheWriteInputTokenCount":2}}"#
    );
}

#[test]
fn faults_are_exceptions() {
    let fault = Fault::new(FaultKind::Unavailable, "c", "Try again.");
    for bytes in [renderer().interrupt(&fault), renderer().finish()] {
        let messages = Splitter::default().push(&bytes);
        assert!(matches!(&messages[..], [message] if matches!(message.kind, Kind::Exception(_))));
    }
}

#[test]
fn a_translated_answer_is_a_message() {
    let response = ModelResponse {
        content: vec![crate::ContentBlock::Text("hi".to_owned())],
        stop_reason: StopReason::EndTurn,
        stop_sequence: None,
        usage: TokenUsage { input: 3, output: 5, ..TokenUsage::default() },
        provider_request_id: Some("p".to_owned()),
    };
    let body = renderer().response(&response);
    let answer = ProviderAnswer {
        body,
        provider_request_id: Some("p".to_owned()),
        ..ProviderAnswer::default()
    };
    assert_eq!(InvokeCodec.read(&claude(), &answer).unwrap(), response);
}

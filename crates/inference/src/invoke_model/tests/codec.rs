use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use metering::TokenUsage;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{claude, other};
use crate::invoke_model::InvokeCodec;
use crate::wire::eventstream;
use crate::{
    Codec as _, Event, Frame, ModelRequest, ModelResponse, ProviderAnswer, ProviderErrorKind,
    StopReason,
};

fn read(body: &Value, headers: &[(&str, &str)]) -> ModelResponse {
    let headers =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let answer =
        ProviderAnswer { provider_request_id: None, headers, body: body.to_string().into() };
    InvokeCodec.read(&other(None, None), &answer).unwrap()
}

const COUNTS: [(&str, &str); 2] =
    [("x-amzn-bedrock-input-token-count", "12"), ("x-amzn-bedrock-output-token-count", "5")];

#[test]
fn usage_is_the_messages_own_or_bedrocks() {
    let message = json!({
        "type": "message", "content": [],
        "usage": {"input_tokens": 3, "output_tokens": 5, "cache_read_input_tokens": 9},
    });
    let own = TokenUsage { input: 3, output: 5, cache_read: 9, ..TokenUsage::default() };
    assert_eq!(read(&message, &COUNTS).usage, own);

    let counted = TokenUsage { input: 12, output: 5, ..TokenUsage::default() };
    for body in [
        json!({"embedding": [0.1]}),
        json!({"generation": "hi", "prompt_token_count": 12, "generation_token_count": 5}),
        json!({"results": [{"outputText": "hi", "tokenCount": 5}], "inputTextTokenCount": 12}),
        json!({"usage": {"inputTokens": 12, "outputTokens": 5}}),
    ] {
        assert_eq!(read(&body, &COUNTS).usage, counted, "{body}");
    }
    let text = read(
        &json!({"generation": "hi", "prompt_token_count": 12, "generation_token_count": 5}),
        &[],
    );
    assert_eq!((text.usage, text.content.len()), (counted, 1));
    assert_eq!(read(&json!({"images": ["a", "b"]}), &[]).usage.images, 2);
}

#[test]
fn nothing_is_translated_to_it() {
    let error = InvokeCodec.write(&ModelRequest::default(), &other(None, None), false).unwrap_err();
    assert!(error.message.contains("/bedrock/model/vendor.model/invoke"), "{error}");
}

fn chunk(data: &Value) -> Bytes {
    eventstream::event("chunk", &json!({"bytes": STANDARD.encode(data.to_string()), "p": "abc"}))
}

fn frames(stream: &[u8]) -> Vec<Frame> {
    let mut reader = InvokeCodec.stream(&claude());
    let mut frames = reader.push(stream);
    frames.extend(reader.finish());
    frames
}

fn events(stream: &[u8]) -> Vec<Event> {
    let frames = frames(stream);
    assert!(frames.iter().all(|frame| frame.error.is_none()), "{frames:?}");
    frames.into_iter().flat_map(|frame| frame.events).collect()
}

/// What Bedrock really sends for a message: usage in the events, and its own metrics with the last.
fn message() -> [Bytes; 4] {
    [
        chunk(
            &json!({"type": "message_start", "message": {"usage": {"input_tokens": 3, "cache_read_input_tokens": 9, "output_tokens": 1}}}),
        ),
        chunk(
            &json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "a"}}),
        ),
        chunk(
            &json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": {"output_tokens": 5}}),
        ),
        chunk(
            &json!({"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 3, "outputTokenCount": 50, "invocationLatency": 7, "firstByteLatency": 6}}),
        ),
    ]
}

/// Peers add the metrics to what the events said, and count several times.
#[test]
fn usage_of_a_messages_stream_counts_once() {
    let usage = TokenUsage { input: 3, output: 5, cache_read: 9, ..TokenUsage::default() };
    assert_eq!(events(&message().concat()).last(), Some(&Event::Usage(usage)));
}

#[test]
fn a_vendors_stream_is_counted_by_the_metrics() {
    let stream = [
        chunk(&json!({"outputText": "hello", "index": 0})),
        chunk(&json!({"brand": "new"})),
        chunk(
            &json!({"outputText": "", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 3, "outputTokenCount": 5}}),
        ),
    ];
    let text = |text: &str| Event::TextDelta { block: 0, text: text.to_owned() };
    let stop = Event::Stop { reason: StopReason::Other("unknown".to_owned()), stop_sequence: None };
    let usage = TokenUsage { input: 3, output: 5, ..TokenUsage::default() };
    assert_eq!(
        events(&stream.concat()),
        [text("hello"), text("{\"brand\":\"new\"}"), stop.clone(), Event::Usage(usage)]
    );
    assert_eq!(events(&stream[0]), [text("hello"), stop], "a clean end is an end");
}

#[test]
fn exceptions_and_cuts_are_errors() {
    let exception = eventstream::exception("throttlingException", &json!({"message": "slow down"}));
    let [start, text, ..] = message();
    let cases = [
        (vec![start.clone(), exception], ProviderErrorKind::Throttled),
        (vec![start.clone()], ProviderErrorKind::Interrupted),
        (vec![start.clone(), text.slice(..20)], ProviderErrorKind::Interrupted),
        (vec![Bytes::new()], ProviderErrorKind::Interrupted),
        (
            vec![Bytes::from_static(b"HTTP/1.1 200 OK and no event stream")],
            ProviderErrorKind::Interrupted,
        ),
        (
            vec![
                start.clone(),
                chunk(&json!("x")),
                eventstream::event("chunk", &json!({"bytes": "%"})),
            ],
            ProviderErrorKind::Interrupted,
        ),
        (
            vec![start, chunk(&json!({"type": "error", "error": {"type": "overloaded_error"}}))],
            ProviderErrorKind::Unavailable,
        ),
    ];
    for (stream, kind) in cases {
        let frames = frames(&stream.concat());
        let errors: Vec<_> = frames.iter().filter_map(|frame| frame.error.as_ref()).collect();
        assert_eq!(errors.iter().map(|error| error.kind).collect::<Vec<_>>(), [kind]);
    }
}

proptest! {
    #[test]
    fn cuts_change_nothing(
        pieces in prop::collection::vec(0_usize..7, 0..8),
        cuts in prop::collection::vec(1_usize..60, 1..40),
    ) {
        let [a, b, c, d] = message();
        let pool = [
            a, b, c, d, chunk(&json!({"outputText": "x"})), Bytes::from_static(b"garbage"),
            eventstream::exception("modelStreamErrorException", &json!({})),
        ];
        let stream: Vec<u8> = pieces.iter().flat_map(|piece| pool[*piece].to_vec()).collect();
        let mut reader = InvokeCodec.stream(&claude());
        let mut actual = Vec::new();
        let mut rest = stream.as_slice();
        for cut in cuts.iter().cycle() {
            let (head, tail) = rest.split_at((*cut).min(rest.len()));
            actual.extend(reader.push(head));
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
        actual.extend(reader.finish());
        let said = |frames: Vec<Frame>| {
            let errors: Vec<_> = frames.iter().filter_map(|it| it.error.as_ref().map(|it| it.kind)).collect();
            let events: Vec<_> = frames.into_iter().flat_map(|frame| frame.events).collect();
            (events, errors)
        };
        prop_assert_eq!(said(actual), said(frames(&stream)));
    }
}

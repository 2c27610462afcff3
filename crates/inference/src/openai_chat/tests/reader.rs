use std::fmt::Write as _;

use metering::TokenUsage;
use proptest::prelude::*;
use serde_json::json;

use super::native_model;
use crate::openai_chat::ChatCodec;
use crate::{Codec, Event, Frame, ProviderErrorKind, StopReason};

const TEXT: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ab\"},\"finish_reason\":null}]}\n\n";
const STOP: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":5}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn read(chunks: &[&[u8]]) -> Vec<Frame> {
    let mut reader = ChatCodec.stream(&native_model());
    let mut frames: Vec<_> = chunks.iter().flat_map(|chunk| reader.push(chunk)).collect();
    frames.extend(reader.finish());
    frames
}

fn events(stream: &str) -> Vec<Event> {
    let frames = read(&[stream.as_bytes()]);
    assert!(frames.iter().all(|frame| frame.error.is_none()), "{frames:?}");
    frames.into_iter().flat_map(|frame| frame.events).collect()
}

/// A stream of these deltas that ends with `finish`.
fn stream(deltas: &[serde_json::Value], finish: &str) -> String {
    let mut stream = String::new();
    for delta in deltas {
        let chunk =
            json!({"id": "c-1", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]});
        write!(stream, "data: {chunk}\n\n").unwrap();
    }
    let last = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]});
    format!("{stream}data: {last}\n\n{DONE}")
}

fn text(block: u32, text: &str) -> Event {
    Event::TextDelta { block, text: text.to_owned() }
}

fn reasoning(block: u32, text: &str) -> Event {
    Event::ReasoningDelta { block, text: text.to_owned() }
}

fn start(block: u32, id: &str) -> Event {
    Event::ToolUseStart { block, id: id.to_owned(), name: "f".to_owned() }
}

fn input(block: u32, json: &str) -> Event {
    Event::ToolInputDelta { block, json: json.to_owned() }
}

fn end(block: u32) -> Event {
    Event::BlockStop { block }
}

fn stop(reason: StopReason) -> Event {
    Event::Stop { reason, stop_sequence: None }
}

fn usage(input: u64, output: u64) -> Event {
    Event::Usage(TokenUsage { input, output, ..TokenUsage::default() })
}

#[test]
fn an_answer_is_read() {
    let expected = [text(0, "ab"), text(0, "ab"), end(0), stop(StopReason::EndTurn), usage(12, 5)];
    assert_eq!(events(&[TEXT, TEXT, STOP, USAGE, DONE].concat()), expected);
    assert_eq!(events(&[": ping\n\n", TEXT, TEXT, STOP, USAGE].concat()), expected, "no [DONE]");
    let cut_usage = USAGE.trim_end();
    assert_eq!(events(&[TEXT, TEXT, STOP, cut_usage].concat()), expected, "no last blank line");
    assert_eq!(events(&[TEXT, TEXT, STOP, DONE, cut_usage].concat()), expected);
}

#[test]
fn reasoning_text_and_calls_are_blocks_of_their_own() {
    let call = |index: u32, id: &str| json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": {"name": "f", "arguments": ""}}]});
    let more = |index: u32, json: &str| json!({"tool_calls": [{"index": index, "function": {"arguments": json}}]});
    let deltas = [
        json!({"role": "assistant", "content": ""}),
        json!({"reasoning_content": "h"}),
        json!({"reasoning": "m", "reasoning_content": "m"}),
        json!({"content": "I will"}),
        call(0, "a"),
        more(0, "{\"x\""),
        more(0, ":1}"),
        call(1, "b"),
        more(1, "{}"),
    ];
    let expected = [
        reasoning(0, "h"),
        reasoning(0, "m"),
        end(0),
        text(1, "I will"),
        end(1),
        start(2, "a"),
        input(2, "{\"x\""),
        input(2, ":1}"),
        end(2),
        start(3, "b"),
        input(3, "{}"),
        end(3),
        stop(StopReason::ToolUse),
    ];
    assert_eq!(events(&stream(&deltas, "tool_calls")), expected);
}

#[test]
fn calls_of_servers_that_count_otherwise_stay_apart() {
    let function = json!({"name": "f", "arguments": "{}"});
    let expected = |first: &str, second: &str| {
        vec![
            start(0, first),
            input(0, "{}"),
            end(0),
            start(1, second),
            input(1, "{}"),
            end(1),
            stop(StopReason::ToolUse),
        ]
    };
    let without_index = [
        json!({"tool_calls": [{"id": "a", "function": function}, {"id": "b", "function": function}]}),
    ];
    assert_eq!(events(&stream(&without_index, "stop")), expected("a", "b"));
    let all_zero = [
        json!({"tool_calls": [{"index": 0, "id": "a", "function": function}]}),
        json!({"tool_calls": [{"index": 0, "id": "b", "function": function}]}),
    ];
    assert_eq!(events(&stream(&all_zero, "stop")), expected("a", "b"));
    let without_id = [json!({"tool_calls": [{"function": function}, {"function": function}]})];
    assert_eq!(events(&stream(&without_id, "stop")), expected("call_c-1_0", "call_c-1_1"));
    let alone = [
        json!({"tool_calls": {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}}),
        json!({"tool_calls": {"index": 0, "id": "a", "function": {"name": "f", "arguments": "}"}}}),
    ];
    let once = [start(0, "a"), input(0, "{"), input(0, "}"), end(0), stop(StopReason::ToolUse)];
    assert_eq!(events(&stream(&alone, "eos_token")), once);
}

#[test]
fn signed_reasoning_is_whole() {
    let signed = |text: &str| json!({"thinking_blocks": [{"type": "thinking", "thinking": text, "signature": "s"}]});
    let expected = [
        reasoning(0, "a"),
        reasoning(0, "b"),
        Event::ReasoningSignature { block: 0, signature: "s".to_owned() },
        end(0),
        Event::RedactedReasoning { block: 1, data: "r".to_owned() },
        end(1),
        text(2, "x"),
        end(2),
        stop(StopReason::EndTurn),
    ];
    let redacted = json!({"thinking_blocks": [{"type": "redacted_thinking", "data": "r"}]});
    let both = |text: &str| json!({"reasoning_content": text, "thinking_blocks": [{"type": "thinking", "thinking": text, "signature": ""}]});
    let only = |text: &str| json!({"thinking_blocks": [{"type": "thinking", "thinking": text}]});
    for deltas in [
        [json!({"reasoning_content": "a"}), json!({"reasoning_content": "b"}), signed("ab")],
        [both("a"), both("b"), signed("")],
        [only("a"), only("b"), signed("")],
    ] {
        let deltas = [&deltas[..], &[redacted.clone(), json!({"content": "x"})]].concat();
        assert_eq!(events(&stream(&deltas, "stop")), expected);
    }
}

#[test]
fn what_the_renderer_writes_is_read_back() {
    let said = [
        reasoning(0, "hm"),
        Event::ReasoningSignature { block: 0, signature: "s".to_owned() },
        end(0),
        text(1, "x"),
        end(1),
        start(2, "a"),
        input(2, "{}"),
        end(2),
        stop(StopReason::ToolUse),
        usage(3, 4),
    ];
    let mut renderer = crate::openai_chat::StreamRenderer::new("i", 0, "m", true);
    let mut stream: Vec<u8> = said.iter().flat_map(|event| renderer.render(event)).collect();
    stream.extend_from_slice(&renderer.finish());
    assert_eq!(events(str::from_utf8(&stream).unwrap()), said);
}

#[test]
fn usage_counts_once_and_comes_last() {
    let with_usage = |content: &str, count: u32| {
        let chunk = json!({"choices": [{"index": 0, "delta": {"content": content}}], "usage": {"prompt_tokens": 7, "completion_tokens": count}});
        format!("data: {chunk}\n\n")
    };
    let running = [with_usage("a", 1), with_usage("b", 2), STOP.to_owned(), DONE.to_owned()];
    let expected = [
        text(0, "a"),
        usage(7, 1),
        text(0, "b"),
        usage(7, 2),
        end(0),
        stop(StopReason::EndTurn),
        usage(7, 2),
    ];
    assert_eq!(events(&running.concat()), expected);
    let groq = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"x_groq\":{\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}}\n\n";
    assert_eq!(events(groq), [stop(StopReason::EndTurn), usage(7, 2)]);
    assert_eq!(events(&[STOP, DONE].concat()), [stop(StopReason::EndTurn)], "none is invented");
}

#[test]
fn reasons_to_stop() {
    let reason = |finish: &str| match events(&stream(&[json!({"content": "x"})], finish)).pop() {
        Some(Event::Stop { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    for (finish, expected) in [
        ("stop", StopReason::EndTurn),
        ("eos_token", StopReason::EndTurn),
        ("length", StopReason::MaxTokens),
        ("content_filter", StopReason::ContentFiltered),
        ("weather", StopReason::Other("weather".to_owned())),
    ] {
        assert_eq!(reason(finish), expected);
    }
    let vllm = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\",\"stop_reason\":\"END\"}]}\n\n";
    let expected =
        Event::Stop { reason: StopReason::StopSequence, stop_sequence: Some("END".to_owned()) };
    assert_eq!(events(vllm), [expected]);
    let refusal = events(&stream(&[json!({"refusal": "no"})], "stop"));
    assert_eq!(refusal, [text(0, "no"), end(0), stop(StopReason::Refusal)]);
    assert_eq!(events(&[TEXT, DONE].concat())[2], stop(StopReason::EndTurn), "[DONE] is an end");
}

#[test]
fn the_answer_ends_when_all_its_choices_have() {
    let of = |index: u32, finish: Option<&str>| {
        let choice = json!({"index": index, "delta": {"content": "x"}, "finish_reason": finish});
        format!("data: {}\n\n", json!({"choices": [choice]}))
    };
    let both = [of(0, None), of(1, None), of(1, Some("stop")), of(0, Some("length"))].concat();
    let events = events(&both);
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Stop { .. })).count(), 1);
    assert_eq!(events.last(), Some(&stop(StopReason::MaxTokens)));
    let frames = read(&[[of(0, None), of(1, None), of(1, Some("stop"))].concat().as_bytes()]);
    let error = frames.last().unwrap().error.as_ref().unwrap();
    assert_eq!(error.kind, ProviderErrorKind::Interrupted);
}

#[track_caller]
fn breaks(stream: &str, kind: ProviderErrorKind, words: &str) {
    let frames = read(&[stream.as_bytes()]);
    let errors: Vec<_> = frames.iter().filter_map(|frame| frame.error.as_ref()).collect();
    assert_eq!(errors.len(), 1, "{frames:?}");
    assert_eq!(errors[0].kind, kind);
    assert!(errors[0].message.contains(words) && errors[0].may_have_run, "{errors:?}");
    let place = frames.iter().position(|frame| frame.error.is_some()).unwrap();
    assert!(frames[place..].iter().all(|frame| frame.events.is_empty()), "nothing follows");
}

#[test]
fn errors_in_the_stream_are_noticed() {
    use ProviderErrorKind as Kind;

    let error = |error: serde_json::Value| format!("{TEXT}data: {error}\n\n{TEXT}{STOP}{DONE}");
    breaks(
        &error(json!({"error": {"message": "busy", "type": "server_error"}})),
        Kind::Internal,
        "busy",
    );
    breaks(
        &error(json!({"error": {"message": "slow", "code": "rate_limit_exceeded"}})),
        Kind::Throttled,
        "slow",
    );
    breaks(
        &error(json!({"error": {"message": "odd", "type": "BadRequestError", "code": 400}})),
        Kind::InvalidRequest,
        "odd",
    );
    breaks(&error(json!({"error": "gone", "code": 5})), Kind::Internal, "gone");
    breaks(
        &error(json!({"object": "error", "message": "full", "code": 503})),
        Kind::Unavailable,
        "full",
    );
    breaks(
        &format!("{TEXT}event: error\ndata: {{\"message\":\"tgi\"}}\n\n"),
        Kind::Internal,
        "tgi",
    );
}

#[test]
fn a_stream_that_breaks_is_no_answer() {
    breaks("", ProviderErrorKind::Interrupted, "before the answer was complete");
    breaks(TEXT, ProviderErrorKind::Interrupted, "before the answer was complete");
    breaks(&format!("{TEXT}data: nonsense\n\n"), ProviderErrorKind::Interrupted, "not JSON");
    let cut = format!("{TEXT}data: {{\"cho");
    breaks(&cut, ProviderErrorKind::Interrupted, "not JSON");
    let sent: Vec<u8> = read(&[cut.as_bytes()]).iter().flat_map(|it| it.bytes.to_vec()).collect();
    assert_eq!(sent, TEXT.as_bytes(), "half an event is of no use");
}

#[test]
fn what_the_dialect_does_not_know_passes() {
    let stream =
        [": ping\n\n", "event: x\r\ndata: not json\r\n\r\n", "\n", "data: 7\n\n", STOP, DONE]
            .concat();
    assert_eq!(events(&stream), [stop(StopReason::EndTurn)]);
}

#[test]
fn a_giant_event_passes_unread() {
    let giant = format!(
        "data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":9}},\"x\":\"{}\"}}\n\n",
        "y".repeat(2 << 20)
    );
    let stream = [giant.as_str(), TEXT, STOP, DONE].concat();
    let frames = read(&[stream.as_bytes()]);
    assert_eq!(frames.iter().map(|frame| frame.bytes.len()).sum::<usize>(), stream.len());
    assert_eq!(events(&stream), [text(0, "ab"), end(0), stop(StopReason::EndTurn)]);
}

proptest! {
    #[test]
    fn chunking_changes_nothing(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "data: {\"choices\":[{\"delta\":{\"content\":\"ü\"}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"reasoning\":\"r\"}}]}\r\n\r\n",
            "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"x\"}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{}\"}}]}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"thinking_blocks\":[{\"thinking\":\"r\",\"signature\":\"s\"},{\"data\":\"d\"}]}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n",
            "data: {\"error\":{\"message\":\"e\"}}\n\n", "data: {\"choices\":7,\"usage\":[]}\n\n",
            ": ping\n\n", "event: x\ndata: a\ndata: b\n\n", "data: [DONE]\n\n", "data: {\"cut", "\r", "\n", "\u{feff}",
        ]), 0..12),
        cuts in prop::collection::vec(1_usize..40, 1..40),
    ) {
        let stream = pieces.concat().into_bytes();
        let mut chunks = Vec::new();
        let mut rest = stream.as_slice();
        for cut in cuts.iter().cycle() {
            let (head, tail) = rest.split_at((*cut).min(rest.len()));
            chunks.push(head);
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
        let whole = read(&[&stream]);
        prop_assert_eq!(&read(&chunks), &whole);
        let bytes: Vec<u8> = whole.iter().flat_map(|frame| frame.bytes.to_vec()).collect();
        prop_assert!(stream.starts_with(&bytes) || bytes.starts_with(&stream));
        // Blocks are well formed: each starts after the one before it ended.
        let mut open = None;
        for event in whole.iter().flat_map(|frame| &frame.events) {
            match event {
                Event::BlockStop { block } => prop_assert_eq!(open.take(), Some(*block)),
                Event::TextDelta { block, .. } | Event::ReasoningDelta { block, .. }
                | Event::ReasoningSignature { block, .. } | Event::RedactedReasoning { block, .. }
                    if !stream_has_two_choices(&stream) => {
                    prop_assert!(open.is_none_or(|open| open == *block));
                    open = Some(*block);
                }
                Event::ToolUseStart { block, .. } if !stream_has_two_choices(&stream) => {
                    prop_assert_eq!(open, None);
                    open = Some(*block);
                }
                _ => {}
            }
            if stream_has_two_choices(&stream) {
                break;
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(stream in prop::collection::vec(any::<u8>(), 0..200)) {
        read(&[&stream]);
    }
}

fn stream_has_two_choices(stream: &[u8]) -> bool {
    stream.windows(9).any(|window| window == b"\"index\":1")
}

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::checker::check;
use super::{converse_model, head, native_model, parse};
use crate::openai_responses::{ResponsesCodec, ResponsesRequest};
use crate::{
    Codec as _, ContentBlock, Event, Frame, GenerateRequest as _, Model, ModelResponse, Protocol,
    StopReason, StoredResponse,
};

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "user",
            "assistant",
            "system",
            "message",
            "reasoning",
            "function_call",
            "c",
            "function_call_output",
            "custom_tool_call",
            "item_reference",
            "input_text",
            "input_image",
            "input_file",
            "data:image/png;base64,AA==",
            "s3://b/k",
            "weir.1.e30=",
            "function",
            "custom",
            "namespace",
            "web_search",
            "allowed_tools",
            "additional_tools",
            "json_schema",
            "grammar",
            "msg_1_0",
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        let key = prop_oneof![
            4 => prop::sample::select(vec![
                "role", "content", "type", "text", "image_url", "file_id", "file_data", "filename",
                "call_id", "id", "name", "namespace", "arguments", "input", "output", "parameters",
                "summary", "encrypted_content", "tools", "mode", "format", "schema",
            ])
            .prop_map(str::to_owned),
            1 => ".{0,6}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..8)
                .prop_map(|members| members.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

/// Objects that look like requests: the known keys, with any values.
fn any_body() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        prop::sample::select(vec![
            "stream",
            "store",
            "max_output_tokens",
            "tools",
            "tool_choice",
            "text",
            "reasoning",
            "include",
            "temperature",
            "instructions",
            "previous_response_id",
            "service_tier",
            "prompt_cache_key",
            "parallel_tool_calls",
            "dropped",
        ])
        .prop_map(str::to_owned),
        "[a-zA-Z_\"\\\\ü]{0,8}",
    ];
    let input = prop_oneof![
        any_json(),
        Just(json!("hi")),
        prop::collection::vec(any_json(), 0..5).prop_map(|items| {
            let mut all = vec![json!({"role": "user", "content": "q"})];
            all.extend(items);
            all.into()
        }),
        any_json().prop_map(|part| json!([{"role": "user", "content": [part]}])),
    ];
    (input, prop::collection::vec((key, any_json()), 0..6)).prop_map(|(input, members)| {
        let mut body =
            Map::from_iter([("model".to_owned(), "m".into()), ("input".to_owned(), input)]);
        body.extend(members);
        Value::Object(body)
    })
}

/// Runs every step on `request`; the point is that none panics.
fn run(request: &ResponsesRequest) -> Result<(), TestCaseError> {
    let native = Model { drop_fields: vec!["dropped".to_owned()], ..native_model() };
    let stored = StoredResponse {
        id: request.previous_response_id().unwrap_or("x").to_owned(),
        input: vec![json!({"role": "user", "content": "q"}), json!(1)],
        response: json!({"output": [{"type": "message", "id": "msg_1_0", "role": "assistant", "content": "a"}]}),
    };
    let _ = (request.stored_ids(), request.upload_ids(), request.affinity_key());
    let Ok(request) = request.clone().with_history(&[stored]) else {
        return Ok(());
    };
    let Ok(bound) = request.bound(&native, Some(99)) else {
        return Ok(());
    };
    prop_assert!(
        bound.likely_input <= bound.input && bound.input <= u64::from(native.context_window)
    );
    if let Ok(canonical) = request.to_canonical(&converse_model(), bound.max_tokens) {
        for protocol in [
            Protocol::Converse,
            Protocol::OpenaiChat,
            Protocol::OpenaiResponses,
            Protocol::AnthropicMessages,
        ] {
            if let Ok(written) = protocol.codec().unwrap().write(&canonical, &native, true) {
                serde_json::from_slice::<Value>(&written.body).unwrap();
            }
        }
    }
    if let Ok(sent) = request.forward(&native, bound.max_tokens) {
        let sent: Value = serde_json::from_slice(&sent.body).unwrap();
        prop_assert_eq!(&sent["model"], &native.provider_model_id);
        prop_assert_eq!(&sent["store"], &json!(false));
        prop_assert!(sent.get("previous_response_id").is_none());
    }
    request.renderer(head()).finish();
    Ok(())
}

/// A block of an answer, told in pieces.
#[derive(Debug, Clone)]
enum Told {
    Text(Vec<String>),
    Reasoning(Vec<String>, Option<String>),
    Redacted(String),
    Call(bool, Vec<String>),
}

fn any_block() -> impl Strategy<Value = Told> {
    let pieces = || prop::collection::vec("[a-zü\"\\\\\n ]{0,6}", 0..4);
    prop_oneof![
        pieces().prop_map(Told::Text),
        (pieces(), prop::option::of("[a-z]{1,8}"))
            .prop_map(|(text, sign)| Told::Reasoning(text, sign)),
        "[a-z]{1,8}".prop_map(Told::Redacted),
        (any::<bool>(), pieces()).prop_map(|(is_custom, pieces)| Told::Call(is_custom, pieces)),
    ]
}

/// The events of an answer, and what it says as a whole.
fn events_of(blocks: &[Told], with_stops: bool) -> (Vec<Event>, Vec<ContentBlock>) {
    let (mut events, mut content) = (Vec::new(), Vec::new());
    for (block, told) in (0..).zip(blocks) {
        match told {
            Told::Text(pieces) => {
                events.extend(
                    pieces.iter().map(|text| Event::TextDelta { block, text: text.clone() }),
                );
                if !pieces.concat().is_empty() {
                    content.push(ContentBlock::Text(pieces.concat()));
                }
            }
            Told::Reasoning(pieces, signature) => {
                events.extend(
                    pieces.iter().map(|text| Event::ReasoningDelta { block, text: text.clone() }),
                );
                events.extend(
                    signature
                        .iter()
                        .map(|it| Event::ReasoningSignature { block, signature: it.clone() }),
                );
                if !pieces.concat().is_empty() || signature.is_some() {
                    content.push(ContentBlock::Reasoning {
                        text: pieces.concat(),
                        signature: signature.clone(),
                    });
                }
            }
            Told::Redacted(data) => {
                events.push(Event::RedactedReasoning { block, data: data.clone() });
                content.push(ContentBlock::RedactedReasoning { data: data.clone() });
            }
            Told::Call(is_custom, pieces) => {
                let name = if *is_custom { "patch" } else { "look" }.to_owned();
                let id = format!("call_{block}");
                events.push(Event::ToolUseStart { block, id: id.clone(), name: name.clone() });
                let input = json!({ "input": pieces.concat() });
                let json = input.to_string();
                let middle = json.char_indices().nth(3).map_or(json.len(), |(at, _)| at);
                let (head, tail) = json.split_at(middle);
                for json in [head, tail].map(str::to_owned) {
                    events.push(Event::ToolInputDelta { block, json });
                }
                content.push(ContentBlock::ToolUse { id, name, input });
            }
        }
        if with_stops {
            events.push(Event::BlockStop { block });
        }
    }
    (events, content)
}

fn any_reason() -> impl Strategy<Value = StopReason> {
    prop::sample::select(vec![
        StopReason::EndTurn,
        StopReason::ToolUse,
        StopReason::MaxTokens,
        StopReason::Refusal,
    ])
}

fn client() -> ResponsesRequest {
    parse(&json!({"model": "m", "input": "q", "tools": [{"type": "custom", "name": "patch"}, {"type": "function", "name": "look"}]})).unwrap()
}

fn read(stream: &[u8], cuts: &[usize]) -> Vec<Frame> {
    let mut reader = ResponsesCodec.stream(&native_model());
    let mut frames = Vec::new();
    let mut rest = stream;
    for cut in cuts.iter().cycle() {
        let (head, tail) = rest.split_at((*cut).min(rest.len()));
        frames.extend(reader.push(head));
        rest = tail;
        if rest.is_empty() {
            break;
        }
    }
    frames.extend(reader.finish());
    frames
}

proptest! {
    #[test]
    fn no_bytes_make_parsing_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(request) = ResponsesRequest::parse(&body) {
            run(&request)?;
        }
    }

    #[test]
    fn no_json_makes_any_step_panic(body in any_body()) {
        if let Ok(request) = parse(&body) {
            run(&request)?;
        }
    }

    #[test]
    fn any_answer_is_told_in_order(
        blocks in prop::collection::vec(any_block(), 0..6),
        with_stops: bool,
        reason in any_reason(),
    ) {
        let (mut events, content) = events_of(&blocks, with_stops);
        events.push(Event::Stop { reason: reason.clone(), stop_sequence: None });
        let usage = metering::TokenUsage { input: 3, output: 2, ..metering::TokenUsage::default() };
        events.push(Event::Usage(usage));
        let mut renderer = client().renderer(head());
        let mut stream: Vec<u8> = events.iter().flat_map(|event| renderer.event(event)).collect();
        stream.extend_from_slice(&renderer.finish());
        let told = check(str::from_utf8(&stream).unwrap());
        prop_assert_eq!(&told.end["response"]["usage"]["total_tokens"], &json!(5));
        let kept = renderer.to_store().unwrap();
        prop_assert_eq!(&kept.response, &told.end["response"]);

        // Whole or streamed, it is the same.
        let response = ModelResponse {
            content: content.clone(), stop_reason: reason, stop_sequence: None, usage, provider_request_id: None,
        };
        let whole: Value = serde_json::from_slice(&client().renderer(head()).response(&response)).unwrap();
        let end = &told.end["response"];
        prop_assert_eq!(&whole, end);

        // And it comes back whole from a client that sends the items.
        let mut items = vec![json!({"role": "user", "content": "q"})];
        items.extend(told.items.iter().cloned());
        for item in &told.items {
            let kind = match item["type"].as_str() {
                Some("function_call") => "function_call_output",
                Some("custom_tool_call") => "custom_tool_call_output",
                _ => continue,
            };
            items.push(json!({"type": kind, "call_id": item["call_id"], "output": "ok"}));
        }
        let canonical = parse(&json!({"model": "m", "input": items})).unwrap().to_canonical(&converse_model(), 9).unwrap();
        let said = canonical.messages.get(1).map(|message| message.content.clone()).unwrap_or_default();
        prop_assert_eq!(said, content);
    }

    #[test]
    fn cuts_change_nothing(
        blocks in prop::collection::vec(any_block(), 0..4),
        odd in prop::collection::vec(prop::sample::select(vec![
            ": ping\n\n", "data: [DONE]\n\n", "event: x\ndata: {\"type\":\"new.event\"}\r\n\r\n",
            "data: {\"type\":\"error\",\"message\":\"e\"}\n\n", "data: {\"cut", "\r", "\n", "data: 1\n\n",
            "data: {\"type\":\"response.output_text.delta\",\"output_index\":\"x\",\"delta\":\"a\"}\n\n",
        ]), 0..3),
        odd_first: bool,
        cuts in prop::collection::vec(1_usize..60, 1..40),
    ) {
        let (mut events, _) = events_of(&blocks, true);
        events.push(Event::Stop { reason: StopReason::EndTurn, stop_sequence: None });
        let mut renderer = client().renderer(head());
        let mut stream: Vec<u8> = events.iter().flat_map(|event| renderer.event(event)).collect();
        stream.extend_from_slice(&renderer.finish());
        let odd = odd.concat().into_bytes();
        let stream = if odd_first { [odd, stream].concat() } else { [stream, odd].concat() };
        let whole = read(&stream, &[stream.len().max(1)]);
        prop_assert_eq!(&read(&stream, &cuts), &whole);
        let passed: Vec<u8> = whole.iter().flat_map(|frame| frame.bytes.to_vec()).collect();
        prop_assert!(passed.len() <= stream.len() + 2);
        prop_assert!(stream.starts_with(&passed) || passed.starts_with(&stream));
        prop_assert!(whole.iter().filter(|frame| frame.error.is_some()).count() <= 1);
    }

    #[test]
    fn what_is_rendered_can_be_read(blocks in prop::collection::vec(any_block(), 0..6)) {
        let (mut events, content) = events_of(&blocks, true);
        events.push(Event::Stop { reason: StopReason::EndTurn, stop_sequence: None });
        let mut renderer = client().renderer(head());
        let mut stream: Vec<u8> = events.iter().flat_map(|event| renderer.event(event)).collect();
        stream.extend_from_slice(&renderer.finish());
        let (mut texts, mut calls) = (String::new(), Vec::new());
        for event in read(&stream, &[7]).into_iter().flat_map(|frame| frame.events) {
            match event {
                Event::TextDelta { text, .. } => texts.push_str(&text),
                Event::ToolUseStart { id, .. } => calls.push((id, String::new())),
                Event::ToolInputDelta { json, .. } => calls.last_mut().unwrap().1.push_str(&json),
                _ => {}
            }
        }
        let said: String = content.iter().filter_map(|block| match block {
            ContentBlock::Text(text) => Some(text.as_str()),
            _ => None,
        }).collect();
        prop_assert_eq!(texts, said);
        let called: Vec<_> = content.iter().filter_map(|block| match block {
            ContentBlock::ToolUse { id, input, .. } => Some((id.clone(), input.clone())),
            _ => None,
        }).collect();
        let calls: Vec<_> = calls.into_iter().map(|(id, json)| (id, serde_json::from_str(&json).unwrap())).collect();
        prop_assert_eq!(calls, called);
    }
}

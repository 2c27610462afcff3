use metering::TokenUsage;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::renderer::accumulate;
use super::{converse_model, head, native_model, parse};
use crate::anthropic_messages::{
    CountTokensRequest, Framing, MessagesCodec, MessagesRequest, Renderer,
};
use crate::{
    AnswerRenderer as _, Codec as _, Event, Frame, GenerateRequest as _, StopReason,
    UnaryRequest as _, Upload,
};

const WORDS: [&str; 34] = [
    "user",
    "assistant",
    "system",
    "text",
    "image",
    "document",
    "tool_use",
    "tool_result",
    "thinking",
    "redacted_thinking",
    "base64",
    "url",
    "content",
    "file",
    "type",
    "role",
    "source",
    "media_type",
    "data",
    "image/png",
    "application/pdf",
    "file_id",
    "cache_control",
    "ephemeral",
    "ttl",
    "1h",
    "input",
    "id",
    "name",
    "tool_use_id",
    "is_error",
    "signature",
    "json_schema",
    "schema",
];

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(WORDS.to_vec()).prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let key =
            prop_oneof![prop::sample::select(WORDS.to_vec()).prop_map(str::to_owned), ".{0,6}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6)
                .prop_map(|members| members.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

fn any_block() -> impl Strategy<Value = Value> {
    let kinds = vec![
        "text",
        "image",
        "document",
        "tool_use",
        "tool_result",
        "thinking",
        "redacted_thinking",
        "x",
    ];
    let fields = vec![
        "text",
        "source",
        "content",
        "id",
        "name",
        "input",
        "tool_use_id",
        "thinking",
        "signature",
        "data",
        "cache_control",
    ];
    let source = prop_oneof![
        any_json(),
        Just(json!({"type": "base64", "media_type": "image/png", "data": "AAAA"})),
        Just(json!({"type": "file", "file_id": "file_1"})),
        Just(json!({"type": "ephemeral"})),
        Just(json!("text")),
        Just(json!({})),
    ];
    (
        prop::sample::select(kinds),
        prop::collection::vec((prop::sample::select(fields), source), 0..6),
    )
        .prop_map(|(kind, members)| {
            let mut block = Map::from_iter([("type".to_owned(), kind.into())]);
            block.extend(members.into_iter().map(|(key, value)| (key.to_owned(), value)));
            block.into()
        })
}

/// Objects that look like requests: the known keys, with any values.
fn any_body() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        prop::sample::select(vec![
            "stream",
            "system",
            "tools",
            "tool_choice",
            "thinking",
            "output_config",
            "output_format",
            "stop_sequences",
            "temperature",
            "top_k",
            "metadata",
            "service_tier",
            "cache_control",
            "mcp_servers",
            "dropped",
        ])
        .prop_map(str::to_owned),
        "[a-zA-Z_\"\\\\ü]{0,8}",
    ];
    let message = (
        prop::sample::select(vec!["user", "assistant", "system"]),
        prop_oneof![
            any_json(),
            any::<String>().prop_map(Value::from),
            prop::collection::vec(any_block(), 0..4).prop_map(Value::from),
        ],
    )
        .prop_map(|(role, content)| json!({"role": role, "content": content}));
    (prop::collection::vec(message, 0..4), prop::collection::vec((key, any_json()), 0..6)).prop_map(
        |(messages, members)| {
            let mut body = Map::from_iter([
                ("model".to_owned(), "m".into()),
                ("max_tokens".to_owned(), 9.into()),
                ("messages".to_owned(), messages.into()),
            ]);
            body.extend(members);
            body.into()
        },
    )
}

/// Runs every step on `request`; the point is that none panics.
fn run(request: MessagesRequest) -> Result<(), TestCaseError> {
    let mut native = native_model();
    native.drop_fields = vec!["dropped".to_owned()];
    let uploads = request.upload_ids().into_iter().map(|id| {
        let upload = Upload {
            media_type: "text/plain".to_owned(),
            bytes: "x".into(),
            s3_uri: String::new(),
        };
        (id, upload)
    });
    let uploads: Vec<_> = uploads.collect();
    let request = request.with_uploads(&uploads).unwrap();
    prop_assert!(request.upload_ids().is_empty());
    request.affinity_key();
    let Ok(bound) = request.bound(&native, Some(99)) else {
        return Ok(());
    };
    prop_assert!(
        bound.likely_input <= bound.input && bound.input <= u64::from(native.context_window)
    );
    if let Ok(canonical) = request.to_canonical(&converse_model(), bound.max_tokens)
        && let Ok(written) = MessagesCodec.write(&canonical, &native, true)
    {
        // What is written is a request itself, unless nothing of it was worth writing.
        let again = MessagesRequest::parse(&written.body, &written.headers);
        let is_empty =
            again.as_ref().is_err_and(|error| error.param.as_deref() == Some("messages"));
        prop_assert!(again.is_ok() || is_empty, "{:?}", again);
    }
    let forwarded: Value =
        serde_json::from_slice(&request.forward(&native, 9).unwrap().body).unwrap();
    prop_assert_eq!(&forwarded["model"], &native.provider_model_id);
    prop_assert!(forwarded.get("dropped").is_none());
    Ok(())
}

/// The events of one block.
fn any_content() -> impl Strategy<Value = Vec<Event>> {
    let text = || prop::sample::select(vec!["", "a", "ü\n", "\"}"]);
    prop_oneof![
        prop::collection::vec(text(), 0..3).prop_map(|texts| texts
            .into_iter()
            .map(|text| Event::TextDelta { block: 0, text: text.to_owned() })
            .collect()),
        (prop::collection::vec(text(), 0..3), text()).prop_map(|(texts, signature)| {
            let mut events: Vec<_> = texts
                .into_iter()
                .map(|text| Event::ReasoningDelta { block: 0, text: text.to_owned() })
                .collect();
            events.push(Event::ReasoningSignature { block: 0, signature: signature.to_owned() });
            events
        }),
        Just(vec![Event::RedactedReasoning { block: 0, data: "cmVk".to_owned() }]),
        prop::bool::ANY.prop_map(|has_input| {
            let mut events =
                vec![Event::ToolUseStart { block: 0, id: "t".to_owned(), name: "f".to_owned() }];
            if has_input {
                for json in ["{\"a\"", ":1}"] {
                    events.push(Event::ToolInputDelta { block: 0, json: json.to_owned() });
                }
            }
            events
        }),
    ]
}

fn number(event: &mut Event, index: u32) {
    match event {
        Event::TextDelta { block, .. }
        | Event::ReasoningDelta { block, .. }
        | Event::ReasoningSignature { block, .. }
        | Event::RedactedReasoning { block, .. }
        | Event::ToolUseStart { block, .. }
        | Event::ToolInputDelta { block, .. }
        | Event::BlockStop { block } => *block = index,
        Event::Stop { .. } | Event::Usage(_) => {}
    }
}

proptest! {
    #[test]
    fn no_bytes_make_parsing_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(request) = MessagesRequest::parse(&body, &[]) {
            run(request)?;
        }
    }

    #[test]
    fn no_json_makes_any_step_panic(body in any_body()) {
        if let Ok(request) = parse(&body) {
            run(request)?;
        }
        if let Ok(count) = CountTokensRequest::parse(body.to_string().as_bytes(), &[]) {
            for model in [native_model(), converse_model()] {
                let _ = count.calls(&model);
                count.render(&model, &head(), &[]).unwrap();
            }
        }
    }

    #[test]
    fn every_answer_is_a_stream_that_the_sdk_takes(
        blocks in prop::collection::vec((any_content(), any::<bool>()), 0..6),
        has_early_usage: bool,
    ) {
        let usage = Event::Usage(TokenUsage { input: 3, output: 5, ..TokenUsage::default() });
        let mut events = Vec::new();
        events.extend(has_early_usage.then(|| usage.clone()));
        for (block, has_stop) in blocks {
            events.extend(block);
            events.extend(has_stop.then_some(Event::BlockStop { block: 0 }));
        }
        let mut index = 0;
        let mut previous = None::<std::mem::Discriminant<Event>>;
        for event in &mut events {
            let kind = std::mem::discriminant(event);
            let begins = matches!(event, Event::ToolUseStart { .. } | Event::RedactedReasoning { .. })
                || previous.is_some_and(|before| before != kind)
                    && matches!(event, Event::TextDelta { .. } | Event::ReasoningDelta { .. });
            index += u32::from(begins);
            number(event, index);
            previous = Some(kind);
        }
        events.push(Event::Stop { reason: StopReason::EndTurn, stop_sequence: None });
        events.push(usage);
        let mut renderer = Renderer::new(Framing::Sse, head());
        let mut stream: Vec<u8> = events.iter().flat_map(|event| renderer.event(event)).collect();
        stream.extend_from_slice(&renderer.finish());
        let message = accumulate(&stream);
        prop_assert_eq!(&message["usage"]["output_tokens"], 5);

        // And the reader gets back what the renderer was given.
        let mut reader = MessagesCodec.stream(&native_model());
        let mut frames = reader.push(&stream);
        frames.extend(reader.finish());
        let said = |events: &[Event]| -> String {
            events.iter().map(|event| match event {
                Event::TextDelta { text, .. } | Event::ReasoningDelta { text, .. } => text.as_str(),
                Event::ReasoningSignature { signature, .. } => signature,
                Event::ToolInputDelta { json, .. } => json,
                Event::ToolUseStart { name, .. } => name,
                Event::RedactedReasoning { data, .. } => data,
                _ => "",
            }).collect()
        };
        let read: Vec<_> = frames.iter().flat_map(|frame| frame.events.clone()).collect();
        prop_assert_eq!(said(&read), said(&events));
        prop_assert!(frames.iter().all(|frame| frame.error.is_none()));
    }

    #[test]
    fn cuts_change_nothing(
        events in prop::collection::vec(prop::sample::select(vec![
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n",
            "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"ü\"}}\r\n\r\n",
            "data: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{\"a\":1}}}\n\n",
            "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"ab\"}}\n\n",
            "data: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
            "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":4}}\n\n",
            "data: {\"type\":\"message_stop\"}\n\n", "event: ping\ndata: {\"type\":\"ping\"}\n\n",
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\"}}\n\n",
            ": c\n\n", "data: [DONE]\n\n", "data: 7\n\n", "data: {\"cut", "\r", "\n",
        ]), 0..12),
        cuts in prop::collection::vec(1_usize..40, 1..40),
    ) {
        let stream = events.concat();
        let mut whole = MessagesCodec.stream(&native_model());
        let mut expected = whole.push(stream.as_bytes());
        expected.extend(whole.finish());
        let mut reader = MessagesCodec.stream(&native_model());
        let mut actual: Vec<Frame> = Vec::new();
        let mut rest = stream.as_bytes();
        for cut in cuts.iter().cycle() {
            let (head, tail) = rest.split_at((*cut).min(rest.len()));
            actual.extend(reader.push(head));
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
        actual.extend(reader.finish());
        prop_assert_eq!(actual, expected);
    }
}

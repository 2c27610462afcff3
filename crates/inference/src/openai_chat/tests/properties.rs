use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{converse_model, native_model, parse};
use crate::Model;
use crate::openai_chat::{ChatRequest, bound, forward_body, to_canonical};

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
            "tool",
            "text",
            "image_url",
            "file",
            "ephemeral",
            "function",
            "data:image/png;base64,AA"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        let key = prop_oneof![
            prop::sample::select(vec![
                "role",
                "content",
                "type",
                "text",
                "image_url",
                "url",
                "file",
                "file_data",
                "file_id",
                "cache_control",
                "thinking_blocks",
                "tool_calls",
                "tool_call_id",
                "id",
                "function",
                "name",
                "arguments",
                "parameters",
                "include_usage",
                "json_schema",
                "schema",
            ])
            .prop_map(str::to_owned),
            ".{0,6}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6)
                .prop_map(|members| members.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

/// Objects that look like requests: the known keys, with any values.
fn any_body() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        prop::sample::select(vec![
            "stream",
            "stream_options",
            "max_tokens",
            "max_completion_tokens",
            "tools",
            "tool_choice",
            "thinking",
            "response_format",
            "stop",
            "temperature",
            "n",
            "seed",
            "dropped",
        ])
        .prop_map(str::to_owned),
        "[a-zA-Z_\"\\\\ü]{0,8}",
    ];
    let messages = prop_oneof![
        any_json(),
        Just(json!([{"role": "user", "content": "hi"}])),
        any_json().prop_map(|content| json!([{"role": "user", "content": content}])),
        any_json().prop_map(|part| json!([{"role": "user", "content": [part]}])),
        any_json().prop_map(|calls| json!([{"role": "user", "content": "q"}, {"role": "assistant", "tool_calls": calls}])),
    ];
    (messages, prop::collection::vec((key, any_json()), 0..6)).prop_map(|(messages, members)| {
        let mut body =
            Map::from_iter([("model".to_owned(), "m".into()), ("messages".to_owned(), messages)]);
        body.extend(members);
        Value::Object(body)
    })
}

/// Runs every step on `request`; the point is that none panics.
fn run(request: &ChatRequest) -> Result<(), TestCaseError> {
    let native =
        Model { drop_fields: vec!["dropped".to_owned(), "seed".to_owned()], ..native_model() };
    let Ok(bound) = bound(request, &native, Some(99)) else {
        return Ok(());
    };
    prop_assert!(
        bound.likely_input <= bound.input && bound.input <= u64::from(native.context_window)
    );
    let _ = to_canonical(request, &converse_model(), bound.max_tokens);
    let forwarded: Value =
        serde_json::from_slice(&forward_body(request, &native, bound.max_tokens)).unwrap();
    prop_assert_eq!(&forwarded["model"], &native.provider_model_id);
    Ok(())
}

proptest! {
    #[test]
    fn no_bytes_make_parsing_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(request) = ChatRequest::parse(&body) {
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
    fn a_forwarded_body_differs_only_in_the_listed_fields(
        fields in prop::collection::vec(("[a-z\"ü]{1,8}", any_json()), 0..6),
        is_streaming: bool,
        is_pretty: bool,
    ) {
        let mut body = Map::from_iter([("dropped".to_owned(), json!([1, {"model": 2}]))]);
        body.extend(fields.into_iter().filter(|(key, _)| !matches!(key.as_str(), "model" | "n" | "tools" | "stream")));
        body.insert("model".to_owned(), "m".into());
        body.insert("messages".to_owned(), json!([{"role": "user", "content": "\"model\":"}]));
        body.insert("stream".to_owned(), is_streaming.into());
        let mut expected = body.clone();
        let body = Value::Object(body);
        let text = if is_pretty { serde_json::to_string_pretty(&body).unwrap() } else { body.to_string() };
        let model = Model { drop_fields: vec!["dropped".to_owned()], ..native_model() };
        let request = ChatRequest::parse(text.as_bytes()).unwrap();
        let forwarded = forward_body(&request, &model, 5);

        expected.shift_remove("dropped");
        expected.insert("model".to_owned(), model.provider_model_id.clone().into());
        expected.insert("max_completion_tokens".to_owned(), 5.into());
        if is_streaming {
            expected.insert("stream_options".to_owned(), json!({"include_usage": true}));
        }
        let actual: Value = serde_json::from_slice(&forwarded).unwrap();
        // Written and read once more, since a decimal number may change in its last digit.
        let expected: Value = serde_json::from_str(&Value::Object(expected).to_string()).unwrap();
        prop_assert_eq!(actual, expected);

        // Where no edit is needed, not a byte differs.
        let same = Model { provider_model_id: "m".to_owned(), drop_fields: Vec::new(), ..native_model() };
        let complete = text.replacen('{', "{\"max_tokens\": 5,  \"stream_options\":{\"include_usage\":true},", 1);
        if is_streaming {
            let request = ChatRequest::parse(complete.as_bytes()).unwrap();
            prop_assert_eq!(forward_body(&request, &same, 5), complete.as_bytes());
        }
    }
}

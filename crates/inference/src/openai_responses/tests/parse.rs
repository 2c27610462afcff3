use serde_json::{Value, json};

use super::{canonical, converse_model, forwarded, native_model, parse, plain_model, request};
use crate::{
    Capabilities, ContentBlock, GenerateRequest as _, Model, Role, Source, SystemBlock, ToolChoice,
    Upload,
};

#[track_caller]
fn refused(body: &Value, code: &str, param: &str) {
    let error = match parse(body) {
        Err(error) => error,
        Ok(request) => match request.bound(&converse_model(), None) {
            Err(error) => error,
            Ok(_) => request.to_canonical(&converse_model(), 100).unwrap_err(),
        },
    };
    assert_eq!((error.code, error.param.as_deref()), (code, Some(param)), "{error}");
}

#[test]
fn what_is_missing_or_senseless_is_named() {
    refused(&json!({"input": "hi"}), "missing_required_parameter", "model");
    refused(&json!({"model": " ", "input": "hi"}), "invalid_value", "model");
    refused(&json!({"model": "m"}), "missing_required_parameter", "input");
    refused(&json!({"model": "m", "input": []}), "empty_array", "input");
    refused(&json!({"model": "m", "input": 1}), "invalid_type", "input");
    refused(&json!({"model": "m", "input": [{}]}), "invalid_value", "input[0]");
    refused(&json!({"model": "m", "Input": "x", "input": "hi"}), "unknown_parameter", "Input");
    for (fields, code, param) in [
        (json!({"stream": 1}), "invalid_type", "stream"),
        (json!({"max_output_tokens": 0}), "integer_below_min_value", "max_output_tokens"),
        (json!({"max_output_tokens": 8_193}), "integer_above_max_value", "max_output_tokens"),
        (json!({"background": true}), "unsupported_parameter", "background"),
        (json!({"conversation": "conv_1"}), "unsupported_parameter", "conversation"),
        (json!({"prompt": {"id": "p"}}), "unsupported_parameter", "prompt"),
        (json!({"service_tier": "scale"}), "unsupported_parameter", "service_tier"),
        (json!({"top_logprobs": 2}), "unsupported_parameter", "top_logprobs"),
        (
            json!({"include": ["message.output_text.logprobs"]}),
            "unsupported_parameter",
            "include[0]",
        ),
        (json!({"temperature": 1.5}), "decimal_above_max_value", "temperature"),
        (
            json!({"text": {"format": {"type": "json_object"}}}),
            "unsupported_parameter",
            "text.format.type",
        ),
        (json!({"reasoning": {"effort": "vast"}}), "invalid_value", "reasoning.effort"),
        (json!({"tools": [{"type": "mcp"}]}), "unsupported_parameter", "tools[0].type"),
        (json!({"tools": [{"type": "new_kind"}]}), "unsupported_parameter", "tools[0].type"),
        (json!({"tools": [{"type": "function", "name": "a b"}]}), "invalid_value", "tools[0].name"),
        (json!({"tool_choice": "required"}), "invalid_value", "tool_choice"),
        (
            json!({"tools": [{"type": "web_search"}], "tool_choice": "required"}),
            "unsupported_parameter",
            "tool_choice",
        ),
        (
            json!({"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}}),
            "unsupported_parameter",
            "tool_choice.type",
        ),
        (
            json!({"tool_choice": {"type": "function", "name": "f"}}),
            "invalid_value",
            "tool_choice.name",
        ),
    ] {
        refused(&request(fields), code, param);
    }
}

#[test]
fn items_that_make_no_sense_are_named() {
    let user = json!({"role": "user", "content": "q"});
    for (item, code, param) in [
        (json!({"type": "web_search_call", "id": "ws"}), "unsupported_parameter", "input[1]"),
        (json!({"role": "tool", "content": "x"}), "invalid_value", "input[1].role"),
        (
            json!({"role": "user", "content": [{"type": "input_audio"}]}),
            "unsupported_parameter",
            "input[1].content[0].type",
        ),
        (
            json!({"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}),
            "invalid_value",
            "input[1].content[0].image_url",
        ),
        (
            json!({"role": "user", "content": [{"type": "input_image", "image_url": "data:image/svg+xml;base64,AA=="}]}),
            "unsupported_image_media_type",
            "input[1].content[0].image_url",
        ),
        (
            json!({"role": "user", "content": [{"type": "input_file", "file_id": "file_1"}]}),
            "invalid_value",
            "input[1].content[0].file_id",
        ),
        (
            json!({"role": "user", "content": [{"type": "input_file", "file_data": "AA=="}]}),
            "invalid_value",
            "input[1].content[0]",
        ),
        (
            json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}),
            "invalid_value",
            "input",
        ),
        (
            json!({"type": "function_call_output", "call_id": "c", "output": "x"}),
            "invalid_value",
            "input[1].call_id",
        ),
        (json!({"type": "item_reference", "id": "msg_1"}), "invalid_value", "input[1]"),
        (json!({"id": "msg_1"}), "invalid_value", "input[1]"),
        (
            json!({"type": "reasoning", "summary": [], "encrypted_content": "weir.1.nonsense"}),
            "invalid_value",
            "input[1].encrypted_content",
        ),
    ] {
        refused(&json!({"model": "m", "input": [user, item]}), code, param);
    }
    refused(
        &json!({"model": "m", "input": [{"role": "assistant", "content": "x"}]}),
        "invalid_value",
        "input",
    );
}

#[test]
fn a_model_is_asked_only_for_what_it_can() {
    for fields in [
        json!({"tools": [{"type": "function", "name": "f"}]}),
        json!({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://e.com/a.png"}]}]}),
        json!({"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "https://e.com/a.pdf"}]}]}),
        json!({"text": {"format": {"type": "json_schema", "name": "a", "schema": {}}}}),
    ] {
        let error = parse(&request(fields)).unwrap().to_canonical(&plain_model(), 9).unwrap_err();
        assert_eq!(error.code, "unsupported_parameter");
    }
    // Hints and what an agent offers unasked are left out.
    let hints = json!({
        "tools": [{"type": "web_search"}, {"type": "tool_search", "execution": "client"}],
        "tool_choice": "auto",
        "reasoning": {"effort": "high", "summary": "auto"},
        "temperature": 1.5,
        "truncation": "auto",
        "parallel_tool_calls": true,
    });
    let canonical = parse(&request(hints)).unwrap().to_canonical(&plain_model(), 9).unwrap();
    assert_eq!((canonical.tools.len(), canonical.tool_choice, canonical.effort), (0, None, None));
    assert_eq!(canonical.inference.temperature, None);
}

#[test]
fn calls_are_told_to_come_one_by_one_where_there_is_a_word_for_it() {
    let parallel = |model: &Model, tools: Value| {
        let body = request(json!({"parallel_tool_calls": false, "tools": tools}));
        parse(&body).unwrap().to_canonical(model, 9).unwrap().parallel_tool_calls
    };
    let tools = json!([{"type": "function", "name": "f"}]);
    assert_eq!(parallel(&native_model(), tools.clone()), Some(false));
    assert_eq!(parallel(&converse_model(), tools), None);
    assert_eq!(parallel(&native_model(), json!([])), None);
}

#[test]
fn results_come_right_after_the_calls() {
    let canonical = canonical(&json!({"model": "m", "input": [
        {"role": "user", "content": "q"},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": ""},
        {"type": "function_call", "call_id": "b", "name": "f", "arguments": "{}"},
        {"role": "user", "content": "hurry"},
        {"type": "function_call_output", "call_id": "b", "output": "2"},
        {"type": "function_call_output", "call_id": "a", "output": "1"},
    ]}))
    .unwrap();
    let last = canonical.messages.last().unwrap();
    let ids: Vec<_> = last
        .content
        .iter()
        .map(|block| match block {
            ContentBlock::ToolResult { id, .. } => id.as_str(),
            ContentBlock::Text(text) => text.as_str(),
            _ => unreachable!(),
        })
        .collect();
    assert_eq!((last.role, ids), (Role::User, vec!["b", "a", "hurry"]));
}

#[test]
fn tools_in_namespaces_get_names_that_stay() {
    let name = |namespace: &str, name: &str| {
        let body = request(json!({
            "input": [
                {"type": "additional_tools", "role": "developer", "tools": [
                    {"type": "namespace", "name": namespace, "tools": [{"type": "custom", "name": name}]},
                ]},
                {"role": "user", "content": "q"},
                {"type": "custom_tool_call", "call_id": "c", "namespace": namespace, "name": name, "input": "x"},
                {"type": "custom_tool_call_output", "call_id": "c", "output": "y"},
            ],
            "tool_choice": {"type": "custom", "namespace": namespace, "name": name},
        }));
        let canonical = canonical(&body).unwrap();
        let offered = canonical.tools[0].name.clone();
        let ContentBlock::ToolUse { name, .. } = &canonical.messages[1].content[0] else {
            panic!("no call");
        };
        assert_eq!(*name, offered);
        assert_eq!(canonical.tool_choice, Some(ToolChoice::Tool(offered.clone())));
        offered
    };
    assert_eq!(name("functions", "exec"), "functions__exec");
    let long =
        name("a-namespace-with-a-very-long-name-indeed", "and-a-tool-with-another-long-name");
    assert_eq!(long.len(), 64);
    assert_ne!(name("a.b", "c"), name("a_b", "c"));
    assert!(name("a.b", "c").starts_with("a_b__c_"));
}

#[test]
fn uploads_stand_where_they_are_named() {
    let body = json!({"model": "m", "store": false, "input": [
        {"role": "user", "content": [
            {"type": "input_image", "file_id": "file_1", "detail": "auto"},
            {"type": "input_file", "file_id": "file_2"},
            {"type": "input_file", "file_id": "file_1", "filename": "x.pdf"},
        ]},
    ]});
    let request = parse(&body).unwrap();
    assert_eq!(request.upload_ids(), ["file_1", "file_2"]);
    let upload = |media_type: &str| Upload {
        media_type: media_type.to_owned(),
        bytes: b"\0\x01".as_slice().into(),
        s3_uri: "s3://b/k".to_owned(),
    };
    let uploads =
        [("file_1", upload("image/png")), ("file_2", upload("text/plain; charset=utf-8"))];
    let uploads = uploads.map(|(id, upload)| (id.to_owned(), upload));
    assert_eq!(request.clone().with_uploads(&uploads[..1]).unwrap_err().code, "file_not_found");
    let request = request.with_uploads(&uploads).unwrap();
    let source = |capabilities: Capabilities| {
        let model = Model { capabilities, ..converse_model() };
        let canonical = request.to_canonical(&model, 9).unwrap();
        match &canonical.messages[0].content[1] {
            ContentBlock::Document { source, .. } => source.clone(),
            other => panic!("{other:?}"),
        }
    };
    let able = converse_model().capabilities;
    assert_eq!(source(able.clone()), Source::S3 { uri: "s3://b/k".to_owned(), bucket_owner: None });
    assert_eq!(source(Capabilities { s3_sources: false, ..able }), Source::Bytes(vec![0, 1]));
    let content = &forwarded(&request)["input"][0]["content"];
    assert_eq!(
        *content,
        json!([
            {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,AAE="},
            {"type": "input_file", "file_data": "data:text/plain; charset=utf-8;base64,AAE=", "filename": "document"},
            {"type": "input_file", "filename": "x.pdf", "file_data": "data:image/png;base64,AAE="},
        ])
    );
}

#[test]
fn a_forwarded_body_keeps_its_bytes() {
    let text = r#"{ "model":"m",  "input" : "h\u0069", "store":false,"max_output_tokens":5, "new": [1.50] }"#;
    let request = super::ResponsesRequest::parse(text.as_bytes()).unwrap();
    let model = Model { provider_model_id: "m".to_owned(), ..native_model() };
    assert_eq!(request.forward(&model, 9).unwrap().body, text);
    let model = Model { drop_fields: vec!["new".to_owned(), "input".to_owned()], ..native_model() };
    assert_eq!(
        request.forward(&model, 9).unwrap().body,
        r#"{ "model":"us.openai.gpt-test-1:0",  "input" : "h\u0069", "store":false,"max_output_tokens":5 }"#
    );
}

#[test]
fn providers_get_no_reasoning_that_they_cannot_read() {
    let reasoning = |fields: Value| {
        let mut item = json!({"type": "reasoning", "id": "rs_1", "summary": []});
        item.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        item
    };
    let own = json!({"encrypted_content": "ZW5j"});
    let shown = json!({"content": [{"type": "reasoning_text", "text": "hm"}]});
    let body = json!({"model": "m", "input": [
        {"role": "user", "content": "q"},
        reasoning(own.clone()),
        reasoning(shown.clone()),
        reasoning(json!({"encrypted_content": "weir.1.e30="})),
        reasoning(json!({})),
    ]});
    let sent = forwarded(&parse(&body).unwrap());
    assert_eq!(
        sent["input"],
        json!([{"role": "user", "content": "q"}, reasoning(own), reasoning(shown)])
    );
}

#[test]
fn input_is_bounded_by_its_bytes_or_by_the_window() {
    let bound =
        |fields: Value| parse(&request(fields)).unwrap().bound(&native_model(), None).unwrap();
    let small = bound(json!({}));
    assert_eq!((small.input, small.output), (502, 1_024));
    let image = json!([{"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AAAAAAAAAAAAAAAAAA"}]}]);
    let image = bound(json!({ "input": image })).input;
    assert!(image > 2_100 && image < 2_200, "{image}");
    for fields in [
        json!({"tools": [{"type": "web_search"}]}),
        json!({"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "https://e.com/a.pdf"}]}]}),
    ] {
        assert_eq!(bound(fields).input, 200_000);
    }
    let tools =
        json!({"tools": [{"type": "function", "name": "f", "description": "x".repeat(1_000)}]});
    let translated = parse(&request(tools)).unwrap().bound(&converse_model(), Some(7)).unwrap();
    assert!(translated.input > 1_500 && translated.output == 7);
}

#[test]
fn tools_that_only_openai_has_keep_a_request_from_other_servers() {
    let is_forwarded = |hosted_tools, fields: Value| {
        let capabilities = Capabilities { hosted_tools, ..native_model().capabilities };
        let model = Model { capabilities, ..native_model() };
        parse(&request(fields)).unwrap().is_forwarded_to(&model)
    };
    let own =
        json!({"tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "c"}]});
    assert!(is_forwarded(false, json!({})) && is_forwarded(false, own));
    let namespace = json!({"type": "namespace", "name": "n", "tools": []});
    for fields in [
        json!({"tools": [{"type": "function", "name": "f"}, {"type": "web_search"}]}),
        json!({"tools": [namespace]}),
        json!({"tools": [{}]}),
        json!({"input": [{"type": "additional_tools", "role": "developer", "tools": [namespace]}]}),
    ] {
        assert!(!is_forwarded(false, fields.clone()), "{fields}");
        assert!(is_forwarded(true, fields));
    }
}

#[test]
fn turns_of_a_conversation_share_their_affinity() {
    let key = |fields: Value| parse(&request(fields)).unwrap().affinity_key();
    assert_eq!(key(json!({"prompt_cache_key": "k"})).as_deref(), Some("k"));
    let first = json!({"role": "user", "content": "q"});
    let turn = key(json!({"instructions": "Be brief.", "input": [first]}));
    let next = json!({"instructions": "Be brief.", "input": [first, {"role": "assistant", "content": "a"}]});
    assert_eq!(turn, key(next));
    assert_ne!(
        turn,
        key(json!({"instructions": "Be brief.", "input": [{"role": "user", "content": "r"}]}))
    );
    let long = "ü".repeat(5_000);
    assert!(key(json!({"instructions": long, "input": long})).unwrap().len() < 3_000);
    let parts = json!([{"type": "input_text", "text": "Hello"}]);
    let turns = [
        json!("Hello"),
        json!([{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]),
        json!([{"type": "message", "role": "user", "content": parts}]),
    ];
    let keys: Vec<_> = turns.into_iter().map(|input| key(json!({ "input": input }))).collect();
    assert!(keys.iter().all(|key| key.is_some() && *key == keys[0]), "{keys:?}");
}

#[test]
fn breakpoints_of_the_cache_become_cache_points_where_there_are_any() {
    let body = json!({"model": "m", "input": [
        {"role": "system", "content": [{"type": "input_text", "text": "s", "prompt_cache_breakpoint": {"mode": "explicit"}}]},
        {"role": "user", "content": [{"type": "input_text", "text": "q", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}}]},
    ]});
    let count = |capabilities: Capabilities| {
        let model = Model { capabilities, ..converse_model() };
        let canonical = parse(&body).unwrap().to_canonical(&model, 9).unwrap();
        let system = canonical.system.iter().filter(|it| matches!(it, SystemBlock::CachePoint(_)));
        let user = &canonical.messages[0].content;
        system.count() + user.iter().filter(|it| matches!(it, ContentBlock::CachePoint(_))).count()
    };
    assert_eq!(count(converse_model().capabilities), 2);
    assert_eq!(count(Capabilities::default()), 0);
}

use serde_json::{Value, json};

use super::{conversation, converse_model, parse, plain_model, request};
use crate::openai_chat::to_canonical;
use crate::{
    CacheTtl, ContentBlock, DocumentFormat, ImageFormat, Model, ModelRequest, Role, Source,
    SystemBlock, Thinking, ToolChoice, ToolResultContent, Upload,
};

#[track_caller]
fn canonical(body: &Value, model: &Model) -> ModelRequest {
    to_canonical(&parse(body).unwrap(), model, 100).unwrap()
}

#[track_caller]
fn canonical_of(body: &Value) -> ModelRequest {
    canonical(body, &converse_model())
}

#[track_caller]
fn refuses_for(model: &Model, body: &Value, code: &str, param: &str, words: &str) {
    let error = to_canonical(&parse(body).unwrap(), model, 100).expect_err("should be refused");
    assert_eq!((error.code, error.param.as_deref()), (code, Some(param)), "{error}");
    assert!(error.message.contains(words), "{error}");
}

#[track_caller]
fn refuses(body: &Value, code: &str, param: &str, words: &str) {
    refuses_for(&converse_model(), body, code, param, words);
}

fn tool(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}})
}

fn call(id: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}})
}

fn image(url: &str) -> Value {
    conversation(
        json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]),
    )
}

#[test]
fn numbers_out_of_range_are_refused() {
    refuses(
        &request(json!({"temperature": 2.1})),
        "decimal_above_max_value",
        "temperature",
        "from 0 to 2",
    );
    refuses(
        &request(json!({"temperature": -1})),
        "decimal_below_min_value",
        "temperature",
        "from 0 to 2",
    );
    let hot = canonical(&request(json!({"temperature": 1.5})), &converse_model());
    assert_eq!(hot.inference.temperature, Some(1.5), "whether it can be had, the codec says");
    refuses(
        &request(json!({"temperature": "hot"})),
        "invalid_type",
        "temperature",
        "must be a number",
    );
    refuses(&request(json!({"top_p": 1.1})), "decimal_above_max_value", "top_p", "from 0 to 1");
}

#[test]
fn stop_is_a_text_or_up_to_four() {
    let stops = |stop| {
        canonical(&request(json!({"stop": stop})), &converse_model()).inference.stop_sequences
    };
    assert_eq!(stops(json!("END")), ["END"]);
    assert_eq!(stops(json!(["a", "b", "c", "d"])), ["a", "b", "c", "d"]);
    assert!(stops(json!(null)).is_empty());
    refuses(
        &request(json!({"stop": ["1", "2", "3", "4", "5"]})),
        "array_above_max_length",
        "stop",
        "at most 4",
    );
    refuses(&request(json!({"stop": ["a", 2]})), "invalid_type", "stop[1]", "must be a string");
    refuses(&request(json!({"stop": ""})), "invalid_value", "stop", "empty");
    refuses(
        &request(json!({"stop": 1})),
        "invalid_type",
        "stop",
        "a string or an array of strings",
    );
}

#[test]
fn what_the_canonical_form_cannot_hold_is_refused() {
    for (name, value) in [
        ("n", json!(2)),
        ("logprobs", json!(true)),
        ("top_logprobs", json!(3)),
        ("logit_bias", json!({"50": 1})),
        ("presence_penalty", json!(0.5)),
        ("frequency_penalty", json!(-0.5)),
        ("modalities", json!(["text", "audio"])),
        ("audio", json!({"voice": "x"})),
        ("web_search_options", json!({})),
        ("functions", json!([{"name": "f"}])),
        ("function_call", json!("auto")),
    ] {
        refuses(
            &request(json!({name: value})),
            "unsupported_parameter",
            name,
            "anthropic.claude-test",
        );
        let dropping = Model { drop_fields: vec![name.to_owned()], ..converse_model() };
        canonical(&request(json!({name: value})), &dropping);
    }
}

#[test]
fn harmless_values_hints_and_unknown_fields_are_accepted() {
    let fields = json!({
        "n": 1, "logprobs": false, "top_logprobs": 0, "logit_bias": {}, "presence_penalty": 0.0, "frequency_penalty": 0,
        "modalities": ["text"], "audio": null, "functions": [], "seed": 7, "user": "u",
        "metadata": {"a": "b"}, "store": false, "verbosity": "low", "some_new_field": [1],
    });
    let plain = canonical(&request(json!({})), &converse_model());
    assert_eq!(canonical(&request(fields), &converse_model()), plain);
}

#[test]
fn parallel_tool_calls_are_for_the_codec_to_judge() {
    let parallel = |value: Value| {
        canonical(&request(json!({ "parallel_tool_calls": value })), &converse_model())
            .parallel_tool_calls
    };
    assert_eq!(parallel(json!(false)), Some(false));
    assert_eq!(parallel(json!(true)), Some(true));
    assert_eq!(parallel(json!(null)), None);
    let wrong = request(json!({"parallel_tool_calls": 1}));
    refuses(&wrong, "invalid_type", "parallel_tool_calls", "a boolean");
}

#[test]
fn a_model_gets_only_what_it_can_take() {
    let fields = json!({"temperature": 1.5, "top_p": 0.5, "reasoning_effort": "high"});
    let plain = canonical(&request(fields), &plain_model());
    assert_eq!(
        (plain.inference.temperature, plain.inference.top_p, plain.effort),
        (None, None, None)
    );
    let full = canonical(
        &request(json!({"temperature": 0.5, "reasoning_effort": "minimal"})),
        &converse_model(),
    );
    assert_eq!((full.inference.temperature, full.effort.as_deref()), (Some(0.5), Some("low")));
    refuses(
        &request(json!({"reasoning_effort": "huge"})),
        "invalid_value",
        "reasoning_effort",
        "`low`",
    );

    let plain = &plain_model();
    let words = "this model has no tools";
    refuses_for(
        plain,
        &request(json!({"tools": [tool("f")]})),
        "unsupported_parameter",
        "tools",
        words,
    );
    let history = conversation(json!([
        {"role": "user", "content": "q"}, {"role": "assistant", "tool_calls": [call("c")]},
        {"role": "tool", "tool_call_id": "c", "content": "r"},
    ]));
    refuses_for(plain, &history, "unsupported_parameter", "messages[1].tool_calls[0]", words);
    let picture = image("data:image/png;base64,AAAA");
    refuses_for(
        plain,
        &picture,
        "unsupported_parameter",
        "messages[0].content[0]",
        "reads text only",
    );
    let schema = json!({"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}}});
    refuses_for(
        plain,
        &request(schema),
        "unsupported_parameter",
        "response_format.type",
        "not available",
    );
}

#[test]
fn images_come_as_data_urls() {
    let url = "messages[0].content[0].image_url.url";
    refuses(&image("ftp://example.com/a.png"), "invalid_image_url", url, "data:image/png;base64,");
    refuses(&image("data:image/png,raw"), "invalid_image_url", url, "data:image/png;base64,");
    refuses(
        &image("data:image/bmp;base64,AAAA"),
        "unsupported_image_media_type",
        url,
        "PNG, JPEG, GIF or WebP",
    );
    refuses(&image("data:image/png;base64,not base64!"), "invalid_base64", url, "valid base64");
    refuses(&image("data:image/png;base64,"), "invalid_base64", url, "empty image");
    refuses(&image("da"), "invalid_image_url", url, "");
    refuses(&image("dataü:image"), "invalid_image_url", url, "");
    for good in [
        "data:image/png;base64,AQI=",
        "DATA:Image/JPG;charset=x;Base64,AQI",
        "data:image/webp;base64,AQI=",
    ] {
        let canonical = canonical(&image(good), &converse_model());
        assert!(
            matches!(&canonical.messages[0].content[0], ContentBlock::Image { source: Source::Bytes(bytes), .. } if bytes == &[1, 2]),
            "{good}"
        );
    }
}

#[test]
fn other_media_are_refused() {
    let audio = json!([{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]}]);
    refuses(
        &conversation(audio),
        "unsupported_parameter",
        "messages[0].content[0].type",
        "`input_audio` is not available",
    );
}

#[test]
fn tools_must_be_well_formed() {
    let tools = |tools: Value| request(json!({ "tools": tools }));
    refuses(&tools(json!("f")), "invalid_type", "tools", "must be an array");
    refuses(
        &tools(json!([{"type": "custom"}])),
        "unsupported_parameter",
        "tools[0].type",
        "must be `function`",
    );
    refuses(
        &tools(json!([{"type": "function"}])),
        "missing_required_parameter",
        "tools[0].function",
        "Missing",
    );
    let named = |name: &str| json!([{"type": "function", "function": {"name": name}}]);
    for name in ["", "a b", "ünö", &"x".repeat(65)] {
        refuses(&tools(named(name)), "invalid_value", "tools[0].function.name", "1 to 64 letters");
    }
    refuses(
        &tools(json!([tool("f"), tool("f")])),
        "invalid_value",
        "tools[1]",
        "second tool named `f`",
    );
    let many: Vec<_> = (0..129).map(|index| tool(&format!("t{index}"))).collect();
    refuses(&tools(many.into()), "array_above_max_length", "tools", "at most 128");
    let bare = canonical(&tools(named("f")), &converse_model()).tools;
    assert_eq!(bare[0].input_schema, json!({"type": "object", "properties": {}}));
}

#[test]
fn strict_tools_are_left_to_models_that_know_them() {
    let body = request(
        json!({"tools": [{"type": "function", "function": {"name": "f", "strict": true}}]}),
    );
    assert_eq!(canonical(&body, &converse_model()).tools[0].strict, Some(true));
    let mut model = converse_model();
    model.capabilities.structured_output = false;
    assert_eq!(canonical(&body, &model).tools[0].strict, None);
}

#[test]
fn a_tool_choice_must_be_one_that_can_be_kept() {
    let choose = |choice: Value| request(json!({"tools": [tool("f")], "tool_choice": choice}));
    let chosen = |choice| canonical(&choose(choice), &converse_model()).tool_choice;
    assert_eq!(chosen(json!("auto")), Some(ToolChoice::Auto));
    assert_eq!(chosen(json!("required")), Some(ToolChoice::Any));
    assert_eq!(
        chosen(json!({"type": "function", "function": {"name": "f"}})),
        Some(ToolChoice::Tool("f".to_owned()))
    );
    assert_eq!(chosen(json!(null)), None);
    assert_eq!(chosen(json!("none")), Some(ToolChoice::None));
    let allowed = |mode: &str, name: &str| {
        let tools = json!([{"type": "function", "function": {"name": name}}]);
        let choice =
            json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}});
        request(json!({"tools": [tool("f"), tool("g")], "tool_choice": choice}))
    };
    let only = canonical(&allowed("required", "g"), &converse_model());
    assert_eq!((only.tools.len(), only.tools[0].name.as_str()), (1, "g"));
    assert_eq!(only.tool_choice, Some(ToolChoice::Any));
    let auto = canonical(&allowed("auto", "f"), &converse_model());
    assert_eq!((auto.tools.len(), auto.tool_choice), (1, Some(ToolChoice::Auto)));
    refuses(
        &allowed("auto", "h"),
        "invalid_value",
        "tool_choice.allowed_tools.tools[0].function.name",
        "not the name of one of `tools`",
    );

    let unknown = choose(json!({"type": "function", "function": {"name": "g"}}));
    refuses(
        &unknown,
        "invalid_value",
        "tool_choice.function.name",
        "not the name of one of `tools`",
    );
    refuses(&choose(json!("maybe")), "invalid_value", "tool_choice", "`auto`");
    refuses(&choose(json!(1)), "invalid_type", "tool_choice", "a string or an object");
    refuses(
        &choose(json!({"type": "custom"})),
        "unsupported_parameter",
        "tool_choice.type",
        "must be `function`",
    );
    refuses(
        &request(json!({"tool_choice": "required"})),
        "invalid_value",
        "tool_choice",
        "`tools` is empty",
    );
    let mut model = converse_model();
    model.capabilities.forced_tool_choice = false;
    refuses_for(
        &model,
        &choose(json!("required")),
        "unsupported_parameter",
        "tool_choice",
        "cannot be made to use a tool",
    );
    canonical(&choose(json!("auto")), &model);
}

#[test]
fn results_of_parallel_calls_are_one_turn() {
    let body = conversation(json!([
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "", "tool_calls": [call("a"), call("b")]},
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "B"}]},
        {"role": "tool", "tool_call_id": "a", "content": "A"},
        {"role": "user", "content": "and?"},
    ]));
    let canonical = canonical(&body, &converse_model());
    let roles: Vec<_> =
        canonical.messages.iter().map(|message| (message.role, message.content.len())).collect();
    assert_eq!(roles, [(Role::User, 1), (Role::Assistant, 2), (Role::User, 3)]);
    assert_eq!(canonical.system, [SystemBlock::Text("be brief".to_owned())]);
    let first = ContentBlock::ToolResult {
        is_error: false,
        id: "b".to_owned(),
        content: vec![ToolResultContent::Text("B".to_owned())],
    };
    assert_eq!(canonical.messages[2].content[0], first);
}

#[test]
fn every_tool_call_is_answered_once() {
    let history = |rest: &[Value]| {
        let mut messages = vec![
            json!({"role": "user", "content": "q"}),
            json!({"role": "assistant", "tool_calls": [call("a"), call("b")]}),
            json!({"role": "tool", "tool_call_id": "a", "content": "A"}),
        ];
        messages.extend_from_slice(rest);
        conversation(messages.into())
    };
    let answer = json!({"role": "tool", "tool_call_id": "b", "content": "B"});
    canonical(&history(std::slice::from_ref(&answer)), &converse_model());
    refuses(&history(&[]), "invalid_value", "messages", "for each of `b`");
    refuses(
        &history(&[json!({"role": "user", "content": "x"})]),
        "invalid_value",
        "messages[3]",
        "for each of `b`",
    );
    let unknown = json!({"role": "tool", "tool_call_id": "z", "content": "Z"});
    refuses(
        &history(&[unknown]),
        "invalid_value",
        "messages[3].tool_call_id",
        "answers no open tool call",
    );
    refuses(
        &history(&[answer.clone(), answer]),
        "invalid_value",
        "messages[4].tool_call_id",
        "answers no open tool call",
    );
    let twins = json!([{"role": "user", "content": "q"}, {"role": "assistant", "tool_calls": [call("a"), call("a")]}]);
    refuses(
        &conversation(twins),
        "invalid_value",
        "messages[1].tool_calls[1].id",
        "ids must differ",
    );
}

#[test]
fn arguments_are_an_object() {
    let with = |arguments: Value| {
        let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}});
        let answer = json!({"role": "tool", "tool_call_id": "a", "content": "A"});
        conversation(
            json!([{"role": "user", "content": "q"}, {"role": "assistant", "tool_calls": [call]}, answer]),
        )
    };
    let path = "messages[1].tool_calls[0].function.arguments";
    refuses(&with(json!("{")), "invalid_value", path, "text of a JSON object");
    refuses(&with(json!("[1]")), "invalid_value", path, "text of a JSON object");
    refuses(&with(json!({})), "invalid_type", path, "must be a string");
    for empty in [json!(""), json!("{}"), json!(null)] {
        let canonical = canonical(&with(empty), &converse_model());
        assert!(
            matches!(&canonical.messages[1].content[0], ContentBlock::ToolUse { input, .. } if input == &json!({}))
        );
    }
}

#[test]
fn ids_of_other_providers_stay_as_they_are() {
    let id = "call_1__thought__".to_owned() + &"x/=".repeat(100);
    let body = conversation(json!([
        {"role": "user", "content": "q"}, {"role": "assistant", "tool_calls": [call(&id)]},
        {"role": "tool", "tool_call_id": id, "content": "r"},
    ]));
    let canonical = canonical(&body, &converse_model());
    assert!(
        matches!(&canonical.messages[1].content[0], ContentBlock::ToolUse { id: call, .. } if *call == id)
    );
    assert!(
        matches!(&canonical.messages[2].content[0], ContentBlock::ToolResult { id: call, .. } if *call == id)
    );
}

#[test]
fn somebody_must_say_something() {
    refuses(
        &conversation(json!([{"role": "system", "content": "x"}])),
        "invalid_value",
        "messages",
        "at least one `user`",
    );
    refuses(
        &conversation(json!([{"role": "user", "content": ""}])),
        "invalid_value",
        "messages[0].content",
        "is empty",
    );
    refuses(
        &conversation(json!([{"role": "user"}])),
        "missing_required_parameter",
        "messages[0].content",
        "Missing",
    );
    refuses(
        &conversation(json!([{"role": "function", "content": "x"}])),
        "unsupported_parameter",
        "messages[0].role",
        "`tool`",
    );
}

#[test]
fn empty_texts_are_left_out_and_neighbours_join() {
    let body = conversation(json!([
        {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "a"}]},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "b"},
    ]));
    let canonical = canonical(&body, &converse_model());
    let texts = ["a", "b"].map(|text| ContentBlock::Text(text.to_owned()));
    assert_eq!(canonical.messages.len(), 1);
    assert_eq!(canonical.messages[0].content, texts);
}

#[test]
fn signed_reasoning_goes_back_before_the_calls_it_led_to() {
    let body = conversation(json!([
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [call("a")],
         "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "sig"}, {"type": "redacted_thinking", "data": "d"}]},
        {"role": "tool", "tool_call_id": "a", "content": "A"},
    ]));
    let content = &canonical(&body, &converse_model()).messages[1].content;
    assert_eq!(
        content[0],
        ContentBlock::Reasoning { text: "hm".to_owned(), signature: Some("sig".to_owned()) }
    );
    assert_eq!(content[1], ContentBlock::RedactedReasoning { data: "d".to_owned() });
    assert!(matches!(content[2], ContentBlock::ToolUse { .. }));
    assert_eq!(content.len(), 3);

    let bare = json!({"role": "assistant", "content": "a", "reasoning_content": "hm"});
    let bare = conversation(json!([{"role": "user", "content": "q"}, bare]));
    assert_eq!(
        canonical_of(&bare).messages[1].content[0],
        ContentBlock::Reasoning { text: "hm".to_owned(), signature: None }
    );
    let odd =
        json!({"role": "assistant", "content": "a", "thinking_blocks": [{"type": "thought"}]});
    refuses(
        &conversation(json!([{"role": "user", "content": "q"}, odd])),
        "invalid_value",
        "messages[1].thinking_blocks[0]",
        "a block of an earlier answer",
    );
}

#[test]
fn an_answer_format_is_text_or_a_whole_schema() {
    let format = |format: Value| request(json!({ "response_format": format }));
    assert!(canonical(&format(json!({"type": "text"})), &converse_model()).output_schema.is_none());
    let schema = format(
        json!({"type": "json_schema", "json_schema": {"name": "s", "schema": {"b": 1, "a": 2}, "strict": true}}),
    );
    let schema = canonical(&schema, &converse_model()).output_schema.unwrap();
    assert_eq!(
        (schema.name.as_str(), schema.schema.to_string().as_str()),
        ("s", r#"{"b":1,"a":2}"#),
        "keeps its order"
    );

    refuses(&format(json!("json")), "invalid_type", "response_format", "must be an object");
    refuses(&format(json!({})), "missing_required_parameter", "response_format.type", "Missing");
    refuses(
        &format(json!({"type": "xml"})),
        "invalid_value",
        "response_format.type",
        "`json_schema`",
    );
    refuses(
        &format(json!({"type": "json_object"})),
        "unsupported_parameter",
        "response_format.type",
        "use `json_schema`",
    );
    refuses(
        &format(json!({"type": "json_schema"})),
        "missing_required_parameter",
        "response_format.json_schema",
        "Missing",
    );
    let path = "response_format.json_schema.schema";
    let bare = json!({"type": "json_schema", "json_schema": {"name": "s"}});
    refuses(&format(bare), "missing_required_parameter", path, "Missing");
    let wrong = json!({"type": "json_schema", "json_schema": {"name": "s", "schema": "object"}});
    refuses(&format(wrong), "invalid_type", path, "must be an object");
}

#[test]
fn pictures_elsewhere_are_for_the_provider_to_fetch() {
    let source =
        |url: &str, model: &Model| match canonical(&image(url), model).messages[0].content[0] {
            ContentBlock::Image { ref format, ref source } => (*format, source.clone()),
            ref other => panic!("{other:?}"),
        };
    let url = "HTTPS://example.com/a.webp?size=1";
    assert_eq!(source(url, &converse_model()), (ImageFormat::Webp, Source::Url(url.to_owned())));
    let url = "https://example.com/a?x=.png";
    assert_eq!(source(url, &converse_model()), (ImageFormat::Jpeg, Source::Url(url.to_owned())));
    let path = "messages[0].content[0].image_url.url";
    refuses(&image("s3://b/a"), "invalid_image_url", path, "weir://uploads/");
}

fn file(file: Value) -> Value {
    let mut part = json!({"type": "file"});
    part["file"] = file;
    conversation(json!([{"role": "user", "content": [part]}]))
}

#[test]
fn documents_come_as_files() {
    let document =
        |file_fields: Value| match &canonical_of(&file(file_fields)).messages[0].content[0] {
            ContentBlock::Document { format, name, source, .. } => {
                (*format, name.clone(), source.clone())
            }
            other => panic!("{other:?}"),
        };
    let bytes = Source::Bytes(vec![1, 2]);
    let url = "data:application/pdf;base64,AQI=";
    let named = document(json!({"filename": "report.pdf", "file_data": url}));
    assert_eq!(named, (DocumentFormat::Pdf, "report.pdf".to_owned(), bytes.clone()));
    let nameless = document(json!({"file_data": url}));
    assert_eq!(nameless, (DocumentFormat::Pdf, "document".to_owned(), bytes.clone()));
    let bare = document(json!({"filename": "a.MD", "file_data": "AQI"}));
    assert_eq!(bare, (DocumentFormat::Md, "a.MD".to_owned(), bytes.clone()));
    let by_name =
        json!({"filename": "a.csv", "file_data": "data:application/octet-stream;base64,AQI="});
    assert_eq!(document(by_name).0, DocumentFormat::Csv);
    let picture = canonical_of(&file(json!({"file_data": "data:image/png;base64,AQI="})));
    assert_eq!(
        picture.messages[0].content[0],
        ContentBlock::Image { format: ImageFormat::Png, source: bytes }
    );

    let data = "messages[0].content[0].file.file_data";
    let unknown = json!({"filename": "a.exe", "file_data": "AQI="});
    refuses(&file(unknown), "unsupported_file_media_type", data, "send a PDF");
    refuses(&file(json!({"file_data": "data:text/csv;base64,?"})), "invalid_base64", data, "valid");
    refuses(&file(json!({})), "missing_required_parameter", data, "Missing");
    let plain = plain_model();
    let words = "reads none";
    refuses_for(&plain, &file(json!({"file_data": url})), "unsupported_parameter", data, words);
}

#[test]
fn uploaded_files_are_found_by_their_ids() {
    let id = "messages[0].content[0].file.file_id";
    let by_id = file(json!({"file_id": "file-1"}));
    refuses(&by_id, "invalid_value", id, "POST /v1/files");

    let upload = |media_type: &str| Upload {
        media_type: media_type.to_owned(),
        bytes: vec![1, 2].into(),
        s3_uri: "s3://b/k".to_owned(),
    };
    let mut body = by_id;
    body["messages"][0]["content"].as_array_mut().unwrap().extend([
        json!({"type": "image_url", "image_url": {"url": "weir://uploads/file-2"}}),
        json!({"type": "file", "file": {"file_id": "file-1"}}),
    ]);
    let request = parse(&body).unwrap();
    assert_eq!(request.upload_ids(), ["file-1", "file-2"]);
    let uploads = [("file-1", "application/pdf"), ("file-2", "image/png")];
    let request =
        request.with_uploads(uploads.map(|(id, kind)| (id.to_owned(), upload(kind))).to_vec());

    let sources = |model: &Model| {
        let canonical = to_canonical(&request, model, 9).unwrap();
        let blocks = canonical.messages.into_iter().flat_map(|message| message.content);
        blocks
            .map(|block| match block {
                ContentBlock::Document { source, .. } | ContentBlock::Image { source, .. } => {
                    source
                }
                other => panic!("{other:?}"),
            })
            .collect::<Vec<_>>()
    };
    let s3 = Source::S3 { uri: "s3://b/k".to_owned(), bucket_owner: None };
    assert_eq!(sources(&converse_model()), [s3.clone(), s3.clone(), s3]);
    let mut model = converse_model();
    model.capabilities.s3_sources = false;
    let bytes = Source::Bytes(vec![1, 2]);
    assert_eq!(sources(&model), [bytes.clone(), bytes.clone(), bytes]);

    let forwarded = crate::openai_chat::forward_body(&request, &super::native_model(), 9);
    let forwarded: Value = serde_json::from_slice(&forwarded).unwrap();
    let pdf = json!({"filename": "document.pdf", "file_data": "data:application/pdf;base64,AQI="});
    let expected = json!([
        {"type": "file", "file": pdf},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AQI="}},
        {"type": "file", "file": pdf},
    ]);
    assert_eq!(forwarded["messages"][0]["content"], expected);
}

#[test]
fn cache_points_stand_where_clients_mark_them() {
    let mark = json!({"type": "ephemeral"});
    let long = json!({"type": "ephemeral", "ttl": "1h"});
    let mut tool = tool("f");
    tool["cache_control"] = long.clone();
    let body = request(json!({
        "tools": [tool],
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "s", "cache_control": long}]},
            {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": mark}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": null, "tool_calls": [call("c")]},
            {"role": "tool", "tool_call_id": "c", "content": "r", "cache_control": mark},
        ],
    }));
    let canonical = canonical_of(&body);
    assert_eq!(canonical.system[1], SystemBlock::CachePoint(CacheTtl::OneHour));
    let point = ContentBlock::CachePoint(CacheTtl::FiveMinutes);
    assert_eq!(
        (&canonical.messages[0].content[1], canonical.messages[0].content.len()),
        (&point, 3)
    );
    assert_eq!(canonical.messages[2].content[1], point);
    assert_eq!(canonical.tools[0].cache, Some(CacheTtl::OneHour));

    let marked = |mark: Value| {
        let part = json!({"type": "text", "text": "a", "cache_control": mark});
        conversation(json!([{"role": "user", "content": [part]}]))
    };
    let path = "messages[0].content[0].cache_control";
    refuses(
        &marked(json!({"type": "eternal"})),
        "invalid_value",
        &format!("{path}.type"),
        "`ephemeral`",
    );
    let odd = marked(json!({"type": "ephemeral", "ttl": "2h"}));
    refuses(&odd, "invalid_value", &format!("{path}.ttl"), "`1h`");
}

#[test]
fn thinking_is_anthropics() {
    let thinking = |thinking: Value, model| {
        canonical(&request(json!({ "thinking": thinking })), model).thinking
    };
    let enabled = json!({"type": "enabled", "budget_tokens": 2_048});
    let able = &converse_model();
    assert_eq!(thinking(enabled.clone(), able), Some(Thinking::Enabled { budget_tokens: 2_048 }));
    assert_eq!(thinking(json!({"type": "adaptive"}), able), Some(Thinking::Adaptive));
    assert_eq!(thinking(json!({"type": "disabled"}), able), Some(Thinking::Disabled));
    assert_eq!(thinking(json!({"type": "disabled"}), &plain_model()), None);
    let body = request(json!({ "thinking": enabled }));
    refuses_for(&plain_model(), &body, "unsupported_parameter", "thinking.type", "no thinking");
    let empty = request(json!({"thinking": {"type": "enabled"}}));
    refuses(&empty, "missing_required_parameter", "thinking.budget_tokens", "Missing");
}

use serde_json::{Value, json};

use super::{able_model, plain_model};
use crate::converse::ConverseCodec;
use crate::{
    CacheTtl, Capabilities, Codec as _, ContentBlock, DocumentFormat, ImageFormat,
    InferenceParameters, Message, Model, ModelRequest, Operation, OutputSchema, Protocol, Role,
    Source, SystemBlock, Thinking, Tool, ToolChoice, ToolResultContent,
};

fn text(text: &str) -> ContentBlock {
    ContentBlock::Text(text.to_owned())
}

fn user(content: Vec<ContentBlock>) -> Message {
    Message { role: Role::User, content }
}

fn assistant(content: Vec<ContentBlock>) -> Message {
    Message { role: Role::Assistant, content }
}

fn tool_use(id: &str) -> ContentBlock {
    ContentBlock::ToolUse { id: id.to_owned(), name: "get_weather".to_owned(), input: json!({}) }
}

fn tool_result(id: &str, content: Vec<ToolResultContent>) -> ContentBlock {
    ContentBlock::ToolResult { id: id.to_owned(), content, is_error: false }
}

fn document(name: &str, source: Source) -> ContentBlock {
    ContentBlock::Document {
        format: DocumentFormat::Pdf,
        name: name.to_owned(),
        source,
        context: None,
        has_citations: false,
    }
}

fn s3() -> Source {
    Source::S3 { uri: "s3://bucket/key".to_owned(), bucket_owner: Some("123456789012".to_owned()) }
}

fn tool(name: &str) -> Tool {
    Tool {
        name: name.to_owned(),
        description: None,
        input_schema: json!({}),
        strict: Some(true),
        cache: None,
    }
}

fn request(messages: Vec<Message>) -> ModelRequest {
    ModelRequest { messages, ..ModelRequest::default() }
}

/// A small request with one thing more.
fn with(change: impl FnOnce(&mut ModelRequest)) -> ModelRequest {
    let mut request = request(vec![user(vec![text("hi")])]);
    change(&mut request);
    request
}

fn write(request: &ModelRequest, model: &Model) -> Value {
    let written = ConverseCodec.write(request, model, false).unwrap();
    serde_json::from_slice(&written.body).unwrap()
}

#[track_caller]
fn refused(request: &ModelRequest, model: &Model) -> String {
    ConverseCodec.write(request, model, false).unwrap_err().message
}

fn able_but(change: impl FnOnce(&mut Capabilities)) -> Model {
    let mut model = able_model();
    change(&mut model.capabilities);
    model
}

fn full_request() -> ModelRequest {
    ModelRequest {
        system: vec![
            SystemBlock::Text("Be brief.".to_owned()),
            SystemBlock::CachePoint(CacheTtl::OneHour),
            SystemBlock::Text("Be kind.".to_owned()),
            SystemBlock::CachePoint(CacheTtl::FiveMinutes),
        ],
        messages: vec![
            user(vec![
                text("Weather?"),
                ContentBlock::Image {
                    format: ImageFormat::Png,
                    source: Source::Bytes(b"picture".to_vec()),
                },
                ContentBlock::Document {
                    format: DocumentFormat::Txt,
                    name: "Notes (old)".to_owned(),
                    source: Source::Text("It rained.".to_owned()),
                    context: Some("from last year".to_owned()),
                    has_citations: true,
                },
                document("map.pdf", s3()),
                ContentBlock::CachePoint(CacheTtl::FiveMinutes),
            ]),
            assistant(vec![
                ContentBlock::Reasoning {
                    text: "Hm.".to_owned(),
                    signature: Some("c2ln".to_owned()),
                },
                ContentBlock::RedactedReasoning { data: "cmVk".to_owned() },
                ContentBlock::ToolUse {
                    id: "t1".to_owned(),
                    name: "get_weather".to_owned(),
                    input: json!({"city": "Oslo", "days": u64::MAX, "shift": i64::MIN, "at": 0.1, "no": null}),
                },
                tool_use("t2"),
            ]),
            user(vec![
                tool_result(
                    "t1",
                    vec![
                        ToolResultContent::Text("rain".to_owned()),
                        ToolResultContent::Json(json!({"mm": 3})),
                        ToolResultContent::Image {
                            format: ImageFormat::Webp,
                            source: Source::Bytes(b"radar".to_vec()),
                        },
                        ToolResultContent::Document {
                            format: DocumentFormat::Csv,
                            name: "rain".to_owned(),
                            source: Source::Bytes(b"1,2".to_vec()),
                        },
                    ],
                ),
                ContentBlock::ToolResult { id: "t2".to_owned(), content: vec![], is_error: true },
            ]),
        ],
        inference: InferenceParameters {
            max_tokens: Some(100),
            temperature: Some(0.2),
            top_p: Some(0.25),
            top_k: Some(50),
            stop_sequences: vec!["END".to_owned()],
        },
        tools: vec![Tool {
            description: Some("Looks outside".to_owned()),
            input_schema: json!({"type": "object", "properties": {"city": {"type": "string"}}}),
            cache: Some(CacheTtl::OneHour),
            ..tool("get_weather")
        }],
        tool_choice: Some(ToolChoice::Tool("get_weather".to_owned())),
        output_schema: Some(OutputSchema {
            name: "forecast".to_owned(),
            description: Some("Tomorrow".to_owned()),
            schema: json!({"type": "object"}),
        }),
        parallel_tool_calls: Some(true),
        thinking: Some(Thinking::Enabled { budget_tokens: 1_024 }),
        effort: Some("high".to_owned()),
        additional_fields: json!({"own": 1}).as_object().cloned().unwrap(),
        service_tier: Some("flex".to_owned()),
    }
}

#[test]
fn everything_has_its_place() {
    insta::assert_json_snapshot!(write(&full_request(), &able_model()));
}

#[test]
fn a_small_request_says_nothing_that_it_need_not() {
    let request = with(|request| {
        request.inference.max_tokens = Some(10);
        request.tool_choice = Some(ToolChoice::Auto);
        request.service_tier = Some("auto".to_owned());
    });
    let expected = json!({
        "messages": [{"role": "user", "content": [{"text": "hi"}]}],
        "inferenceConfig": {"maxTokens": 10},
    });
    assert_eq!(write(&request, &plain_model()), expected);
    let written = ConverseCodec.write(&request, &able_model(), true).unwrap();
    assert_eq!(
        (written.protocol, written.operation, written.is_streaming, written.headers),
        (Protocol::Converse, Operation::Invoke, true, vec![])
    );
}

#[test]
fn what_a_model_lacks_is_left_out_if_it_is_a_hint() {
    let request = with(|request| {
        request.system = vec![
            SystemBlock::Text("Be brief.".to_owned()),
            SystemBlock::CachePoint(CacheTtl::OneHour),
        ];
        request.inference.temperature = Some(1.5);
        request.inference.top_k = Some(3);
        request.thinking = Some(Thinking::Adaptive);
        request.effort = Some("high".to_owned());
        request.messages[0].content.push(ContentBlock::CachePoint(CacheTtl::FiveMinutes));
    });
    let expected = json!({
        "messages": [{"role": "user", "content": [{"text": "hi"}]}],
        "system": [{"text": "Be brief."}],
    });
    assert_eq!(write(&request, &plain_model()), expected);
    let model = able_but(|able| able.prompt_caching_1h = false);
    let request = ModelRequest { inference: InferenceParameters::default(), ..request };
    assert_eq!(write(&request, &model)["system"][1], json!({"cachePoint": {"type": "default"}}));
}

#[test]
fn fields_that_the_registry_drops_are_dropped() {
    let model = Model {
        drop_fields: vec!["serviceTier".to_owned(), "messages".to_owned()],
        ..able_model()
    };
    let written = write(&full_request(), &model);
    assert_eq!(written.get("serviceTier"), None);
    assert!(written["messages"].is_array());
}

#[test]
fn turns_alternate_and_hold_something() {
    let request = request(vec![
        user(vec![text(" \n"), text("a")]),
        assistant(vec![text("")]),
        user(vec![text("b")]),
        assistant(vec![
            text("c"),
            ContentBlock::Reasoning { text: "?".to_owned(), signature: None },
        ]),
        assistant(vec![text("d")]),
        user(vec![ContentBlock::CachePoint(CacheTtl::FiveMinutes), text("e")]),
    ]);
    let expected = json!([
        {"role": "user", "content": [{"text": "a"}, {"text": "b"}]},
        {"role": "assistant", "content": [{"text": "c"}, {"text": "d"}]},
        {"role": "user", "content": [{"text": "e"}]},
    ]);
    assert_eq!(write(&request, &able_model())["messages"], expected);
}

#[test]
fn a_conversation_starts_with_the_user_and_ends_so_unless_the_model_goes_on() {
    let messages = refused(&request(vec![assistant(vec![text("a")])]), &able_model());
    assert!(messages.contains("cannot speak first"), "{messages}");
    let messages = refused(&request(vec![user(vec![text(" ")])]), &able_model());
    assert!(messages.contains("holds no message"), "{messages}");
    let begun = request(vec![user(vec![text("a")]), assistant(vec![text("b")])]);
    assert_eq!(write(&begun, &able_model())["messages"].as_array().unwrap().len(), 2);
    let messages = refused(&begun, &able_but(|able| able.prefill = false));
    assert!(messages.contains("cannot go on"), "{messages}");
}

#[test]
fn foreign_ids_are_replaced_alike_in_calls_and_results() {
    let long = "x".repeat(65);
    let request = request(vec![
        user(vec![text("q")]),
        assistant(vec![tool_use("call 1"), tool_use("ok_1"), tool_use(&long), tool_use("")]),
        user(["", "call 1", "ok_1", &long].map(|id| tool_result(id, vec![])).to_vec()),
    ]);
    let written = write(&request, &able_model());
    let ids = |turn: usize, kind: &str| -> Vec<String> {
        let blocks = written["messages"][turn]["content"].as_array().unwrap().iter();
        blocks.map(|block| block[kind]["toolUseId"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(1, "toolUse"), ["weir_call_0", "ok_1", "weir_call_1", "weir_call_2"]);
    assert_eq!(ids(2, "toolResult"), ["weir_call_2", "weir_call_0", "ok_1", "weir_call_1"]);
}

#[test]
fn old_calls_get_stand_ins_and_no_choice_means_no_tools() {
    let called = vec![
        user(vec![text("q")]),
        assistant(vec![tool_use("t1")]),
        user(vec![tool_result("t1", vec![ToolResultContent::Json(json!([1]))])]),
    ];
    let written = write(&request(called.clone()), &able_model());
    assert_eq!(written["toolConfig"]["tools"][0]["toolSpec"]["name"], "get_weather");
    let result = &written["messages"][2]["content"][0]["toolResult"];
    assert_eq!(result["content"], json!([{"text": "[1]"}]));

    let mut request = request(called);
    request.tools = vec![tool("other")];
    request.tool_choice = Some(ToolChoice::None);
    let config = &write(&request, &able_model())["toolConfig"];
    assert_eq!(config["tools"].as_array().unwrap().len(), 2);
    assert_eq!(config.get("toolChoice"), None);
    request.messages.truncate(1);
    assert_eq!(write(&request, &able_model()).get("toolConfig"), None);
    assert!(refused(&request, &plain_model()).contains("it has none"));
}

#[test]
fn the_choice_among_tools_must_be_possible() {
    let asked = |choice: ToolChoice| {
        with(|request| {
            request.tools = vec![tool("a")];
            request.tool_choice = Some(choice);
        })
    };
    let choice = |choice| write(&asked(choice), &able_model())["toolConfig"]["toolChoice"].clone();
    assert_eq!(choice(ToolChoice::Auto), json!({"auto": {}}));
    assert_eq!(choice(ToolChoice::Any), json!({"any": {}}));
    assert_eq!(choice(ToolChoice::Tool("a".to_owned())), json!({"tool": {"name": "a"}}));
    let unforced = able_but(|able| able.forced_tool_choice = false);
    assert!(refused(&asked(ToolChoice::Any), &unforced).contains("let it choose"));
    assert!(refused(&asked(ToolChoice::Tool("b".to_owned())), &able_model()).contains("`b`"));
    let none = ModelRequest { tools: vec![], ..asked(ToolChoice::Any) };
    assert!(refused(&none, &able_model()).contains("there are none"));
    let serial = ModelRequest { parallel_tool_calls: Some(false), ..asked(ToolChoice::Auto) };
    assert!(refused(&serial, &able_model()).contains("cannot be switched off"));
    let one = ToolChoice::Tool("a".to_owned());
    write(&ModelRequest { parallel_tool_calls: Some(false), ..asked(one) }, &able_model());
    let dotted = with(|request| request.tools = vec![tool("a.b")]);
    assert!(refused(&dotted, &able_model()).contains("`a.b`"));
}

#[test]
fn documents_have_names_that_converse_takes_once_each() {
    let names = ["report.pdf", "report.pdf", "  ", "a \t b_c", "..", "Ünï", "\n"];
    let bytes = || Source::Bytes(b"%PDF".to_vec());
    let content = names.map(|name| document(name, bytes())).to_vec();
    let written = write(&request(vec![user(content)]), &able_model());
    let blocks = written["messages"][0]["content"].as_array().unwrap().iter();
    let names: Vec<_> = blocks.map(|block| block["document"]["name"].as_str().unwrap()).collect();
    let expected = [
        "report-pdf",
        "report-pdf (2)",
        "document",
        "a - b-c",
        "document (2)",
        "-n-",
        "document (3)",
    ];
    assert_eq!(names, expected);
}

#[test]
fn sources_that_nobody_can_read_are_refused() {
    let asked = |source| request(vec![user(vec![document("a", source)])]);
    let url = || Source::Url("https://example.com/a.pdf".to_owned());
    assert!(refused(&asked(url()), &able_model()).contains("by its URL"));
    let model = able_but(|able| able.s3_sources = false);
    assert!(refused(&asked(s3()), &model).contains("does not read from S3"));
    let model = able_but(|able| able.documents = false);
    assert!(refused(&asked(s3()), &model).contains("holds a document"));
    let image = |source| {
        request(vec![user(vec![ContentBlock::Image { format: ImageFormat::Gif, source }])])
    };
    assert!(refused(&image(s3()), &plain_model()).contains("holds a picture"));
    assert!(refused(&image(Source::Text("x".to_owned())), &able_model()).contains("as text"));
}

#[test]
fn what_changes_the_answer_is_refused() {
    let enabled = Some(Thinking::Enabled { budget_tokens: 1_024 });
    let request = with(|request| request.thinking = enabled);
    assert!(refused(&request, &plain_model()).contains("Thinking"));
    let request = with(|request| request.inference.temperature = Some(1.5));
    assert!(refused(&request, &able_model()).contains("takes 0 to 1"));
    let request = with(|request| {
        request.output_schema =
            Some(OutputSchema { name: "a".to_owned(), description: None, schema: json!({}) });
    });
    assert!(refused(&request, &plain_model()).contains("JSON schema"));
}

#[test]
fn no_effort_is_below_low() {
    for (effort, expected) in [("none", "low"), ("minimal", "low"), ("low", "low"), ("max", "max")]
    {
        let request = with(|request| request.effort = Some(effort.to_owned()));
        assert_eq!(write(&request, &able_model())["outputConfig"]["effort"], expected);
    }
}

#[test]
fn numbers_are_written_as_they_were() {
    let request = with(|request| request.inference.temperature = Some(0.1));
    let written = ConverseCodec.write(&request, &able_model(), false).unwrap();
    assert!(str::from_utf8(&written.body).unwrap().contains(r#""temperature":0.1}"#));
}

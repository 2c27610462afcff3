use proptest::prelude::*;
use serde_json::{Value, json};

use super::TemplateCodec;
use crate::{
    BodyFormat, Codec, ContentBlock, Event, Frame, ImageFormat, Message, Model, ModelRequest,
    OutputSchema, Protocol, ProviderAnswer, ProviderErrorKind, Role, Source, StopReason,
    SystemBlock, Thinking, Tool, fixtures,
};

/// As Hugging Face's containers are asked.
const TEMPLATE: &str = r#"{"inputs": "{{prompt}}", "parameters": {"max_new_tokens": "{{max_tokens}}", "temperature": "{{temperature}}", "top_p": "{{top_p}}", "stop": "{{stop}}", "do_sample": true}}"#;

fn model(template: &str) -> Model {
    Model {
        body: Some(BodyFormat::Template {
            request: template.to_owned(),
            text: "/0/generated_text".to_owned(),
            input_tokens: Some("/0/details/input".to_owned()),
            output_tokens: Some("/0/details/output".to_owned()),
        }),
        ..fixtures::model("endpoint", Protocol::JsonTemplate)
    }
}

fn message(role: Role, text: &str) -> Message {
    Message { role, content: vec![ContentBlock::Text(text.to_owned())] }
}

fn asking(text: &str) -> ModelRequest {
    ModelRequest { messages: vec![message(Role::User, text)], ..ModelRequest::default() }
}

fn conversation() -> ModelRequest {
    ModelRequest {
        system: vec![SystemBlock::Text("Be brief.".to_owned())],
        messages: vec![
            message(Role::User, "Hello?"),
            message(Role::Assistant, "Good morning."),
            message(Role::User, "What is new?"),
        ],
        ..ModelRequest::default()
    }
}

#[track_caller]
fn write(request: &ModelRequest, template: &str) -> Value {
    let written = TemplateCodec.write(request, &model(template), true).unwrap();
    assert!(!written.is_streaming, "such an endpoint answers whole");
    serde_json::from_slice(&written.body).unwrap()
}

#[test]
fn a_single_message_is_the_prompt() {
    let body = write(&asking("Hello?"), TEMPLATE);
    assert_eq!(body, json!({"inputs": "Hello?", "parameters": {"do_sample": true}}));
}

#[test]
fn values_have_their_types() {
    let mut request = asking("Hello?");
    request.inference.max_tokens = Some(5);
    request.inference.temperature = Some(0.1);
    request.inference.top_p = Some(0.9);
    request.inference.stop_sequences = vec!["a\"".to_owned()];
    let parameters = json!({"max_new_tokens": 5, "temperature": 0.1, "top_p": 0.9, "stop": ["a\""], "do_sample": true});
    assert_eq!(write(&request, TEMPLATE), json!({"inputs": "Hello?", "parameters": parameters}));
}

#[test]
fn what_has_no_value_is_left_out() {
    let template =
        r#"{"a": ["{{prompt}}", "{{stop}}"], "b": {"c": "{{top_p}}"}, "d": {}, "e": null}"#;
    assert_eq!(write(&asking("x"), template), json!({"a": ["x"], "d": {}, "e": null}));
}

#[test]
fn a_conversation_is_a_transcript() {
    let transcript = "User: Hello?\n\nAssistant: Good morning.\n\nUser: What is new?\n\nAssistant:";
    let with_head = format!("System: Be brief.\n\n{transcript}");
    assert_eq!(write(&conversation(), TEMPLATE)["inputs"], with_head.as_str());
    let template = r#"{"p": "<s>{{system}}</s> {{prompt}}", "n": "{{max_tokens}} {{unknown}}"}"#;
    let body = write(&conversation(), template);
    assert_eq!(body["p"], format!("<s>Be brief.</s> {transcript}"));
    assert_eq!(body["n"], " {{unknown}}");
    let mut begun = conversation();
    begun.messages.push(message(Role::Assistant, "Not"));
    let text = write(&begun, TEMPLATE)["inputs"].as_str().unwrap().to_owned();
    assert!(text.ends_with("User: What is new?\n\nAssistant: Not"), "{text}");
}

#[test]
fn what_is_no_text_is_refused() {
    let with = |change: fn(&mut ModelRequest)| {
        let mut request = asking("x");
        change(&mut request);
        TemplateCodec.write(&request, &model(TEMPLATE), false).unwrap_err().message
    };
    let tool = |request: &mut ModelRequest| {
        let name = "f".to_owned();
        let tool =
            Tool { name, description: None, input_schema: json!({}), strict: None, cache: None };
        request.tools = vec![tool];
    };
    assert!(with(tool).contains("Tools are not available"));
    let image = |request: &mut ModelRequest| {
        let source = Source::Bytes(vec![1]);
        request.messages[0].content.push(ContentBlock::Image { format: ImageFormat::Png, source });
    };
    assert!(with(image).contains("Pictures are not available"));
    let result = |request: &mut ModelRequest| {
        let (id, content) = ("a".to_owned(), Vec::new());
        request.messages[0].content.push(ContentBlock::ToolResult { id, content, is_error: false });
    };
    assert!(with(result).contains("Tools are not available"));
    let schema = |request: &mut ModelRequest| {
        let schema = OutputSchema { name: "s".to_owned(), description: None, schema: json!({}) };
        request.output_schema = Some(schema);
    };
    assert!(with(schema).contains("schema"));
    let thinking = |request: &mut ModelRequest| {
        request.thinking = Some(Thinking::Enabled { budget_tokens: 9 });
    };
    assert!(with(thinking).contains("Thinking"));
    let mut begun = conversation();
    begun.messages.push(message(Role::Assistant, "Not"));
    let mut unable = model(TEMPLATE);
    unable.capabilities.prefill = false;
    TemplateCodec.write(&begun, &unable, false).unwrap_err();
}

#[test]
fn a_broken_template_is_the_operators_to_mend() {
    for broken in [model("{"), Model { body: None, ..model("{}") }] {
        let error = TemplateCodec.write(&asking("x"), &broken, false).unwrap_err();
        assert!(error.message.contains("people who run the gateway"), "{error}");
    }
}

const ANSWER: &str = r#"[{"generated_text": "Göd", "details": {"input": 7, "output": 3}}]"#;

fn read(chunks: &[&[u8]]) -> Vec<Frame> {
    let mut reader = TemplateCodec.stream(&model(TEMPLATE));
    let mut frames: Vec<_> = chunks.iter().flat_map(|chunk| reader.push(chunk)).collect();
    frames.extend(reader.finish());
    frames
}

#[test]
fn answers_are_read_where_the_registry_points() {
    let answer = |body: &str| ProviderAnswer {
        provider_request_id: Some("r".to_owned()),
        body: body.to_owned().into(),
        ..ProviderAnswer::default()
    };
    let read = |body: &str| TemplateCodec.read(&model(TEMPLATE), &answer(body));
    let response = read(ANSWER).unwrap();
    assert_eq!(response.content, [ContentBlock::Text("Göd".to_owned())]);
    assert_eq!((response.usage.input, response.usage.output), (7, 3));
    assert_eq!(response.provider_request_id.as_deref(), Some("r"));
    assert_eq!(read(r#"[{"generated_text": ""}]"#).unwrap().usage.total(), 0);
    for body in ["", "[]", r#"[{"generated_text": 7}]"#] {
        assert_eq!(read(body).unwrap_err().kind, ProviderErrorKind::Internal);
    }
}

#[test]
fn a_whole_answer_is_a_stream_of_one_piece() {
    let (head, tail) = ANSWER.as_bytes().split_at(22);
    let frames = read(&[head, tail]);
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].bytes, ANSWER.as_bytes());
    let expected = [
        Event::TextDelta { block: 0, text: "Göd".to_owned() },
        Event::BlockStop { block: 0 },
        Event::Stop { reason: StopReason::EndTurn, stop_sequence: None },
    ];
    assert_eq!(frames[0].events[..3], expected);
    assert!(matches!(frames[0].events[3..], [Event::Usage(usage)] if usage.output == 3));

    let cut = read(&[head]);
    assert_eq!(cut[0].error.as_ref().unwrap().kind, ProviderErrorKind::Interrupted);
    let long = vec![b' '; 5 << 20];
    let frames = read(&[&long, &long, &long]);
    assert_eq!(frames.iter().filter(|frame| frame.error.is_some()).count(), 1);
    assert_eq!(frames.iter().map(|frame| frame.bytes.len()).sum::<usize>(), 15 << 20);
}

proptest! {
    #[test]
    fn no_prompt_breaks_out_of_its_string(
        text in prop_oneof![any::<String>(), "(\\{\\{(prompt|system|stop|max_tokens)\\}\\}|[\"\\\\,{}:\n]){0,12}"],
        system in "(\\{\\{prompt\\}\\}|[a\"]){1,4}",
    ) {
        let mut request = asking(&text);
        prop_assert_eq!(write(&request, TEMPLATE), json!({"inputs": text, "parameters": {"do_sample": true}}));
        request.system = vec![SystemBlock::Text(system.clone())];
        let body = write(&request, r#"{"s": "{{system}}", "p": "[{{prompt}}]"}"#);
        prop_assert_eq!(body, json!({"s": system, "p": format!("[{text}]")}));
    }

    #[test]
    fn no_template_makes_it_panic(template in "[\\[\\{\"a:]{0,4}(\\{\\{[a-z_]{0,11}\\}?\\}?|ü|\"){0,4}[\\]\\}\":,]{0,4}", answer in any::<Vec<u8>>()) {
        let _ = TemplateCodec.write(&conversation(), &model(&template), false);
        read(&[&answer]);
    }
}

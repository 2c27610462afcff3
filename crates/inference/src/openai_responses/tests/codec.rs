use serde_json::{Value, json};

use super::native_model;
use crate::openai_responses::ResponsesCodec;
use crate::{
    BadRequest, Capabilities, Codec as _, ContentBlock, Event, GenerateRequest as _,
    InferenceParameters, Message, Model, ModelRequest, ProviderAnswer, ProviderErrorKind, Role,
    StopReason, Thinking, ToolResultContent,
};

fn user(content: Vec<ContentBlock>) -> Message {
    Message { role: Role::User, content }
}

fn asking(request: ModelRequest) -> ModelRequest {
    let mut messages = vec![user(vec![ContentBlock::Text("q".to_owned())])];
    messages.extend(request.messages);
    ModelRequest { messages, ..request }
}

fn write(request: &ModelRequest, model: &Model) -> Result<Value, BadRequest> {
    let sent = ResponsesCodec.write(request, model, false)?;
    Ok(serde_json::from_slice(&sent.body).unwrap())
}

fn read(body: &Value) -> Result<crate::ModelResponse, crate::ProviderError> {
    let body = body.to_string().into_bytes().into();
    ResponsesCodec.read(&native_model(), &ProviderAnswer { body, ..ProviderAnswer::default() })
}

#[test]
fn what_the_protocol_lacks_is_refused() {
    let inference = |inference| ModelRequest { inference, ..ModelRequest::default() };
    let stop = InferenceParameters {
        stop_sequences: vec!["x".to_owned()],
        ..InferenceParameters::default()
    };
    let top_k = InferenceParameters { top_k: Some(5), ..InferenceParameters::default() };
    let extra = json!({"service_tier": "priority"}).as_object().unwrap().clone();
    let begun =
        Message { role: Role::Assistant, content: vec![ContentBlock::Text("I".to_owned())] };
    for (request, param) in [
        (inference(stop), "stop"),
        (inference(top_k), "top_k"),
        (ModelRequest { additional_fields: extra, ..ModelRequest::default() }, "service_tier"),
        (ModelRequest { messages: vec![begun], ..ModelRequest::default() }, "messages"),
    ] {
        let error = write(&asking(request), &native_model()).unwrap_err();
        assert_eq!((error.code, error.param.as_deref()), ("unsupported_parameter", Some(param)));
    }
}

#[test]
fn thinking_becomes_effort() {
    let reasoning = |request: ModelRequest, model: &Model| {
        write(&asking(request), model).unwrap()["reasoning"].clone()
    };
    let thinking = |thinking| ModelRequest { thinking: Some(thinking), ..ModelRequest::default() };
    let enabled = |budget_tokens| thinking(Thinking::Enabled { budget_tokens });
    let able = native_model();
    assert_eq!(reasoning(enabled(1_024), &able), json!({"effort": "low", "summary": "auto"}));
    assert_eq!(reasoning(enabled(4_096), &able), json!({"effort": "medium", "summary": "auto"}));
    assert_eq!(reasoning(enabled(32_000), &able), json!({"effort": "high", "summary": "auto"}));
    assert_eq!(reasoning(thinking(Thinking::Adaptive), &able), json!({"summary": "auto"}));
    assert_eq!(reasoning(thinking(Thinking::Disabled), &able), Value::Null);
    let effort = ModelRequest { effort: Some("max".to_owned()), ..ModelRequest::default() };
    assert_eq!(reasoning(effort.clone(), &able), json!({"effort": "max"}));
    let plain = Model { capabilities: Capabilities::default(), ..native_model() };
    let body = write(&asking(effort), &plain).unwrap();
    assert_eq!((body.get("reasoning"), body.get("include")), (None, None));
}

#[test]
fn failed_tools_say_so() {
    let result = |content, is_error| {
        let call = ContentBlock::ToolUse {
            id: "c".to_owned(),
            name: "f".to_owned(),
            input: json!({"a": 1}),
        };
        let messages = vec![
            Message { role: Role::Assistant, content: vec![call] },
            user(vec![ContentBlock::ToolResult { id: "c".to_owned(), content, is_error }]),
        ];
        let body =
            write(&asking(ModelRequest { messages, ..ModelRequest::default() }), &native_model())
                .unwrap();
        assert_eq!(body["input"][1]["arguments"], "{\"a\":1}");
        body["input"][2]["output"].clone()
    };
    let text = || ToolResultContent::Text("no".to_owned());
    assert_eq!(result(vec![text()], false), "no");
    assert_eq!(result(vec![text()], true), "Error: no");
    assert_eq!(result(vec![ToolResultContent::Json(json!({"a": [1]}))], false), "{\"a\":[1]}");
    assert_eq!(result(Vec::new(), true), "Error:");
    assert_eq!(result(Vec::new(), false), "");
    assert_eq!(result(vec![text(), text()], true).as_array().unwrap().len(), 3);
}

#[test]
fn reasoning_of_the_provider_goes_back_as_it_came() {
    let item = json!({"type": "reasoning", "id": "rs.1", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "a.b"});
    let hidden =
        json!({"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "c"});
    let answer = read(&json!({"status": "completed", "output": [item, hidden]})).unwrap();
    assert!(matches!(&answer.content[1], ContentBlock::RedactedReasoning { .. }));
    let foreign =
        ContentBlock::Reasoning { text: "x".to_owned(), signature: Some("c2ln".to_owned()) };
    let mut content = answer.content;
    content.push(foreign);
    let messages = vec![
        Message { role: Role::Assistant, content },
        user(vec![ContentBlock::Text("go on".to_owned())]),
    ];
    let body =
        write(&asking(ModelRequest { messages, ..ModelRequest::default() }), &native_model())
            .unwrap();
    let items = body["input"].as_array().unwrap();
    assert_eq!(items.len(), 4, "what another provider signed is left out");
    assert_eq!((&items[1]["encrypted_content"], &items[2]), (&json!("1.a.b"), &hidden));
}

#[test]
fn arguments_that_are_not_json_stay_as_they_are() {
    let call = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{\"cut"});
    let answer = read(&json!({"status": "completed", "output": [call]})).unwrap();
    let client = super::parse(&super::request(json!({}))).unwrap();
    let told: Value =
        serde_json::from_slice(&client.renderer(super::head()).response(&answer)).unwrap();
    assert_eq!(told["output"][0]["arguments"], "{\"cut");
    let result =
        ContentBlock::ToolResult { id: "c".to_owned(), content: Vec::new(), is_error: true };
    let messages =
        vec![Message { role: Role::Assistant, content: answer.content }, user(vec![result])];
    let request = asking(ModelRequest { messages, ..ModelRequest::default() });
    assert_eq!(write(&request, &native_model()).unwrap()["input"][1]["arguments"], "{\"cut");
}

#[test]
fn errors_are_told_apart() {
    use ProviderErrorKind as Kind;
    for (code, kind) in [
        ("rate_limit_exceeded", Kind::Throttled),
        ("insufficient_quota", Kind::QuotaExceeded),
        ("server_error", Kind::ModelError),
        ("invalid_prompt", Kind::InvalidRequest),
        ("context_length_exceeded", Kind::InvalidRequest),
        ("image_too_large", Kind::InvalidRequest),
        ("server_is_overloaded", Kind::Unavailable),
        ("something_new", Kind::ModelError),
    ] {
        let error = read(
            &json!({"status": "failed", "error": {"code": code, "message": "m"}, "output": []}),
        );
        let error = error.unwrap_err();
        assert_eq!((error.kind, error.message.as_str(), error.may_have_run), (kind, "m", true));
    }
    for senseless in [json!([]), json!({}), json!({"output": [], "status": "in_progress"})] {
        assert_eq!(read(&senseless).unwrap_err().kind, Kind::Internal);
    }
}

#[test]
fn usage_kinds_do_not_overlap() {
    let usage = json!({"input_tokens": 10, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 6, "cache_write_tokens": 3}});
    let usage = read(&json!({"output": [], "usage": usage})).unwrap().usage;
    assert_eq!((usage.input, usage.cache_read, usage.cache_write_5m, usage.output), (1, 6, 3, 3));
    let odd = json!({"input_tokens": 1, "input_tokens_details": {"cached_tokens": 6}});
    assert_eq!(read(&json!({"output": [], "usage": odd})).unwrap().usage.input, 0);
}

/// Events and errors of a stream of these events' data.
fn stream(data: &[Value]) -> (Vec<Event>, Vec<ProviderErrorKind>) {
    let mut reader = ResponsesCodec.stream(&native_model());
    let mut frames: Vec<_> =
        data.iter().flat_map(|data| reader.push(format!("data: {data}\n\n").as_bytes())).collect();
    frames.extend(reader.finish());
    let errors = frames.iter().filter_map(|frame| Some(frame.error.as_ref()?.kind)).collect();
    (frames.into_iter().flat_map(|frame| frame.events).collect(), errors)
}

#[test]
fn a_stream_that_never_ended_is_interrupted() {
    assert_eq!(stream(&[]).1, [ProviderErrorKind::Interrupted]);
    assert_eq!(stream(&[json!({"type": "response.created"})]).1, [ProviderErrorKind::Interrupted]);
    let mut reader = ResponsesCodec.stream(&native_model());
    let frames = reader.push(b"data: {\"ty\n\ndata: {}\n\n");
    assert_eq!(frames[0].error.as_ref().unwrap().kind, ProviderErrorKind::Interrupted);
    assert!(reader.finish().is_empty(), "one error is enough");
}

#[test]
fn a_provider_that_sends_no_pieces_is_understood() {
    let (events, errors) = stream(&[
        json!({"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "whole"}),
        json!({"type": "response.output_item.done", "output_index": 1, "item": {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 7, "delta": "nobody's"}),
        json!({"type": "response.completed", "response": {"status": "completed", "output": []}}),
        json!({"type": "response.output_text.delta", "delta": "late"}),
    ]);
    let name =
        |block, id: &str| Event::ToolUseStart { block, id: id.to_owned(), name: "f".to_owned() };
    assert!(errors.is_empty());
    assert_eq!(
        events,
        [
            Event::TextDelta { block: 0, text: "whole".to_owned() },
            Event::BlockStop { block: 0 },
            name(1, "c"),
            Event::ToolInputDelta { block: 1, json: "{}".to_owned() },
            Event::BlockStop { block: 1 },
            Event::Stop { reason: StopReason::ToolUse, stop_sequence: None },
        ]
    );
}

#[test]
fn errors_end_a_stream_in_every_shape() {
    for data in [
        json!({"type": "error", "code": "rate_limit_exceeded", "message": "m"}),
        json!({"type": "error", "error": {"type": "requests", "message": "m"}}),
        json!({"error": {"type": "tokens", "message": "m"}}),
        json!({"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded"}}}),
    ] {
        assert_eq!(stream(&[data]).1, [ProviderErrorKind::Throttled]);
    }
    let failed = json!({"type": "response.failed", "response": {"usage": {"input_tokens": 5}}});
    let (events, errors) = stream(&[failed]);
    assert_eq!((events.len(), errors), (1, vec![ProviderErrorKind::ModelError]));
}

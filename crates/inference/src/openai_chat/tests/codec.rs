use serde_json::{Value, json};

use super::{native_model, request};
use crate::openai_chat::ChatCodec;
use crate::{
    BadRequest, Capabilities, Codec, ContentBlock, DocumentFormat, Message, Model, ModelRequest,
    ModelResponse, ProviderAnswer, ProviderError, ProviderErrorKind, Role, Source, StopReason,
    Thinking,
};

fn asking(content: Vec<ContentBlock>) -> ModelRequest {
    ModelRequest {
        messages: vec![Message { role: Role::User, content }],
        ..ModelRequest::default()
    }
}

fn text(text: &str) -> ContentBlock {
    ContentBlock::Text(text.to_owned())
}

#[track_caller]
fn write_for(model: &Model, request: &ModelRequest, is_streaming: bool) -> Value {
    let written = ChatCodec.write(request, model, is_streaming).unwrap();
    assert_eq!(written.is_streaming, is_streaming);
    serde_json::from_slice(&written.body).unwrap()
}

#[track_caller]
fn refuses(model: &Model, request: &ModelRequest, words: &str) -> BadRequest {
    let error = ChatCodec.write(request, model, false).expect_err("should be refused");
    assert!(error.message.contains(words), "{error}");
    error
}

fn read(body: &Value) -> Result<ModelResponse, ProviderError> {
    let answer = ProviderAnswer {
        provider_request_id: Some("r".to_owned()),
        body: body.to_string().into(),
        ..ProviderAnswer::default()
    };
    ChatCodec.read(&native_model(), &answer)
}

#[test]
fn a_plain_text_stands_alone() {
    let body = write_for(&native_model(), &asking(vec![text("hi")]), false);
    let expected =
        json!({"model": "us.openai.gpt-test-1:0", "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(body, expected);
    let body = write_for(&native_model(), &asking(vec![text("a"), text("b")]), true);
    assert_eq!(body["messages"][0]["content"][1], json!({"type": "text", "text": "b"}));
    assert_eq!(
        (&body["stream"], &body["stream_options"]["include_usage"]),
        (&json!(true), &json!(true))
    );
}

#[test]
fn fields_that_the_registry_drops_are_not_written() {
    let mut request = asking(vec![text("hi")]);
    request.inference.max_tokens = Some(5);
    request.inference.temperature = Some(0.5);
    let drop_fields = ["max_completion_tokens", "temperature", "stream_options", "messages"];
    let model = Model { drop_fields: drop_fields.map(str::to_owned).to_vec(), ..native_model() };
    let body = write_for(&model, &request, true);
    let expected = json!({"model": "us.openai.gpt-test-1:0", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5, "stream": true});
    assert_eq!(body, expected);
}

#[test]
fn what_the_model_cannot_do_is_refused() {
    let plain = Model { capabilities: Capabilities::default(), ..native_model() };
    let image =
        ContentBlock::Image { format: crate::ImageFormat::Png, source: Source::Bytes(vec![1]) };
    refuses(&plain, &asking(vec![image]), "reads text only");
    let document = |source, has_citations| ContentBlock::Document {
        format: DocumentFormat::Pdf,
        name: "d".to_owned(),
        source,
        context: None,
        has_citations,
    };
    let bytes = Source::Bytes(vec![1]);
    refuses(&plain, &asking(vec![document(bytes.clone(), false)]), "documents are not available");
    refuses(&native_model(), &asking(vec![document(bytes, true)]), "citations");
    let url = Source::Url("https://example.com/a.pdf".to_owned());
    refuses(&native_model(), &asking(vec![document(url, false)]), "in the request itself");

    let mut thinking = asking(vec![text("hi")]);
    thinking.thinking = Some(Thinking::Enabled { budget_tokens: 1_024 });
    refuses(&plain, &thinking, "thinking is not available");
    thinking.thinking = Some(Thinking::Adaptive);
    thinking.effort = Some("high".to_owned());
    let body = write_for(&plain, &thinking, false);
    assert_eq!((body.get("thinking"), body.get("reasoning_effort")), (None, None));

    let mut prefilled = asking(vec![text("hi")]);
    prefilled.messages.push(Message { role: Role::Assistant, content: vec![text("I")] });
    refuses(&plain, &prefilled, "last message");
    write_for(&native_model(), &prefilled, false);
}

#[test]
fn a_models_own_fields_cannot_undo_what_was_checked() {
    for key in ["max_tokens", "MAX_TOKENS", "n", "stream", "model", "messages", "service_tier"] {
        let mut request = asking(vec![text("hi")]);
        request.additional_fields.insert(key.to_owned(), json!(1));
        refuses(&native_model(), &request, key);
    }
    let mut request = asking(vec![text("hi")]);
    request.additional_fields.insert("min_p".to_owned(), json!(0.1));
    assert_eq!(write_for(&native_model(), &request, false)["min_p"], json!(0.1));
}

#[test]
fn reasoning_goes_back_only_to_models_that_know_it() {
    let mut request = asking(vec![text("hi")]);
    let reasoning = ContentBlock::Reasoning { text: "hm".to_owned(), signature: None };
    request.messages.push(Message { role: Role::Assistant, content: vec![reasoning, text("a")] });
    request.messages.push(Message { role: Role::User, content: vec![text("b")] });
    let able = write_for(&native_model(), &request, false);
    assert_eq!(
        able["messages"][1],
        json!({"role": "assistant", "content": "a", "reasoning_content": "hm"})
    );
    let plain = Model { capabilities: Capabilities::default(), ..native_model() };
    assert_eq!(
        write_for(&plain, &request, false)["messages"][1],
        json!({"role": "assistant", "content": "a"})
    );
}

#[test]
fn answers_that_make_no_sense_are_errors() {
    let kind = |body: Value| read(&body).unwrap_err().kind;
    assert_eq!(kind(json!([])), ProviderErrorKind::Internal);
    assert_eq!(kind(json!({"choices": []})), ProviderErrorKind::Internal);
    assert_eq!(kind(json!({"error": {"message": "m", "code": 429}})), ProviderErrorKind::Throttled);
    let error = ChatCodec.read(&native_model(), &ProviderAnswer::default()).unwrap_err();
    assert!(error.message.contains("not JSON") && error.may_have_run);
}

#[test]
fn kinds_of_usage_never_add_up_to_more_than_the_whole() {
    let usage = |usage: Value| {
        let message = json!({"role": "assistant", "content": "a"});
        read(&json!({"choices": [{"message": message}], "usage": usage})).unwrap().usage
    };
    let odd = json!({"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 9, "cache_write_tokens": 9}});
    assert_eq!(usage(odd).total(), 3);
    let hits =
        usage(json!({"prompt_tokens": 9, "completion_tokens": 2, "prompt_cache_hit_tokens": 4}));
    assert_eq!((hits.input, hits.cache_read, hits.output), (5, 4, 2));
    let plain =
        usage(json!({"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": null}));
    assert_eq!((plain.input, plain.output), (3, 4));
    assert_eq!(usage(json!({})).total(), 0);
    let sound = usage(json!({
        "prompt_tokens": 9, "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 2, "audio_tokens": 5},
        "completion_tokens_details": {"audio_tokens": 9},
    }));
    assert_eq!((sound.input, sound.input_audio, sound.cache_read), (2, 5, 2));
    assert_eq!((sound.output, sound.output_audio, sound.total()), (0, 4, 13));
}

#[test]
fn arguments_that_are_not_json_stay_as_they_are() {
    let call = |finish: &str| {
        let function = json!({"name": "f", "arguments": "{\"cut"});
        read(
            &json!({"choices": [{"message": {"tool_calls": [{"id": "a", "function": function}]}, "finish_reason": finish}]}),
        )
    };
    let odd = call("tool_calls").unwrap();
    assert!(matches!(&odd.content[0], ContentBlock::ToolUse { input, .. } if input == "{\"cut"));
    let rendered = crate::openai_chat::render_response(&odd, "i", 0, "m");
    let arguments = "/choices/0/message/tool_calls/0/function/arguments";
    assert_eq!(rendered.pointer(arguments), Some(&json!("{\"cut")));
    let cut = call("length").unwrap();
    assert_eq!(cut.stop_reason, StopReason::MaxTokens);
    assert!(matches!(&cut.content[0], ContentBlock::ToolUse { input, .. } if input == &json!({})));
}

#[test]
fn a_translated_request_says_what_the_client_said() {
    let body = request(json!({
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "q"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AQI="}}]},
            {"role": "assistant", "content": "a", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "r"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}],
        "tool_choice": "auto", "temperature": 0.2, "stop": ["x"], "max_completion_tokens": 100,
    }));
    let canonical =
        crate::openai_chat::to_canonical(&super::parse(&body).unwrap(), &native_model(), 100)
            .unwrap();
    let mut written = write_for(&native_model(), &canonical, false);
    written["model"] = "m".into();
    assert_eq!(written, body);
}

use serde_json::{Value, json};

use super::{converse_model, native_model, parse, request};
use crate::anthropic_messages::MessagesCodec;
use crate::{
    CacheTtl, Codec as _, ContentBlock, DocumentFormat, GenerateRequest as _, ImageFormat, Message,
    ModelRequest, ProviderAnswer, ProviderErrorKind, Role, Source, StopReason, ToolChoice,
    ToolResultContent,
};

fn write(request: &ModelRequest) -> Value {
    let written = MessagesCodec.write(request, &native_model(), false).unwrap();
    serde_json::from_slice(&written.body).unwrap()
}

fn user(content: Vec<ContentBlock>) -> Message {
    Message { role: Role::User, content }
}

fn text(text: &str) -> ContentBlock {
    ContentBlock::Text(text.to_owned())
}

#[test]
fn the_apis_own_rules_are_kept() {
    let call =
        ContentBlock::ToolUse { id: "fc.1:2".to_owned(), name: "f".to_owned(), input: Value::Null };
    let result = ContentBlock::ToolResult {
        id: "fc.1:2".to_owned(),
        content: vec![
            ToolResultContent::Json(json!({"a": 1})),
            ToolResultContent::Text(" ".to_owned()),
        ],
        is_error: true,
    };
    let body = write(&ModelRequest {
        messages: vec![
            user(vec![text(" \n"), text("q"), ContentBlock::CachePoint(CacheTtl::OneHour)]),
            Message {
                role: Role::Assistant,
                content: vec![
                    ContentBlock::Reasoning { text: "unsigned".to_owned(), signature: None },
                    call,
                ],
            },
            user(vec![result, ContentBlock::CachePoint(CacheTtl::FiveMinutes)]),
            Message { role: Role::Assistant, content: vec![text("The answer is (  ")] },
        ],
        tool_choice: Some(ToolChoice::None),
        ..ModelRequest::default()
    });
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": [{"type": "text", "text": "q", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "weir_call_0", "name": "f", "input": {}}]},
            {"role": "user", "content": [{
                "type": "tool_result", "tool_use_id": "weir_call_0", "content": [{"type": "text", "text": "{\"a\":1}"}],
                "is_error": true, "cache_control": {"type": "ephemeral"},
            }]},
            {"role": "assistant", "content": [{"type": "text", "text": "The answer is ("}]},
        ])
    );
    assert_eq!(body["tools"][0]["name"], "f", "history of tools needs tools");
    assert_eq!(body["tool_choice"], json!({"type": "none"}));
    assert_eq!(body["max_tokens"], 1_024, "the model's default, since the API wants one");
}

#[test]
fn sources_that_the_api_lacks_are_refused() {
    let s3 = || Source::S3 { uri: "s3://b/k".to_owned(), bucket_owner: None };
    let name = || "d".to_owned();
    let document = |format, source| ContentBlock::Document {
        format,
        name: name(),
        source,
        context: None,
        has_citations: false,
    };
    for block in [
        ContentBlock::Image { format: ImageFormat::Png, source: s3() },
        document(DocumentFormat::Pdf, s3()),
        document(DocumentFormat::Docx, Source::Bytes(vec![1])),
        document(DocumentFormat::Txt, Source::Bytes(vec![0xff])),
    ] {
        let request = ModelRequest {
            messages: vec![user(vec![text("q"), block])],
            ..ModelRequest::default()
        };
        let error = MessagesCodec.write(&request, &native_model(), false).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("messages[0].content[1]"), "{error}");
    }
    let csv = document(DocumentFormat::Csv, Source::Bytes(b"a,b".to_vec()));
    let body = write(&ModelRequest { messages: vec![user(vec![csv])], ..ModelRequest::default() });
    assert_eq!(body["messages"][0]["content"][0]["source"]["data"], "a,b");
    let tier = ModelRequest { service_tier: Some("flex".to_owned()), ..ModelRequest::default() };
    assert!(MessagesCodec.write(&tier, &native_model(), false).is_err());
}

#[test]
fn numbers_stay_as_they_were_written() {
    let request = parse(&request(json!({"temperature": 0.7, "top_p": 0.95}))).unwrap();
    let body = write(&request.to_canonical(&converse_model(), 9).unwrap());
    assert_eq!(
        (body["temperature"].to_string(), body["top_p"].to_string()),
        ("0.7".to_owned(), "0.95".to_owned())
    );
}

#[test]
fn several_calls_at_once_can_be_switched_off_without_a_choice() {
    let tools = json!([{"name": "f", "input_schema": {}}]);
    let canonical = parse(&request(json!({"tools": tools})))
        .unwrap()
        .to_canonical(&converse_model(), 9)
        .unwrap();
    let body = write(&ModelRequest { parallel_tool_calls: Some(false), ..canonical });
    assert_eq!(body["tool_choice"], json!({"type": "auto", "disable_parallel_tool_use": true}));
    assert_eq!(body["tools"][0]["input_schema"], json!({"type": "object"}));
}

fn answer(body: &Value) -> ProviderAnswer {
    ProviderAnswer { body: body.to_string().into(), ..ProviderAnswer::default() }
}

#[test]
fn answers_are_read_with_what_is_new_in_them() {
    let body = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "brand_new": 1,
        "content": [
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
            {"type": "text", "text": "hi", "citations": []},
        ],
        "stop_reason": "compaction",
        "usage": {"input_tokens": 5, "output_tokens": 6, "cache_creation_input_tokens": 7, "cache_read_input_tokens": null, "service_tier": "batch"},
    });
    let response = MessagesCodec.read(&native_model(), &answer(&body)).unwrap();
    assert_eq!(response.content, [text("hi")]);
    assert_eq!(response.stop_reason, StopReason::Other("compaction".to_owned()));
    assert_eq!(
        (response.usage.input, response.usage.cache_write_5m, response.usage.cache_write_1h),
        (5, 7, 0)
    );
    assert_eq!(response.provider_request_id.as_deref(), Some("msg_1"));
}

#[test]
fn answers_that_make_no_sense_are_errors() {
    for body in [&b""[..], b"[]", b"{}", b"{\"content\": 1}", b"\xff"] {
        let answer = ProviderAnswer { body: body.to_vec().into(), ..ProviderAnswer::default() };
        let error = MessagesCodec.read(&native_model(), &answer).unwrap_err();
        assert_eq!(error.kind, ProviderErrorKind::Internal);
    }
    let body = json!({"type": "error", "error": {"type": "overloaded_error", "message": "m"}, "request_id": "req_1"});
    let error = MessagesCodec.read(&native_model(), &answer(&body)).unwrap_err();
    assert_eq!(
        (error.kind, error.message.as_str(), error.provider_request_id.as_deref()),
        (ProviderErrorKind::Unavailable, "m", Some("req_1"))
    );
}

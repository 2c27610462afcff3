use metering::TokenUsage;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::able_model;
use crate::converse::ConverseCodec;
use crate::{
    Codec as _, ContentBlock, ImageFormat, ModelResponse, ProviderAnswer, ProviderError,
    ProviderErrorKind, Source, StopReason,
};

fn read(body: impl Into<Vec<u8>>) -> Result<ModelResponse, ProviderError> {
    let answer = ProviderAnswer {
        provider_request_id: Some("request-1".to_owned()),
        headers: Vec::new(),
        body: body.into().into(),
    };
    ConverseCodec.read(&able_model(), &answer)
}

fn answer(fields: Value) -> Value {
    let mut answer = json!({
        "output": {"message": {"role": "assistant", "content": [{"text": "Hello"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15},
        "metrics": {"latencyMs": 5},
    });
    if let (Value::Object(answer), Value::Object(fields)) = (&mut answer, fields) {
        answer.extend(fields);
    }
    answer
}

#[test]
fn the_answer_is_canonical_and_its_numbers_are_exact() {
    let body = r#"{"output":{"message":{"role":"assistant","content":[
        {"reasoningContent":{"reasoningText":{"text":"Hm.","signature":"c2ln"}}},{"hologram":{}},
        {"reasoningContent":{"redactedContent":"cmVk"}},{"text":"Hello"},
        {"citationsContent":{"content":[{"text":"It "},{"text":"rained."}],"citations":[{"title":"a"}]}},
        {"image":{"format":"png","source":{"bytes":"cGlj"}}},
        {"toolUse":{"toolUseId":"t1","name":"get_weather","input":{"city":"Oslo","days":18446744073709551615,"at":-1.5}}}]}},
        "stopReason":"tool_use","metrics":{"latencyMs":5},"usage":{"inputTokens":10,"outputTokens":5,"totalTokens":15}}"#;
    let expected = ModelResponse {
        content: vec![
            ContentBlock::Reasoning { text: "Hm.".to_owned(), signature: Some("c2ln".to_owned()) },
            ContentBlock::RedactedReasoning { data: "cmVk".to_owned() },
            ContentBlock::Text("Hello".to_owned()),
            ContentBlock::Text("It rained.".to_owned()),
            ContentBlock::Image {
                format: ImageFormat::Png,
                source: Source::Bytes(b"pic".to_vec()),
            },
            ContentBlock::ToolUse {
                id: "t1".to_owned(),
                name: "get_weather".to_owned(),
                input: json!({"city": "Oslo", "days": u64::MAX, "at": -1.5}),
            },
        ],
        stop_reason: StopReason::ToolUse,
        stop_sequence: None,
        usage: TokenUsage { input: 10, output: 5, ..TokenUsage::default() },
        provider_request_id: Some("request-1".to_owned()),
    };
    assert_eq!(read(body).unwrap(), expected);
}

#[test]
fn every_reason_to_stop_is_known() {
    for (word, reason) in [
        ("end_turn", StopReason::EndTurn),
        ("tool_use", StopReason::ToolUse),
        ("max_tokens", StopReason::MaxTokens),
        ("stop_sequence", StopReason::StopSequence),
        ("guardrail_intervened", StopReason::GuardrailIntervened),
        ("content_filtered", StopReason::ContentFiltered),
        ("model_context_window_exceeded", StopReason::ContextWindowExceeded),
        ("malformed_tool_use", StopReason::Other("malformed_tool_use".to_owned())),
    ] {
        let body = answer(json!({"stopReason": word}));
        assert_eq!(read(body.to_string()).unwrap().stop_reason, reason);
    }
    let fields = json!({"stopReason": "stop_sequence", "additionalModelResponseFields": {"stop_sequence": "END"}});
    let response = read(answer(fields).to_string()).unwrap();
    assert_eq!(response.stop_sequence.as_deref(), Some("END"));
}

#[track_caller]
fn check_usage(mut usage: Value, for_minutes: u64, for_hour: u64) {
    usage["inputTokens"] = 10.into();
    usage["outputTokens"] = (-1).into();
    usage["cacheReadInputTokens"] = 7.into();
    let expected = TokenUsage {
        input: 10,
        cache_read: 7,
        cache_write_5m: for_minutes,
        cache_write_1h: for_hour,
        ..TokenUsage::default()
    };
    let body = answer(json!({ "usage": usage }));
    assert_eq!(read(body.to_string()).unwrap().usage, expected);
}

#[test]
fn what_the_cache_took_is_split_by_how_long_it_is_kept() {
    let hour = json!({"ttl": "1h", "inputTokens": 70});
    let minutes = json!({"ttl": "5m", "inputTokens": 30});
    check_usage(json!({"cacheWriteInputTokens": 100, "cacheDetails": [hour, minutes]}), 30, 70);
    check_usage(json!({"cacheWriteInputTokens": 100, "cacheDetails": [hour]}), 30, 70);
    check_usage(json!({ "cacheDetails": [hour, minutes] }), 30, 70);
}

#[test]
fn what_the_cache_took_is_for_five_minutes_unless_said_otherwise() {
    check_usage(json!({"cacheWriteInputTokens": 100}), 100, 0);
    let other = json!({"ttl": "3h", "inputTokens": 20});
    check_usage(json!({"cacheWriteInputTokens": 100, "cacheDetails": [other]}), 100, 0);
}

#[test]
fn an_answer_that_makes_no_sense_is_an_error() {
    for body in ["", "<html>", "[]", "{}", r#"{"output":{"message":{"content":"hi"}}}"#] {
        let error = read(body).unwrap_err();
        assert_eq!((error.kind, error.may_have_run), (ProviderErrorKind::Internal, true));
        assert_eq!(error.provider_request_id.as_deref(), Some("request-1"));
    }
    for body in [json!({"output": {"message": {"content": []}}}), json!({"stopReason": "end_turn"})]
    {
        assert_eq!(read(body.to_string()).unwrap().usage, TokenUsage::default());
    }
}

proptest! {
    #[test]
    fn no_answer_makes_it_panic(block in "[{}\\[\\]\":,a-zA-Z0-9-]{0,64}") {
        let _ = read(format!(r#"{{"output":{{"message":{{"content":[{block}]}}}}}}"#));
        let _ = read(block);
    }
}

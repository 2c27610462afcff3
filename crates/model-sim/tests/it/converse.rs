//! `Converse` and `ConverseStream` through the AWS SDK.

use aws_sdk_bedrockruntime::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_bedrockruntime::operation::converse_stream::ConverseStreamOutput as Answer;
use aws_sdk_bedrockruntime::types::{
    ContentBlockDelta, ContentBlockStart, ConverseStreamOutput as Event, ConverseTokensRequest,
    CountTokensInput, GuardrailAction, GuardrailContentBlock, GuardrailContentSource,
    GuardrailTextBlock, InferenceConfiguration, ReasoningContentBlockDelta, StopReason, TokenUsage,
};
use serde_json::json;

use crate::support::{Sim, user};

const MODEL: &str = "us.anthropic.claude-sonnet-4-20250514-v1:0";

/// A line per event; the error that ended the stream last.
async fn lines(mut answer: Answer) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        match answer.stream.recv().await {
            Ok(Some(event)) => lines.push(line(&event)),
            Ok(None) => return lines,
            Err(error) => {
                // The SDK leaves `code()` empty within a stream: only the variant tells.
                let name = error
                    .as_service_error()
                    .map_or("none".to_owned(), |error| format!("{error:?}"));
                lines.push(format!("error {}", name.split('(').next().unwrap_or_default()));
                return lines;
            }
        }
    }
}

fn line(event: &Event) -> String {
    match event {
        Event::MessageStart(start) => format!("start {}", start.role()),
        Event::ContentBlockStart(start) => match start.start() {
            Some(ContentBlockStart::ToolUse(tool)) => {
                format!("tool {} {}", tool.name(), tool.tool_use_id())
            }
            other => format!("{other:?}"),
        },
        Event::ContentBlockDelta(delta) => match delta.delta() {
            Some(ContentBlockDelta::Text(text)) => format!("text {text}"),
            Some(ContentBlockDelta::ToolUse(tool)) => format!("input {}", tool.input()),
            Some(ContentBlockDelta::ReasoningContent(ReasoningContentBlockDelta::Text(text))) => {
                format!("reasoning {text}")
            }
            Some(ContentBlockDelta::ReasoningContent(ReasoningContentBlockDelta::Signature(_))) => {
                "signature".to_owned()
            }
            other => format!("{other:?}"),
        },
        Event::ContentBlockStop(stop) => format!("stop {}", stop.content_block_index()),
        Event::MessageStop(stop) => format!("end {}", stop.stop_reason()),
        Event::Metadata(metadata) => {
            let usage = metadata.usage();
            format!(
                "usage {:?} {:?}",
                usage.map(TokenUsage::input_tokens),
                usage.map(TokenUsage::output_tokens)
            )
        }
        other => format!("{other:?}"),
    }
}

async fn stream(sim: &Sim, text: &str) -> Vec<String> {
    lines(
        sim.bedrock().converse_stream().model_id(MODEL).messages(user(text)).send().await.unwrap(),
    )
    .await
}

#[tokio::test]
async fn a_whole_answer_is_recorded_with_who_asked_it() {
    let sim = Sim::start().await;
    let text = r#"hi [sim {"text":"Hello there","usage":{"input":10,"output":4,"cache_read":3,"cache_write_1h":2}}]"#;
    let request = sim.bedrock().converse().model_id(MODEL).messages(user(text));
    let answer = request
        .request_metadata("tenant_id", "acme")
        .request_metadata("call_id", "c1")
        .send()
        .await
        .unwrap();
    let message = answer.output().unwrap().as_message().unwrap();
    assert_eq!(message.content()[0].as_text().unwrap(), "Hello there");
    assert_eq!(*answer.stop_reason(), StopReason::EndTurn);
    let usage = answer.usage().unwrap();
    assert_eq!((usage.input_tokens(), usage.output_tokens(), usage.total_tokens()), (10, 4, 19));
    assert_eq!(
        (usage.cache_read_input_tokens(), usage.cache_write_input_tokens()),
        (Some(3), Some(2))
    );
    assert_eq!(usage.cache_details()[0].ttl().as_str(), "1h");
    let call = sim.call().await;
    assert_eq!((&call["tenant_id"], &call["call_id"]), (&json!("acme"), &json!("c1")));
    assert_eq!((&call["api"], &call["model"]), (&json!("converse"), &json!(MODEL)));
    assert_eq!((&call["access_key_id"], &call["principal_arn"]), (&json!("AKIDSIM"), &json!(null)));
    assert_eq!((&call["status"], &call["finished"]), (&json!(200), &json!(true)));
    assert_eq!(call["usage"]["output"], 4);
    assert_eq!(call["request_body"]["messages"][0]["content"][0]["text"], text);
}

#[tokio::test]
async fn a_stream_carries_reasoning_text_and_tools_in_bedrocks_order() {
    let sim = Sim::start().await;
    let script = r#"[sim {"reasoning":"Let me","chunks":["a","b"],"tool_calls":[{"name":"f","arguments":{"a":1}}]}]"#;
    let expected = [
        "start assistant",
        "reasoning Let ",
        "reasoning me",
        "signature",
        "stop 0",
        "text a",
        "text b",
        "stop 1",
        "tool f tooluse_sim_1_0",
        r#"input {"a":1}"#,
        "stop 2",
        "end tool_use",
        "usage Some(24) Some(5)",
    ];
    assert_eq!(stream(&sim, script).await, expected);
    let call = sim.call().await;
    assert_eq!((&call["finished"], &call["chunks_sent"]), (&json!(true), &json!(5)));
}

#[tokio::test]
async fn output_ends_at_max_tokens() {
    let sim = Sim::start().await;
    let request = sim
        .bedrock()
        .converse_stream()
        .model_id(MODEL)
        .messages(user(r#"[sim {"chunks":["a","b","c"]}]"#));
    let request = request.inference_config(InferenceConfiguration::builder().max_tokens(2).build());
    let lines = lines(request.send().await.unwrap()).await;
    assert_eq!(lines[1..4], ["text a", "text b", "stop 0"]);
    assert_eq!(lines[4], "end max_tokens");
}

#[tokio::test]
async fn an_error_before_the_first_byte_has_its_status() {
    let sim = Sim::start().await;
    let script =
        r#"[sim {"error":{"exception":"ThrottlingException","message":"Too many tokens"}}]"#;
    let error = sim
        .bedrock()
        .converse_stream()
        .model_id(MODEL)
        .messages(user(script))
        .send()
        .await
        .unwrap_err();
    let SdkError::ServiceError(error) = error else { panic!("{error:?}") };
    assert!(error.err().is_throttling_exception());
    assert_eq!(
        (error.raw().status().as_u16(), error.err().message()),
        (429, Some("Too many tokens"))
    );
    let call = sim.call().await;
    assert_eq!(
        (&call["status"], &call["chunks_sent"], &call["usage"]["input"]),
        (&json!(429), &json!(0), &json!(0))
    );
}

#[tokio::test]
async fn an_exception_in_mid_stream_ends_it() {
    let sim = Sim::start().await;
    for (exception, code) in [
        ("throttlingException", "ThrottlingException"),
        ("ModelStreamErrorException", "ModelStreamErrorException"),
        ("InternalServerException", "InternalServerException"),
        ("ServiceUnavailableException", "ServiceUnavailableException"),
        ("ValidationException", "ValidationException"),
    ] {
        let script = json!({"chunks": ["a", "b"], "error_after_chunks": 1, "error": {"exception": exception}});
        let lines = stream(&sim, &format!("[sim {script}]")).await;
        assert_eq!(lines[1..], ["text a".to_owned(), format!("error {code}")]);
    }
    let calls = sim.get("/_sim/calls").await;
    let call = &calls["calls"][0];
    assert_eq!((&call["finished"], &call["outcome"]), (&json!(false), &json!("failed")));
    assert_eq!((&call["status"], &call["usage"]["output"]), (&json!(200), &json!(1)));
}

#[tokio::test]
async fn a_cut_connection_is_an_error_of_the_transport() {
    let sim = Sim::start().await;
    let lines = stream(&sim, r#"[sim {"chunks":["a","b","c"],"cut_after_chunks":2}]"#).await;
    assert_eq!(lines, ["start assistant", "text a", "text b", "error none"]);
    let call = sim.ended_call().await;
    assert_eq!((&call["outcome"], &call["chunks_sent"]), (&json!("cut"), &json!(2)));
    let text = r#"[sim {"text":"a b c","cut_after_chunks":1}]"#;
    let error =
        sim.bedrock().converse().model_id(MODEL).messages(user(text)).send().await.unwrap_err();
    assert!(!matches!(error, SdkError::ServiceError(_)), "{error:?}");
}

#[tokio::test]
async fn a_caller_who_hangs_up_pays_for_what_was_produced() {
    let sim = Sim::start().await;
    let script = r#"[sim {"chunks":["a","b","c","d"],"chunk_delay_ms":60000,"usage":{"input":7,"output":400}}]"#;
    let mut answer = sim
        .bedrock()
        .converse_stream()
        .model_id(MODEL)
        .messages(user(script))
        .send()
        .await
        .unwrap();
    for _ in 0..2 {
        answer.stream.recv().await.unwrap();
    }
    drop(answer);
    let call = sim.ended_call().await;
    assert_eq!((&call["finished"], &call["outcome"]), (&json!(false), &json!("disconnected")));
    assert_eq!(call["chunks_sent"], 1);
    assert_eq!((&call["usage"]["input"], &call["usage"]["output"]), (&json!(7), &json!(100)));
}

#[tokio::test]
async fn a_caller_who_gives_up_before_the_headers_is_recorded() {
    let sim = Sim::start().await;
    let client = sim.bedrock();
    let call =
        client.converse().model_id(MODEL).messages(user(r#"[sim {"head_delay_ms":60000}]"#)).send();
    let asked = async { while sim.get("/_sim/calls").await["calls"][0].is_null() {} };
    tokio::select! {
        _ = call => panic!("answered before its delay"),
        () = asked => {}
    }
    let call = sim.ended_call().await;
    assert_eq!((&call["status"], &call["outcome"]), (&json!(null), &json!("disconnected")));
    assert_eq!(call["usage"]["output"], 0);
}

#[tokio::test]
async fn a_bad_request_is_refused_as_bedrock_does() {
    let sim = Sim::start().await;
    let error =
        sim.bedrock().converse().model_id(MODEL).messages(user(" ")).send().await.unwrap_err();
    let SdkError::ServiceError(error) = error else { panic!("{error:?}") };
    assert!(error.err().is_validation_exception());
    assert_eq!(error.raw().status().as_u16(), 400);
    assert_eq!(sim.call().await["status"], 400);
}

#[tokio::test]
async fn a_model_may_be_named_by_its_arn() {
    let sim = Sim::start().await;
    let arn = "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/abc";
    sim.bedrock().converse().model_id(arn).messages(user("hi")).send().await.unwrap();
    assert_eq!(sim.call().await["model"], arn);
}

#[tokio::test]
async fn tokens_are_counted_and_guardrails_never_intervene() {
    let sim = Sim::start().await;
    let input = CountTokensInput::Converse(
        ConverseTokensRequest::builder().messages(user("12345")).build(),
    );
    let counted = sim.bedrock().count_tokens().model_id(MODEL).input(input).send().await.unwrap();
    assert_eq!(counted.input_tokens(), 2);
    let text = GuardrailTextBlock::builder().text("hi").build().unwrap();
    let request = sim.bedrock().apply_guardrail().guardrail_identifier("g").guardrail_version("1");
    let request =
        request.source(GuardrailContentSource::Input).content(GuardrailContentBlock::Text(text));
    let answer = request.send().await.unwrap();
    assert_eq!(*answer.action(), GuardrailAction::None);
    assert_eq!(answer.usage().unwrap().content_policy_units(), 1);
    let calls = sim.get("/_sim/calls").await;
    let apis = [&calls["calls"][0]["api"], &calls["calls"][1]["api"]];
    assert_eq!(apis, [&json!("count-tokens"), &json!("apply-guardrail")]);
}

#[tokio::test]
async fn reasoning_documents_and_cache_points_go_back_and_forth() {
    let sim = Sim::start().await;
    let path = format!("/model/{}/converse", MODEL.replace(':', "%3A"));
    let script = r#"[sim {"reasoning":"so","redacted":"hidden","text":"a"}]"#;
    let (_, first) = sim
        .ask(&path, &json!({"messages": [{"role": "user", "content": [{"text": script}]}]}))
        .await;
    let answered = &first["output"]["message"];
    let document = json!({"document": {"format": "pdf", "name": "Report", "source": {"bytes": "JVBERi0xLjQ="}}});
    let remote =
        json!({"image": {"format": "png", "source": {"s3Location": {"uri": "s3://bucket/a.png"}}}});
    let point = json!({"cachePoint": {"type": "default", "ttl": "1h"}});
    let request = json!({
        "messages": [
            {"role": "user", "content": [{"text": "x".repeat(40)}, document, remote, point]},
            answered,
            {"role": "user", "content": [{"text": "y"}]},
        ],
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1", "trace": "enabled"},
    });
    let (status, second) = sim.ask(&path, &request).await;
    assert_eq!(status, 200, "{second}");
    let written = second["usage"]["cacheWriteInputTokens"].as_u64().unwrap();
    assert!(written > 1000, "{second}");
    assert_eq!(second["usage"]["cacheDetails"], json!([{"ttl": "1h", "inputTokens": written}]));
    let (_, third) = sim.ask(&path, &request).await;
    assert_eq!(third["usage"]["cacheReadInputTokens"], written);
    let mut forged = request.clone();
    forged["messages"][1]["content"][0]["reasoningContent"]["reasoningText"]["text"] =
        "forged".into();
    assert_eq!(sim.ask(&path, &forged).await.0, 400);
}

use aws_smithy_runtime_api::client::auth::AuthSchemePreference;
use inference::{
    ContentBlock, ImageFormat, InferenceParameters, Message, OutputSchema, ProviderErrorKind, Role,
    StopReason, Tool, ToolChoice, ToolResultContent,
};
use metering::TokenUsage;
use serde_json::{Map, Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use super::*;
use crate::testing::{Clock, FakeService, ROLE_ARN, acme, bedrock, bedrock_with, sdk_config, sts};

const ANSWER: &str = r#"{"output":{"message":{"role":"assistant","content":[
    {"reasoningContent":{"reasoningText":{"text":"Hm.","signature":"c2ln"}}},{"hologram":{}},{"text":"Hello"},
    {"toolUse":{"toolUseId":"t1","name":"get_weather","input":{"city":"Oslo","days":18446744073709551615,"at":-1.5}}}]}},
    "stopReason":"tool_use","metrics":{"latencyMs":5},"usage":{"inputTokens":10,"outputTokens":5,"totalTokens":15}}"#;

fn full_request() -> ModelRequest {
    let fields = |value: Value| value.as_object().cloned().unwrap_or_else(Map::new);
    ModelRequest {
        parallel_tool_calls: None,
        thinking: None,
        system: ["Be brief.", "Be kind."]
            .map(|text| inference::SystemBlock::Text(text.to_owned()))
            .to_vec(),
        messages: vec![
            Message {
                role: Role::User,
                content: vec![
                    ContentBlock::Text("Weather?".to_owned()),
                    ContentBlock::Image {
                        format: ImageFormat::Png,
                        source: inference::Source::Bytes(b"picture".to_vec()),
                    },
                ],
            },
            Message {
                role: Role::Assistant,
                content: vec![
                    ContentBlock::Reasoning {
                        text: "Hm.".to_owned(),
                        signature: Some("c2ln".to_owned()),
                    },
                    ContentBlock::ToolUse {
                        id: "t1".to_owned(),
                        name: "get_weather".to_owned(),
                        input: json!({"city": "Oslo", "days": u64::MAX, "shift": i64::MIN, "at": 0.1, "no": null}),
                    },
                ],
            },
            Message {
                role: Role::User,
                content: vec![ContentBlock::ToolResult {
                    is_error: false,
                    id: "t1".to_owned(),
                    content: vec![
                        ToolResultContent::Text("rain".to_owned()),
                        ToolResultContent::Image {
                            format: ImageFormat::Webp,
                            source: inference::Source::Bytes(b"radar".to_vec()),
                        },
                    ],
                }],
            },
        ],
        inference: InferenceParameters {
            top_k: None,
            max_tokens: Some(100),
            temperature: Some(0.5),
            top_p: Some(0.25),
            stop_sequences: vec!["END".to_owned()],
        },
        tools: vec![Tool {
            cache: None,
            name: "get_weather".to_owned(),
            description: Some("Looks outside".to_owned()),
            input_schema: json!({"type": "object", "properties": {"city": {"type": "string"}}}),
            strict: Some(true),
        }],
        tool_choice: Some(ToolChoice::Tool("get_weather".to_owned())),
        output_schema: Some(OutputSchema {
            name: "forecast".to_owned(),
            description: Some("Tomorrow".to_owned()),
            schema: json!({"type": "object"}),
        }),
        effort: Some("high".to_owned()),
        additional_fields: fields(json!({"top_k": 50})),
        service_tier: Some("flex".to_owned()),
    }
}

fn refusing(status: u16, code: &str) -> FakeService {
    let headers = [("x-amzn-errortype", code), ("x-amzn-requestid", "request-1")];
    FakeService::answering(status, &headers, r#"{"message":"because"}"#)
}

#[tokio::test]
async fn the_whole_canonical_request_reaches_converse() {
    let service = FakeService::answering(200, &[], ANSWER);
    bedrock(&service).await.respond(&acme().call(0), full_request()).await.unwrap();
    let sent = &service.sent()[0];
    assert_eq!(
        sent.uri,
        "https://bedrock-runtime.us-east-1.amazonaws.com/model/us.anthropic.claude-sonnet-5/converse"
    );
    insta::with_settings!({ sort_maps => true }, { insta::assert_json_snapshot!(sent.json()) });
}

#[tokio::test]
async fn a_streamed_call_sends_the_same_body() {
    let service = FakeService::answering(200, &[], ANSWER);
    let bedrock = bedrock(&service).await;
    bedrock.respond(&acme().call(0), full_request()).await.unwrap();
    drop(bedrock.stream(&acme().call(0), full_request()).await.unwrap());
    let [whole, streamed] = service.sent().try_into().unwrap();
    assert!(streamed.uri.ends_with("/model/us.anthropic.claude-sonnet-5/converse-stream"));
    assert_eq!(streamed.json(), whole.json());
}

#[tokio::test]
async fn a_small_request_says_nothing_that_it_need_not() {
    let service = FakeService::answering(200, &[], ANSWER);
    let request = ModelRequest {
        messages: vec![Message {
            role: Role::User,
            content: vec![ContentBlock::Text("Hi".to_owned())],
        }],
        inference: InferenceParameters { max_tokens: Some(10), ..InferenceParameters::default() },
        tool_choice: Some(ToolChoice::Auto),
        ..ModelRequest::default()
    };
    bedrock(&service).await.respond(&acme().call(1), request).await.unwrap();
    let sent = &service.sent()[0];
    assert!(sent.uri.ends_with("/model/amazon.nova-pro-v1%3A0/converse"), "{}", sent.uri);
    insta::with_settings!({ sort_maps => true }, { insta::assert_json_snapshot!(sent.json()) });
}

#[tokio::test]
async fn the_answer_is_canonical_and_its_numbers_are_exact() {
    let service = FakeService::answering(200, &[("x-amzn-requestid", "request-1")], ANSWER);
    let answer =
        bedrock(&service).await.respond(&acme().call(0), ModelRequest::default()).await.unwrap();
    let expected = ModelResponse {
        stop_sequence: None,
        content: vec![
            ContentBlock::Reasoning { text: "Hm.".to_owned(), signature: Some("c2ln".to_owned()) },
            ContentBlock::Text("Hello".to_owned()),
            ContentBlock::ToolUse {
                id: "t1".to_owned(),
                name: "get_weather".to_owned(),
                input: json!({"city": "Oslo", "days": u64::MAX, "at": -1.5}),
            },
        ],
        stop_reason: StopReason::ToolUse,
        usage: TokenUsage { input: 10, output: 5, ..TokenUsage::default() },
        provider_request_id: Some("request-1".to_owned()),
    };
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn the_session_signs_even_if_there_is_a_bearer_token() {
    let clock = Clock::new();
    let service = FakeService::answering(200, &[], ANSWER);
    let sdk_config = sdk_config(&sts(&clock), &clock)
        .into_builder()
        .token_provider(aws_credential_types::provider::token::SharedTokenProvider::new(
            aws_credential_types::Token::new("bearer", None),
        ))
        .auth_scheme_preference(AuthSchemePreference::from([AuthSchemeId::from("httpBearerAuth")]))
        .build();
    let settings = Settings { role_arn: ROLE_ARN.to_owned(), endpoint_url: None };
    let bedrock =
        Bedrock::with_connector(&sdk_config, settings, service.connector()).await.unwrap();
    bedrock.respond(&acme().call(0), ModelRequest::default()).await.unwrap();
    let authorization = &service.sent()[0].headers["authorization"];
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=SESSION0/"), "{authorization}");
}

#[tokio::test]
async fn a_refusal_is_mapped_and_not_retried() {
    for (status, code, kind, may_have_run) in [
        (400, "ValidationException", ProviderErrorKind::InvalidRequest, false),
        (403, "AccessDeniedException", ProviderErrorKind::AccessDenied, false),
        (408, "ModelTimeoutException", ProviderErrorKind::Timeout, true),
        (429, "ThrottlingException", ProviderErrorKind::Throttled, false),
        (429, "ModelNotReadyException", ProviderErrorKind::Unavailable, false),
        (500, "InternalServerException", ProviderErrorKind::Internal, true),
        (418, "TeapotException", ProviderErrorKind::InvalidRequest, false),
    ] {
        let service = refusing(status, code);
        let bedrock = bedrock(&service).await;
        let whole = bedrock.respond(&acme().call(0), ModelRequest::default()).await.unwrap_err();
        let streamed =
            bedrock.stream(&acme().call(0), ModelRequest::default()).await.err().unwrap();
        assert_eq!(whole, streamed);
        assert_eq!((whole.kind, whole.may_have_run), (kind, may_have_run), "{code}");
        assert_eq!(
            (whole.message.as_str(), whole.provider_request_id.as_deref()),
            ("because", Some("request-1"))
        );
        assert_eq!(service.sent().len(), 2, "{code}: one attempt per call");
    }
}

#[tokio::test]
async fn a_session_that_is_not_taken_is_not_used_again() {
    let clock = Clock::new();
    let sts = sts(&clock);
    let bedrock = bedrock_with(&sts, &clock, &refusing(403, "ExpiredTokenException")).await;
    for _ in 0..2 {
        let error = bedrock.respond(&acme().call(0), ModelRequest::default()).await.unwrap_err();
        assert_eq!((error.kind, error.may_have_run), (ProviderErrorKind::Internal, false));
    }
    assert_eq!(sts.sent().len(), 2);
}

/// The errors of a call of each kind to a server on this machine.
async fn errors_at(endpoint_url: String) -> Vec<ProviderError> {
    let clock = Clock::new();
    let settings = Settings { role_arn: ROLE_ARN.to_owned(), endpoint_url: Some(endpoint_url) };
    let bedrock = Bedrock::new(&sdk_config(&sts(&clock), &clock), settings).await.unwrap();
    let acme = acme();
    vec![
        bedrock.respond(&acme.call(0), ModelRequest::default()).await.unwrap_err(),
        bedrock.stream(&acme.call(0), ModelRequest::default()).await.err().unwrap(),
        bedrock.forward(&acme.call(0), Bytes::new()).await.err().unwrap(),
    ]
}

#[tokio::test]
async fn without_a_connection_nothing_has_run() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for error in errors_at(url).await {
        assert_eq!(
            (error.kind, error.may_have_run),
            (ProviderErrorKind::Unavailable, false),
            "{error}"
        );
    }
}

#[tokio::test]
async fn once_the_request_is_sent_the_model_may_have_run() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            drop(socket.read(&mut [0; 1_024]).await);
        }
    });
    for error in errors_at(url).await {
        assert_eq!(
            (error.kind, error.may_have_run),
            (ProviderErrorKind::Interrupted, true),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_role_that_is_none_is_refused_at_the_start() {
    let clock = Clock::new();
    let settings = Settings { role_arn: "tenant-access".to_owned(), endpoint_url: None };
    assert!(Bedrock::new(&sdk_config(&sts(&clock), &clock), settings).await.is_err());
}

use std::collections::BTreeMap;

use aws_credential_types::Credentials;
use aws_sdk_bedrockruntime::config::{Credentials as SdkCredentials, Region};
use aws_smithy_runtime_api::client::http::http_client_fn;
use aws_transport::testing::{Clock, FakeService, acme, aws};
use inference::Operation;

use super::*;

fn request(protocol: Protocol, operation: Operation, is_streaming: bool) -> ProviderRequest {
    let body = Bytes::from_static(b"{\"n\": 1.0}");
    ProviderRequest { protocol, operation, is_streaming, headers: Vec::new(), body }
}

/// What Bedrock gets of `request`, for the model at `index`.
async fn sent(index: usize, request: ProviderRequest) -> aws_transport::testing::Sent {
    let service = FakeService::answering(200, &[], "{}");
    Bedrock::new(aws(&service)).send(&acme().call(index), request).await.unwrap();
    service.sent().remove(0)
}

async fn error_of(service: &FakeService, request: ProviderRequest) -> ProviderError {
    Bedrock::new(aws(service)).send(&acme().call(0), request).await.err().unwrap()
}

#[tokio::test]
async fn every_operation_has_its_address() {
    use {Operation as Op, Protocol as P};

    let guardrail = || Op::ApplyGuardrail { id: "gr/1".to_owned(), version: "DRAFT".to_owned() };
    for (protocol, operation, is_streaming, path) in [
        (P::Converse, Op::Invoke, false, "/model/amazon.nova-pro-v1%3A0/converse"),
        (P::Converse, Op::Invoke, true, "/model/amazon.nova-pro-v1%3A0/converse-stream"),
        (P::InvokeModel, Op::Invoke, false, "/model/amazon.nova-pro-v1%3A0/invoke"),
        (
            P::InvokeModel,
            Op::Invoke,
            true,
            "/model/amazon.nova-pro-v1%3A0/invoke-with-response-stream",
        ),
        (P::OpenaiChat, Op::Invoke, true, "/openai/v1/chat/completions"),
        (P::OpenaiResponses, Op::Invoke, false, "/openai/v1/responses"),
        (P::AnthropicMessages, Op::Invoke, true, "/anthropic/v1/messages"),
        (P::AnthropicMessages, Op::CountTokens, false, "/anthropic/v1/messages/count_tokens"),
        (P::Converse, Op::CountTokens, false, "/model/amazon.nova-pro-v1%3A0/count-tokens"),
        (P::Converse, guardrail(), false, "/guardrail/gr%2F1/version/DRAFT/apply"),
    ] {
        let sent = sent(1, request(protocol, operation, is_streaming)).await;
        let host = "https://bedrock-runtime.us-east-1.amazonaws.com";
        assert_eq!(sent.uri, format!("{host}{path}"));
    }
    let sent = sent(1, request(P::BedrockRerank, Op::Invoke, false)).await;
    assert_eq!(sent.uri, "https://bedrock-agent-runtime.us-east-1.amazonaws.com/rerank");
    assert!(sent.headers["authorization"].contains("/us-east-1/bedrock/aws4_request"));
}

#[tokio::test]
async fn a_model_counts_tokens_and_its_profile_does_not() {
    let sent = sent(0, request(Protocol::Converse, Operation::CountTokens, false)).await;
    assert!(sent.uri.ends_with("/model/anthropic.claude-sonnet-5/count-tokens"), "{}", sent.uri);
}

#[tokio::test]
async fn the_clients_bytes_are_sent_unchanged_and_say_whose_they_are_in_a_header() {
    for protocol in [
        Protocol::OpenaiChat,
        Protocol::OpenaiResponses,
        Protocol::AnthropicMessages,
        Protocol::InvokeModel,
    ] {
        let mut request = request(protocol, Operation::Invoke, false);
        request.headers = vec![(METADATA_HEADER.to_owned(), r#"{"team":"x"}"#.to_owned())];
        let sent = sent(0, request).await;
        assert_eq!(sent.body, b"{\"n\": 1.0}");
        assert_eq!(sent.headers["content-type"], "application/json");
        assert_eq!(
            sent.headers[METADATA_HEADER],
            r#"{"team":"x","tenant_id":"acme","lob_id":"retail","call_id":"0199c0de-0000-7000-8000-000000000001"}"#
        );
    }
}

#[tokio::test]
async fn converse_says_whose_it_is_in_its_body_and_counting_says_nothing_there() {
    let converse = sent(0, request(Protocol::Converse, Operation::Invoke, true)).await;
    assert!(!converse.headers.contains_key(METADATA_HEADER));
    assert_eq!(converse.json()["requestMetadata"]["tenant_id"], "acme");
    assert!(converse.body.ends_with(b",\"n\": 1.0}"));
    let counting = sent(0, request(Protocol::Converse, Operation::CountTokens, false)).await;
    assert_eq!(counting.body, b"{\"n\": 1.0}");
}

#[tokio::test]
async fn only_the_protocols_own_headers_are_passed_on() {
    let mut request = request(Protocol::AnthropicMessages, Operation::Invoke, false);
    let of_client = [
        ("anthropic-beta", "a,b"),
        ("anthropic-version", "2024-01-01"),
        ("authorization", "Bearer forged"),
        ("x-amz-security-token", "forged"),
        ("x-amz-date", "forged"),
        ("host", "elsewhere"),
        ("content-length", "1"),
        ("cookie", "a=b"),
    ];
    request.headers = of_client.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let sent = sent(0, request).await;
    assert_eq!(sent.headers["anthropic-beta"], "a,b");
    assert_eq!(sent.headers["anthropic-version"], "2024-01-01");
    assert_eq!(sent.headers["x-amz-security-token"], "token0");
    assert!(!sent.headers.contains_key("cookie"));
    assert!(sent.headers.values().all(|value| !value.contains("forged") && value != "elsewhere"));
}

#[tokio::test]
async fn messages_have_a_version_even_if_the_client_names_none() {
    let sent = sent(0, request(Protocol::AnthropicMessages, Operation::Invoke, false)).await;
    assert_eq!(sent.headers["anthropic-version"], ANTHROPIC_VERSION);
}

#[tokio::test]
async fn invoke_models_headers_come_and_go() {
    let headers = [
        ("content-type", "application/json"),
        ("x-amzn-bedrock-input-token-count", "7"),
        ("x-amzn-requestid", "request-1"),
        ("date", "today"),
    ];
    let service = FakeService::answering(200, &headers, "{}");
    let mut request = request(Protocol::InvokeModel, Operation::Invoke, false);
    request.headers = vec![("accept".to_owned(), "image/png".to_owned())];
    let answer = Bedrock::new(aws(&service)).send(&acme().call(0), request).await.unwrap();
    assert_eq!(service.sent()[0].headers["accept"], "image/png");
    assert_eq!(answer.provider_request_id.as_deref(), Some("request-1"));
    let names: Vec<_> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["content-type", "x-amzn-bedrock-input-token-count"]);
}

#[tokio::test]
async fn a_rerank_request_names_the_model_by_its_arn() {
    let mut request = request(Protocol::BedrockRerank, Operation::Invoke, false);
    let body = |arn: &str| {
        serde_json::json!({"queries": [{"textQuery": {"text": MODEL_ARN}}], "rerankingConfiguration":
            {"bedrockRerankingConfiguration": {"modelConfiguration": {"modelArn": arn}}}})
    };
    request.body = body(MODEL_ARN).to_string().into();
    let sent = sent(1, request).await;
    assert_eq!(
        sent.json(),
        body("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0")
    );
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
        let headers = [("x-amzn-errortype", code), ("x-amzn-requestid", "request-1")];
        let service = FakeService::answering(status, &headers, r#"{"message":"because"}"#);
        let error = error_of(&service, request(Protocol::Converse, Operation::Invoke, true)).await;
        assert_eq!((error.kind, error.may_have_run), (kind, may_have_run), "{code}");
        assert_eq!(
            (error.message.as_str(), error.provider_request_id.as_deref()),
            ("because", Some("request-1"))
        );
        assert_eq!(service.sent().len(), 1, "{code}: one attempt per call");
    }
}

#[tokio::test]
async fn a_guardrail_that_is_not_there_is_the_callers_mistake() {
    let service = FakeService::answering(404, &[], r#"{"message":"no such guardrail"}"#);
    let operation = Operation::ApplyGuardrail { id: "g".to_owned(), version: "1".to_owned() };
    let error = error_of(&service, request(Protocol::Converse, operation, false)).await;
    assert_eq!(error.kind, ProviderErrorKind::InvalidRequest);
}

#[tokio::test]
async fn what_bedrock_does_not_speak_is_a_mistake_in_the_registry() {
    let service = FakeService::answering(200, &[], "{}");
    for protocol in [Protocol::JsonTemplate, Protocol::OpenaiEmbeddings, Protocol::Rerank] {
        let error = error_of(&service, request(protocol, Operation::Invoke, false)).await;
        assert_eq!((error.kind, error.may_have_run), (ProviderErrorKind::Internal, false));
    }
    assert!(service.sent().is_empty());
}

/// The pieces of an `authorization` header.
fn authorization(headers: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    let (_, fields) = headers["authorization"].split_once(' ').unwrap();
    fields.split(", ").map(|field| field.split_once('=').unwrap()).collect()
}

/// The SDK's own signer signs the same bytes the same way, whatever the model's id.
#[tokio::test]
async fn paths_and_signatures_are_those_of_the_sdk() {
    for id in [
        "amazon.nova-pro-v1:0",
        "us.anthropic.claude-sonnet-5",
        "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/a1b2",
    ] {
        let service = FakeService::answering(200, &[], r#"{"output":{},"stopReason":"end_turn"}"#);
        let connector = service.connector();
        let config = aws_sdk_bedrockruntime::Config::builder()
            .behavior_version(aws_sdk_bedrockruntime::config::BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(SdkCredentials::new(
                "SESSION0",
                "secret",
                Some("token0".to_owned()),
                None,
                "test",
            ))
            .time_source(Clock::new())
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build();
        let sdk = aws_sdk_bedrockruntime::Client::from_conf(config);
        drop(sdk.converse().model_id(id).send().await);
        let of_sdk = &service.sent()[0];
        let path = of_sdk.uri.strip_prefix("https://bedrock-runtime.us-east-1.amazonaws.com");
        let converse = request(Protocol::Converse, Operation::Invoke, false);
        assert_eq!(address(id, &converse).unwrap().1, path.unwrap());

        let fields = authorization(&of_sdk.headers);
        let signed_headers: Vec<_> = fields["SignedHeaders"]
            .split(';')
            .filter(|name| {
                *name != "host"
                    && !name.starts_with("x-amz-date")
                    && *name != "x-amz-security-token"
            })
            .map(|name| (name, of_sdk.headers[name].as_str()))
            .collect();
        let ours = aws_transport::testing::signed(
            &of_sdk.uri,
            &signed_headers,
            &of_sdk.body,
            Credentials::new("SESSION0", "secret", Some("token0".to_owned()), None, "test"),
            &Clock::new(),
        );
        assert_eq!(authorization(&ours), fields, "{id}");
    }
}

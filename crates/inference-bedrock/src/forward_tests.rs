use inference::{Provider as _, ProviderErrorKind};

use super::*;
use crate::testing::{Clock, FakeService, acme, bedrock, bedrock_with, sts};

const BODY: &str = "{\"model\":\"m\",\n \"x_unknown\": 1e400, \"messages\":[]}";

async fn forward(service: &FakeService) -> Result<ForwardedResponse, ProviderError> {
    bedrock(service).await.forward(&acme().call(0), Bytes::from(BODY)).await
}

async fn error_of(status: u16, headers: &[(&str, &str)], body: &str) -> ProviderError {
    let outcome = forward(&FakeService::answering(status, headers, body)).await;
    outcome.err().unwrap()
}

#[tokio::test]
async fn the_clients_bytes_are_signed_as_the_tenant_and_sent_unchanged() {
    let service = FakeService::answering(200, &[], "{}");
    forward(&service).await.unwrap();
    let sent = &service.sent()[0];
    assert_eq!(
        sent.uri,
        "https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1/chat/completions"
    );
    assert_eq!(sent.body, BODY.as_bytes());
    insta::assert_json_snapshot!(sent.headers.get("authorization"));
    assert_eq!(sent.headers["x-amz-security-token"], "token0");
    assert_eq!(sent.headers["content-type"], "application/json");
    let metadata: Value =
        serde_json::from_str(&sent.headers["x-amzn-bedrock-request-metadata"]).unwrap();
    assert_eq!((&metadata["tenant_id"], &metadata["lob_id"]), (&"acme".into(), &"retail".into()));
    assert_eq!(metadata["call_id"], "0199c0de-0000-7000-8000-000000000001");
}

#[tokio::test]
async fn the_answer_comes_as_it_is() {
    let headers = [("content-type", "text/event-stream"), ("x-amzn-requestid", "request-1")];
    let response =
        forward(&FakeService::answering(200, &headers, "data: [DONE]\n\n")).await.unwrap();
    assert_eq!(response.provider_request_id.as_deref(), Some("request-1"));
    assert_eq!(response.content_type.as_deref(), Some("text/event-stream"));
    let body: Vec<_> = response.body.map(Result::unwrap).collect().await;
    assert_eq!(body.concat(), b"data: [DONE]\n\n");
}

#[tokio::test]
async fn a_broken_answer_is_interrupted() {
    let service = FakeService::new(|_| {
        let chunks = [
            Ok(http_body::Frame::data(Bytes::from("data: "))),
            Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
        ];
        let body = http_body_util::StreamBody::new(futures::stream::iter(chunks));
        http::Response::new(SdkBody::from_body_1_x(body))
    });
    let body: Vec<_> = forward(&service).await.unwrap().body.collect().await;
    let [Ok(_), Err(error)] = body.as_slice() else { panic!("{body:?}") };
    assert_eq!((error.kind, error.may_have_run), (ProviderErrorKind::Interrupted, true));
}

#[tokio::test]
async fn errors_are_understood_in_either_shape() {
    let aws = [
        ("x-amzn-errortype", "ThrottlingException:http://internal.amazon.com/"),
        ("x-amzn-requestid", "r"),
    ];
    let error = error_of(429, &aws, r#"{"message":"Too many tokens"}"#).await;
    assert_eq!((error.kind, error.may_have_run), (ProviderErrorKind::Throttled, false));
    assert_eq!(
        (error.message.as_str(), error.provider_request_id.as_deref()),
        ("Too many tokens", Some("r"))
    );

    let openai = r#"{"error":{"message":"No such model","type":"invalid_request_error","code":"model_not_found"}}"#;
    let error = error_of(400, &[], openai).await;
    assert_eq!((error.kind, error.may_have_run), (ProviderErrorKind::ModelNotFound, false));
    assert_eq!(error.message, "No such model");

    let error = error_of(
        400,
        &[],
        r#"{"error":{"message":"bad","type":"invalid_request_error","code":null}}"#,
    )
    .await;
    assert_eq!((error.kind, error.message.as_str()), (ProviderErrorKind::InvalidRequest, "bad"));

    let error = error_of(503, &[], "<html>").await;
    assert_eq!((error.kind, error.may_have_run), (ProviderErrorKind::Unavailable, true));
}

#[tokio::test]
async fn a_session_that_is_not_taken_is_not_used_again() {
    let clock = Clock::new();
    let sts = sts(&clock);
    let service =
        FakeService::answering(403, &[("x-amzn-errortype", "ExpiredTokenException")], "{}");
    let bedrock = bedrock_with(&sts, &clock, &service).await;
    for _ in 0..2 {
        let error = bedrock.forward(&acme().call(0), Bytes::new()).await.err().unwrap();
        assert_eq!((error.kind, error.may_have_run), (ProviderErrorKind::Internal, false));
    }
    assert_eq!(sts.sent().len(), 2);
}

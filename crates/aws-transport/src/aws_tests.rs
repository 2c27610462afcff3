use super::*;
use crate::testing::{Clock, FakeService, acme, aws, aws_with, sdk_config, settings, sts};

fn request(path: &str) -> Request<Bytes> {
    Request::post(path).body(Bytes::from_static(b"{}")).unwrap()
}

fn aws_of(role_arn: &str, region: &'static str, is_fips: bool, is_dual_stack: bool) -> Aws {
    let clock = Clock::new();
    let sdk_config = sdk_config(&sts(&clock), &clock)
        .into_builder()
        .region(aws_config::Region::new(region))
        .use_fips(is_fips)
        .use_dual_stack(is_dual_stack)
        .build();
    let settings = Settings { role_arn: role_arn.to_owned(), ..settings(EndpointUrls::default()) };
    Aws::new(&sdk_config, settings, Connection::new(&sdk_config)).unwrap()
}

#[test]
fn each_service_has_its_address() {
    let role = |partition: &str| format!("arn:{partition}:iam::111122223333:role/r");
    for (service, partition, is_fips, is_dual_stack, expected) in [
        (
            Service::BedrockRuntime,
            "aws",
            false,
            false,
            "https://bedrock-runtime.eu-west-1.amazonaws.com",
        ),
        (
            Service::BedrockRuntime,
            "aws",
            true,
            false,
            "https://bedrock-runtime-fips.eu-west-1.amazonaws.com",
        ),
        (
            Service::BedrockAgentRuntime,
            "aws",
            false,
            true,
            "https://bedrock-agent-runtime.eu-west-1.api.aws",
        ),
        (
            Service::SagemakerRuntime,
            "aws-cn",
            false,
            false,
            "https://runtime.sagemaker.eu-west-1.amazonaws.com.cn",
        ),
        (
            Service::SagemakerRuntime,
            "aws",
            true,
            false,
            "https://runtime-fips.sagemaker.eu-west-1.amazonaws.com",
        ),
        (
            Service::SecretsManager,
            "aws-us-gov",
            false,
            false,
            "https://secretsmanager.eu-west-1.amazonaws.com",
        ),
        (Service::S3, "aws", false, true, "https://s3.dualstack.eu-west-1.amazonaws.com"),
    ] {
        let aws = aws_of(&role(partition), "eu-west-1", is_fips, is_dual_stack);
        assert_eq!(aws.endpoint(service, "eu-west-1"), expected);
    }
}

#[test]
fn an_address_is_overridden_for_its_service_or_for_all() {
    let clock = Clock::new();
    let sdk_config =
        sdk_config(&sts(&clock), &clock).into_builder().endpoint_url("http://all/").build();
    let urls = EndpointUrls::from_variables(|name| {
        (name == "AWS_ENDPOINT_URL_S3").then(|| "http://s3.local/base/".to_owned())
    });
    let aws = Aws::new(&sdk_config, settings(urls), Connection::new(&sdk_config)).unwrap();
    assert_eq!(aws.endpoint(Service::S3, "eu-west-1"), "http://s3.local/base");
    assert_eq!(aws.endpoint(Service::SecretsManager, "eu-west-1"), "http://all");
}

#[test]
fn a_role_that_is_none_is_refused_at_the_start() {
    let clock = Clock::new();
    let sdk_config = sdk_config(&sts(&clock), &clock);
    let settings =
        Settings { role_arn: "tenant-access".to_owned(), ..settings(EndpointUrls::default()) };
    assert!(Aws::new(&sdk_config, settings, Connection::new(&sdk_config)).is_err());
}

#[tokio::test]
async fn a_request_is_signed_by_the_tenants_session_for_the_providers_region() {
    let service = FakeService::answering(200, &[], "{}");
    let mut acme = acme();
    acme.provider.region = Some("eu-central-1".to_owned());
    let request = request("/model/amazon.nova-pro-v1%3A0/converse");
    aws(&service).send(&acme.call(0), Service::BedrockRuntime, request).await.unwrap();
    let sent = &service.sent()[0];
    assert_eq!(
        sent.uri,
        "https://bedrock-runtime.eu-central-1.amazonaws.com/model/amazon.nova-pro-v1%3A0/converse"
    );
    assert_eq!(sent.headers["x-amz-security-token"], "token0");
    let scope = "Credential=SESSION0/20260101/eu-central-1/bedrock/aws4_request";
    assert!(sent.headers["authorization"].contains(scope), "{:?}", sent.headers);
}

#[tokio::test]
async fn a_session_that_is_not_taken_is_not_used_again() {
    let in_words = r#"{"error":{"code":"invalid_api_key","message":"the token is expired"}}"#;
    for service in [
        FakeService::answering(403, &[("x-amzn-errortype", "ExpiredTokenException")], "{}"),
        FakeService::answering(401, &[], in_words),
    ] {
        let clock = Clock::new();
        let sts = sts(&clock);
        let aws = aws_with(&sts, &clock, &service);
        for _ in 0..2 {
            let request = request("/model/m/converse");
            let outcome = aws.send(&acme().call(0), Service::BedrockRuntime, request).await;
            let error = outcome.err().unwrap();
            assert_eq!((error.kind, error.may_have_run), (ProviderErrorKind::Internal, false));
        }
        assert_eq!(sts.sent().len(), 2);
    }
}

#[test]
fn what_could_divide_a_path_is_encoded() {
    assert_eq!(path_segment("amazon.nova-pro-v1:0"), "amazon.nova-pro-v1%3A0");
    assert_eq!(path_segment("arn:aws:x/y z~_é"), "arn%3Aaws%3Ax%2Fy%20z~_%C3%A9");
}

use inference::{Protocol, ProviderAuth, ProviderConfig, ProviderKind, fixtures};

use super::*;
use crate::testing::{Caller, Clock, FakeService, aws_with, refusing_sts, sts};

const NAME: &str = "weir/vllm";

/// Someone who may use one model of a server elsewhere.
fn caller(tenant_id: &str) -> Caller {
    let mut caller = Caller::new(tenant_id, &[]);
    caller.provider = ProviderConfig {
        id: "vllm".to_owned(),
        kind: ProviderKind::OpenaiCompatible,
        auth: Some(ProviderAuth {
            secret: NAME.to_owned(),
            header: "authorization".to_owned(),
            prefix: "Bearer ".to_owned(),
        }),
        ..fixtures::provider("bedrock")
    };
    let model = inference::Model {
        provider: "vllm".to_owned(),
        ..fixtures::model("llama", Protocol::OpenaiChat)
    };
    caller.models = vec![Arc::new(model)];
    caller
}

fn service() -> FakeService {
    FakeService::answering(200, &[], r#"{"Name":"weir/vllm","SecretString":" sk-1 \n"}"#)
}

fn secrets(service: &FakeService, clock: &Clock) -> Secrets {
    Secrets::new(aws_with(&sts(clock), clock, service))
}

#[tokio::test]
async fn a_secret_is_read_as_the_tenant_and_kept() {
    let (service, clock) = (service(), Clock::new());
    let secrets = secrets(&service, &clock);
    let acme = caller("acme");
    for _ in 0..2 {
        assert_eq!(secrets.get(&acme.call(0), NAME).await.unwrap().expose(), "sk-1");
    }
    let [sent] = service.sent().try_into().unwrap();
    assert_eq!(sent.uri, "https://secretsmanager.us-east-1.amazonaws.com/");
    assert_eq!(sent.headers["x-amz-target"], "secretsmanager.GetSecretValue");
    assert_eq!(sent.json(), serde_json::json!({"SecretId": NAME}));
    assert!(sent.headers["authorization"].contains("SESSION0/20260101/us-east-1/secretsmanager/"));
    clock.advance(300);
    secrets.get(&acme.call(0), NAME).await.unwrap();
    assert_eq!(service.sent().len(), 2, "it is read anew after five minutes");
}

#[tokio::test]
async fn each_tenant_and_each_state_of_its_entitlements_reads_for_itself() {
    let (service, clock) = (service(), Clock::new());
    let secrets = secrets(&service, &clock);
    let mut acme = caller("acme");
    secrets.get(&acme.call(0), NAME).await.unwrap();
    secrets.get(&caller("globex").call(0), NAME).await.unwrap();
    acme.entitlement_version += 1;
    secrets.get(&acme.call(0), NAME).await.unwrap();
    let signers: Vec<_> =
        service.sent().iter().map(|sent| sent.headers["x-amz-security-token"].clone()).collect();
    assert_eq!(signers, ["token0", "token1", "token2"]);
}

#[tokio::test]
async fn a_forgotten_secret_is_read_anew() {
    let (service, clock) = (service(), Clock::new());
    let secrets = secrets(&service, &clock);
    let acme = caller("acme");
    secrets.get(&acme.call(0), NAME).await.unwrap();
    secrets.forget(&acme.call(0), NAME);
    secrets.get(&acme.call(0), NAME).await.unwrap();
    assert_eq!(service.sent().len(), 2);
}

#[tokio::test]
async fn the_arn_of_a_secret_says_its_region() {
    let (service, clock) = (service(), Clock::new());
    let arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:weir/vllm-AbCdEf";
    secrets(&service, &clock).get(&caller("acme").call(0), arn).await.unwrap();
    assert_eq!(service.sent()[0].uri, "https://secretsmanager.eu-west-1.amazonaws.com/");
}

#[tokio::test]
async fn without_a_secret_the_provider_has_not_been_asked() {
    for (status, body, kind) in [
        (400, r#"{"__type":"AccessDeniedException","Message":"no"}"#, Kind::AccessDenied),
        (400, r#"{"__type":"ResourceNotFoundException","Message":"no"}"#, Kind::Internal),
        (500, r#"{"__type":"InternalServiceError"}"#, Kind::Internal),
        (503, "", Kind::Unavailable),
        (200, r#"{"SecretBinary":"AA=="}"#, Kind::Internal),
        (200, r#"{"SecretString":" "}"#, Kind::Internal),
        (200, "<html>", Kind::Internal),
    ] {
        let clock = Clock::new();
        let service = FakeService::answering(status, &[], body);
        let outcome = secrets(&service, &clock).get(&caller("acme").call(0), NAME).await;
        let error = outcome.unwrap_err();
        assert_eq!((error.kind, error.may_have_run), (kind, false), "{body}");
    }
}

#[tokio::test]
async fn who_has_no_session_gets_no_secret_that_is_kept() {
    let (service, clock) = (service(), Clock::new());
    let (granting, refusing) = (sts(&clock), refusing_sts(403, "AccessDenied"));
    let fallen = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let switch = Arc::clone(&fallen);
    let sts = FakeService::new(move |sent| {
        let is_fallen = switch.load(std::sync::atomic::Ordering::Relaxed);
        if is_fallen { refusing.answer(sent) } else { granting.answer(sent) }
    });
    let secrets = Secrets::new(aws_with(&sts, &clock, &service));
    let acme = caller("acme");
    secrets.get(&acme.call(0), NAME).await.unwrap();
    fallen.store(true, std::sync::atomic::Ordering::Relaxed);
    clock.advance(3_600);
    assert_eq!(secrets.get(&acme.call(0), NAME).await.unwrap_err().kind, Kind::Internal);
}

#[test]
fn a_secret_does_not_show_itself() {
    assert_eq!(format!("{:?}", Secret("sk-1".to_owned())), "Secret(..)");
}

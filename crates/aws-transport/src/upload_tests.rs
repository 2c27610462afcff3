use super::*;
use crate::testing::{Caller, Clock, FakeService, acme, aws, aws_at, aws_with, sts};

const EXPIRES: Duration = Duration::from_mins(15);

fn uploads(service: &FakeService) -> Uploads {
    Uploads::new(aws(service), "uploads".to_owned())
}

#[tokio::test]
async fn a_presigned_put_is_good_for_one_file_of_one_tenant() {
    let uploads = uploads(&FakeService::answering(500, &[], ""));
    let presigned = uploads
        .presign_put(&acme().context, "file-1", "application/pdf", 1_234, EXPIRES)
        .await
        .unwrap();
    insta::assert_debug_snapshot!((&presigned.url, &presigned.headers));
    assert_eq!(presigned.expires_at, uploads.aws.connection().now() + EXPIRES);
}

#[tokio::test]
async fn a_session_of_uploads_reaches_the_tenants_files_alone() {
    let clock = Clock::new();
    let sts = sts(&clock);
    let aws = aws_with(&sts, &clock, &FakeService::answering(200, &[], ""));
    let uploads = Uploads::new(aws, "uploads".to_owned());
    for tenant_id in ["acme", "globex"] {
        let context = Caller::new(tenant_id, &[]).context;
        uploads.presign_put(&context, "f", "text/plain", 1, EXPIRES).await.unwrap();
    }
    let policies: Vec<_> = sts.sent().iter().map(|sent| sent.form()["Policy"].clone()).collect();
    insta::assert_snapshot!(policies.join("\n"));
}

#[tokio::test]
async fn a_presigned_put_does_not_outlive_its_session() {
    let clock = Clock::new();
    let sts = sts(&clock);
    let aws = aws_with(&sts, &clock, &FakeService::answering(200, &[], ""));
    let uploads = Uploads::new(aws, "uploads".to_owned());
    let put = || async {
        uploads.presign_put(&acme().context, "f", "text/plain", 1, EXPIRES).await.unwrap().url
    };
    assert!(put().await.contains("SESSION0"));
    clock.advance(3_600 - 15 * 60);
    assert!(put().await.contains("SESSION0"));
    clock.advance(1);
    assert!(put().await.contains("SESSION1"));
}

#[tokio::test]
async fn a_file_is_read_as_the_tenant() {
    let service = FakeService::answering(200, &[("content-type", "image/png")], "picture");
    let file = uploads(&service).get(&acme().context, "file-1", 7).await.unwrap();
    assert_eq!(file.content_type.as_deref(), Some("image/png"));
    assert_eq!(file.bytes, "picture");
    let sent = &service.sent()[0];
    assert_eq!(sent.uri, "https://uploads.s3.us-east-1.amazonaws.com/tenant%3Dacme/file-1");
    insta::assert_snapshot!(sent.headers["authorization"]);
    assert!(sent.headers.contains_key("x-amz-content-sha256"));
}

#[tokio::test]
async fn a_file_is_deleted_as_the_tenant() {
    let service = FakeService::answering(204, &[], "");
    uploads(&service).delete(&acme().context, "file-1").await.unwrap();
    let sent = &service.sent()[0];
    assert_eq!(sent.uri, "https://uploads.s3.us-east-1.amazonaws.com/tenant%3Dacme/file-1");
    assert_eq!(sent.headers["x-amz-security-token"], "token0");
    let service = FakeService::answering(503, &[], "");
    let error = uploads(&service).delete(&acme().context, "file-1").await.unwrap_err();
    assert_eq!((error.kind, error.may_have_run), (Kind::Unavailable, false));
}

#[tokio::test]
async fn a_file_id_does_not_leave_the_tenants_folder() {
    let service = FakeService::answering(200, &[], "");
    drop(uploads(&service).get(&acme().context, "../tenant=globex/file", 7).await);
    let uri = &service.sent()[0].uri;
    assert!(uri.ends_with("/tenant%3Dacme/..%2Ftenant%3Dglobex%2Ffile"), "{uri}");
}

#[tokio::test]
async fn a_file_that_is_missing_or_too_long_is_the_callers_mistake() {
    for service in [
        FakeService::answering(200, &[], "12345678"),
        FakeService::answering(403, &[], "<Error><Code>AccessDenied</Code></Error>"),
        FakeService::answering(404, &[], "<Error><Code>NoSuchKey</Code></Error>"),
    ] {
        let error = uploads(&service).get(&acme().context, "file-1", 7).await.unwrap_err();
        assert_eq!((error.kind, error.may_have_run), (Kind::InvalidRequest, false));
        assert!(error.message.contains("file-1"), "{error}");
    }
    let service = FakeService::answering(503, &[], "");
    let error = uploads(&service).get(&acme().context, "file-1", 7).await.unwrap_err();
    assert_eq!((error.kind, error.may_have_run), (Kind::Unavailable, false));
}

#[test]
fn elsewhere_the_bucket_stands_in_the_path() {
    let uploads = Uploads::new(aws_at("http://127.0.0.1:1/", EXPIRES), "uploads".to_owned());
    let url = uploads.url(&acme().context, "file-1");
    assert_eq!(url, "http://127.0.0.1:1/uploads/tenant%3Dacme/file-1");
    assert_eq!(uploads.s3_uri(&acme().context, "file-1"), "s3://uploads/tenant=acme/file-1");
}

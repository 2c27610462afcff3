//! Files of AWS, against a bucket that a few lines of HTTP make up.
#![cfg(feature = "reconciliation")]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use reconciliation::port::{SourceFile, SourceFiles};
use store_s3::Bucket;

const CONTENT: &str = "0123456789";

/// One file, `data/a.gz`, and a folder, which S3 lists as an object of no bytes.
async fn s3(request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default();
    if query.contains("list-type=2") {
        assert!(query.contains("prefix=data%2F"), "{query}");
        return "<ListBucketResult><IsTruncated>false</IsTruncated>\
            <Contents><Key>data/</Key><ETag>\"0\"</ETag><Size>0</Size></Contents>\
            <Contents><Key>data/a.gz</Key><ETag>\"1\"</ETag><Size>10</Size></Contents></ListBucketResult>"
            .into_response();
    }
    assert_eq!(request.uri().path(), "/bills/data/a.gz");
    let header = |name: &str| request.headers().get(name).unwrap().to_str().unwrap();
    if header("if-match") != "\"1\"" {
        return (StatusCode::PRECONDITION_FAILED, "<Error><Code>PreconditionFailed</Code></Error>")
            .into_response();
    }
    let (first, last) = header("range").strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let last = last.parse::<usize>().unwrap().min(CONTENT.len() - 1);
    let piece = CONTENT.get(first.parse().unwrap()..=last).unwrap();
    (StatusCode::PARTIAL_CONTENT, piece).into_response()
}

async fn bucket() -> Bucket {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(
        async move { axum::serve(listener, axum::Router::new().fallback(s3)).await.unwrap() },
    );
    let credentials = Credentials::new("test", "test", None, None, "test");
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(endpoint)
        .build();
    Bucket::new(&sdk, "bills".to_owned())
}

#[tokio::test]
async fn a_file_is_listed_with_its_version_and_read_in_pieces() {
    let bucket = bucket().await;
    let files = SourceFiles::list(&bucket, "data/").await.unwrap();
    let file = SourceFile { key: "data/a.gz".into(), version: "\"1\"".into(), size: 10 };
    assert_eq!(files.last(), Some(&file));
    assert_eq!(bucket.read(&file, 0, 4).await.unwrap(), "0123");
    assert_eq!(bucket.read(&file, 8, 4).await.unwrap(), "89", "the end is shorter");
}

#[tokio::test]
async fn a_file_that_was_replaced_is_not_read() {
    let old = SourceFile { key: "data/a.gz".into(), version: "\"0\"".into(), size: 10 };
    assert!(bucket().await.read(&old, 0, 4).await.is_err());
}

//! The adapter against a bucket that a few lines of HTTP make up.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use lake::{ObjectStore, Version};
use store_s3::Bucket;

type Objects = Arc<Mutex<BTreeMap<String, Bytes>>>;

fn error(status: StatusCode, code: &str) -> Response {
    (status, format!("<Error><Code>{code}</Code></Error>")).into_response()
}

fn etag(bytes: &Bytes) -> String {
    format!("\"{}\"", String::from_utf8_lossy(bytes))
}

fn refusal(headers: &HeaderMap, found: Option<&Bytes>) -> Option<Response> {
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let precondition = || error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
    match (header("if-match"), header("if-none-match"), found) {
        (Some(_), _, None) => Some(error(StatusCode::NOT_FOUND, "NoSuchKey")),
        (Some(wanted), _, Some(found)) if wanted != etag(found) => Some(precondition()),
        (_, Some(_), Some(_)) => Some(precondition()),
        _ => None,
    }
}

async fn s3(State(objects): State<Objects>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(rest) = parts.uri.path().strip_prefix("/lake/") else {
        return error(StatusCode::NOT_FOUND, "NoSuchBucket");
    };
    let decoded = |text: &str| text.replace("%2F", "/").replace("%3D", "=");
    let key = decoded(rest);
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let mut objects = objects.lock().unwrap();
    let query = parts.uri.query().unwrap_or_default();
    match parts.method {
        Method::GET if query.contains("list-type=2") => {
            // One key to a page, so that a second one has to be asked for.
            let after = query.split('&').find_map(|part| part.strip_prefix("continuation-token="));
            let prefix = query.split('&').find_map(|part| part.strip_prefix("prefix="));
            let prefix = decoded(prefix.unwrap());
            let skip = after.map_or(0, |token| token.parse::<usize>().unwrap());
            // Keys, or with a delimiter the folders that they are in.
            let folder =
                |rest: &str| rest.find('/').map(|end| format!("{prefix}{}", &rest[..=end]));
            let all: BTreeSet<String> = objects
                .keys()
                .filter_map(|key| {
                    let rest = key.strip_prefix(&prefix)?;
                    let is_by_folder = query.contains("delimiter=");
                    Some(folder(rest).filter(|_| is_by_folder).unwrap_or_else(|| key.clone()))
                })
                .collect();
            let mut found = all.into_iter().skip(skip);
            let contents = found.next().map_or(String::new(), |key| {
                if key.ends_with('/') {
                    format!("<CommonPrefixes><Prefix>{key}</Prefix></CommonPrefixes>")
                } else {
                    format!("<Contents><Key>{key}</Key></Contents>")
                }
            });
            let next = found.next().map_or("<IsTruncated>false</IsTruncated>".to_owned(), |_| {
                let token = skip + 1;
                format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>")
            });
            format!("<ListBucketResult>{contents}{next}</ListBucketResult>").into_response()
        }
        Method::GET | Method::HEAD => match objects.get(&key) {
            Some(bytes) => ([("etag", etag(bytes))], bytes.clone()).into_response(),
            None => error(StatusCode::NOT_FOUND, "NoSuchKey"),
        },
        Method::PUT => refusal(&parts.headers, objects.get(&key)).unwrap_or_else(|| {
            objects.insert(key, body);
            StatusCode::OK.into_response()
        }),
        Method::DELETE => {
            objects.remove(&key);
            StatusCode::NO_CONTENT.into_response()
        }
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

async fn bucket(name: &str) -> Bucket {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let service = axum::Router::new().fallback(s3).with_state(Objects::default());
    tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
    let credentials = Credentials::new("test", "test", None, None, "test");
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(endpoint)
        .build();
    Bucket::new(&sdk, name.to_owned())
}

const KEY: &str = "usage/dt=2026-11-25/hour=14/part-0.parquet";

#[tokio::test]
async fn what_was_put_is_got_listed_and_deleted() {
    let bucket = bucket("lake").await;
    assert_eq!(bucket.get(KEY).await.unwrap(), None);
    assert_eq!(bucket.version(KEY).await.unwrap(), None);
    for (key, value) in [(KEY, "one"), ("usage/dt=2026-11-26/x", "two"), ("other/x", "three")] {
        bucket.put(key, Bytes::from_static(value.as_bytes()), "text/plain").await.unwrap();
    }
    assert_eq!(bucket.get(KEY).await.unwrap().unwrap(), "one");
    assert_eq!(bucket.version(KEY).await.unwrap(), Some(Version("\"one\"".into())));
    assert_eq!(bucket.list("usage/dt=").await.unwrap(), [KEY, "usage/dt=2026-11-26/x"]);
    bucket.delete(KEY).await.unwrap();
    assert_eq!(bucket.get(KEY).await.unwrap(), None);
}

#[tokio::test]
async fn an_object_is_replaced_only_by_who_has_seen_what_it_replaces() {
    let bucket = bucket("lake").await;
    let put = |value: &'static str, expected: Option<Version>| {
        let bucket = &bucket;
        async move {
            let bytes = Bytes::from_static(value.as_bytes());
            bucket.replace(KEY, bytes, "text/plain", expected.as_ref()).await.unwrap()
        }
    };
    let gone = Some(Version("\"gone\"".into()));
    assert!(!put("one", gone.clone()).await, "there is none of that version");
    assert!(put("one", None).await);
    assert!(!put("two", None).await, "there is one by now");
    assert!(!put("two", gone).await);
    assert!(put("two", bucket.version(KEY).await.unwrap()).await);
    assert_eq!(bucket.get(KEY).await.unwrap().unwrap(), "two");
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_a_fault_and_no_missing_object() {
    let bucket = bucket("nobodys").await;
    let none = Version("\"x\"".into());
    bucket.get(KEY).await.unwrap_err();
    bucket.list("").await.unwrap_err();
    bucket.replace(KEY, Bytes::new(), "text/plain", Some(&none)).await.unwrap_err();
    let error = bucket.put(KEY, Bytes::new(), "text/plain").await.unwrap_err();
    assert_eq!(error.to_string(), format!("failed to put the object `{KEY}`"));
}

/// Whatever it is called, what stands in a tenant's folder is found, and nothing of a tenant whose id
/// begins alike.
#[tokio::test]
async fn what_a_tenant_has_is_found_wherever_its_folder_is() {
    use offboarding::{Estate as _, Store, Whose};
    use store_s3::TenantObjects;

    let bucket = bucket("lake").await;
    let own = [
        "audit/dt=2026-11-25/tenant/acme/1.jsonl",
        "drafts/2026-11/tenant=acme/statement.json",
        "exports/tenant=acme/task=1/evidence.json",
        "new/tenant=acme/x",
        "statements/2026-10/tenant=acme/statement.json",
        "statements/2026-11/tenant=acme/statement.json",
        "tenant=acme/file-1",
    ];
    let others = [
        "audit/dt=2026-11-25/tenant/acme-2/1.jsonl",
        "exports/tenant=acme2/task=1/evidence.json",
        "statements/2026-10/lob=acme/statement.json",
        "statements/2026-10/tenant=acme-2/statement.json",
        "tenant=acme2/file-1",
        "x",
    ];
    for key in own.iter().chain(&others) {
        bucket.put(key, Bytes::from_static(b"x"), "text/plain").await.unwrap();
    }
    let all = TenantObjects {
        uploads: bucket.clone(),
        statements: bucket.clone(),
        audit: bucket.clone(),
    };
    let whose = Whose { tenant_id: "acme".parse().unwrap(), clients: BTreeSet::new() };
    let names = async |store| {
        let page = all.list(&whose, store, None).await.unwrap();
        assert_eq!(page.next, None);
        page.found.into_iter().map(|found| found.name).collect::<Vec<_>>()
    };
    assert_eq!(names(Store::StatementsBucket).await, own);
    assert_eq!(names(Store::UploadsBucket).await, ["tenant=acme/file-1"]);
    let page = all.list(&whose, Store::UploadsBucket, None).await.unwrap();
    let upload = page.found.first().unwrap();
    assert!(all.is_there(upload).await.unwrap());
    all.remove(upload).await.unwrap();
    all.remove(upload).await.unwrap();
    assert!(!all.is_there(upload).await.unwrap());
    assert_eq!(bucket.list("tenant=").await.unwrap(), ["tenant=acme2/file-1"]);
    all.list(&whose, Store::UserPool, None).await.unwrap_err();
}

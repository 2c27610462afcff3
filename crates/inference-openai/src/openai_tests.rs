use std::time::Duration;

use aws_transport::testing::{
    Caller, Clock, Deed, FakeService, aws, aws_at, aws_with, nobody, server, sts,
};
use futures::StreamExt as _;
use inference::{Model, Operation, ProviderConfig, ProviderKind, fixtures};

use super::*;

const SECRET: &str = "sk-secret-1";

/// Someone who may use one model of a server at `base_url`.
pub(crate) fn caller(base_url: &str) -> Caller {
    let mut caller = Caller::new("acme", &[]);
    caller.provider = ProviderConfig {
        id: "vllm".to_owned(),
        kind: ProviderKind::OpenaiCompatible,
        base_url: Some(base_url.to_owned()),
        auth: Some(ProviderAuth {
            secret: "weir/vllm".to_owned(),
            header: "authorization".to_owned(),
            prefix: "Bearer ".to_owned(),
        }),
        ..fixtures::provider("bedrock")
    };
    let model = fixtures::model("llama", Protocol::OpenaiChat);
    caller.models = vec![Arc::new(Model { provider: "vllm".to_owned(), ..model })];
    caller
}

pub(crate) fn request(protocol: Protocol, is_streaming: bool) -> ProviderRequest {
    ProviderRequest {
        protocol,
        operation: Operation::Invoke,
        is_streaming,
        headers: Vec::new(),
        body: Bytes::from_static(b"{\"n\": 1.0}"),
    }
}

/// Secrets Manager and a server behind one connection; the server answers like `answer`.
fn world(status: u16, headers: &[(&str, &str)], body: &str) -> FakeService {
    let secret = FakeService::answering(200, &[], format!(r#"{{"SecretString":"{SECRET}"}}"#));
    let server = FakeService::answering(status, headers, body);
    FakeService::new(move |sent| {
        let is_aws = sent.uri.contains("secretsmanager");
        if is_aws { secret.answer(sent) } else { server.answer(sent) }
    })
}

const BASE: &str = "https://api.example.com/v1";

#[tokio::test]
async fn the_bytes_go_out_with_the_key_and_the_registrys_headers() {
    let service =
        world(200, &[("content-type", "text/event-stream"), ("x-request-id", "r1")], "data");
    let mut caller = caller(BASE);
    caller.provider.headers.insert("x-org".to_owned(), "weir".to_owned());
    let mut request = request(Protocol::OpenaiChat, true);
    request.headers = [
        ("openai-beta", "x=1"),
        ("authorization", "Bearer forged"),
        ("host", "forged"),
        ("cookie", "forged"),
        ("x-org", "forged"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let response =
        OpenaiCompatible::new(aws(&service)).send(&caller.call(0), request).await.unwrap();
    assert_eq!(response.provider_request_id.as_deref(), Some("r1"));
    let sent = &service.sent()[1];
    assert_eq!(sent.uri, "https://api.example.com/v1/chat/completions");
    assert_eq!(sent.body, b"{\"n\": 1.0}");
    assert_eq!(sent.headers["authorization"], format!("Bearer {SECRET}"));
    assert_eq!(sent.headers["accept"], "text/event-stream");
    assert_eq!(sent.headers["content-type"], "application/json");
    assert_eq!((&*sent.headers["x-org"], &*sent.headers["openai-beta"]), ("weir", "x=1"));
    assert!(sent.headers.values().all(|value| !value.contains("forged")), "{:?}", sent.headers);
    assert!(sent.headers.keys().all(|name| !name.starts_with("x-amz")), "{:?}", sent.headers);
}

#[tokio::test]
async fn a_key_goes_where_the_registry_says() {
    let service = world(200, &[], "{}");
    let mut caller = caller(BASE);
    let auth = caller.provider.auth.as_mut().unwrap();
    (auth.header, auth.prefix) = ("x-api-key".to_owned(), String::new());
    let request = request(Protocol::AnthropicMessages, false);
    OpenaiCompatible::new(aws(&service)).send(&caller.call(0), request).await.unwrap();
    let sent = &service.sent()[1];
    assert_eq!(sent.uri, "https://api.example.com/v1/messages");
    assert_eq!(sent.headers["x-api-key"], SECRET);
    assert_eq!(sent.headers["anthropic-version"], ANTHROPIC_VERSION);
    assert!(!sent.headers.contains_key("authorization"));
}

#[tokio::test]
async fn a_server_that_asks_for_nothing_gets_no_key_and_needs_no_session() {
    let clock = Clock::new();
    let (sts, service) = (sts(&clock), world(200, &[], "{}"));
    let mut caller = caller(BASE);
    caller.provider.auth = None;
    let adapter = OpenaiCompatible::new(aws_with(&sts, &clock, &service));
    adapter.send(&caller.call(0), request(Protocol::OpenaiChat, false)).await.unwrap();
    assert!(sts.sent().is_empty());
    let [sent] = service.sent().try_into().unwrap();
    assert!(!sent.headers.contains_key("authorization"));
}

#[tokio::test]
async fn a_model_that_is_not_allowed_is_not_asked_though_the_key_would_open_it() {
    let service = world(200, &[], "{}");
    let caller = caller(BASE);
    let other =
        Model { provider: "vllm".to_owned(), ..fixtures::model("other", Protocol::OpenaiChat) };
    let outcome = OpenaiCompatible::new(aws(&service))
        .send(&caller.call_of(&other), request(Protocol::OpenaiChat, false))
        .await;
    let error = outcome.err().unwrap();
    assert_eq!((error.kind, error.may_have_run), (ProviderErrorKind::AccessDenied, false));
    assert!(service.sent().is_empty());
}

#[tokio::test]
async fn a_key_that_is_not_taken_is_read_anew_and_never_shown() {
    let body = format!(
        r#"{{"error":{{"message":"Incorrect API key provided: {SECRET}","code":"invalid_api_key"}}}}"#
    );
    let service = world(401, &[], &body);
    let adapter = OpenaiCompatible::new(aws(&service));
    for _ in 0..2 {
        let outcome =
            adapter.send(&caller(BASE).call(0), request(Protocol::OpenaiChat, false)).await;
        let error = outcome.err().unwrap();
        assert_eq!((error.kind, error.may_have_run), (ProviderErrorKind::Internal, false));
        assert!(error.message.contains("[key]") && !error.message.contains(SECRET), "{error}");
    }
    let read = service.sent().iter().filter(|sent| sent.uri.contains("secretsmanager")).count();
    assert_eq!(read, 2);
    assert!(!format!("{adapter:?}").contains(SECRET));
}

#[tokio::test]
async fn a_key_that_is_taken_is_read_once() {
    let service = world(429, &[("retry-after", "3")], "{}");
    let adapter = OpenaiCompatible::new(aws(&service));
    for _ in 0..2 {
        let outcome =
            adapter.send(&caller(BASE).call(0), request(Protocol::OpenaiChat, false)).await;
        let error = outcome.err().unwrap();
        assert_eq!((error.kind, error.may_have_run), (ProviderErrorKind::Throttled, false));
        assert_eq!(error.retry_after, Some(Duration::from_secs(3)));
    }
    assert_eq!(service.sent().len(), 3, "one key, and one attempt per call");
}

#[tokio::test]
async fn a_mistake_in_the_registry_is_not_sent() {
    let service = world(200, &[], "{}");
    let adapter = OpenaiCompatible::new(aws(&service));
    let mut bad_header = caller(BASE);
    bad_header.provider.headers.insert("x org".to_owned(), String::new());
    let mut bad_auth = caller(BASE);
    bad_auth.provider.auth.as_mut().unwrap().header = "a b".to_owned();
    for caller in [caller("http://api.example.com/v1"), bad_header, bad_auth] {
        let outcome = adapter.send(&caller.call(0), request(Protocol::OpenaiChat, false)).await;
        let error = outcome.err().unwrap();
        assert_eq!((error.kind, error.may_have_run), (ProviderErrorKind::Internal, false));
        assert!(error.message.contains("correct the registry"), "{error}");
        assert!(!error.message.contains(SECRET));
    }
    assert!(service.sent().iter().all(|sent| sent.uri.contains("secretsmanager")));
}

#[tokio::test]
async fn faults_of_the_line_say_whether_the_model_may_have_run() {
    let send = |url: String| async move {
        let mut caller = caller(&url);
        caller.provider.auth = None;
        let adapter = OpenaiCompatible::new(aws_at(&url, Duration::from_millis(50)));
        adapter.send(&caller.call(0), request(Protocol::OpenaiChat, true)).await
    };
    let error = send(nobody().await).await.err().unwrap();
    assert_eq!((error.kind, error.may_have_run), (ProviderErrorKind::Unavailable, false));
    for deed in [Deed::Cut, Deed::Answer(b"SSH-2.0-garbage\r\n".to_vec())] {
        let error = send(server(vec![deed]).await).await.err().unwrap();
        assert_eq!((error.kind, error.may_have_run), (ProviderErrorKind::Interrupted, true));
    }
    let error = send(server(vec![Deed::answer(500, "", "oops")]).await).await.err().unwrap();
    assert_eq!((error.kind, error.may_have_run), (ProviderErrorKind::Internal, true));
    let elsewhere = server(vec![Deed::answer(200, "", "followed")]).await;
    let redirect = Deed::answer(302, &format!("location: {elsewhere}\r\n"), "");
    let error = send(server(vec![redirect]).await).await.err().unwrap();
    assert_eq!((error.kind, error.may_have_run), (ProviderErrorKind::Internal, false));

    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n".to_vec();
    for (deed, kind) in [
        (Deed::Answer(head.clone()), ProviderErrorKind::Interrupted),
        (Deed::Stall(head), ProviderErrorKind::Timeout),
    ] {
        let response = send(server(vec![deed]).await).await.unwrap();
        let pieces: Vec<_> = response.body.collect().await;
        let [Ok(bytes), Err(error)] = pieces.as_slice() else { panic!("{pieces:?}") };
        assert_eq!(bytes, "abc");
        assert_eq!((error.kind, error.may_have_run), (kind, true), "{error}");
    }
}

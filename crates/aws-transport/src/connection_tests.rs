use inference::ProviderError;

use super::*;
use crate::testing::{Clock, Deed, FakeService, nobody, sdk_config, server};

fn connection() -> Connection {
    let clock = Clock::new();
    let sdk_config = sdk_config(&FakeService::answering(500, &[], ""), &clock);
    Connection::new(&sdk_config).with_max_silence(Duration::from_millis(50))
}

async fn send(url: &str) -> Result<ProviderResponse, Refusal> {
    connection().send(Request::post(url).body(Bytes::from_static(b"{}")).unwrap()).await
}

async fn refused(url: &str) -> ProviderError {
    send(url).await.err().unwrap().error
}

/// The bytes that came before the error, if there was one.
async fn body(mut response: ProviderResponse) -> (Vec<u8>, Option<ProviderError>) {
    let mut bytes = Vec::new();
    while let Some(piece) = response.body.next().await {
        match piece {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(error) => {
                assert!(response.body.next().await.is_none(), "nothing follows an error");
                return (bytes, Some(error));
            }
        }
    }
    (bytes, None)
}

#[tokio::test]
async fn an_answer_comes_with_its_id_and_its_telling_headers() {
    let headers = "content-type: text/plain\r\nx-request-id: r1\r\nset-cookie: a=b\r\n\
        X-Amzn-Bedrock-Input-Token-Count: 7\r\n";
    let response = send(&server(vec![Deed::answer(200, headers, "hello")]).await).await.unwrap();
    assert_eq!(response.provider_request_id.as_deref(), Some("r1"));
    let expected = [("content-type", "text/plain"), ("x-amzn-bedrock-input-token-count", "7")];
    assert_eq!(response.headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(body(response).await, (b"hello".to_vec(), None));
}

#[tokio::test]
async fn without_a_connection_nothing_has_run() {
    let error = refused(&nobody().await).await;
    assert_eq!((error.kind, error.may_have_run), (Kind::Unavailable, false), "{error}");
}

#[tokio::test]
async fn a_host_without_an_address_is_no_connection() {
    let error = refused("http://nowhere.invalid/").await;
    assert_eq!((error.kind, error.may_have_run), (Kind::Unavailable, false), "{error}");
}

#[tokio::test]
async fn what_is_cut_or_garbled_before_the_answer_may_have_run() {
    for deed in [Deed::Cut, Deed::Answer(b"\x16\x03\x01 garbage\r\n\r\n".to_vec())] {
        let error = refused(&server(vec![deed.clone()]).await).await;
        assert_eq!((error.kind, error.may_have_run), (Kind::Interrupted, true), "{deed:?} {error}");
    }
}

#[tokio::test]
async fn a_refusal_says_how_long_to_wait() {
    let url = server(vec![
        Deed::answer(429, "retry-after: 7\r\nx-request-id: r1\r\n", "{}"),
        Deed::answer(429, "", r#"{"message":"slow down"}"#),
        Deed::answer(500, "", "oops"),
    ])
    .await;
    let error = refused(&url).await;
    assert_eq!((error.kind, error.may_have_run), (Kind::Throttled, false));
    assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(error.provider_request_id.as_deref(), Some("r1"));
    let error = refused(&url).await;
    assert_eq!((error.retry_after, error.message.as_str()), (None, "slow down"));
    let error = refused(&url).await;
    assert_eq!((error.kind, error.may_have_run), (Kind::Internal, true));
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let elsewhere = server(vec![Deed::answer(200, "", "followed")]).await;
    let headers = format!("location: {elsewhere}\r\n");
    let error = refused(&server(vec![Deed::answer(307, &headers, "")]).await).await;
    assert_eq!((error.kind, error.may_have_run), (Kind::Internal, false), "{error}");
}

#[tokio::test]
async fn a_body_that_is_cut_or_stalls_fails_after_its_bytes() {
    let head = b"HTTP/1.1 200 OK\r\nx-request-id: r1\r\ncontent-length: 100\r\n\r\nabc".to_vec();
    for (deed, kind) in
        [(Deed::Answer(head.clone()), Kind::Interrupted), (Deed::Stall(head), Kind::Timeout)]
    {
        let response = send(&server(vec![deed]).await).await.unwrap();
        let (bytes, error) = body(response).await;
        let error = error.unwrap();
        assert_eq!(bytes, b"abc");
        assert_eq!((error.kind, error.may_have_run), (kind, true), "{error}");
        assert_eq!(error.provider_request_id.as_deref(), Some("r1"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_stalls_is_known_by_its_status() {
    let body = futures::stream::iter([Ok::<_, std::io::Error>(http_body::Frame::data(
        Bytes::from_static(b"{"),
    ))])
    .chain(futures::stream::pending());
    let body =
        std::sync::Mutex::new(Some(SdkBody::from_body_1_x(http_body_util::StreamBody::new(body))));
    let service = FakeService::new(move |_| {
        http::Response::builder().status(429).body(body.lock().unwrap().take().unwrap()).unwrap()
    });
    let sdk_config = sdk_config(&service, &Clock::new());
    let connection = Connection::with_connector(&sdk_config, service.connector());
    let request = Request::post("http://h/").body(Bytes::new()).unwrap();
    let error = connection.send(request).await.err().unwrap().error;
    assert_eq!((error.kind, error.may_have_run), (Kind::Throttled, false));
}

#[tokio::test]
async fn an_endless_error_is_read_in_part() {
    let body = format!(r#"{{"message":"{}"}}"#, "x".repeat(MAX_ERROR_BYTES * 2));
    let error = refused(&server(vec![Deed::answer(400, "", &body)]).await).await;
    assert_eq!(
        (error.kind, error.message.as_str()),
        (Kind::InvalidRequest, "status 400, no reason given")
    );
}

#[tokio::test]
async fn a_huge_header_is_not_passed_on() {
    let headers = format!("content-type: {}\r\n", "x".repeat(MAX_HEADER_BYTES + 1));
    let response = send(&server(vec![Deed::answer(200, &headers, "")]).await).await.unwrap();
    assert!(response.headers.is_empty());
}

//! The HTTP side, against a server on this machine that answers as told.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::fetch::client;
use crate::{HttpJwks, HttpSts, IdentityRequest, Sts};

/// Serves one answer, byte for byte, and keeps the connection open if the answer is empty.
async fn fetch(answer: String) -> Result<Vec<u8>, FetchJwksError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/pool/.well-known/jwks.json", listener.local_addr().unwrap());
    let server = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let read = connection.read(&mut request).await.unwrap();
        assert!(request[..read].starts_with(b"GET /pool/.well-known/jwks.json HTTP/1.1\r\n"));
        // The client may have turned away before it has read everything.
        let _ = connection.write_all(answer.as_bytes()).await;
        if answer.is_empty() {
            std::future::pending::<()>().await;
        }
    };
    let source = HttpJwks::new(client(Duration::from_millis(500)).unwrap());
    tokio::pin!(server);
    let fetch = source.fetch(&url);
    tokio::pin!(fetch);
    tokio::select! {
        outcome = &mut fetch => outcome,
        () = &mut server => fetch.await,
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn a_set_is_fetched() {
    assert_eq!(fetch(answer("200 OK", "", "{\"keys\":[]}")).await.unwrap(), b"{\"keys\":[]}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let outcome = fetch(answer("302 Found", "location: http://127.0.0.1:1/\r\n", "")).await;
    assert!(matches!(outcome, Err(FetchJwksError::Status(status)) if status.as_u16() == 302));
}

#[tokio::test]
async fn a_fault_of_the_server_is_no_set() {
    let outcome = fetch(answer("500 Internal Server Error", "", "{\"keys\":[]}")).await;
    assert!(matches!(outcome, Err(FetchJwksError::Status(status)) if status.as_u16() == 500));
}

#[tokio::test]
async fn too_large_an_answer_is_not_read_to_its_end() {
    let outcome = fetch(answer("200 OK", "", &" ".repeat(1024 * 1024))).await;
    assert!(matches!(outcome, Err(FetchJwksError::TooLarge)), "{outcome:?}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    assert!(
        matches!(fetch(String::new()).await, Err(FetchJwksError::Http(error)) if error.is_timeout())
    );
}

/// Asks the server for a caller's identity; what it was asked, and what came of it.
async fn ask(answer: String) -> (String, Result<crate::StsAnswer, crate::AskStsError>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connect_to = format!("http://{}/", listener.local_addr().unwrap());
    let server = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let read = connection.read(&mut request).await.unwrap();
        let _ = connection.write_all(answer.as_bytes()).await;
        String::from_utf8(request[..read].to_vec()).unwrap()
    };
    let client = client(Duration::from_millis(500)).unwrap();
    let sts = HttpSts::new(client, Some(connect_to)).unwrap();
    let request = IdentityRequest {
        host: "sts.eu-west-1.amazonaws.com".into(),
        query: "Action=GetCallerIdentity&X-Amz-Credential=A%2Fb%2B&X-Amz-SignedHeaders=host%3Bx-weir-server-id".into(),
        server_id: "weir.x".into(),
    };
    tokio::join!(server, sts.caller_identity(&request))
}

#[tokio::test]
async fn sts_is_asked_what_was_signed_wherever_the_connection_goes() {
    let (asked, answered) = ask(answer("200 OK", "", "<x/>")).await;
    let answered = answered.unwrap();
    assert_eq!((answered.status, answered.body.as_slice()), (200, b"<x/>".as_slice()));
    let mut lines: Vec<_> = asked.trim_end().split("\r\n").collect();
    assert_eq!(
        lines.remove(0),
        "GET /?Action=GetCallerIdentity&X-Amz-Credential=A%2Fb%2B&X-Amz-SignedHeaders=host%3Bx-weir-server-id HTTP/1.1"
    );
    lines.sort_unstable();
    assert_eq!(
        lines,
        ["accept: */*", "host: sts.eu-west-1.amazonaws.com", "x-weir-server-id: weir.x"]
    );
}

#[tokio::test]
async fn a_redirect_of_sts_is_its_answer() {
    let (_, answered) = ask(answer("302 Found", "location: http://127.0.0.1:1/\r\n", "")).await;
    assert_eq!(answered.unwrap().status, 302);
}

#[tokio::test]
async fn too_large_an_answer_of_sts_is_none() {
    let (_, answered) = ask(answer("200 OK", "", &" ".repeat(64 * 1024))).await;
    assert!(matches!(answered, Err(crate::AskStsError::TooLarge)), "{answered:?}");
}

#[tokio::test]
async fn an_sts_that_does_not_answer_is_told_of_without_the_request() {
    let (_, answered) = ask(String::new()).await;
    let error = answered.unwrap_err();
    for text in [format!("{error:?}"), crate::refusal::chain(&error)] {
        assert!(!text.contains("X-Amz") && !text.contains("Credential"), "{text}");
    }
}

#[test]
fn sts_is_not_asked_where_anybody_could_answer() {
    let client = || client(Duration::from_secs(1)).unwrap();
    for (url, is_good) in [
        ("http://127.0.0.1:4566", true),
        ("https://vpce-1.sts.eu-west-1.vpce.amazonaws.com", true),
        ("http://sts.eu-west-1.amazonaws.com", false),
        ("http://127.0.0.1.evil.example/", false),
        ("sts", false),
    ] {
        assert_eq!(HttpSts::new(client(), Some(url.into())).is_ok(), is_good, "{url}");
    }
}

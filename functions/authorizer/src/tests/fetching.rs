//! The HTTP side, against a server on this machine that answers as told.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::HttpJwks;
use crate::fetch::client;

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

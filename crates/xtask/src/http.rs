//! As much of an HTTP client as the local services need: plain HTTP to 127.0.0.1, one request per connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Status code.
    pub(crate) status: u16,
    /// Body, chunks joined.
    pub(crate) body: Vec<u8>,
}

/// Asks for `path`.
pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    send(address, "GET", path, &[], &[])
}

/// Posts `body` to `path`.
pub(crate) fn post(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    send(address, "POST", path, headers, body)
}

fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        request.push_str(name);
        request.push_str(": ");
        request.push_str(value);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    let mut bytes = request.into_bytes();
    bytes.extend_from_slice(body);
    stream.write_all(&bytes)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse(&answer)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?.to_ascii_lowercase();
    let body = answer.get(end + 4..)?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    let is_chunked = head
        .lines()
        .any(|line| line.starts_with("transfer-encoding:") && line.ends_with("chunked"));
    let body = if is_chunked { join_chunks(body)? } else { body.to_vec() };
    Some(Answer { status, body })
}

fn join_chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(rest.get(..end)?).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let start = end + 2;
        body.extend_from_slice(rest.get(start..start.checked_add(size)?)?);
        rest = rest.get(start + size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: &str, expected: Option<(u16, &str)>) {
        let expected =
            expected.map(|(status, body)| Answer { status, body: body.as_bytes().to_vec() });
        assert_eq!(parse(answer.as_bytes()), expected, "{answer:?}");
    }

    #[test]
    fn bodies_are_read_whole_or_in_chunks() {
        check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", Some((200, "{}")));
        check("HTTP/1.1 401 \r\n\r\n", Some((401, "")));
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n",
            Some((200, "abcde")),
        );
    }

    #[test]
    fn what_is_not_http_is_refused() {
        check("SSH-2.0-OpenSSH_9.6\r\n\r\n", None);
        check("HTTP/1.1 200 OK\r\n", None);
        check("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nabc", None);
    }
}

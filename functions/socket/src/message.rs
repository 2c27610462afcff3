//! What clients say on a connection, and what they are told: JSON objects, one per message.
//!
//! Nothing here reads or writes anything; the protocol is in `docs/websocket.md`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Parts of one request at most: 6 MB fit into as many, even if each is in one frame of 32 KB.
const MAX_PARTS: u32 = 256;

/// A message that is none, or that cannot be acted upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which request it is about, if the client said it.
    pub id: Option<RequestId>,
    /// For programs.
    pub code: &'static str,
    /// For people: what to do.
    pub message: String,
}

impl Refusal {
    /// A refusal about no request.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { id: None, code, message: message.into() }
    }

    /// The same, about one request.
    #[must_use]
    pub fn about(self, id: &RequestId) -> Self {
        Self { id: Some(id.clone()), ..self }
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new("invalid_message", message)
    }
}

/// A client's name of a request, its own within a session: 1 to 64 letters, digits, `_` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RequestId(String);

/// A session's name, which the gateway gives: 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(String);

/// A text that is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no id")]
pub struct InvalidId;

impl TryFrom<String> for RequestId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        let is_named = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let is_valid = (1..=64).contains(&text.len()) && text.bytes().all(is_named);
        if is_valid { Ok(Self(text)) } else { Err(InvalidId) }
    }
}

impl TryFrom<String> for SessionId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 32 && text.bytes().all(is_hex) { Ok(Self(text)) } else { Err(InvalidId) }
    }
}

impl SessionId {
    /// A name that no other session has.
    pub fn new() -> Self {
        Self(uuid::Uuid::now_v7().simple().to_string())
    }
}

impl Default for SessionId {
    fn default() -> Self {
        Self::new()
    }
}

impl From<RequestId> for String {
    fn from(id: RequestId) -> Self {
        id.0
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a client says.
#[derive(Debug)]
pub(crate) enum Message<'a> {
    /// The first message: begins a session, or goes on with one.
    Hello {
        /// The session to go on with.
        session: Option<SessionId>,
    },
    /// Asks for an answer.
    Request {
        /// Its name.
        id: RequestId,
        /// What it asks for.
        request: Request<'a>,
    },
    /// A part of the body of a request that is still to come.
    Part {
        /// The request.
        id: RequestId,
        /// Which part, from 0.
        index: u32,
        /// Its text.
        data: Cow<'a, str>,
    },
    /// Wants no more of an answer.
    Cancel {
        /// The request.
        id: RequestId,
    },
    /// Wants the messages of an answer that it has not got.
    Resume {
        /// The session, unless `hello` said it.
        session: Option<SessionId>,
        /// The request.
        id: RequestId,
        /// The last message that it has, if any.
        after: Option<u64>,
    },
}

/// A request as the client wrote it. Also how it is kept until it runs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request<'a> {
    /// A path of the gateway that takes POST.
    #[serde(borrow)]
    pub path: Cow<'a, str>,
    /// Headers, as over HTTP.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body, whose bytes are kept as they are.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub body: Option<&'a RawValue>,
    /// How many parts the body has, if it came in parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<u32>,
}

/// Every member that a message may have.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    session: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    path: Option<Cow<'a, str>>,
    headers: Option<BTreeMap<String, String>>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    parts: Option<u32>,
    index: Option<u32>,
    #[serde(borrow)]
    data: Option<Cow<'a, str>>,
    after: Option<u64>,
}

impl<'a> Message<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// What the client is to be told.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Refusal> {
        let members: Members<'a> = serde_json::from_str(text).map_err(|error| {
            Refusal::invalid(format!("The message is not understood: {error}."))
        })?;
        let id = members.id.map(|id| RequestId::try_from(id.into_owned())).transpose();
        let id = id.map_err(|_| {
            Refusal::invalid("`id` has 1 to 64 letters, digits, underscores and hyphens.")
        })?;
        let told = id.clone();
        let about = |message: String| Refusal { id: told, ..Refusal::invalid(message) };
        let missing = |name: &str, kind: &str| format!("A `{kind}` message needs `{name}`.");
        let session = members.session.map(|session| SessionId::try_from(session.into_owned()));
        // A session of another form is one that nobody has.
        let Ok(session) = session.transpose() else { return Err(unknown_session()) };
        match (&*members.kind, id) {
            ("hello", _) => Ok(Self::Hello { session }),
            ("request", Some(id)) => {
                let Some(path) = members.path else {
                    return Err(about(missing("path", "request")));
                };
                let is_one = members.body.is_some() != members.parts.is_some();
                if !is_one || members.parts.is_some_and(|parts| !(1..=MAX_PARTS).contains(&parts)) {
                    return Err(about(format!(
                        "A `request` has either its `body` or, if that came before in parts, their number as `parts`, 1 to {MAX_PARTS}."
                    )));
                }
                let headers = members.headers.unwrap_or_default();
                let (body, parts) = (members.body, members.parts);
                Ok(Self::Request { id, request: Request { path, headers, body, parts } })
            }
            ("part", Some(id)) => match (members.index, members.data) {
                (Some(index), Some(data)) if index < MAX_PARTS => {
                    Ok(Self::Part { id, index, data })
                }
                (Some(_), Some(_)) => {
                    Err(about(format!("A request has {MAX_PARTS} parts at most.")))
                }
                _ => Err(about(missing("index` and `data", "part"))),
            },
            ("cancel", Some(id)) => Ok(Self::Cancel { id }),
            ("resume", Some(id)) => Ok(Self::Resume { session, id, after: members.after }),
            (kind @ ("request" | "part" | "cancel" | "resume"), None) => {
                Err(about(missing("id", kind)))
            }
            (kind, _) => {
                let kind: String = kind.chars().take(64).collect();
                Err(about(format!(
                    "There is no message type `{kind}`. There are hello, request, part, cancel and resume."
                )))
            }
        }
    }
}

/// A session that is not the caller's, or not there: to the caller the same.
pub(crate) fn unknown_session() -> Refusal {
    Refusal::new("unknown_session", "There is no such session. Begin a new one with `hello`.")
}

/// What a client is told outside of answers.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Told<'a> {
    Welcome {
        session: &'a SessionId,
    },
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RequestId>,
        code: &'a str,
        message: &'a str,
    },
}

impl Told<'_> {
    pub(crate) fn bytes(&self) -> Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

impl Refusal {
    pub(crate) fn bytes(&self) -> Bytes {
        let Self { id, code, message } = self;
        Told::Error { id: id.as_ref(), code, message }.bytes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn refused(text: &str, code: &str) {
        let refusal = Message::parse(text).unwrap_err();
        assert_eq!(refusal.code, code, "{refusal:?}");
    }

    #[test]
    fn the_bytes_of_a_body_are_the_clients_own() {
        let text = r#"{"type":"request","id":"r1","path":"/v1/chat/completions","body":{"b":1.0,  "a":"\u00e9","b":2}}"#;
        let Ok(Message::Request { id, request }) = Message::parse(text) else { panic!() };
        assert_eq!((id.to_string().as_str(), &*request.path), ("r1", "/v1/chat/completions"));
        let body = r#"{"b":1.0,  "a":"\u00e9","b":2}"#;
        assert_eq!(request.body.unwrap().get(), body);
        let kept = serde_json::to_vec(&request).unwrap();
        let kept: Request<'_> = serde_json::from_slice(&kept).unwrap();
        assert_eq!(kept.body.unwrap().get(), body);
    }

    #[test]
    fn what_is_no_message_is_refused_with_the_reason() {
        for text in [
            "",
            "hello",
            "[]",
            "{}",
            r#"{"type":"bye"}"#,
            r#"{"type":"hello","type":"hello"}"#,
            r#"{"type":"hello","room":"x"}"#,
            r#"{"type":"request","path":"/v1/rerank","body":{}}"#,
            r#"{"type":"request","id":"r1","body":{}}"#,
            r#"{"type":"request","id":"r1","path":"/v1/rerank"}"#,
            r#"{"type":"request","id":"r1","path":"/v1/rerank","body":{},"parts":1}"#,
            r#"{"type":"request","id":"r1","path":"/v1/rerank","parts":0}"#,
            r#"{"type":"request","id":"r.1","path":"/v1/rerank","body":{}}"#,
            r#"{"type":"request","id":"","path":"/v1/rerank","body":{}}"#,
            r#"{"type":"part","id":"r1","index":0}"#,
            r#"{"type":"part","id":"r1","index":-1,"data":""}"#,
            r#"{"type":"part","id":"r1","index":256,"data":""}"#,
            r#"{"type":"resume","id":"r1","after":-1}"#,
            r#"{"type":"cancel"}"#,
        ] {
            refused(text, "invalid_message");
        }
        refused(r#"{"type":"hello","session":"SESSION"}"#, "unknown_session");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,200}", members in "\\{(\"(type|id|body|session|after)\":(\"hello\"|1|null|\\{\\}),?){0,4}\\}") {
            let _ = Message::parse(&text);
            let _ = Message::parse(&members);
        }
    }
}

//! An STS in memory that knows a few credentials and checks signatures as the real one does, and
//! requests signed for it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

use super::*;
use crate::aws::{AskStsError, IdentityRequest, Sts, StsAnswer};

pub(super) const SERVER_ID: &str = "weir.eu-west-1.111122223333";
const HOST: &str = "sts.eu-west-1.amazonaws.com";
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Credentials, and whom STS knows them as.
#[derive(Clone, Copy)]
pub(super) struct Credentials {
    pub(super) key_id: &'static str,
    secret: &'static str,
    session_token: Option<&'static str>,
    arn: &'static str,
    user_id: &'static str,
    account: &'static str,
}

/// A session of acme's role.
pub(super) const ACME: Credentials = Credentials {
    key_id: "ASIAACMEACMEACMEACME",
    secret: "acme/secret+key",
    session_token: Some("acme/session+token=="),
    arn: "arn:aws:sts::111122223333:assumed-role/batch/someone@acme.example",
    user_id: "AROAACMEBATCH:someone@acme.example",
    account: "111122223333",
};

/// A session of a role of the same name in globex's account.
pub(super) const GLOBEX: Credentials = Credentials {
    key_id: "ASIAGLOBEXGLOBEXGLOB",
    secret: "globex/secret+key",
    session_token: Some("globex/session+token=="),
    arn: "arn:aws:sts::444455556666:assumed-role/batch/i-0abc",
    user_id: "AROAGLOBEXBATCH:i-0abc",
    account: "444455556666",
};

impl Credentials {
    /// The same keys, with which another identity signs.
    pub(super) fn known_as(self, arn: &'static str, user_id: &'static str) -> Self {
        Self { arn, user_id, ..self }
    }
}

/// What is put into a token, before it is signed.
pub(super) struct Draft {
    credentials: Credentials,
    pub(super) before_host: &'static str,
    pub(super) host: String,
    pub(super) before_query: &'static str,
    pub(super) pairs: Vec<(String, String)>,
    /// Values of the headers that `X-Amz-SignedHeaders` names.
    pub(super) server_id: &'static str,
    pub(super) after_signature: &'static str,
}

impl Draft {
    /// A request that is in order.
    pub(super) fn of(credentials: Credentials) -> Self {
        let scope = format!("{}/20270115/eu-west-1/sts/aws4_request", credentials.key_id);
        let mut draft = Self {
            credentials,
            before_host: "https://",
            host: HOST.to_owned(),
            before_query: "/?",
            pairs: Vec::new(),
            server_id: SERVER_ID,
            after_signature: "",
        };
        for (name, value) in [
            ("Action", "GetCallerIdentity"),
            ("Version", "2011-06-15"),
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", &scope),
            ("X-Amz-Date", "20270115T080000Z"), // NOW
            ("X-Amz-Expires", "300"),
            ("X-Amz-SignedHeaders", "host;x-weir-server-id"),
        ] {
            draft = draft.with(name, value);
        }
        match credentials.session_token {
            Some(token) => draft.with("X-Amz-Security-Token", token),
            None => draft,
        }
    }

    /// With one more parameter, or another value of it.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        let pair = (name.to_owned(), value.to_owned());
        match self.pairs.iter_mut().find(|(it, _)| it == name) {
            Some(found) => *found = pair,
            None => self.pairs.push(pair),
        }
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.pairs.retain(|(it, _)| it != name);
        self
    }

    /// The URL that is signed, with its signature.
    pub(super) fn url(&self) -> String {
        let query: Vec<_> = self.pairs.iter().map(|(name, value)| encoded(name, value)).collect();
        let query = query.join("&");
        let signature = signature(&self.credentials, &self.host, self.server_id, &self.pairs);
        let Self { before_host, host, before_query, after_signature, .. } = self;
        format!(
            "{before_host}{host}{before_query}{query}&X-Amz-Signature={signature}{after_signature}"
        )
    }

    pub(super) fn bearer(&self) -> String {
        bearer(&self.url())
    }
}

/// The header that says this URL.
pub(super) fn bearer(url: &str) -> String {
    format!("Bearer weir-aws-v1.{}", URL_SAFE_NO_PAD.encode(url))
}

fn encoded(name: &str, value: &str) -> String {
    format!("{name}={}", utf8_percent_encode(value, ENCODED))
}

/// Signature Version 4 (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>).
fn signature(
    credentials: &Credentials,
    host: &str,
    server_id: &str,
    pairs: &[(String, String)],
) -> String {
    let value = |wanted: &str| {
        pairs.iter().find(|(name, _)| name == wanted).map_or("", |(_, value)| value.as_str())
    };
    let mut query: Vec<_> = pairs.iter().map(|(name, value)| encoded(name, value)).collect();
    query.sort();
    let headers: String = value("X-Amz-SignedHeaders")
        .split(';')
        .map(|name| match name {
            "host" => format!("host:{host}\n"),
            "x-weir-server-id" => format!("x-weir-server-id:{server_id}\n"),
            other => format!("{other}:\n"),
        })
        .collect();
    let canonical = format!(
        "GET\n/\n{}\n{headers}\n{}\n{}",
        query.join("&"),
        value("X-Amz-SignedHeaders"),
        hex(&Sha256::digest(""))
    );
    let (_, scope) = value("X-Amz-Credential").split_once('/').unwrap_or_default();
    let signed = format!(
        "AWS4-HMAC-SHA256\n{}\n{scope}\n{}",
        value("X-Amz-Date"),
        hex(&Sha256::digest(&canonical))
    );
    let mut key = format!("AWS4{}", credentials.secret).into_bytes();
    for part in scope.split('/') {
        key = sign(&Key::new(HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec();
    }
    hex(sign(&Key::new(HMAC_SHA256, &key), signed.as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// STS, as far as it knows these credentials.
pub(super) struct FakeSts {
    pub(super) credentials: Mutex<Vec<Credentials>>,
    /// Said in place of anything else.
    pub(super) answer: Mutex<Option<StsAnswer>>,
    pub(super) asked: AtomicUsize,
}

impl Default for FakeSts {
    fn default() -> Self {
        Self {
            credentials: Mutex::new(vec![ACME, GLOBEX]),
            answer: Mutex::default(),
            asked: AtomicUsize::default(),
        }
    }
}

impl Sts for Arc<FakeSts> {
    async fn caller_identity(&self, request: &IdentityRequest) -> Result<StsAnswer, AskStsError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if let Some(answer) = self.answer.lock().unwrap().clone() {
            return Ok(answer);
        }
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in request.query.split('&') {
            let (name, value) = pair.split_once('=').unwrap();
            let value = percent_decode_str(value).decode_utf8().unwrap();
            pairs.push((name.to_owned(), value.into_owned()));
        }
        let (_, given) = pairs.pop().filter(|(name, _)| name == "X-Amz-Signature").unwrap();
        let value = |wanted: &str| {
            pairs.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
        };
        let key_id = value("X-Amz-Credential").unwrap().split('/').next().unwrap();
        let known = self.credentials.lock().unwrap();
        let Some(credentials) = known.iter().find(|it| it.key_id == key_id) else {
            return Ok(refusal("InvalidClientTokenId"));
        };
        if credentials.session_token != value("X-Amz-Security-Token") {
            return Ok(refusal("InvalidClientTokenId"));
        }
        if signature(credentials, &request.host, &request.server_id, &pairs) != given {
            return Ok(refusal("SignatureDoesNotMatch"));
        }
        Ok(identity(credentials.arn, credentials.user_id, credentials.account))
    }
}

/// As the real one answers about a caller.
pub(super) fn identity(arn: &str, user_id: &str, account: &str) -> StsAnswer {
    let body = format!(
        r#"<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <GetCallerIdentityResult>
    <Arn>{arn}</Arn>
    <UserId>{user_id}</UserId>
    <Account>{account}</Account>
  </GetCallerIdentityResult>
  <ResponseMetadata>
    <RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId>
  </ResponseMetadata>
</GetCallerIdentityResponse>
"#
    );
    StsAnswer { status: 200, body: body.into_bytes() }
}

/// As the real one refuses.
pub(super) fn refusal(code: &str) -> StsAnswer {
    let body = format!(
        r#"<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <Error>
    <Type>Sender</Type>
    <Code>{code}</Code>
    <Message>No.</Message>
  </Error>
  <RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId>
</ErrorResponse>
"#
    );
    StsAnswer { status: 403, body: body.into_bytes() }
}

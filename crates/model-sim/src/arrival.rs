//! A request as it arrived.

use std::collections::BTreeMap;

use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, FromRequest, Request};
use axum::http::{HeaderMap, Uri};
use bytes::Bytes;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::access::{Signed, hex};
use crate::error::Fault;
use crate::line::Cut;

/// Stands for Converse's `requestMetadata` where the body has no room for it.
const METADATA_HEADER: &str = "x-amzn-bedrock-request-metadata";
/// Headers whose values nobody records.
const SECRETS: [&str; 5] =
    ["api-key", "cookie", "proxy-authorization", "x-amz-security-token", "x-api-key"];

/// One request, whatever it asks.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// Path and query.
    pub(crate) uri: Uri,
    /// All headers.
    pub(crate) headers: HeaderMap,
    /// The body's bytes.
    pub(crate) body: Bytes,
    /// Drops its connection.
    pub(crate) cut: Cut,
}

impl<S: Send + Sync> FromRequest<S> for Arrival {
    type Rejection = BytesRejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, BytesRejection> {
        let (uri, headers) = (request.uri().clone(), request.headers().clone());
        let line = request.extensions().get::<ConnectInfo<Cut>>();
        let cut = line.map(|ConnectInfo(cut)| cut.clone()).unwrap_or_default();
        let body = Bytes::from_request(request, state).await?;
        Ok(Self { uri, headers, body, cut })
    }
}

impl Arrival {
    /// What was signed of it.
    pub(crate) fn signed(&self) -> Signed<'_> {
        Signed { path: self.path(), headers: &self.headers, body: &self.body }
    }

    /// Path and query as sent.
    pub(crate) fn path(&self) -> &str {
        self.uri.path_and_query().map_or("/", |path| path.as_str())
    }

    /// A header's value, when it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// What is not JSON.
    pub(crate) fn json(&self) -> Result<Value, Fault> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Fault::serialization(format!("The request body is not JSON: {error}")))
    }

    /// `requestMetadata` of the body, or the header that stands for it.
    pub(crate) fn metadata(&self, json: Option<&Value>) -> Map<String, Value> {
        let of_body = json.and_then(|json| json.get("requestMetadata")?.as_object().cloned());
        let of_header = || serde_json::from_str(self.header(METADATA_HEADER)?).ok();
        of_body.or_else(of_header).unwrap_or_default()
    }

    /// All headers for the record: a secret is there by its digest only. `key_header` holds one, too.
    pub(crate) fn headers_without_secrets(
        &self,
        key_header: Option<&str>,
    ) -> BTreeMap<String, String> {
        let mut recorded = BTreeMap::<String, String>::new();
        for (name, value) in &self.headers {
            let name = name.as_str();
            let value = String::from_utf8_lossy(value.as_bytes());
            let shown = if name == "authorization" {
                authorization(&value)
            } else if SECRETS.contains(&name) || Some(name) == key_header {
                digest(&value)
            } else {
                value.into_owned()
            };
            let joined = recorded.entry(name.to_owned()).or_default();
            if !joined.is_empty() {
                joined.push(',');
            }
            joined.push_str(&shown);
        }
        recorded
    }
}

/// The scheme, and the digest of what follows; of an AWS signature, all but the signature.
fn authorization(value: &str) -> String {
    if value.starts_with("AWS4-") {
        return value
            .split("Signature=")
            .next()
            .unwrap_or_default()
            .trim_end_matches([' ', ','])
            .to_owned();
    }
    value
        .split_once(' ')
        .map_or_else(|| digest(value), |(scheme, key)| format!("{scheme} {}", digest(key)))
}

fn digest(secret: &str) -> String {
    let digest = hex(&Sha256::digest(secret));
    format!("sha256:{}", digest.get(..12).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{authorization, digest};

    #[test]
    fn a_secret_is_recorded_by_its_digest() {
        assert_eq!(digest("secret"), "sha256:2bb80d537b1d");
        assert_eq!(authorization("Bearer secret"), "Bearer sha256:2bb80d537b1d");
        assert_eq!(authorization("secret"), "sha256:2bb80d537b1d");
        let signed = "AWS4-HMAC-SHA256 Credential=AKID/20261123/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=abc";
        assert_eq!(
            authorization(signed),
            "AWS4-HMAC-SHA256 Credential=AKID/20261123/us-east-1/bedrock/aws4_request, SignedHeaders=host"
        );
    }
}

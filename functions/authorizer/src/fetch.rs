//! Asking over HTTPS, for JWK sets and in general.

use std::future::Future;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};

/// A whole exchange, from the name look-up to the last byte; API Gateway's caller is waiting.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Real sets are 1 to 10 KB.
const MAX_JWKS_BYTES: usize = 64 * 1024;

/// Where JWK sets come from.
pub trait JwksSource {
    /// The bytes at `url`, which is a registered issuer's, never a token's.
    fn fetch(&self, url: &str) -> impl Future<Output = Result<Vec<u8>, FetchJwksError>> + Send;
}

/// A JWK set that could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchJwksError {
    /// No answer, or not a whole one.
    #[error("failed to fetch a JWK set")]
    Http(#[from] reqwest::Error),
    /// An answer, but not the set. Redirects are not followed: they could lead anywhere.
    #[error("the JWK set's server answered {0}")]
    Status(StatusCode),
    /// More bytes than a set can have.
    #[error("the JWK set is larger than {MAX_JWKS_BYTES} bytes")]
    TooLarge,
    /// Not a JWK set.
    #[error("the JWK set does not parse")]
    Malformed(#[source] serde_json::Error),
    /// A set without a key that can verify an RS256 or ES256 signature.
    #[error("the JWK set has no usable key")]
    NoKeys,
}

/// JWK sets over HTTP.
#[derive(Debug)]
pub struct HttpJwks {
    client: Client,
}

impl HttpJwks {
    /// A source that asks by a client of [`https_client`].
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

/// A client that gives up after three seconds and follows no redirect.
///
/// # Errors
/// If the system's root certificates cannot be read.
pub fn https_client() -> Result<Client, reqwest::Error> {
    client(TIMEOUT)
}

pub(crate) fn client(timeout: Duration) -> Result<Client, reqwest::Error> {
    Client::builder().timeout(timeout).redirect(Policy::none()).build()
}

/// The body, unless it is longer than `limit` bytes.
pub(crate) async fn body_of_at_most(
    limit: usize,
    mut response: Response,
) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len().saturating_add(chunk.len()) > limit {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// What comes in the clear could be anyone's, unless it never leaves the machine.
pub(crate) fn is_secure(url: &str) -> bool {
    let is_local = |rest: &str| ["127.0.0.1", "localhost"].iter().any(|host| has_host(rest, host));
    url.starts_with("https://") || url.strip_prefix("http://").is_some_and(is_local)
}

fn has_host(rest: &str, host: &str) -> bool {
    rest.strip_prefix(host).is_some_and(|rest| rest.starts_with([':', '/']))
}

impl JwksSource for HttpJwks {
    async fn fetch(&self, url: &str) -> Result<Vec<u8>, FetchJwksError> {
        let response = self.client.get(url).send().await?;
        if response.status() != StatusCode::OK {
            return Err(FetchJwksError::Status(response.status()));
        }
        body_of_at_most(MAX_JWKS_BYTES, response).await?.ok_or(FetchJwksError::TooLarge)
    }
}

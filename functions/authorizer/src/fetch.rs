//! Getting a JWK set over HTTPS.

use std::future::Future;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};

/// A whole fetch, from the name look-up to the last byte; API Gateway's caller is waiting.
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
    /// A source that gives up after three seconds and follows no redirect.
    ///
    /// # Errors
    /// If the system's root certificates cannot be read.
    pub fn new() -> Result<Self, reqwest::Error> {
        Self::with_timeout(TIMEOUT)
    }

    pub(crate) fn with_timeout(timeout: Duration) -> Result<Self, reqwest::Error> {
        Ok(Self { client: Client::builder().timeout(timeout).redirect(Policy::none()).build()? })
    }
}

impl JwksSource for HttpJwks {
    async fn fetch(&self, url: &str) -> Result<Vec<u8>, FetchJwksError> {
        let mut response = self.client.get(url).send().await?;
        if response.status() != StatusCode::OK {
            return Err(FetchJwksError::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len().saturating_add(chunk.len()) > MAX_JWKS_BYTES {
                return Err(FetchJwksError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

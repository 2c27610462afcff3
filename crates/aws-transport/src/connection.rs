//! HTTP requests, sent once each.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_http_client::{Connector, tls};
use aws_smithy_runtime_api::client::http::{
    HttpConnector as _, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream as SdkByteStream;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::{HeaderMap, Request, Response};
use inference::{ByteStream, ProviderErrorKind as Kind, ProviderResponse};
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::{Meaning, Refusal, unanswered, unbuildable};

/// A connection that takes longer is not worth waiting for.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long an unused connection is kept. A frozen function does not see its connections close,
/// and a request on a closed one counts as a call that may have run.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long an answer may take to begin; an unstreamed one begins when it is complete. Just under
/// the 15 minutes that a Lambda function and a streaming integration last.
const READ_TIMEOUT: Duration = Duration::from_mins(14);

/// How long a body may be silent before it is given up: as long as API Gateway would wait for us.
const MAX_SILENCE: Duration = Duration::from_mins(5);

/// How long the body of an error may take: its status has been said already.
const ERROR_PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of an error's body that are read.
const MAX_ERROR_BYTES: usize = 64 * 1_024;

/// Bytes of a header's value that is passed on.
const MAX_HEADER_BYTES: usize = 2_048;

/// Headers of an answer that say something about it; others stay here.
const TELLING_HEADERS: [&str; 3] = ["content-type", "x-amzn-bedrock-", "x-amzn-sagemaker-"];

/// Where providers say their id of a call.
const REQUEST_ID_HEADERS: [&str; 3] = ["x-amzn-requestid", "x-request-id", "request-id"];

/// Sends HTTP requests, one attempt each: nothing is retried, and no redirect is followed.
#[derive(Debug, Clone)]
pub struct Connection {
    connector: SharedHttpConnector,
    time: SharedTimeSource,
    max_silence: Duration,
}

impl Connection {
    /// Connections of its own, by the clock of `sdk_config`.
    pub fn new(sdk_config: &SdkConfig) -> Self {
        let timeouts = HttpConnectorSettings::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT);
        let connector = Connector::builder()
            .connector_settings(timeouts.build())
            .enable_tcp_nodelay(true)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc))
            .build();
        Self::with_connector(sdk_config, SharedHttpConnector::new(connector))
    }

    /// Like [`new`](Self::new), but through `connector`.
    pub fn with_connector(sdk_config: &SdkConfig, connector: SharedHttpConnector) -> Self {
        let time = sdk_config.time_source().unwrap_or_default();
        Self { connector, time, max_silence: MAX_SILENCE }
    }

    /// The same, but a body is given up after `max_silence` without a byte.
    #[must_use]
    pub fn with_max_silence(self, max_silence: Duration) -> Self {
        Self { max_silence, ..self }
    }

    /// What requests pass through.
    pub fn connector(&self) -> &SharedHttpConnector {
        &self.connector
    }

    /// How long a body may be silent.
    pub fn max_silence(&self) -> Duration {
        self.max_silence
    }

    /// The time by which requests are signed.
    pub fn now(&self) -> SystemTime {
        self.time.now()
    }

    /// Sends `request`, and returns when the head of the answer is there. The body fails if nothing
    /// of it comes for too long, or if it breaks off.
    pub async fn send(&self, request: Request<Bytes>) -> Result<ProviderResponse, Refusal> {
        let request = request.map(SdkBody::from).try_into().map_err(unbuildable)?;
        let response = self.connector.call(request).await.map_err(|error| unanswered(&error))?;
        let response: Response<SdkBody> = response.try_into_http1x().map_err(unbuildable)?;
        let (head, body) = response.into_parts();
        let request_id = request_id(&head.headers);
        if !head.status.is_success() {
            let body = read_start(body).await;
            let mut refusal =
                Refusal::read(head.status.as_u16(), &head.headers, &body, self.time.now());
            refusal.error.provider_request_id = request_id;
            return Err(refusal);
        }
        Ok(ProviderResponse {
            body: byte_stream(body, request_id.clone(), self.max_silence),
            headers: telling(&head.headers),
            provider_request_id: request_id,
        })
    }
}

/// The first bytes of a body, as many as come soon and are wanted.
async fn read_start(body: SdkBody) -> Bytes {
    let deadline = Instant::now() + ERROR_PATIENCE;
    let mut stream = SdkByteStream::new(body);
    let mut start = BytesMut::new();
    while start.len() < MAX_ERROR_BYTES {
        let Ok(Some(Ok(chunk))) = timeout_at(deadline, stream.next()).await else { break };
        start.extend_from_slice(&chunk);
    }
    start.truncate(MAX_ERROR_BYTES);
    start.freeze()
}

/// The bytes as they come; an error if they stop before the body does.
fn byte_stream(body: SdkBody, request_id: Option<String>, max_silence: Duration) -> ByteStream {
    futures::stream::unfold(Some(SdkByteStream::new(body)), move |body| {
        let request_id = request_id.clone();
        async move {
            let mut body = body?;
            let mut error = match timeout(max_silence, body.next()).await {
                Ok(None) => return None,
                Ok(Some(Ok(bytes))) => return Some((Ok(bytes), Some(body))),
                Ok(Some(Err(error))) => Meaning::failed(Kind::Interrupted).error(error.to_string()),
                Err(_) => Meaning::failed(Kind::Timeout).error("the answer fell silent"),
            };
            error.provider_request_id = request_id;
            Some((Err(error), None))
        }
    })
    .boxed()
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    REQUEST_ID_HEADERS.iter().find_map(|name| text(headers.get(*name)?))
}

fn telling(headers: &HeaderMap) -> Vec<(String, String)> {
    let is_telling = |name: &str| TELLING_HEADERS.iter().any(|prefix| name.starts_with(prefix));
    headers
        .iter()
        .filter(|(name, _)| is_telling(name.as_str()))
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), text(value)?)))
        .collect()
}

/// A header's value, if it is text of a sane length.
fn text(value: &http::HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    (text.len() <= MAX_HEADER_BYTES).then(|| text.to_owned())
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;

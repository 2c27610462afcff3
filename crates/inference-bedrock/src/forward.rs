//! Chat Completions on Bedrock: the client's own bytes, signed.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-chat-completions.html>

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{HttpConnector as _, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream as SdkByteStream;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::header::CONTENT_TYPE;
use inference::{ByteStream, ForwardedResponse, ProviderCall, ProviderError};
use serde_json::Value;
use tokio::time::timeout;

use crate::error::{self, is_rejected_session, meaning, provider_error};
use crate::request::metadata;

/// Bytes of an error's body that are read.
const MAX_ERROR_BYTES: usize = 64 * 1_024;

/// The name that Bedrock's signatures carry.
const SIGNING_NAME: &str = "bedrock";

/// Where and as whom to send a body.
pub(crate) struct Target<'a> {
    /// Without a path.
    pub(crate) endpoint: &'a str,
    pub(crate) region: &'a str,
    pub(crate) credentials: Credentials,
    pub(crate) now: SystemTime,
}

/// The signed request that carries `body` unchanged.
pub(crate) fn signed_request(
    target: Target<'_>,
    call: &ProviderCall<'_>,
    body: Bytes,
) -> Result<HttpRequest, BoxError> {
    let uri: http::Uri =
        format!("{}/openai/v1/chat/completions", target.endpoint.trim_end_matches('/')).parse()?;
    let mut request = http::Request::post(&uri)
        .header(CONTENT_TYPE, "application/json")
        .header("x-amzn-bedrock-request-metadata", serde_json::to_string(&metadata(call))?)
        .body(())?;

    let identity = target.credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(target.region)
        .name(SIGNING_NAME)
        .time(target.now)
        .settings(SigningSettings::default())
        .build()?
        .into();
    let uri = uri.to_string();
    let headers = request
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let signable = SignableRequest::new("POST", &uri, headers, SignableBody::Bytes(&body))?;
    let (instructions, _) = sign(signable, &parameters)?.into_parts();
    instructions.apply_to_request_http1x(&mut request);

    Ok(request.map(|()| SdkBody::from(body)).try_into()?)
}

/// A refusal of forwarded bytes.
pub(crate) struct Refusal {
    pub(crate) error: ProviderError,
    /// Whether it was the session that Bedrock did not take.
    pub(crate) is_rejected_session: bool,
}

impl From<ProviderError> for Refusal {
    fn from(error: ProviderError) -> Self {
        Self { error, is_rejected_session: false }
    }
}

/// Sends the request and returns when the head of the answer is there. The body is given up if
/// nothing comes for `max_silence`.
pub(crate) async fn send(
    connector: &SharedHttpConnector,
    request: HttpRequest,
    max_silence: Duration,
) -> Result<ForwardedResponse, Refusal> {
    let response = connector.call(request).await.map_err(|error| error::from_connector(&error))?;
    let header = |name: &str| response.headers().get(name).map(ToOwned::to_owned);
    let request_id = header("x-amzn-requestid").or_else(|| header("x-request-id"));
    if !response.status().is_success() {
        return Err(refusal(response, request_id.as_deref(), max_silence).await);
    }
    let content_type = header(CONTENT_TYPE.as_str());
    let body = byte_stream(response.into_body(), request_id.clone(), max_silence);
    Ok(ForwardedResponse { provider_request_id: request_id, content_type, body })
}

/// The bytes as they come; an error if they stop before the body does.
fn byte_stream(body: SdkBody, request_id: Option<String>, max_silence: Duration) -> ByteStream {
    futures::stream::unfold(Some(SdkByteStream::new(body)), move |body| {
        let request_id = request_id.clone();
        async move {
            let mut body = body?;
            let Ok(chunk) = timeout(max_silence, body.next()).await else {
                return Some((Err(error::silent(request_id.as_deref())), None));
            };
            match chunk? {
                Ok(bytes) => Some((Ok(bytes), Some(body))),
                Err(error) => {
                    Some((Err(error::interrupted(error.to_string(), request_id.as_deref())), None))
                }
            }
        }
    })
    .boxed()
}

async fn refusal(
    response: HttpResponse,
    request_id: Option<&str>,
    max_silence: Duration,
) -> Refusal {
    let status = response.status().as_u16();
    let header_code = response.headers().get("x-amzn-errortype").map(ToOwned::to_owned);
    let body = read_start(response.into_body(), max_silence).await;
    let (body_code, message) = parse_error(&body);
    let code = header_code.or(body_code);
    let message = message
        .or_else(|| code.clone())
        .unwrap_or_else(|| format!("status {status}, no reason given"));
    Refusal {
        error: provider_error(meaning(code.as_deref(), status), message, request_id),
        is_rejected_session: code.as_deref().is_some_and(is_rejected_session),
    }
}

/// The first bytes of a body, as many as come and are wanted.
async fn read_start(body: SdkBody, max_silence: Duration) -> Bytes {
    let mut stream = SdkByteStream::new(body);
    let mut start = BytesMut::new();
    while start.len() < MAX_ERROR_BYTES {
        let Ok(Some(Ok(chunk))) = timeout(max_silence, stream.next()).await else { break };
        start.extend_from_slice(&chunk);
    }
    start.freeze()
}

/// Code and message of an error, in OpenAI's or in AWS's shape.
fn parse_error(body: &[u8]) -> (Option<String>, Option<String>) {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(ToOwned::to_owned);
    match body.get("error") {
        Some(error) => {
            (text(error.get("code")), text(error.get("message")).or_else(|| text(Some(error))))
        }
        None => (
            text(body.get("__type")),
            text(body.get("message")).or_else(|| text(body.get("Message"))),
        ),
    }
}

#[cfg(test)]
#[path = "forward_tests.rs"]
mod tests;

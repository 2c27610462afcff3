//! AWS services, asked in bytes, under a tenant's session.

use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation,
    SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::box_error::BoxError;
use bytes::Bytes;
use http::Request;
use inference::{ProviderCall, ProviderError, ProviderErrorKind, ProviderResponse};
use tenancy::TenantContext;

use crate::connection::Connection;
use crate::error::{Refusal, unbuildable};
use crate::policy::{Place, RoleArn};
use crate::session::{Session, SessionError, Sessions};

/// A service that is called in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Which models there are.
    Bedrock,
    /// Models and guardrails.
    BedrockRuntime,
    /// Reranking.
    BedrockAgentRuntime,
    /// Endpoints.
    SagemakerRuntime,
    /// Keys of other providers.
    SecretsManager,
    /// Uploads.
    S3,
    /// Functions.
    Lambda,
    /// Connections of a WebSocket API, whose own address stands before every path.
    Connections,
}

impl Service {
    const ALL: [Self; 8] = [
        Self::Bedrock,
        Self::BedrockRuntime,
        Self::BedrockAgentRuntime,
        Self::SagemakerRuntime,
        Self::SecretsManager,
        Self::S3,
        Self::Lambda,
        Self::Connections,
    ];

    /// The environment variable that overrides its address, as in every AWS SDK.
    pub fn endpoint_variable(self) -> &'static str {
        match self {
            Self::Bedrock => "AWS_ENDPOINT_URL_BEDROCK",
            Self::BedrockRuntime => "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
            Self::BedrockAgentRuntime => "AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME",
            Self::SagemakerRuntime => "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME",
            Self::SecretsManager => "AWS_ENDPOINT_URL_SECRETS_MANAGER",
            Self::S3 => "AWS_ENDPOINT_URL_S3",
            Self::Lambda => "AWS_ENDPOINT_URL_LAMBDA",
            Self::Connections => "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI",
        }
    }

    /// Its host name up to the Region, of the plain variant.
    pub(crate) fn plain_host(self) -> &'static str {
        self.host(Variant { is_fips: false, is_dual_stack: false })
    }

    /// Its host name up to the Region.
    fn host(self, variant: Variant) -> &'static str {
        match (self, variant.is_fips) {
            (Self::Bedrock, false) => "bedrock",
            (Self::Bedrock, true) => "bedrock-fips",
            (Self::BedrockRuntime, false) => "bedrock-runtime",
            (Self::BedrockRuntime, true) => "bedrock-runtime-fips",
            (Self::BedrockAgentRuntime, false) => "bedrock-agent-runtime",
            (Self::BedrockAgentRuntime, true) => "bedrock-agent-runtime-fips",
            (Self::SagemakerRuntime, false) => "runtime.sagemaker",
            (Self::SagemakerRuntime, true) => "runtime-fips.sagemaker",
            (Self::SecretsManager, false) => "secretsmanager",
            (Self::SecretsManager, true) => "secretsmanager-fips",
            (Self::S3, false) if variant.is_dual_stack => "s3.dualstack",
            (Self::S3, false) => "s3",
            (Self::S3, true) if variant.is_dual_stack => "s3-fips.dualstack",
            (Self::S3, true) => "s3-fips",
            (Self::Lambda, false) => "lambda",
            (Self::Lambda, true) => "lambda-fips",
            (Self::Connections, _) => "execute-api",
        }
    }

    /// The name that its signatures carry.
    fn signing_name(self) -> &'static str {
        match self {
            Self::Bedrock | Self::BedrockRuntime | Self::BedrockAgentRuntime => "bedrock",
            Self::SagemakerRuntime => "sagemaker",
            Self::SecretsManager => "secretsmanager",
            Self::S3 => "s3",
            Self::Lambda => "lambda",
            Self::Connections => "execute-api",
        }
    }
}

/// Which of AWS's sets of addresses is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Variant {
    is_fips: bool,
    is_dual_stack: bool,
}

/// Addresses that take the place of AWS's own.
#[derive(Debug, Clone, Default)]
pub struct EndpointUrls(Vec<(Service, String)>);

impl EndpointUrls {
    /// What the variables of [`Service::endpoint_variable`] say, as `read` reads them.
    pub fn from_variables(read: impl Fn(&'static str) -> Option<String>) -> Self {
        let url = |service: Service| Some((service, read(service.endpoint_variable())?));
        Self(Service::ALL.into_iter().filter_map(url).collect())
    }

    /// The same, and `url` for `service`.
    #[must_use]
    pub fn with(mut self, service: Service, url: impl Into<String>) -> Self {
        self.0.push((service, url.into()));
        self
    }

    pub(crate) fn get(&self, service: Service) -> Option<&str> {
        self.0.iter().rev().find(|(it, _)| *it == service).map(|(_, url)| url.as_str())
    }
}

/// How AWS is reached for tenants.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The role that every tenant's session assumes. Its partition and account stand in the policies.
    pub role_arn: String,
    /// Addresses that take the place of AWS's own; `AWS_ENDPOINT_URL` is in the SDK's configuration.
    pub endpoint_urls: EndpointUrls,
    /// Where tenants' uploads are, if the stack has such a place.
    pub uploads_bucket: Option<String>,
}

/// The settings do not say how to reach AWS.
#[derive(Debug, thiserror::Error)]
#[error("AWS is not configured for tenants")]
pub struct ConfigError {
    /// What is wrong.
    pub(crate) source: BoxError,
}

/// AWS, asked for tenants: each under sessions of its own.
pub struct Aws {
    connection: Connection,
    sessions: Sessions,
    place: Place,
    endpoint_urls: EndpointUrls,
    any_endpoint_url: Option<String>,
    variant: Variant,
}

impl std::fmt::Debug for Aws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aws").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Aws {
    /// Uses the Region, the credentials and the HTTP client (both for STS) and the clock of `sdk_config`.
    ///
    /// Fails without a Region or with a role that is no role's ARN.
    pub fn new(
        sdk_config: &SdkConfig,
        settings: Settings,
        connection: Connection,
    ) -> Result<Self, ConfigError> {
        let role: RoleArn = settings
            .role_arn
            .parse()
            .map_err(|error| ConfigError { source: BoxError::from(error) })?;
        let region = sdk_config
            .region()
            .ok_or_else(|| ConfigError { source: "there is no Region".into() })?
            .to_string();
        let place = Place {
            partition: role.partition.clone(),
            account_id: role.account_id.clone(),
            region: region.clone(),
        };
        let time = sdk_config.time_source().unwrap_or_default();
        Ok(Self {
            connection,
            sessions: Sessions::new(sdk_config, role, region, settings.uploads_bucket, time),
            variant: Variant {
                is_fips: sdk_config.use_fips().unwrap_or_default(),
                is_dual_stack: sdk_config.use_dual_stack().unwrap_or_default(),
            },
            place,
            endpoint_urls: settings.endpoint_urls,
            any_endpoint_url: sdk_config.endpoint_url().map(ToOwned::to_owned),
        })
    }

    /// What requests are sent through.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The Region of the provider of `call`.
    pub fn region<'a>(&'a self, call: &ProviderCall<'a>) -> &'a str {
        call.provider.region.as_deref().unwrap_or(&self.place.region)
    }

    /// The Region of the stack.
    pub(crate) fn own_region(&self) -> &str {
        &self.place.region
    }

    /// The ARN of the model of `call` on Bedrock.
    pub fn model_arn(&self, call: &ProviderCall<'_>) -> String {
        self.sessions.place(call).model_arn(&call.model.provider_model_id)
    }

    /// The session under which to make `call`.
    pub async fn session(&self, call: &ProviderCall<'_>) -> Result<Session, SessionError> {
        self.sessions.of_call(call).await
    }

    /// The session under which the tenant's uploads in `bucket` are written and read.
    pub(crate) async fn uploads_session(
        &self,
        context: &TenantContext,
        bucket: &str,
        at_least: std::time::Duration,
    ) -> Result<Session, SessionError> {
        self.sessions.of_uploads(context, bucket, at_least).await
    }

    /// Drops a session that was not taken.
    pub fn forget(&self, session: &Session) {
        self.sessions.forget(session);
    }

    /// The address that takes the place of the service's own, if there is one.
    pub(crate) fn override_of(&self, service: Service) -> Option<&str> {
        let url = self.endpoint_urls.get(service).or(self.any_endpoint_url.as_deref())?;
        Some(url.trim_end_matches('/'))
    }

    /// The service's address in `region`, without a slash at its end.
    pub fn endpoint(&self, service: Service, region: &str) -> String {
        if let Some(url) = self.override_of(service) {
            return url.to_owned();
        }
        let is_dual_stack = self.variant.is_dual_stack && service != Service::S3;
        let suffix = dns_suffix(&self.place.partition, is_dual_stack);
        format!("https://{}.{region}.{suffix}", service.host(self.variant))
    }

    /// Sends `request`, whose URI is a path, to a service in the Region of the provider, signed by
    /// the session of `call`.
    pub async fn send(
        &self,
        call: &ProviderCall<'_>,
        service: Service,
        request: Request<Bytes>,
    ) -> Result<ProviderResponse, ProviderError> {
        let session = self.session(call).await?;
        let region = self.region(call);
        let sent = self.send_as(&session, service, region, request).await;
        sent.map_err(|refusal| refusal.error)
    }

    /// Sends `request`, whose URI is a path, signed by `session`, which is dropped if it is not taken.
    pub(crate) async fn send_as(
        &self,
        session: &Session,
        service: Service,
        region: &str,
        request: Request<Bytes>,
    ) -> Result<ProviderResponse, Refusal> {
        let endpoint = self.endpoint(service, region);
        let request = absolute(&endpoint, request).map_err(unbuildable)?;
        let signer = Signer {
            service,
            region,
            credentials: session.credentials.clone(),
            now: self.connection.now(),
        };
        let request = signer.signed(request).map_err(unbuildable)?;
        self.connection.send(request).await.map_err(|mut refusal| {
            if refusal.is_rejected_session() {
                self.forget(session);
                // The caller has no part in sessions: the fault is ours.
                refusal.error.kind = ProviderErrorKind::Internal;
            }
            refusal
        })
    }
}

/// The request with `endpoint` before its path.
pub(crate) fn absolute(
    endpoint: &str,
    request: Request<Bytes>,
) -> Result<Request<Bytes>, BoxError> {
    let (mut head, body) = request.into_parts();
    head.uri = format!("{endpoint}{}", head.uri).parse()?;
    Ok(Request::from_parts(head, body))
}

/// What AWS's host names end with.
pub(crate) fn dns_suffix(partition: &str, is_dual_stack: bool) -> &'static str {
    match (partition, is_dual_stack) {
        ("aws-cn", false) => "amazonaws.com.cn",
        ("aws-cn", true) => "api.amazonwebservices.com.cn",
        ("aws-iso", _) => "c2s.ic.gov",
        ("aws-iso-b", _) => "sc2s.sgov.gov",
        ("aws-eusc", _) => "amazonaws.eu",
        (_, false) => "amazonaws.com",
        (_, true) => "api.aws",
    }
}

/// Signs requests (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>).
pub(crate) struct Signer<'a> {
    pub(crate) service: Service,
    pub(crate) region: &'a str,
    pub(crate) credentials: Credentials,
    pub(crate) now: SystemTime,
}

impl Signer<'_> {
    /// `request`, with headers that sign all of it.
    pub(crate) fn signed(&self, mut request: Request<Bytes>) -> Result<Request<Bytes>, BoxError> {
        let instructions = {
            let uri = request.uri().to_string();
            let headers = request
                .headers()
                .iter()
                .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
            let body = SignableBody::Bytes(request.body());
            let signable = SignableRequest::new(request.method().as_str(), &uri, headers, body)?;
            self.sign(signable, self.settings())?
        };
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }

    /// `request`, with a signature in its query that holds for `expires_in` and for its headers only.
    pub(crate) fn presigned(
        &self,
        mut request: Request<()>,
        expires_in: std::time::Duration,
    ) -> Result<Request<()>, BoxError> {
        let mut settings = self.settings();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(expires_in);
        let instructions = {
            let uri = request.uri().to_string();
            let headers = request
                .headers()
                .iter()
                .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
            let body = SignableBody::UnsignedPayload;
            let signable = SignableRequest::new(request.method().as_str(), &uri, headers, body)?;
            self.sign(signable, settings)?
        };
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }

    fn sign(
        &self,
        signable: SignableRequest<'_>,
        settings: SigningSettings,
    ) -> Result<aws_sigv4::http_request::SigningInstructions, BoxError> {
        let identity = self.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service.signing_name())
            .time(self.now)
            .settings(settings)
            .build()?
            .into();
        Ok(sign(signable, &parameters)?.into_parts().0)
    }

    /// S3 alone takes paths as they stand on the wire, and wants the body's digest in a header.
    fn settings(&self) -> SigningSettings {
        let mut settings = SigningSettings::default();
        if self.service == Service::S3 {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        settings
    }
}

/// `text` as a segment of a path: everything but unreserved characters is percent-encoded, as AWS's
/// SDKs do it.
pub fn path_segment(text: &str) -> String {
    let hex = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0').to_ascii_uppercase();
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            segment.extend(['%', hex(byte >> 4), hex(byte & 15)]);
        }
    }
    segment
}

#[cfg(test)]
#[path = "aws_tests.rs"]
mod tests;

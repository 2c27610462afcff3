//! The adapter itself.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::endpoint::{DefaultResolver, Params, ResolveEndpoint as _};
use aws_sdk_bedrockruntime::config::retry::RetryConfig;
use aws_sdk_bedrockruntime::config::timeout::TimeoutConfig;
use aws_sdk_bedrockruntime::config::{
    Builder, Config, IdentityCache, StalledStreamProtectionConfig,
};
use aws_sdk_bedrockruntime::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_http_client::{Connector, tls};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::AuthSchemeId;
use aws_smithy_runtime_api::client::http::{
    HttpConnectorSettings, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bytes::Bytes;
use inference::{
    EventStream, ForwardedResponse, ModelRequest, ModelResponse, Provider, ProviderCall,
    ProviderError,
};

use crate::error::{from_sdk, is_rejected_session, unbuildable};
use crate::forward::{self, Target};
use crate::policy::RoleArn;
use crate::request::{ConverseRequest, metadata};
use crate::response::model_response;
use crate::session::Sessions;
use crate::session_cache::{Session, SessionKey};
use crate::stream::event_stream;

/// A connection that takes longer is not worth waiting for.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long an unused connection is kept. A frozen function does not see its connections close,
/// and a request on a closed one counts as a call that may have run.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long an answer may take to begin; an unstreamed one begins when it is complete. Just under
/// the 15 minutes that a Lambda function and a streaming integration last.
const READ_TIMEOUT: Duration = Duration::from_mins(14);

/// How long a stream may be silent before it is given up: as long as API Gateway would wait for us.
const MAX_SILENCE: Duration = Duration::from_mins(5);

/// How Bedrock is reached.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The role that every tenant's session assumes. Its partition and account stand in the policies.
    pub role_arn: String,
    /// Overrides Bedrock's regional endpoint. The SDK finds `AWS_ENDPOINT_URL_BEDROCK_RUNTIME` by
    /// itself, but forwarded bytes do not pass through it: whoever sets that variable gives it here.
    pub endpoint_url: Option<String>,
}

/// The settings do not say how to reach Bedrock.
#[derive(Debug, thiserror::Error)]
#[error("Bedrock is not configured")]
pub struct ConfigError {
    /// What is wrong.
    source: BoxError,
}

impl ConfigError {
    fn new(source: impl Into<BoxError>) -> Self {
        Self { source: source.into() }
    }
}

/// Amazon Bedrock, called under one session per tenant.
pub struct Bedrock {
    config: Config,
    connector: SharedHttpConnector,
    endpoint_url: String,
    region: String,
    sessions: Sessions,
    time: SharedTimeSource,
    pub(crate) max_silence: Duration,
}

impl Bedrock {
    /// Connects with the Region, the credentials (for STS) and the clock of `sdk_config`.
    ///
    /// Fails without a Region or with a role that is no role's ARN.
    pub async fn new(sdk_config: &SdkConfig, settings: Settings) -> Result<Self, ConfigError> {
        let timeouts = HttpConnectorSettings::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT);
        let connector = Connector::builder()
            .connector_settings(timeouts.build())
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc))
            .build();
        Self::with_connector(sdk_config, settings, SharedHttpConnector::new(connector)).await
    }

    /// Like [`new`](Self::new), but talks to Bedrock through `connector`: for tests. STS is reached
    /// through the HTTP client of `sdk_config` in any case.
    pub async fn with_connector(
        sdk_config: &SdkConfig,
        settings: Settings,
        connector: SharedHttpConnector,
    ) -> Result<Self, ConfigError> {
        let role: RoleArn = settings.role_arn.parse().map_err(ConfigError::new)?;
        let region =
            sdk_config.region().ok_or_else(|| ConfigError::new("there is no Region"))?.to_string();
        let time = sdk_config.time_source().unwrap_or_default();
        let endpoint_url = match &settings.endpoint_url {
            Some(url) => url.clone(),
            None => regional_endpoint(sdk_config, &region).await?,
        };
        Ok(Self {
            config: config(sdk_config, settings.endpoint_url, connector.clone()),
            connector,
            endpoint_url,
            sessions: Sessions::new(sdk_config, role, region.clone(), time.clone()),
            region,
            time,
            max_silence: MAX_SILENCE,
        })
    }

    fn client(&self, session: Session) -> Client {
        Client::from_conf(
            self.config.to_builder().credentials_provider(session.credentials).build(),
        )
    }

    /// The error of a call under the session of `key`, which is dropped if Bedrock did not take it.
    fn failure<E>(&self, key: &SessionKey, error: &SdkError<E, HttpResponse>) -> ProviderError
    where
        E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        if error.as_service_error().and_then(|error| error.code()).is_some_and(is_rejected_session)
        {
            self.sessions.forget(key);
        }
        from_sdk(error)
    }
}

/// What all calls have in common; a session's credentials are added per call.
fn config(
    sdk_config: &SdkConfig,
    endpoint_url: Option<String>,
    connector: SharedHttpConnector,
) -> Config {
    let mut builder = Builder::from(sdk_config)
        // A bearer token in the environment (AWS_BEARER_TOKEN_BEDROCK) would win over the session,
        // and with it over the session policy.
        .auth_scheme_preference([AuthSchemeId::from("sigv4")])
        .http_client(http_client_fn(move |_, _| connector.clone()))
        // Every session is new to the SDK: its cache of identities would only grow.
        .identity_cache(IdentityCache::no_cache())
        .retry_config(RetryConfig::disabled())
        // A model that thinks sends nothing for longer than this protection would wait.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(TimeoutConfig::disabled());
    if endpoint_url.is_some() {
        builder.set_endpoint_url(endpoint_url);
    }
    builder.build()
}

/// Where the SDK would go if nothing overrode it.
async fn regional_endpoint(sdk_config: &SdkConfig, region: &str) -> Result<String, ConfigError> {
    let params = Params::builder()
        .region(region)
        .use_fips(sdk_config.use_fips().unwrap_or_default())
        .use_dual_stack(sdk_config.use_dual_stack().unwrap_or_default())
        .build()
        .map_err(ConfigError::new)?;
    let endpoint =
        DefaultResolver::new().resolve_endpoint(&params).await.map_err(ConfigError::new)?;
    Ok(endpoint.url().to_owned())
}

/// Fills the request of either Converse operation; their builders share no trait.
macro_rules! converse {
    ($operation:expr, $call:expr, $request:expr) => {{
        let request = ConverseRequest::try_from($request).map_err(unbuildable)?;
        $operation
            .model_id(&$call.model.provider_model_id)
            .set_messages(Some(request.messages))
            .set_system(request.system)
            .inference_config(request.inference_config)
            .set_tool_config(request.tool_config)
            .set_additional_model_request_fields(request.additional_fields)
            .set_request_metadata(Some(metadata($call).into_iter().collect()))
            .set_service_tier(request.service_tier)
            .set_output_config(request.output_config)
    }};
}

impl Provider for Bedrock {
    async fn respond(
        &self,
        call: &ProviderCall<'_>,
        request: ModelRequest,
    ) -> Result<ModelResponse, ProviderError> {
        let (key, session) = self.sessions.get(call).await?;
        let operation = converse!(self.client(session).converse(), call, request);
        let output = operation.send().await.map_err(|error| self.failure(&key, &error))?;
        Ok(model_response(output))
    }

    async fn stream(
        &self,
        call: &ProviderCall<'_>,
        request: ModelRequest,
    ) -> Result<EventStream, ProviderError> {
        let (key, session) = self.sessions.get(call).await?;
        let operation = converse!(self.client(session).converse_stream(), call, request);
        let output = operation.send().await.map_err(|error| self.failure(&key, &error))?;
        Ok(event_stream(output, self.max_silence))
    }

    async fn forward(
        &self,
        call: &ProviderCall<'_>,
        body: Bytes,
    ) -> Result<ForwardedResponse, ProviderError> {
        let (key, session) = self.sessions.get(call).await?;
        let target = Target {
            endpoint: &self.endpoint_url,
            region: &self.region,
            credentials: session.credentials,
            now: self.time.now(),
        };
        let request = forward::signed_request(target, call, body).map_err(unbuildable)?;
        forward::send(&self.connector, request, self.max_silence).await.map_err(|refusal| {
            if refusal.is_rejected_session {
                self.sessions.forget(&key);
            }
            refusal.error
        })
    }
}

#[cfg(test)]
#[path = "bedrock_tests.rs"]
mod tests;

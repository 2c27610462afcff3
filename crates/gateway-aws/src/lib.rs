//! The gateway on AWS: its ports, and its state as the environment describes it.

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use admission::Calendar;
use aws_transport::{Connection, EndpointUrls, OwnRole, Settings, Uploads};
use bytes::Bytes;
use gateway::shadow::{HandOverError, Shadows};
use gateway::{Cache, Exhausted, ObjectStore, Ports, SharedHealth, State};
use inference::ProviderError;
use providers::Providers;
use store_dynamodb::{Configuration, Content, Ledger, TargetHealth};
use tenancy::TenantContext;

/// DynamoDB, S3 and every kind of provider.
#[derive(Debug)]
pub struct AwsPorts;

impl Ports for AwsPorts {
    type Configuration = Configuration;
    type Ledger = Ledger;
    type Providers = Providers;
    type Content = Content;
    type Objects = UploadsBucket;
    type Health = TargetHealth;
    type Shadows = ShadowFunction;
}

/// The function that makes calls once more, each in an invocation that nobody waits for.
#[derive(Debug)]
pub struct ShadowFunction {
    own: OwnRole,
    name: String,
}

impl Shadows for ShadowFunction {
    async fn hand_over(&self, order: Bytes) -> Result<(), HandOverError> {
        let started = self.own.start(&self.name, order).await;
        started.map_err(|refusal| HandOverError(refusal.error.to_string()))
    }
}

/// Tenants' uploads in S3.
#[derive(Debug)]
pub struct UploadsBucket(Uploads);

impl ObjectStore for UploadsBucket {
    async fn presign_put(
        &self,
        context: &TenantContext,
        file_id: &str,
        media_type: &str,
        length: u64,
        expires_in: Duration,
    ) -> Result<(String, Vec<(String, String)>), ProviderError> {
        let presigned =
            self.0.presign_put(context, file_id, media_type, length, expires_in).await?;
        Ok((presigned.url, presigned.headers))
    }

    async fn get(
        &self,
        context: &TenantContext,
        file_id: &str,
        max_bytes: usize,
    ) -> Result<Bytes, ProviderError> {
        Ok(self.0.get(context, file_id, max_bytes).await?.bytes)
    }

    fn bucket(&self) -> &str {
        self.0.bucket()
    }

    fn uri(&self, context: &TenantContext, file_id: &str) -> String {
        self.0.s3_uri(context, file_id)
    }
}

/// The environment does not describe a gateway.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A variable is not set.
    #[error("the variable {0} is not set")]
    Missing(&'static str),
    /// The organisation's time zone is none.
    #[error("TIME_ZONE is `{0}`, which is no time zone of the IANA database")]
    TimeZone(String),
    /// AWS cannot be reached as described.
    #[error("AWS cannot be reached as the environment describes it")]
    Aws(#[source] Box<dyn Error + Send + Sync>),
}

/// Connects to what the environment names: `TENANCY_TABLE`, `LEDGER_TABLE`, `CONTENT_TABLE`,
/// `UPLOADS_BUCKET`, `TENANT_ACCESS_ROLE_ARN` and, optionally, `TIME_ZONE`, `HEARTBEAT_INTERVAL_MS`,
/// `CATALOG_MAX_AGE_S`, `SHADOW_FUNCTION` and the `AWS_ENDPOINT_URL_*` of the services.
///
/// # Errors
/// A variable that is missing, or a role that is none.
pub async fn state_from_env() -> Result<State<AwsPorts>, StartError> {
    let number =
        |text: Option<String>, unset| text.and_then(|text| text.parse().ok()).unwrap_or(unset);
    let heartbeat = Duration::from_millis(number(variable("HEARTBEAT_INTERVAL_MS"), 10_000));
    let catalog_age = Duration::from_secs(number(variable("CATALOG_MAX_AGE_S"), 60));
    let required = |name| variable(name).ok_or(StartError::Missing(name));
    let (tenancy, ledger) = (required("TENANCY_TABLE")?, required("LEDGER_TABLE")?);
    let (content, bucket) = (required("CONTENT_TABLE")?, required("UPLOADS_BUCKET")?);
    let settings = Settings {
        role_arn: required("TENANT_ACCESS_ROLE_ARN")?,
        endpoint_urls: EndpointUrls::from_variables(variable),
        uploads_bucket: Some(bucket),
    };
    let zone = variable("TIME_ZONE").unwrap_or_else(|| "UTC".to_owned());
    let calendar = Calendar::of(&zone).map_err(|error| StartError::TimeZone(error.name))?;
    let sdk = aws_config::load_from_env().await;
    let client = store_dynamodb::client(&sdk);
    let connection = Connection::new(&sdk);
    let shadows = match variable("SHADOW_FUNCTION").filter(|name| !name.is_empty()) {
        Some(name) => {
            let (urls, connection) = (settings.endpoint_urls.clone(), connection.clone());
            let own = OwnRole::new(&sdk, urls, connection);
            Some(ShadowFunction { own: own.map_err(|error| StartError::Aws(error.into()))?, name })
        }
        None => None,
    };
    let providers = Providers::new(&sdk, settings, connection)
        .map_err(|error| StartError::Aws(error.into()))?;
    let uploads = providers.uploads().cloned().ok_or(StartError::Missing("UPLOADS_BUCKET"))?;
    Ok(State {
        configuration: Cache::new(Configuration::new(client.clone(), tenancy), catalog_age),
        health: SharedHealth::new(TargetHealth::new(client.clone(), ledger.clone())),
        ledger: Ledger::new(client.clone(), ledger, calendar.clone()),
        exhausted: Exhausted::default(),
        calendar,
        content: Content::new(client, content),
        objects: UploadsBucket(uploads),
        providers,
        shadows,
        region: sdk.region().map(ToString::to_string).unwrap_or_default(),
        heartbeat,
        now_ms: unix_ms,
        random,
    })
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn variable(name: &'static str) -> Option<String> {
    std::env::var(name).ok()
}

#[expect(clippy::disallowed_methods, reason = "the one clock of the gateway")]
fn unix_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

/// The random bits of a UUID.
fn random() -> u64 {
    let (_, low) = uuid::Uuid::new_v4().as_u64_pair();
    // The two top bits are the variant's.
    low.rotate_left(2)
}

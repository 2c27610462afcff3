//! What one execution environment keeps between calls.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use providers::{EndpointUrls, Providers, Settings};
use store_dynamodb::{Configuration, Ledger};

use crate::Cache;

/// What one execution environment keeps between calls: one parameter per adapter.
#[derive(Debug)]
pub struct State<C, L, P> {
    /// Entitlements and catalog, remembered.
    pub configuration: Cache<C>,
    /// Meters and usage records.
    pub ledger: L,
    /// Who runs the models.
    pub provider: P,
    /// The provider's Region, for usage records.
    pub region: String,
    /// How long a streamed answer may be silent before the gateway sends a sign of life.
    pub heartbeat: Duration,
    /// The clock, in Unix milliseconds.
    pub now_ms: fn() -> i64,
}

impl State<Configuration, Ledger, Providers> {
    /// Connects to what the environment names: `TENANCY_TABLE`, `LEDGER_TABLE`,
    /// `TENANT_ACCESS_ROLE_ARN` and, optionally, `HEARTBEAT_INTERVAL_MS`.
    ///
    /// # Errors
    /// A variable that is missing, or a role that is none.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub async fn from_env() -> Result<Self, lambda_http::Error> {
        let heartbeat_ms =
            std::env::var("HEARTBEAT_INTERVAL_MS").ok().and_then(|text| text.parse().ok());
        let (tenancy, ledger) = (std::env::var("TENANCY_TABLE")?, std::env::var("LEDGER_TABLE")?);
        let settings = Settings {
            role_arn: std::env::var("TENANT_ACCESS_ROLE_ARN")?,
            endpoint_urls: EndpointUrls::from_variables(|name| std::env::var(name).ok()),
            uploads_bucket: std::env::var("UPLOADS_BUCKET").ok(),
        };
        let sdk = aws_config::load_from_env().await;
        let client = store_dynamodb::client(&sdk);
        Ok(Self {
            configuration: Cache::new(Configuration::new(client.clone(), tenancy)),
            ledger: Ledger::new(client, ledger),
            region: sdk.region().map(ToString::to_string).unwrap_or_default(),
            provider: Providers::new(&sdk, settings)?,
            heartbeat: Duration::from_millis(heartbeat_ms.unwrap_or(10_000)),
            now_ms: unix_ms,
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "the one clock of the function")]
fn unix_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

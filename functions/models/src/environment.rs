//! The edge to the machine: environment, clock, tables.

use admission::{Calendar, UnknownTimeZone};
use aws_transport::{ConfigError, EndpointUrls};
use events_eventbridge::EventBus;
use machine::{NotSet, new_id, now, variable};
use models_bedrock::BedrockModels;
use store_dynamodb::{Administration, Ledger, Registry};

use crate::{Ports, State};

/// Where its events come from.
const SOURCE: &str = "weir.models";

/// The function cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A variable of the environment is missing.
    #[error(transparent)]
    Environment(#[from] NotSet),
    /// AWS cannot be reached as the environment describes it.
    #[error(transparent)]
    Aws(#[from] ConfigError),
    /// The organisation's time zone is none.
    #[error(transparent)]
    TimeZone(#[from] UnknownTimeZone),
}

/// DynamoDB, EventBridge and Bedrock.
#[derive(Debug)]
pub struct OnAws;

impl Ports for OnAws {
    type Store = Administration;
    type Registry = Registry;
    type Events = EventBus;
    type Models = BedrockModels;
}

impl State<OnAws> {
    /// Connects to `TENANCY_TABLE`, `LEDGER_TABLE` and the bus `EVENT_BUS_NAME`; days begin where they do in
    /// `TIME_ZONE`.
    ///
    /// # Errors
    /// One of them is not set, or no such zone exists.
    pub async fn from_env() -> Result<Self, StartError> {
        let (tenancy, ledger) = (variable("TENANCY_TABLE")?, variable("LEDGER_TABLE")?);
        let calendar = Calendar::of(&variable("TIME_ZONE")?)?;
        let sdk = aws_config::load_from_env().await;
        let client = store_dynamodb::client(&sdk);
        let ledger = Ledger::new(client.clone(), ledger, calendar);
        Ok(Self {
            events: EventBus::new(&sdk, variable("EVENT_BUS_NAME")?, SOURCE),
            models: BedrockModels::new(
                &sdk,
                EndpointUrls::from_variables(|name| variable(name).ok()),
            )?,
            registry: Registry::new(client.clone(), tenancy.clone()),
            store: Administration::new(client, tenancy, ledger),
            now,
            new_id,
        })
    }
}

//! The edge to the machine: environment, clock, tables.

use admission::{Calendar, UnknownTimeZone};
use machine::{NotSet, new_id, now, variable};
use store_dynamodb::{Administration, Ledger, Registry};

use crate::State;

/// The function cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A variable of the environment is missing.
    #[error(transparent)]
    Environment(#[from] NotSet),
    /// The organisation's time zone is none.
    #[error(transparent)]
    TimeZone(#[from] UnknownTimeZone),
}

impl State<Administration, Registry> {
    /// Connects to `TENANCY_TABLE` and `LEDGER_TABLE`; days begin where they do in `TIME_ZONE`.
    ///
    /// # Errors
    /// One of them is not set, or no such zone exists.
    pub async fn from_env() -> Result<Self, StartError> {
        let (tenancy, ledger) = (variable("TENANCY_TABLE")?, variable("LEDGER_TABLE")?);
        let calendar = Calendar::of(&variable("TIME_ZONE")?)?;
        let client = store_dynamodb::client(&aws_config::load_from_env().await);
        let ledger = Ledger::new(client.clone(), ledger, calendar);
        Ok(Self {
            registry: Registry::new(client.clone(), tenancy.clone()),
            store: Administration::new(client, tenancy, ledger),
            now,
            new_id,
        })
    }
}

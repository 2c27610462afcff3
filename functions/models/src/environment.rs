//! The edge to the machine: environment, clock, tables.

use std::env::VarError;
use std::time::SystemTime;

use admission::{Calendar, UnknownTimeZone};
use jiff::Timestamp;
use store_dynamodb::{Administration, Ledger, Registry};

use crate::State;

/// The function cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A variable of the environment is missing.
    #[error("environment variable `{name}` is not set")]
    Environment {
        /// Its name.
        name: &'static str,
        /// What is wrong with it.
        source: VarError,
    },
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

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn variable(name: &'static str) -> Result<String, StartError> {
    std::env::var(name).map_err(|source| StartError::Environment { name, source })
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
fn now() -> Timestamp {
    Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn new_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

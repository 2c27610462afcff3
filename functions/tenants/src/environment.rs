//! The edge to the machine: environment, clock, table, user pool.

use admission::{Calendar, UnknownTimeZone};
use identity_cognito::CognitoPool;
use machine::{NotSet, new_id, now, variable};
use store_dynamodb::{Administration, Ledger};

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

impl State<Administration, CognitoPool> {
    /// Connects to `TENANCY_TABLE`, `LEDGER_TABLE` and the user pool `USER_POOL_ID`; days begin where they do in `TIME_ZONE`.
    /// `ALLOW_LOCAL_ISSUERS` is `true` on a local stack.
    ///
    /// # Errors
    /// One of them is not set, or no such zone exists.
    pub async fn from_env() -> Result<Self, StartError> {
        let (tenancy, ledger) = (variable("TENANCY_TABLE")?, variable("LEDGER_TABLE")?);
        let (pool_id, region) = (variable("USER_POOL_ID")?, variable("AWS_REGION")?);
        let calendar = Calendar::of(&variable("TIME_ZONE")?)?;
        let sdk = aws_config::load_from_env().await;
        let client = store_dynamodb::client(&sdk);
        let ledger = Ledger::new(client.clone(), ledger, calendar);
        let store = Administration::new(client, tenancy, ledger);
        let pool = CognitoPool::new(&sdk, pool_id, &region);
        let allow_local_issuers = variable("ALLOW_LOCAL_ISSUERS")? == "true";
        Ok(Self { store, pool, allow_local_issuers, now, new_id })
    }
}

//! The edge to the machine: environment, clock, table, user pool.

use std::env::VarError;
use std::time::SystemTime;

use identity_cognito::CognitoPool;
use jiff::Timestamp;
use store_dynamodb::Members;

use crate::State;

/// A variable of the environment is missing.
#[derive(Debug, thiserror::Error)]
#[error("environment variable `{name}` is not set")]
pub struct StartError {
    /// Its name.
    pub name: &'static str,
    /// What is wrong with it.
    pub source: VarError,
}

impl State<Members, CognitoPool> {
    /// Connects to `TENANCY_TABLE` and the user pool `USER_POOL_ID`.
    ///
    /// # Errors
    /// One of them is not set.
    pub async fn from_env() -> Result<Self, StartError> {
        let tenancy = variable("TENANCY_TABLE")?;
        let (pool_id, region) = (variable("USER_POOL_ID")?, variable("AWS_REGION")?);
        let sdk = aws_config::load_from_env().await;
        let store = Members::new(store_dynamodb::client(&sdk), tenancy);
        let pool = CognitoPool::new(&sdk, pool_id, &region);
        Ok(Self { store, pool, now, new_id })
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn variable(name: &'static str) -> Result<String, StartError> {
    std::env::var(name).map_err(|source| StartError { name, source })
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
fn now() -> Timestamp {
    Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn new_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

//! The edge to the machine: environment and clock.

use std::env::VarError;
use std::time::{SystemTime, UNIX_EPOCH};

use store_dynamodb::DynamoDirectory;

use crate::{HttpJwks, State, UserPool};

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
    /// No HTTPS client could be made.
    #[error("failed to make an HTTPS client")]
    Https(#[from] reqwest::Error),
}

impl State<DynamoDirectory, HttpJwks> {
    /// Connects to the directory in `TENANCY_TABLE` and trusts the user pool `USER_POOL_ID`, whose people
    /// sign in with app client `USER_POOL_CLIENT_ID`.
    ///
    /// # Errors
    /// If one of them or `AWS_REGION` is not set.
    pub async fn from_env() -> Result<Self, StartError> {
        let table = variable("TENANCY_TABLE")?;
        let pool_id = variable("USER_POOL_ID")?;
        let issuer_host = format!("https://cognito-idp.{}.amazonaws.com", variable("AWS_REGION")?);
        // A stand-in for AWS signs with the issuer's real name, but serves the keys itself.
        let jwks_host = variable("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER")
            .or_else(|_| variable("AWS_ENDPOINT_URL"))
            .unwrap_or_else(|_| issuer_host.clone());
        let user_pool = UserPool {
            issuer: format!("{issuer_host}/{pool_id}"),
            jwks_url: format!(
                "{}/{pool_id}/.well-known/jwks.json",
                jwks_host.trim_end_matches('/')
            ),
            people_client_id: variable("USER_POOL_CLIENT_ID")?,
        };
        let sdk = aws_config::load_from_env().await;
        let directory = DynamoDirectory::new(store_dynamodb::client(&sdk), table);
        Ok(Self::new(directory, HttpJwks::new()?, user_pool))
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn variable(name: &'static str) -> Result<String, StartError> {
    let value = std::env::var(name)
        .and_then(|value| if value.is_empty() { Err(VarError::NotPresent) } else { Ok(value) });
    value.map_err(|source| StartError::Environment { name, source })
}

/// The time in Unix seconds.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

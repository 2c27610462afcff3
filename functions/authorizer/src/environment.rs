//! The edge to the machine: environment and clock.

use std::env::VarError;
use std::time::{SystemTime, UNIX_EPOCH};

use store_dynamodb::DynamoDirectory;

use crate::{
    AwsTokens, HttpJwks, HttpSts, InsecureStsUrl, InvalidAwsTokens, State, UserPool, https_client,
};

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
    /// Tokens of AWS roles cannot be told apart from others.
    #[error("`SERVER_ID` and `STS_REGIONS` are not usable")]
    AwsTokens(#[from] InvalidAwsTokens),
    /// STS would be asked where anybody could answer.
    #[error("`AWS_ENDPOINT_URL_STS` is not usable")]
    StsUrl(#[from] InsecureStsUrl),
}

impl State<DynamoDirectory, HttpJwks, HttpSts> {
    /// Connects to the directory in `TENANCY_TABLE` and trusts the user pool `USER_POOL_ID`, whose people
    /// sign in with app client `USER_POOL_CLIENT_ID`. Tokens of AWS roles have to be made for `SERVER_ID`, with
    /// STS of one of `STS_REGIONS`.
    ///
    /// # Errors
    /// If one of them or `AWS_REGION` is not set, or cannot be used.
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
        let aws_tokens = AwsTokens::new(&variable("SERVER_ID")?, &variable("STS_REGIONS")?)?;
        // What a token is signed for stays the same: this is only where the connection goes.
        let sts_url = variable("AWS_ENDPOINT_URL_STS").or_else(|_| variable("AWS_ENDPOINT_URL"));
        let client = https_client()?;
        let sts = HttpSts::new(client.clone(), sts_url.ok())?;
        let sdk = aws_config::load_from_env().await;
        let directory = DynamoDirectory::new(store_dynamodb::client(&sdk), table);
        Ok(Self::new(directory, HttpJwks::new(client), user_pool, sts, aws_tokens))
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

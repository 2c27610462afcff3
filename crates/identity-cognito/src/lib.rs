//! People, groups and machine clients in a user pool of Amazon Cognito.
//!
//! What Cognito says about a failure is reduced to its code: its messages may name people.

mod clients;
#[cfg(feature = "offboarding")]
mod estate;
mod people;

use std::collections::BTreeSet;
use std::time::Duration;

use administration::{NewSecret, Secret, User, UserPool, UserPoolError};
use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_cognitoidentityprovider::Client;
use aws_sdk_cognitoidentityprovider::error::{ProvideErrorMetadata, SdkError};

/// Entries of a page: as many as Cognito gives.
const PAGE: i32 = 60;

/// A user pool.
#[derive(Debug)]
pub struct CognitoPool {
    client: Client,
    pool_id: String,
    issuer: String,
}

impl CognitoPool {
    /// The user pool of that id in a Region.
    pub fn new(sdk: &SdkConfig, pool_id: String, region: &str) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(2))
            .operation_attempt_timeout(Duration::from_secs(5))
            .operation_timeout(Duration::from_secs(15))
            .build();
        let config = aws_sdk_cognitoidentityprovider::config::Builder::from(sdk)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .build();
        let issuer = format!("https://cognito-idp.{region}.amazonaws.com/{pool_id}");
        Self { client: Client::from_conf(config), pool_id, issuer }
    }
}

/// What an answer that is no success means.
fn failed<E, R>(operation: &'static str, error: &SdkError<E, R>) -> UserPoolError
where
    E: ProvideErrorMetadata,
{
    match error.as_service_error().and_then(ProvideErrorMetadata::code) {
        Some("UserNotFoundException" | "ResourceNotFoundException") => UserPoolError::NotFound,
        Some("InvalidAction" | "UnknownOperationException") => UserPoolError::Unsupported,
        Some(code) => UserPoolError::Failed { operation, source: code.to_owned().into() },
        None => {
            let source = match error {
                SdkError::TimeoutError(_) => "it took too long",
                SdkError::DispatchFailure(_) => "it could not be reached",
                _ => "its answer makes no sense",
            };
            UserPoolError::Failed { operation, source: source.into() }
        }
    }
}

/// Whether something went well, or was not there to begin with.
fn unless_gone(outcome: Result<(), UserPoolError>) -> Result<(), UserPoolError> {
    match outcome {
        Err(UserPoolError::NotFound) => Ok(()),
        other => other,
    }
}

impl UserPool for CognitoPool {
    fn issuer(&self) -> &str {
        &self.issuer
    }

    async fn user(&self, name: &str) -> Result<Option<User>, UserPoolError> {
        Box::pin(self.get_user(name)).await
    }

    async fn create_user(&self, email: &str, invite: bool) -> Result<User, UserPoolError> {
        Box::pin(self.new_user(email, invite)).await
    }

    async fn groups_of(&self, user_id: &str) -> Result<Vec<String>, UserPoolError> {
        Box::pin(self.list_groups(user_id)).await
    }

    async fn add_to_group(&self, user_id: &str, group: &str) -> Result<(), UserPoolError> {
        Box::pin(self.join_group(user_id, group)).await
    }

    async fn remove_from_group(&self, user_id: &str, group: &str) -> Result<(), UserPoolError> {
        Box::pin(self.leave_group(user_id, group)).await
    }

    async fn set_enabled(&self, user_id: &str, is_enabled: bool) -> Result<(), UserPoolError> {
        Box::pin(self.enable(user_id, is_enabled)).await
    }

    async fn sign_out(&self, user_id: &str) -> Result<(), UserPoolError> {
        Box::pin(self.end_sessions(user_id)).await
    }

    async fn users_in(&self, group: &str) -> Result<Vec<User>, UserPoolError> {
        Box::pin(self.list_users(group)).await
    }

    async fn create_client(
        &self,
        pool_name: &str,
        scopes: &BTreeSet<String>,
    ) -> Result<NewSecret, UserPoolError> {
        Box::pin(self.new_client(pool_name, scopes)).await
    }

    async fn clients_named(&self, pool_name: &str) -> Result<Vec<String>, UserPoolError> {
        Box::pin(self.find_clients(pool_name)).await
    }

    async fn delete_client(&self, client_id: &str) -> Result<(), UserPoolError> {
        Box::pin(self.forget_client(client_id)).await
    }

    async fn secret_of(&self, client_id: &str) -> Result<Secret, UserPoolError> {
        Box::pin(self.read_secret(client_id)).await
    }

    async fn secrets_of(&self, client_id: &str) -> Result<Vec<String>, UserPoolError> {
        Box::pin(self.list_secrets(client_id)).await
    }

    async fn add_secret(&self, client_id: &str) -> Result<Secret, UserPoolError> {
        Box::pin(self.new_secret(client_id)).await
    }

    async fn delete_secret(&self, client_id: &str, secret_id: &str) -> Result<(), UserPoolError> {
        Box::pin(self.forget_secret(client_id, secret_id)).await
    }
}

#[cfg(test)]
mod tests;

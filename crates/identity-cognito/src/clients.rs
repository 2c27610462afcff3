//! Clients of programs, and their secrets.

use std::collections::BTreeSet;

use administration::{NewSecret, Secret, UserPoolError};
use aws_sdk_cognitoidentityprovider::primitives::DateTime;
use aws_sdk_cognitoidentityprovider::types::{OAuthFlowType, UserPoolClientDescription};

use crate::{CognitoPool, PAGE, failed, unless_gone};

impl CognitoPool {
    pub(crate) async fn new_client(
        &self,
        pool_name: &str,
        scopes: &BTreeSet<String>,
    ) -> Result<NewSecret, UserPoolError> {
        let operation = "make a client";
        let answer = self
            .client
            .create_user_pool_client()
            .user_pool_id(&self.pool_id)
            .client_name(pool_name)
            .generate_secret(true)
            .allowed_o_auth_flows_user_pool_client(true)
            .allowed_o_auth_flows(OAuthFlowType::ClientCredentials)
            .set_allowed_o_auth_scopes(Some(scopes.iter().cloned().collect()))
            .enable_token_revocation(true)
            .send()
            .await
            .map_err(|error| failed(operation, &error))?;
        let made = answer.user_pool_client().and_then(|client| {
            let (id, secret) = (client.client_id()?, client.client_secret()?);
            Some(NewSecret { client_id: id.to_owned(), secret: Secret::new(secret) })
        });
        made.ok_or_else(|| incomplete(operation))
    }

    /// Every client of the pool.
    pub(crate) async fn list_clients(
        &self,
    ) -> Result<Vec<UserPoolClientDescription>, UserPoolError> {
        let clients = self
            .client
            .list_user_pool_clients()
            .user_pool_id(&self.pool_id)
            .max_results(PAGE)
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await;
        clients.map_err(|error| failed("list clients", &error))
    }

    pub(crate) async fn find_clients(&self, name: &str) -> Result<Vec<String>, UserPoolError> {
        let clients = self.list_clients().await?;
        let named = clients.into_iter().filter(|client| client.client_name() == Some(name));
        Ok(named.filter_map(|client| client.client_id).collect())
    }

    pub(crate) async fn forget_client(&self, client_id: &str) -> Result<(), UserPoolError> {
        let delete = self.client.delete_user_pool_client().user_pool_id(&self.pool_id);
        let answer = delete.client_id(client_id).send().await;
        unless_gone(answer.map(|_| ()).map_err(|error| failed("forget a client", &error)))
    }

    pub(crate) async fn read_secret(&self, client_id: &str) -> Result<Secret, UserPoolError> {
        let operation = "read a client's secret";
        let describe = self.client.describe_user_pool_client().user_pool_id(&self.pool_id);
        let answer = describe.client_id(client_id).send().await;
        let answer = answer.map_err(|error| failed(operation, &error))?;
        let secret = answer.user_pool_client().and_then(|client| client.client_secret());
        secret.map(Secret::new).ok_or_else(|| incomplete(operation))
    }

    pub(crate) async fn list_secrets(&self, client_id: &str) -> Result<Vec<String>, UserPoolError> {
        let list = self.client.list_user_pool_client_secrets().user_pool_id(&self.pool_id);
        let answer = list.client_id(client_id).send().await;
        let answer = answer.map_err(|error| failed("list a client's secrets", &error))?;
        let mut secrets: Vec<_> = answer.client_secrets().to_vec();
        secrets.sort_by_key(|secret| secret.client_secret_create_date().map(DateTime::secs));
        Ok(secrets.into_iter().filter_map(|secret| secret.client_secret_id).collect())
    }

    pub(crate) async fn new_secret(&self, client_id: &str) -> Result<Secret, UserPoolError> {
        let operation = "give a client a secret";
        let add = self.client.add_user_pool_client_secret().user_pool_id(&self.pool_id);
        let answer = add.client_id(client_id).send().await;
        let answer = answer.map_err(|error| failed(operation, &error))?;
        let made = answer.client_secret_descriptor().and_then(|made| made.client_secret_value());
        made.map(Secret::new).ok_or_else(|| incomplete(operation))
    }

    pub(crate) async fn forget_secret(
        &self,
        client_id: &str,
        secret_id: &str,
    ) -> Result<(), UserPoolError> {
        let delete = self.client.delete_user_pool_client_secret().user_pool_id(&self.pool_id);
        let answer = delete.client_id(client_id).client_secret_id(secret_id).send().await;
        unless_gone(
            answer.map(|_| ()).map_err(|error| failed("take a secret from a client", &error)),
        )
    }
}

fn incomplete(operation: &'static str) -> UserPoolError {
    UserPoolError::Failed { operation, source: "its answer is incomplete".into() }
}

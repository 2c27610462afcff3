//! What tenants have in the user pool: their groups, who is in them, their machine clients.

use administration::UserPoolError;
use offboarding::{Estate, EstateError, Found, Page, Store, Whose};

use crate::{CognitoPool, PAGE, failed, unless_gone};

const GROUPS: &str = "groups";
const CLIENTS: &str = "clients";
const MEMBERS: &str = "members/";

fn found(place: impl Into<String>, name: impl Into<String>) -> Found {
    let (place, name) = (place.into(), name.into());
    Found { store: Store::UserPool, place, name, owner: None, expires_at: None }
}

fn estate(operation: &'static str) -> impl FnOnce(UserPoolError) -> EstateError {
    move |error| EstateError { operation, store: Store::UserPool, source: error.into() }
}

impl CognitoPool {
    async fn groups_named(&self, prefix: &str) -> Result<Vec<String>, UserPoolError> {
        let groups = self
            .client
            .list_groups()
            .user_pool_id(&self.pool_id)
            .limit(PAGE)
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| failed("list groups", &error))?;
        let names = groups.into_iter().filter_map(|group| group.group_name);
        Ok(names.filter(|name| name.starts_with(prefix)).collect())
    }

    async fn everything(&self, whose: &Whose) -> Result<Page, UserPoolError> {
        let clients = self.list_clients().await?.into_iter();
        let mut all: Vec<Found> = clients
            .filter_map(|it| Some(Found { owner: it.client_name, ..found(CLIENTS, it.client_id?) }))
            .collect();
        for group in self.groups_named(&format!("{}:", whose.tenant_id)).await? {
            for user in self.list_users(&group).await? {
                all.push(found(format!("{MEMBERS}{group}"), user.id.as_str()));
            }
            all.push(found(GROUPS, group));
        }
        Ok(Page { found: all, next: None })
    }

    async fn delete(&self, gone: &Found) -> Result<(), UserPoolError> {
        match gone.place.strip_prefix(MEMBERS) {
            Some(group) => self.leave_group(&gone.name, group).await,
            None if gone.place == CLIENTS => self.forget_client(&gone.name).await,
            None => {
                let delete = self.client.delete_group().user_pool_id(&self.pool_id);
                let answer = delete.group_name(&gone.name).send().await;
                let answer = answer.map(|_| ()).map_err(|error| failed("delete a group", &error));
                unless_gone(answer)
            }
        }
    }

    async fn look(&self, wanted: &Found) -> Result<bool, UserPoolError> {
        let answer = match wanted.place.strip_prefix(MEMBERS) {
            Some(group) => {
                let groups = self.list_groups(&wanted.name).await;
                groups.map(|groups| groups.iter().any(|it| it == group))
            }
            None if wanted.place == CLIENTS => {
                let look = self.client.describe_user_pool_client().user_pool_id(&self.pool_id);
                let answer = look.client_id(&wanted.name).send().await;
                answer.map(|_| true).map_err(|error| failed("look for a client", &error))
            }
            None => {
                let look = self.client.get_group().user_pool_id(&self.pool_id);
                let answer = look.group_name(&wanted.name).send().await;
                answer.map(|_| true).map_err(|error| failed("look for a group", &error))
            }
        };
        match answer {
            Err(UserPoolError::NotFound) => Ok(false),
            other => other,
        }
    }
}

impl Estate for CognitoPool {
    async fn list(&self, whose: &Whose, _: Store, _: Option<&str>) -> Result<Page, EstateError> {
        Box::pin(self.everything(whose)).await.map_err(estate("list"))
    }

    async fn remove(&self, found: &Found) -> Result<(), EstateError> {
        Box::pin(self.delete(found)).await.map_err(estate("delete from"))
    }

    async fn is_there(&self, found: &Found) -> Result<bool, EstateError> {
        Box::pin(self.look(found)).await.map_err(estate("look into"))
    }
}

//! People and their groups.

use administration::{User, UserPoolError};
use aws_sdk_cognitoidentityprovider::operation::admin_create_user::AdminCreateUserError;
use aws_sdk_cognitoidentityprovider::operation::create_group::CreateGroupError;
use aws_sdk_cognitoidentityprovider::types::{
    AttributeType, DeliveryMediumType, MessageActionType, UserType,
};
use tenancy::PrincipalId;

use crate::{CognitoPool, PAGE, failed, unless_gone};

impl CognitoPool {
    pub(crate) async fn get_user(&self, name: &str) -> Result<Option<User>, UserPoolError> {
        let answer =
            self.client.admin_get_user().user_pool_id(&self.pool_id).username(name).send().await;
        let found = match answer.map_err(|error| failed("look a person up", &error)) {
            Err(UserPoolError::NotFound) => return Ok(None),
            other => other?,
        };
        let status = found.user_status().map_or("", |status| status.as_str());
        user(found.username(), found.user_attributes(), found.enabled(), status).map(Some)
    }

    pub(crate) async fn new_user(&self, email: &str, invite: bool) -> Result<User, UserPoolError> {
        let operation = "make a person";
        let mut create = self
            .client
            .admin_create_user()
            .user_pool_id(&self.pool_id)
            .username(email)
            .user_attributes(attribute("email", email)?)
            // Whoever runs the tenant says that it is theirs; a password is only ever sent there.
            .user_attributes(attribute("email_verified", "true")?);
        create = if invite {
            create.desired_delivery_mediums(DeliveryMediumType::Email)
        } else {
            create.message_action(MessageActionType::Suppress)
        };
        match create.send().await {
            Ok(answer) => match answer.user() {
                Some(made) => of_list(made),
                None => Err(UserPoolError::NotFound),
            },
            Err(error) => {
                let exists = error
                    .as_service_error()
                    .is_some_and(AdminCreateUserError::is_username_exists_exception);
                if !exists {
                    return Err(failed(operation, &error));
                }
                self.get_user(email).await?.ok_or(UserPoolError::NotFound)
            }
        }
    }

    pub(crate) async fn list_groups(&self, user_id: &str) -> Result<Vec<String>, UserPoolError> {
        let groups = self
            .client
            .admin_list_groups_for_user()
            .user_pool_id(&self.pool_id)
            .username(user_id)
            .limit(PAGE)
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| failed("list a person's groups", &error))?;
        Ok(groups.into_iter().filter_map(|group| group.group_name).collect())
    }

    pub(crate) async fn join_group(&self, user_id: &str, group: &str) -> Result<(), UserPoolError> {
        match self.try_join_group(user_id, group).await {
            // The group or the person; which, the second try says.
            Err(UserPoolError::NotFound) => {
                self.make_group(group).await?;
                self.try_join_group(user_id, group).await
            }
            other => other,
        }
    }

    async fn try_join_group(&self, user_id: &str, group: &str) -> Result<(), UserPoolError> {
        let add = self.client.admin_add_user_to_group().user_pool_id(&self.pool_id);
        let answer = add.username(user_id).group_name(group).send().await;
        answer.map(|_| ()).map_err(|error| failed("put a person into a group", &error))
    }

    async fn make_group(&self, group: &str) -> Result<(), UserPoolError> {
        let create = self.client.create_group().user_pool_id(&self.pool_id).group_name(group);
        match create.send().await {
            Err(error)
                if !error
                    .as_service_error()
                    .is_some_and(CreateGroupError::is_group_exists_exception) =>
            {
                Err(failed("make a group", &error))
            }
            _ => Ok(()),
        }
    }

    pub(crate) async fn leave_group(
        &self,
        user_id: &str,
        group: &str,
    ) -> Result<(), UserPoolError> {
        let remove = self.client.admin_remove_user_from_group().user_pool_id(&self.pool_id);
        let answer = remove.username(user_id).group_name(group).send().await;
        unless_gone(
            answer.map(|_| ()).map_err(|error| failed("take a person out of a group", &error)),
        )
    }

    pub(crate) async fn enable(
        &self,
        user_id: &str,
        is_enabled: bool,
    ) -> Result<(), UserPoolError> {
        let operation = "let a person in or not";
        if is_enabled {
            let enable = self.client.admin_enable_user().user_pool_id(&self.pool_id);
            let answer = enable.username(user_id).send().await;
            answer.map(|_| ()).map_err(|error| failed(operation, &error))
        } else {
            let disable = self.client.admin_disable_user().user_pool_id(&self.pool_id);
            let answer = disable.username(user_id).send().await;
            answer.map(|_| ()).map_err(|error| failed(operation, &error))
        }
    }

    pub(crate) async fn end_sessions(&self, user_id: &str) -> Result<(), UserPoolError> {
        let end = self.client.admin_user_global_sign_out().user_pool_id(&self.pool_id);
        let answer = end.username(user_id).send().await;
        answer.map(|_| ()).map_err(|error| failed("end a person's sessions", &error))
    }

    pub(crate) async fn list_users(&self, group: &str) -> Result<Vec<User>, UserPoolError> {
        let found = self
            .client
            .list_users_in_group()
            .user_pool_id(&self.pool_id)
            .group_name(group)
            .limit(PAGE)
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await;
        match found {
            Ok(users) => users.iter().map(of_list).collect(),
            Err(error) => match failed("list a group", &error) {
                // Nobody was ever in it.
                UserPoolError::NotFound => Ok(Vec::new()),
                other => Err(other),
            },
        }
    }
}

fn of_list(user_: &UserType) -> Result<User, UserPoolError> {
    let status = user_.user_status().map_or("", |status| status.as_str());
    user(user_.username().unwrap_or_default(), user_.attributes(), user_.enabled(), status)
}

/// A person by what Cognito shows; the subject of their tokens is an attribute.
fn user(
    username: &str,
    attributes: &[AttributeType],
    is_enabled: bool,
    status: &str,
) -> Result<User, UserPoolError> {
    let find = |name: &str| {
        let found = attributes.iter().find(|attribute| attribute.name() == name);
        found.and_then(AttributeType::value)
    };
    let id =
        PrincipalId::try_from(find("sub").unwrap_or(username).to_owned()).map_err(|error| {
            UserPoolError::Failed { operation: "show a person", source: error.into() }
        })?;
    let email = find("email").unwrap_or_default().to_ascii_lowercase();
    Ok(User { id, email, is_enabled, status: status.to_owned() })
}

fn attribute(name: &str, value: &str) -> Result<AttributeType, UserPoolError> {
    let built = AttributeType::builder().name(name).value(value).build();
    built.map_err(|error| UserPoolError::Failed {
        operation: "describe a person",
        source: error.into(),
    })
}

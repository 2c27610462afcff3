//! Who may call for a tenant: people, machine clients, AWS roles.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenancy::{AwsRole, PrincipalId, Role, Scope, Status, TenantId};

use crate::validation::is_email;

/// Roles that a person can have.
pub const PERSON_ROLES: [Role; 7] = [
    Role::OrgAdmin,
    Role::LobAdmin,
    Role::TenantAdmin,
    Role::Developer,
    Role::Viewer,
    Role::Auditor,
    Role::OrgAuditor,
];

/// Text that names no caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}")]
pub struct InvalidCaller {
    /// Which part of it is wrong.
    pub field: &'static str,
    /// What it has to be.
    pub rule: &'static str,
}

/// A person with a role in a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What the user pool calls them; stands in keys and logs, unlike their address.
    pub user_id: PrincipalId,
    /// What they are in the tenant.
    pub roles: BTreeSet<Role>,
}

/// A program's client, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineClient {
    /// The `client_id` of its tokens.
    pub client_id: String,
    /// What people call it.
    #[serde(default)]
    pub name: String,
    /// What its tokens may be for.
    #[serde(default)]
    pub scopes: BTreeSet<String>,
    /// What it is in the tenant.
    #[serde(default = "machine")]
    pub role: Role,
    /// Since when it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<PrincipalId>,
}

fn machine() -> Role {
    Role::Machine
}

/// What a program proves itself by. Said once, to whoever asked for it, and never written anywhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Its text, for the one answer that holds it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A client that has just been given a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSecret {
    /// The client.
    pub client_id: String,
    /// Its secret.
    pub secret: Secret,
}

/// What the tokens of a client in that role may be for; none: no client is in that role.
pub fn scopes_of(role: Role) -> &'static [Scope] {
    match role {
        Role::Machine => &[Scope::Invoke, Scope::Read],
        Role::Provisioner => &[Scope::Admin],
        _ => &[],
    }
}

/// The group of the people that have `role` in a tenant.
pub fn group(tenant_id: &TenantId, role: Role) -> String {
    format!("{tenant_id}:{}", role.as_str())
}

/// The meaning of a group; other groups are none of ours.
pub fn membership(group: &str) -> Option<(TenantId, Role)> {
    let (tenant_id, role) = group.split_once(':')?;
    let role = role.parse().ok().filter(|role: &Role| !role.is_program())?;
    Some((tenant_id.parse().ok()?, role))
}

/// What somebody in `groups` is in a tenant, and whether they are anything in another one.
pub fn memberships(tenant_id: &TenantId, groups: &[String]) -> (BTreeSet<Role>, bool) {
    let (mut roles, mut has_others) = (BTreeSet::new(), false);
    for (of, role) in groups.iter().filter_map(|group| membership(group)) {
        if of == *tenant_id {
            roles.insert(role);
        } else {
            has_others = true;
        }
    }
    (roles, has_others)
}

/// The address of a person, in the one form that it is compared in.
///
/// # Errors
/// It is none.
pub fn new_email(text: &str) -> Result<String, InvalidCaller> {
    let rule = "People are named by their e-mail address, such as `ann@acme.example`: letters, digits and . _ % + ' - only.";
    is_email(text).then(|| text.to_ascii_lowercase()).ok_or(InvalidCaller { field: "email", rule })
}

/// How a person is looked up: by address, or by what the user pool calls them.
///
/// # Errors
/// It is neither.
pub fn new_user_name(text: &str) -> Result<String, InvalidCaller> {
    let is_id = (1..=64).contains(&text.len())
        && text.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-');
    if is_id {
        return Ok(text.to_owned());
    }
    new_email(text).map_err(|error| InvalidCaller { field: "username", ..error })
}

/// The name of a machine client.
///
/// # Errors
/// It cannot be shown or stored.
pub fn new_client_name(text: &str) -> Result<String, InvalidCaller> {
    let is_valid = (1..=64).contains(&text.len())
        && text.trim() == text
        && text.bytes().all(|it| it.is_ascii_alphanumeric() || b" ._-".contains(&it));
    let rule = "A name has 1 to 64 letters, digits, spaces and . _ -.";
    is_valid.then(|| text.to_owned()).ok_or(InvalidCaller { field: "name", rule })
}

/// An AWS role as a caller of a tenant. Its account and name stand in a key, so they are exactly what
/// IAM lets them be.
///
/// # Errors
/// It cannot be a role of IAM.
pub fn new_aws_role(
    account_id: &str,
    role_name: &str,
    role_id: Option<&str>,
    tenant_id: &TenantId,
    role: Role,
) -> Result<AwsRole, InvalidCaller> {
    let invalid = |field, rule| Err(InvalidCaller { field, rule });
    if account_id.len() != 12 || !account_id.bytes().all(|it| it.is_ascii_digit()) {
        return invalid("account_id", "An AWS account id has 12 digits.");
    }
    let is_name = (1..=64).contains(&role_name.len())
        && role_name.bytes().all(|it| it.is_ascii_alphanumeric() || b"+=,.@_-".contains(&it));
    if !is_name {
        return invalid(
            "role_name",
            "The name of a role has 1 to 64 letters, digits and + = , . @ _ -, without its path.",
        );
    }
    let is_role_id = |id: &str| {
        id.starts_with("AROA")
            && (16..=32).contains(&id.len())
            && id.bytes().all(|it| it.is_ascii_uppercase() || it.is_ascii_digit())
    };
    if role_id.is_some_and(|id| !is_role_id(id)) {
        return invalid(
            "role_id",
            "The unique id of a role begins with `AROA` (aws iam get-role shows it).",
        );
    }
    Ok(AwsRole {
        account_id: account_id.to_owned(),
        role_name: role_name.to_owned(),
        role_id: role_id.map(str::to_owned),
        tenant_id: tenant_id.clone(),
        role,
        status: Status::Active,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_what_they_look_like() {
        assert_eq!(new_email("Ann@Acme.Example").unwrap(), "ann@acme.example");
        for text in [
            "",
            "ann",
            "@acme",
            "ann@",
            "ann@a@b",
            "a*n@acme.example",
            "ann@acme..example",
            "\u{430}nn@acme.example",
            "ann#@x.y",
            "a b@x.y",
        ] {
            assert!(new_email(text).is_err(), "{text}");
        }
        assert!(new_user_name("5f0c2d3e-0000-4000-8000-000000000001").is_ok());
        assert!(new_user_name("a/b").is_err());
        assert!(new_client_name("Nightly batch").is_ok());
        assert!(new_client_name(" x").is_err());
    }

    #[test]
    fn a_secret_is_not_shown() {
        let new = NewSecret { client_id: "c".into(), secret: Secret::new("hidden") };
        assert!(!format!("{new:?}").contains("hidden"));
    }

    proptest! {
        #[test]
        fn a_group_is_of_its_tenant_and_no_other(text in "[a-z*?#:/\u{430}\\x00-]{0,44}", role in 0usize..9) {
            let role = Role::ALL[role];
            if let Ok(tenant_id) = text.parse::<TenantId>() {
                let group = group(&tenant_id, role);
                let expected = (!role.is_program()).then(|| (tenant_id.clone(), role));
                prop_assert_eq!(membership(&group), expected);
                let other: TenantId = "other-one".parse().unwrap();
                prop_assert!(memberships(&other, &[group]).0.is_empty());
            } else if let Some((tenant_id, _)) = membership(&format!("{text}:developer")) {
                prop_assert!(false, "{} became {}", text, tenant_id);
            }
        }
    }
}

//! Roles, scopes, and the one table that says what they permit.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a principal is in its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the organisation.
    OrgAdmin,
    /// Runs a line of business.
    LobAdmin,
    /// Runs a tenant.
    TenantAdmin,
    /// Builds with models.
    Developer,
    /// Reads, never calls.
    Viewer,
    /// A program.
    Machine,
}

/// Something that a route needs its caller to be permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Call a model.
    InvokeModel,
    /// See which models the tenant may use.
    ListModels,
}

/// A scope of the gateway's own resource server; a token that carries any is narrowed to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// `weir/invoke`: call and list models.
    Invoke,
    /// `weir/read`: read only.
    Read,
}

/// The caller's role or scopes do not permit what it asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the caller is not permitted to {}", .permission.as_str())]
pub struct PermissionDenied {
    /// What was asked for.
    pub permission: Permission,
}

impl Permission {
    /// What the permission allows, to complete "not permitted to ...".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvokeModel => "call models",
            Self::ListModels => "list models",
        }
    }

    /// The permission table, role by role.
    pub fn is_granted_to(self, role: Role) -> bool {
        match self {
            Self::ListModels => true,
            Self::InvokeModel => !matches!(role, Role::Viewer),
        }
    }

    /// The permission table, scope by scope.
    fn is_within(self, scope: Scope) -> bool {
        match (self, scope) {
            (_, Scope::Invoke) | (Self::ListModels, Scope::Read) => true,
            (Self::InvokeModel, Scope::Read) => false,
        }
    }

    /// Checks a caller: one of `roles` grants it and, if there are `scopes`, one of them covers it.
    pub fn check(
        self,
        roles: &BTreeSet<Role>,
        scopes: &BTreeSet<Scope>,
    ) -> Result<(), PermissionDenied> {
        let is_granted = roles.iter().any(|role| self.is_granted_to(*role));
        let is_within = scopes.is_empty() || scopes.iter().any(|scope| self.is_within(*scope));
        if is_granted && is_within { Ok(()) } else { Err(PermissionDenied { permission: self }) }
    }
}

impl Role {
    /// The name used in group names, context and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OrgAdmin => "org_admin",
            Self::LobAdmin => "lob_admin",
            Self::TenantAdmin => "tenant_admin",
            Self::Developer => "developer",
            Self::Viewer => "viewer",
            Self::Machine => "machine",
        }
    }
}

/// A name that is no role or no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a known role or scope")]
pub struct UnknownName;

impl FromStr for Role {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        [
            Self::OrgAdmin,
            Self::LobAdmin,
            Self::TenantAdmin,
            Self::Developer,
            Self::Viewer,
            Self::Machine,
        ]
        .into_iter()
        .find(|role| role.as_str() == name)
        .ok_or(UnknownName)
    }
}

impl Scope {
    /// The name as it stands in a token.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invoke => "weir/invoke",
            Self::Read => "weir/read",
        }
    }
}

impl FromStr for Scope {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        [Self::Invoke, Self::Read]
            .into_iter()
            .find(|scope| scope.as_str() == name)
            .ok_or(UnknownName)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(permission: Permission, roles: &[Role], scopes: &[Scope], is_permitted: bool) {
        let outcome =
            permission.check(&roles.iter().copied().collect(), &scopes.iter().copied().collect());
        assert_eq!(outcome.is_ok(), is_permitted, "{permission:?} {roles:?} {scopes:?}");
    }

    #[test]
    fn roles_grant_and_scopes_narrow() {
        check(Permission::InvokeModel, &[Role::Developer], &[], true);
        check(Permission::InvokeModel, &[Role::Viewer], &[], false);
        check(Permission::InvokeModel, &[Role::Viewer], &[Scope::Invoke], false);
        check(Permission::InvokeModel, &[Role::Machine], &[Scope::Read], false);
        check(Permission::InvokeModel, &[Role::Machine], &[Scope::Read, Scope::Invoke], true);
        check(Permission::ListModels, &[Role::Viewer], &[Scope::Read], true);
        check(Permission::ListModels, &[], &[], false);
    }
}

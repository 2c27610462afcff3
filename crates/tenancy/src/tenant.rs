//! The tenant itself, and the context in which one call runs.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{LobId, ModelId, Permission, PermissionDenied, Principal, Role, Scope, TenantId};

/// Whether a tenant or line of business may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Served.
    Active,
    /// Refused until it is resumed.
    Suspended,
}

/// The models that a tenant may call.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelAllowlist(pub BTreeSet<ModelId>);

impl ModelAllowlist {
    /// Whether the tenant may call `model`.
    pub fn allows(&self, model: &ModelId) -> bool {
        self.0.contains(model)
    }
}

/// What the gateway keeps about a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its id.
    pub tenant_id: TenantId,
    /// The line of business that it belongs to.
    pub lob_id: LobId,
    /// Whether it is served.
    pub status: Status,
    /// The models that it may call.
    pub models: ModelAllowlist,
    /// Output tokens that a request without a maximum may produce; the model's own default if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_max_tokens: Option<u32>,
    /// Counts every change of what the tenant may do, so that a cached copy can be told from a fresh one.
    pub entitlement_version: u64,
}

/// The verified tenant and principal of one call.
///
/// Only `http-api` makes one from a request, and only from the authorizer's context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantContext {
    /// Whose call it is.
    pub tenant_id: TenantId,
    /// The tenant's line of business.
    pub lob_id: LobId,
    /// Who calls.
    pub principal: Principal,
    /// What the principal is in the tenant.
    pub roles: BTreeSet<Role>,
    /// What the token is narrowed to; empty means not narrowed.
    pub scopes: BTreeSet<Scope>,
}

impl TenantContext {
    /// Checks that the caller's roles and scopes permit `permission`.
    pub fn require(&self, permission: Permission) -> Result<(), PermissionDenied> {
        permission.check(&self.roles, &self.scopes)
    }
}

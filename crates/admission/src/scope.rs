//! The levels of the hierarchy that carry limits.

use std::fmt;

use tenancy::{LobId, TenantContext, TenantId};

use crate::Limits;

/// A level of the hierarchy with a meter of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// A tenant.
    Tenant(TenantId),
    /// A line of business.
    Lob(LobId),
}

/// A scope with its limits, as last read; the store refuses the pair if it is no longer current.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitedScope {
    /// The scope.
    pub scope: Scope,
    /// Its limits.
    pub limits: Limits,
    /// The state of its entitlements that the limits belong to.
    pub entitlement_version: u64,
}

impl Scope {
    /// The scopes that a call counts against, the tenant's own first.
    pub fn of(context: &TenantContext) -> [Self; 2] {
        Self::of_tenant(&context.tenant_id, &context.lob_id)
    }

    /// The scopes that a call of `tenant_id` counts against, the tenant's own first.
    pub fn of_tenant(tenant_id: &TenantId, lob_id: &LobId) -> [Self; 2] {
        [Self::Tenant(tenant_id.clone()), Self::Lob(lob_id.clone())]
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant(id) => write!(f, "tenant `{id}`"),
            Self::Lob(id) => write!(f, "line of business `{id}`"),
        }
    }
}

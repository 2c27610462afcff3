//! What a tenant may do, as it was last read.

use tenancy::{Tenant, TenantContext};

use crate::{LimitedScope, StoreError};

/// A tenant with the limits of all its scopes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entitlements {
    /// The tenant: status, models, defaults.
    pub tenant: Tenant,
    /// Its scopes with their limits, its own first.
    pub scopes: Vec<LimitedScope>,
}

/// Reads entitlements.
pub trait EntitlementStore: Send + Sync {
    /// The entitlements of the caller's tenant as they are now; `None` if it was never onboarded.
    fn entitlements(
        &self,
        context: &TenantContext,
    ) -> impl Future<Output = Result<Option<Entitlements>, StoreError>> + Send;
}

//! What this function needs of its tables.

use std::collections::BTreeMap;
use std::future::Future;

use admission::{CallDetail, EntitlementStore, LimitStore, StoreError};
use metering::{RecordId, RollupStore, UsageRecord};
use tenancy::{ModelId, TenantContext, TenantId};

/// Reads the records of a tenant's calls.
pub trait RecordReader: Send + Sync {
    /// The records of one call of the caller's tenant, one for each attempt; none if there is no such
    /// call of this tenant.
    fn records(
        &self,
        context: &TenantContext,
        call_id: &str,
    ) -> impl Future<Output = Result<Vec<UsageRecord>, StoreError>> + Send;
}

/// Reads what is known of calls that are running.
pub trait DetailReader: Send + Sync {
    /// What was known of a provider call before it was made.
    fn detail(
        &self,
        tenant_id: &TenantId,
        id: &RecordId,
    ) -> impl Future<Output = Result<Option<CallDetail>, StoreError>> + Send;
}

/// Reads which family each registered model is of.
pub trait FamilyReader: Send + Sync {
    /// Families by model.
    fn families(
        &self,
    ) -> impl Future<Output = Result<BTreeMap<ModelId, ModelId>, StoreError>> + Send;
}

/// All that is read and written.
pub trait Store:
    LimitStore + EntitlementStore + RecordReader + DetailReader + FamilyReader + RollupStore
{
}

impl<S> Store for S where
    S: LimitStore + EntitlementStore + RecordReader + DetailReader + FamilyReader + RollupStore
{
}

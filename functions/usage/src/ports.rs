//! What this function needs of its tables.

use std::future::Future;

use admission::{EntitlementStore, LimitStore, StoreError};
use metering::{RollupStore, UsageRecord};
use tenancy::TenantContext;

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

/// All that is read and written.
pub trait Store: LimitStore + EntitlementStore + RecordReader + RollupStore {}

impl<S: LimitStore + EntitlementStore + RecordReader + RollupStore> Store for S {}

//! What this function needs of its tables.

use std::collections::BTreeMap;
use std::future::Future;

use admission::{CallDetail, EntitlementStore, LimitStore, PriceOverrideStore, StoreError};
use billing::port::BillingStore;
use events::EventSink;
use inference::CatalogStore;
use lake::ObjectStore;
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

/// What is billed, the documents of it, and who is asked to make them.
pub trait Billing: Send + Sync {
    /// Plans, entries, months.
    type Books: BillingStore;
    /// The bucket of statements.
    type Documents: ObjectStore;
    /// The bus on which the function `billing` hears of its tasks.
    type Bus: EventSink;

    /// Plans, entries, months.
    fn books(&self) -> &Self::Books;

    /// The bucket of statements, of all accounts: a key is made of an account that the caller may see.
    fn documents(&self) -> &Self::Documents;

    /// The bus.
    fn bus(&self) -> &Self::Bus;
}

/// All that is read and written.
pub trait Store:
    LimitStore
    + EntitlementStore
    + CatalogStore
    + PriceOverrideStore
    + RecordReader
    + DetailReader
    + FamilyReader
    + RollupStore
    + Billing
{
}

impl<S> Store for S where
    S: LimitStore
        + EntitlementStore
        + CatalogStore
        + PriceOverrideStore
        + RecordReader
        + DetailReader
        + FamilyReader
        + RollupStore
        + Billing
{
}

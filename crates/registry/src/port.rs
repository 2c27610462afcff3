//! What is needed of the table.

use std::future::Future;

use admission::StoreError;
use tenancy::ModelId;

use crate::{Change, Versioned};

/// Reads and changes entries; what a caller may do was decided before.
pub trait RegistryStore: Send + Sync {
    /// Every registered model, in the order of ids.
    fn models(&self) -> impl Future<Output = Result<Vec<Versioned>, StoreError>> + Send;

    /// A model; `None` if it is not registered.
    fn model(
        &self,
        id: &ModelId,
    ) -> impl Future<Output = Result<Option<Versioned>, StoreError>> + Send;

    /// How a model was, latest first: `limit` versions before `before`.
    fn versions(
        &self,
        id: &ModelId,
        before: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Versioned>, StoreError>> + Send;

    /// Makes the change, its version and its audit entry in one write; whether what it was made from was
    /// still so.
    fn change(&self, change: &Change) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

//! What is needed of the table.

use std::future::Future;

use admission::StoreError;
use tenancy::ModelId;

use crate::{Change, Entry, Removal, Told, Versioned};

/// Reads and changes entries; what a caller may do was decided before.
pub trait RegistryStore: Send + Sync {
    /// Every entry of a kind, in the order of ids.
    fn entries<E: Entry>(
        &self,
    ) -> impl Future<Output = Result<Vec<Versioned<E>>, StoreError>> + Send;

    /// An entry; `None` if it is not registered.
    fn entry<E: Entry>(
        &self,
        id: &ModelId,
    ) -> impl Future<Output = Result<Option<Versioned<E>>, StoreError>> + Send;

    /// How an entry was, latest first: `limit` versions before `before`. They stay when it is taken away.
    fn versions<E: Entry>(
        &self,
        id: &ModelId,
        before: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Versioned<E>>, StoreError>> + Send;

    /// Makes the change, its version and its audit entry in one write; whether what it was made from was
    /// still so.
    fn change<E: Entry>(
        &self,
        change: &Change<E>,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Takes an entry away in one write with its audit entry; whether it was still so.
    fn remove<E: Entry>(
        &self,
        removal: &Removal<E>,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// What has been told of a model's end; `None` if nothing was.
    fn told(&self, id: &ModelId) -> impl Future<Output = Result<Option<Told>, StoreError>> + Send;

    /// Notes what has been told of a model's end; `None`: there is none any more.
    fn put_told(
        &self,
        id: &ModelId,
        told: Option<&Told>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

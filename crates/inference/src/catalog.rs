//! The models and prices that the organisation offers.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use metering::PriceBook;
use tenancy::ModelId;

use crate::Model;

/// Every registered model and every price book, as last read.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// The models by the name that clients use.
    pub models: BTreeMap<ModelId, Arc<Model>>,
    /// The price books, of all times.
    pub price_books: Vec<Arc<PriceBook>>,
}

/// The catalog could not be read; trying again is safe.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the model catalog")]
pub struct ReadCatalogError {
    /// What the store said.
    pub source: Box<dyn Error + Send + Sync>,
}

/// Reads the catalog.
pub trait CatalogStore: Send + Sync {
    /// The catalog as it is now.
    fn catalog(&self) -> impl Future<Output = Result<Catalog, ReadCatalogError>> + Send;
}

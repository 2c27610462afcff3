//! The models and prices that the organisation offers.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use metering::{PriceBook, PriceOverrides, Prices};
use tenancy::ModelId;

use crate::{Alias, Model, ProviderConfig};

/// Every registered model, provider, alias and price book, as last read.
#[derive(Debug, Clone)]
pub struct Catalog {
    /// The models by the name that clients use.
    pub models: BTreeMap<ModelId, Arc<Model>>,
    /// Who runs them, by id; what every stack has is among them.
    pub providers: BTreeMap<String, Arc<ProviderConfig>>,
    /// The organisation's aliases, by name.
    pub aliases: BTreeMap<ModelId, Arc<Alias>>,
    /// The price books, of all times.
    pub price_books: Vec<Arc<PriceBook>>,
    /// What the organisation has agreed instead, of all times.
    pub price_overrides: Vec<Arc<PriceOverrides>>,
}

impl Default for Catalog {
    fn default() -> Self {
        let built_in = ProviderConfig::built_in();
        Self {
            models: BTreeMap::new(),
            providers: built_in.into_iter().map(|it| (it.id.clone(), Arc::new(it))).collect(),
            aliases: BTreeMap::new(),
            price_books: Vec::new(),
            price_overrides: Vec::new(),
        }
    }
}

impl Catalog {
    /// The prices of all times.
    pub fn prices(&self) -> Prices<'_> {
        Prices { books: &self.price_books, overrides: &self.price_overrides }
    }
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

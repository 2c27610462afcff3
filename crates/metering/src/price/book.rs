//! Price books: every model's prices, from one moment on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tenancy::ModelId;

use super::ModelPrices;
use super::stored::{InvalidPrices, StoredPrices};

/// Every model's prices, from one moment on (`PK=CATALOG`, `SK=PRICES#<version>`; seeded from `infra/seed/prices.json`).
///
/// What makes no sense is refused when it is read; [`PriceBook::validate`] says what that is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredPrices", into = "StoredPrices")]
pub struct PriceBook {
    /// Names the book; each usage record says which one it was priced by.
    pub version: String,
    /// The first moment of its validity, in Unix seconds.
    pub valid_from: i64,
    /// The first moment after its validity, in Unix seconds; until there is a younger book if unset.
    pub valid_until: Option<i64>,
    /// The prices.
    pub models: BTreeMap<ModelId, ModelPrices>,
}

impl PriceBook {
    /// The book in force at `now` (Unix seconds): the youngest of those that are valid then. When a
    /// book that ends is over, the one before it is in force again.
    pub fn in_force<B: AsRef<Self>>(books: &[B], now: i64) -> Option<&B> {
        youngest(books, now, |book| {
            let Self { version, valid_from, valid_until, .. } = book.as_ref();
            (version, *valid_from, *valid_until)
        })
    }

    /// Checks that the book can be used.
    ///
    /// # Errors
    /// See [`InvalidPrices`].
    pub fn validate(&self) -> Result<(), InvalidPrices> {
        super::stored::validate(&self.version, self.valid_from, self.valid_until, &self.models)
    }
}

/// The youngest of what is valid at `now`; of two that begin together, the one with the greater version.
pub(super) fn youngest<T>(
    all: &[T],
    now: i64,
    validity: impl Fn(&T) -> (&String, i64, Option<i64>),
) -> Option<&T> {
    all.iter()
        .filter(|it| {
            let (_, from, until) = validity(it);
            from <= now && until.is_none_or(|until| now < until)
        })
        .max_by(|a, b| {
            let ((a, a_from, _), (b, b_from, _)) = (validity(a), validity(b));
            (a_from, a).cmp(&(b_from, b))
        })
}

impl TryFrom<StoredPrices> for PriceBook {
    type Error = InvalidPrices;

    fn try_from(stored: StoredPrices) -> Result<Self, InvalidPrices> {
        let StoredPrices { version, valid_from, valid_until, currency: _, models } = stored;
        let book = Self { version, valid_from, valid_until, models };
        book.validate()?;
        Ok(book)
    }
}

impl From<PriceBook> for StoredPrices {
    fn from(book: PriceBook) -> Self {
        let PriceBook { version, valid_from, valid_until, models } = book;
        Self { version, valid_from, valid_until, currency: super::Currency::Usd, models }
    }
}

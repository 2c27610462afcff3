//! Prices that an organisation has agreed for itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tenancy::ModelId;

use super::book::youngest;
use super::stored::{InvalidPrices, StoredPrices, validate};
use super::{Currency, ModelPrices, Price, PriceBook, PriceTerms};

/// Prices that go before those of the price book, for a time (`PK=CATALOG`, `SK=PRICE_OVERRIDES#<version>`).
///
/// What they say of a model is all that is said of it: no rate of the book is left beside theirs. They
/// price nothing while no book is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredPrices", into = "StoredPrices")]
pub struct PriceOverrides {
    /// Names them; stands after the book's version in the records of calls that they priced.
    pub version: String,
    /// The first moment of their validity, in Unix seconds.
    pub valid_from: i64,
    /// The first moment after their validity, in Unix seconds; until there are younger ones if unset.
    pub valid_until: Option<i64>,
    /// The prices.
    pub models: BTreeMap<ModelId, ModelPrices>,
}

impl PriceOverrides {
    /// The overrides in force at `now` (Unix seconds), by the same rule as price books.
    pub fn in_force<O: AsRef<Self>>(all: &[O], now: i64) -> Option<&O> {
        youngest(all, now, |it| {
            let Self { version, valid_from, valid_until, .. } = it.as_ref();
            (version, *valid_from, *valid_until)
        })
    }

    /// Checks that they can be used.
    ///
    /// # Errors
    /// See [`InvalidPrices`].
    pub fn validate(&self) -> Result<(), InvalidPrices> {
        validate(&self.version, self.valid_from, self.valid_until, &self.models)
    }
}

impl TryFrom<StoredPrices> for PriceOverrides {
    type Error = InvalidPrices;

    fn try_from(stored: StoredPrices) -> Result<Self, InvalidPrices> {
        let StoredPrices { version, valid_from, valid_until, currency: _, models } = stored;
        let overrides = Self { version, valid_from, valid_until, models };
        overrides.validate()?;
        Ok(overrides)
    }
}

impl From<PriceOverrides> for StoredPrices {
    fn from(overrides: PriceOverrides) -> Self {
        let PriceOverrides { version, valid_from, valid_until, models } = overrides;
        Self { version, valid_from, valid_until, currency: Currency::Usd, models }
    }
}

/// The books and overrides of all times.
#[derive(Debug, Clone, Copy)]
pub struct Prices<'a> {
    /// The price books.
    pub books: &'a [Arc<PriceBook>],
    /// What goes before them.
    pub overrides: &'a [Arc<PriceOverrides>],
}

/// A price, and what a usage record says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote<'a> {
    /// The price.
    pub price: &'a Price,
    /// The version of the book, as in `2026-11-01`; of an overridden price that of the overrides too,
    /// as in `2026-11-01+ovr-3`.
    pub version: String,
}

/// All prices of a model at one moment, and what set them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInForce<'a> {
    /// The model.
    pub model: &'a ModelId,
    /// Its prices.
    pub prices: &'a ModelPrices,
    /// The version of the book in force.
    pub book: &'a str,
    /// The version of the overrides that set them; none if the book does.
    pub overrides: Option<&'a str>,
}

impl ModelInForce<'_> {
    /// What usage records say of it, as [`Quote::version`].
    pub fn version(&self) -> String {
        version(self.book, self.overrides)
    }
}

fn version(book: &str, overrides: Option<&str>) -> String {
    overrides.map_or_else(|| book.to_owned(), |overrides| format!("{book}+{overrides}"))
}

impl<'a> Prices<'a> {
    /// Every model that has prices at `now` (Unix seconds), in the order of their ids; none while no book
    /// is in force.
    pub fn in_force(&self, now: i64) -> Vec<ModelInForce<'a>> {
        let Some(book) = PriceBook::in_force(self.books, now) else { return Vec::new() };
        let of_book = book.models.iter().map(|(model, prices)| ModelInForce {
            model,
            prices,
            book: &book.version,
            overrides: None,
        });
        let overrides = PriceOverrides::in_force(self.overrides, now);
        let overridden = overrides.into_iter().flat_map(|overrides| {
            overrides.models.iter().map(|(model, prices)| ModelInForce {
                model,
                prices,
                book: &book.version,
                overrides: Some(&overrides.version),
            })
        });
        // The latter replace the former.
        let models: BTreeMap<_, _> = of_book.chain(overridden).map(|it| (it.model, it)).collect();
        models.into_values().collect()
    }

    /// The price of `model` on `terms` at `now` (Unix seconds); none if it has none.
    pub fn quote(&self, model: &ModelId, terms: &PriceTerms<'_>, now: i64) -> Option<Quote<'a>> {
        let book = PriceBook::in_force(self.books, now)?;
        let overridden = PriceOverrides::in_force(self.overrides, now)
            .and_then(|overrides| Some((overrides, overrides.models.get(model)?)));
        match overridden {
            Some((overrides, prices)) => Some(Quote {
                price: prices.on(terms)?,
                version: version(&book.version, Some(&overrides.version)),
            }),
            None => Some(Quote {
                price: book.models.get(model)?.on(terms)?,
                version: book.version.clone(),
            }),
        }
    }

    /// Whether `model` has any price at `now`, be it on other terms.
    pub fn has_any(&self, model: &ModelId, now: i64) -> bool {
        PriceBook::in_force(self.books, now).is_some_and(|book| {
            book.models.contains_key(model)
                || PriceOverrides::in_force(self.overrides, now)
                    .is_some_and(|overrides| overrides.models.contains_key(model))
        })
    }

    /// The price that a [`Quote`] of that version had; none if it is known no more.
    pub fn quoted(
        &self,
        version: &str,
        model: &ModelId,
        terms: &PriceTerms<'_>,
    ) -> Option<&'a Price> {
        let prices = match version.split_once('+') {
            Some((_, overrides)) => {
                &self.overrides.iter().find(|it| it.version == overrides)?.models
            }
            None => &self.books.iter().find(|it| it.version == version)?.models,
        };
        prices.get(model)?.on(terms)
    }
}

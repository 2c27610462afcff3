//! What a token, a picture and a search cost.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tenancy::ModelId;

use crate::{NanoUsd, TokenUsage};

/// A price of one token, picture or search unit in trillionths of a US dollar: one dollar per million
/// tokens is 1,000,000, four cents a picture are 40,000,000,000.
///
/// Nano-USD would be too coarse: the cheapest models cost 0.011 nano-USD a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PicoUsd(pub u64);

/// The prices of one model, per kind of what it consumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Plain input.
    pub input: PicoUsd,
    /// Output, reasoning included.
    pub output: PicoUsd,
    /// Input read from the prompt cache; as plain input if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<PicoUsd>,
    /// Input written to the prompt cache for five minutes; as plain input if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_5m: Option<PicoUsd>,
    /// Input written to the prompt cache for one hour; as plain input if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<PicoUsd>,
    /// A picture made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<PicoUsd>,
    /// A reranker's search unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search_unit: Option<PicoUsd>,
    /// One unit of a guardrail's policy, the dearest of them; unset for what is no guardrail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardrail_unit: Option<PicoUsd>,
}

impl Price {
    /// Whether there is a price for every kind in `usage`. A call that may consume another is to be
    /// refused, since [`Self::cost`] would take nothing for it.
    pub fn covers(&self, usage: &TokenUsage) -> bool {
        (usage.images == 0 || self.image.is_some())
            && (usage.search_units == 0 || self.search_unit.is_some())
            && (usage.guardrail_units == 0 || self.guardrail_unit.is_some())
    }

    /// What `usage` costs. The kinds are summed exactly and the sum is rounded up once, so that a
    /// call that consumed anything never costs nothing.
    pub fn cost(&self, usage: &TokenUsage) -> NanoUsd {
        let kinds = [
            (usage.input, self.input),
            (usage.output, self.output),
            (usage.cache_read, self.cache_read.unwrap_or(self.input)),
            (usage.cache_write_5m, self.cache_write_5m.unwrap_or(self.input)),
            (usage.cache_write_1h, self.cache_write_1h.unwrap_or(self.input)),
            (usage.images, self.image.unwrap_or_default()),
            (usage.search_units, self.search_unit.unwrap_or_default()),
            (usage.guardrail_units, self.guardrail_unit.unwrap_or_default()),
        ];
        let pico: u128 =
            kinds.iter().map(|(units, price)| u128::from(*units) * u128::from(price.0)).sum();
        NanoUsd(u64::try_from(pico.div_ceil(1_000)).unwrap_or(u64::MAX))
    }

    /// What a call that consumes at most `most` can cost, whatever of its input is cached.
    pub fn bound(&self, most: &TokenUsage) -> NanoUsd {
        let dearest_input =
            [Some(self.input), self.cache_read, self.cache_write_5m, self.cache_write_1h]
                .into_iter()
                .flatten()
                .max()
                .unwrap_or(self.input);
        Self { input: dearest_input, ..*self }.cost(&TokenUsage {
            input: most.total_input(),
            cache_read: 0,
            cache_write_5m: 0,
            cache_write_1h: 0,
            ..*most
        })
    }
}

/// Every model's price, from one moment on (`PK=CATALOG`, `SK=PRICES#<version>`; seeded from `infra/seed/prices.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceBook {
    /// Names the book; each usage record says which one it was priced by.
    pub version: String,
    /// The first moment of its validity, in Unix seconds.
    pub valid_from: i64,
    /// The prices.
    pub models: BTreeMap<ModelId, Price>,
}

impl PriceBook {
    /// The book in force at `now` (Unix seconds): the youngest of those already valid.
    pub fn in_force<B: AsRef<Self>>(books: &[B], now: i64) -> Option<&B> {
        books
            .iter()
            .filter(|book| book.as_ref().valid_from <= now)
            .max_by_key(|book| (book.as_ref().valid_from, book.as_ref().version.clone()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Claude Sonnet 4.5: $3 in, $15 out, $0.30 cache read, $3.75 and $6 cache writes, per million tokens.
    const SONNET: Price = Price {
        input: PicoUsd(3_000_000),
        output: PicoUsd(15_000_000),
        cache_read: Some(PicoUsd(300_000)),
        cache_write_5m: Some(PicoUsd(3_750_000)),
        cache_write_1h: Some(PicoUsd(6_000_000)),
        image: None,
        search_unit: None,
        guardrail_unit: None,
    };

    #[test]
    fn each_kind_has_its_own_price() {
        let usage = TokenUsage {
            input: 1_000,
            output: 200,
            cache_read: 50_000,
            cache_write_5m: 400,
            cache_write_1h: 100,
            ..TokenUsage::default()
        };
        // 3,000,000 + 3,000,000 + 15,000,000 + 1,500,000 + 600,000 nano-USD, by hand
        assert_eq!(SONNET.cost(&usage), NanoUsd(23_100_000));
    }

    #[test]
    fn pictures_and_searches_are_priced_by_the_piece() {
        let price = Price {
            image: Some(PicoUsd(40_000_000_000)),
            search_unit: Some(PicoUsd(2_000_000_000)),
            ..SONNET
        };
        let usage = TokenUsage { images: 3, search_units: 2, ..TokenUsage::default() };
        assert_eq!(price.cost(&usage), NanoUsd(124_000_000), "$0.12 + $0.004");
        assert_eq!(price.bound(&usage), price.cost(&usage));
        assert_eq!(usage.total(), 0, "they are no tokens");
        assert!(price.covers(&usage) && SONNET.covers(&TokenUsage::default()));
        assert!(!SONNET.covers(&usage), "not for nothing");
        assert!(!Price { image: None, ..price }.covers(&usage));
    }

    #[test]
    fn a_fraction_of_a_nano_dollar_is_rounded_up_once() {
        let price = Price { input: PicoUsd(11), output: PicoUsd(11), ..SONNET };
        let usage = TokenUsage { input: 50, output: 50, ..TokenUsage::default() };
        assert_eq!(price.cost(&usage), NanoUsd(2), "1,100 pico-USD, not 1 + 1 rounded apart");
        assert_eq!(price.cost(&TokenUsage { input: 1, ..TokenUsage::default() }), NanoUsd(1));
        assert_eq!(price.cost(&TokenUsage::default()), NanoUsd::ZERO);
    }

    #[test]
    fn the_youngest_valid_book_is_in_force() {
        let book = |version: &str, valid_from| {
            std::sync::Arc::new(PriceBook {
                version: version.into(),
                valid_from,
                models: BTreeMap::new(),
            })
        };
        let books = [book("2026-02", 200), book("2026-01", 100), book("2026-03", 300)];
        let in_force = |now| PriceBook::in_force(&books, now).map(|book| book.version.as_str());
        assert_eq!(in_force(99), None);
        assert_eq!(in_force(100), Some("2026-01"));
        assert_eq!(in_force(299), Some("2026-02"));
        assert_eq!(in_force(300), Some("2026-03"));
    }

    proptest! {
        #[test]
        fn a_bound_is_never_below_the_cost(
            prices in any::<[u32; 7]>(), input in 0..1_000_000u64, output in 0..1_000_000u64,
            split in (0..100u64, 0..100u64, 0..100u64), pieces in any::<[u8; 2]>(), slack in 0..1_000u64,
        ) {
            let some = |index: usize| Some(PicoUsd(prices[index].into()));
            let price = Price {
                input: PicoUsd(prices[0].into()), output: PicoUsd(prices[1].into()),
                cache_read: some(2), cache_write_5m: some(3), cache_write_1h: some(4),
                image: some(5), search_unit: some(6), guardrail_unit: some(6),
            };
            let (read, five, hour) = (input * split.0 / 300, input * split.1 / 300, input * split.2 / 300);
            let usage = TokenUsage {
                input: input - read - five - hour, output, cache_read: read, cache_write_5m: five, cache_write_1h: hour,
                images: pieces[0].into(), search_units: pieces[1].into(), guardrail_units: pieces[1].into(),
            };
            let most = TokenUsage {
                input: input + slack, output: output + slack,
                images: usage.images + slack, search_units: usage.search_units + slack,
                guardrail_units: usage.guardrail_units + slack,
                ..TokenUsage::default()
            };
            prop_assert!(price.cost(&usage) <= price.bound(&most));
            prop_assert!(price.cost(&usage) <= price.bound(&usage));
        }
    }
}

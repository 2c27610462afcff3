//! What records were priced by, class by class.

use metering::{PicoUsd, PriceTerms, Prices, UsageRecord};

use crate::class::TokenClass;
use crate::ledger::UnitPrices;

impl UnitPrices for Prices<'_> {
    fn unit_price(&self, record: &UsageRecord, class: TokenClass) -> Option<PicoUsd> {
        let terms = PriceTerms {
            region: &record.region,
            profile_scope: record.profile_scope,
            service_tier: record.service_tier,
        };
        let price = self.quoted(&record.price_version, &record.choice.model, &terms)?;
        let of_token = price.tokens(record.usage.total_input());
        match class {
            TokenClass::Input => Some(of_token.input),
            TokenClass::Output => Some(of_token.output),
            TokenClass::InputAudio => Some(of_token.input_audio),
            TokenClass::OutputAudio => Some(of_token.output_audio),
            TokenClass::CacheRead => Some(of_token.cache_read),
            TokenClass::CacheWrite5m => Some(of_token.cache_write_5m),
            TokenClass::CacheWrite1h => Some(of_token.cache_write_1h),
            TokenClass::Image => price.image,
            TokenClass::SearchUnit => price.search_unit,
            TokenClass::GuardrailUnit => price.guardrail_unit,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use metering::{LongContext, NanoUsd, Price, PriceBook, TokenUsage};
    use proptest::prelude::*;
    use tenancy::ModelId;

    use super::*;
    use crate::class::quantities;
    use crate::fakes;

    prop_compose! {
        fn any_usage()(counts in any::<[u16; 7]>(), pieces in any::<[u8; 3]>()) -> TokenUsage {
            let [input, output, cache_read, cache_write_5m, cache_write_1h, input_audio, output_audio] = counts.map(u64::from);
            let [images, search_units, guardrail_units] = pieces.map(u64::from);
            TokenUsage {
                input, output, input_audio, output_audio, cache_read, cache_write_5m, cache_write_1h,
                images, search_units, guardrail_units,
            }
        }
    }

    fn some(price: u32) -> Option<PicoUsd> {
        (!price.is_multiple_of(4)).then(|| PicoUsd(price.into()))
    }

    proptest! {
        #[test]
        fn classes_cost_together_what_the_gateway_takes(
            usage in any_usage(), prices in any::<[u32; 10]>(), long in any::<[u32; 7]>(),
            thresholds in prop::collection::btree_set(0..400_000u64, 0..3),
        ) {
            let price = Price {
                input: PicoUsd(prices[0].into()), output: PicoUsd(prices[1].into()),
                cache_read: some(prices[2]), cache_write_5m: some(prices[3]), cache_write_1h: some(prices[4]),
                input_audio: some(prices[5]), output_audio: some(prices[6]),
                image: some(prices[7]), search_unit: some(prices[8]), guardrail_unit: some(prices[9]),
                long_context: thresholds.into_iter().map(|above_input_tokens| LongContext {
                    above_input_tokens,
                    input: PicoUsd(u64::from(long[0]) + above_input_tokens), output: PicoUsd(long[1].into()),
                    cache_read: some(long[2]), cache_write_5m: some(long[3]), cache_write_1h: some(long[4]),
                    input_audio: some(long[5]), output_audio: some(long[6]),
                }).collect(),
            };
            let cost = price.cost(&usage);
            let model: ModelId = "nova".parse().unwrap();
            let book = PriceBook {
                version: "2026-11".into(), valid_from: 0, valid_until: None,
                models: BTreeMap::from([(model.clone(), price.into())]),
            };
            let books = [Arc::new(book)];
            let prices = Prices { books: &books, overrides: &[] };
            let at = "2026-11-03T00:00:00Z".parse().unwrap();
            let none = |_: &UsageRecord, _| None;
            let mut record = fakes::record(1, ("acme", "nova"), at, usage, &none).unwrap();
            record.choice.model = model;
            let pico: u128 = quantities(&usage)
                .filter_map(|(class, units)| Some(u128::from(units) * u128::from(prices.unit_price(&record, class)?.0)))
                .sum();
            prop_assert_eq!(NanoUsd(u64::try_from(pico.div_ceil(1_000)).unwrap()), cost);
            record.price_version = "older".into();
            prop_assert_eq!(prices.unit_price(&record, TokenClass::Input), None);
        }
    }
}

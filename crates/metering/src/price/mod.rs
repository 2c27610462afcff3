//! What a token, a picture and a search cost.
//!
//! A [`Price`] holds the units of one model on one set of terms. Which price a call has is the
//! [`PriceBook`]'s to say, by its [`PriceTerms`], and an organisation's [`PriceOverrides`] have the
//! last word. Where prices come from, and how AWS's own are imported, is in `docs/prices.md`.

mod agreed;
mod book;
mod overrides;
mod rates;
mod stored;

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod reference_tests;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use agreed::{AgreedPrices, OverridesRefused};
pub use book::PriceBook;
pub use overrides::{ModelInForce, PriceOverrides, Prices, Quote};
pub use rates::{ModelPrices, PriceTerms, Rate};
pub use stored::{Currency, InvalidPrices};

use crate::{NanoUsd, TokenUsage};

/// A price of one token, picture or search unit in trillionths of a US dollar: one dollar per million
/// tokens is 1,000,000, four cents a picture are 40,000,000,000.
///
/// Nano-USD would be too coarse: the cheapest models cost 0.011 nano-USD a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PicoUsd(pub u64);

/// The prices of one model on one set of terms, per kind of what it consumes. The default is free.
///
/// A field that is unknown here is refused when it is read: to pass over a price would be to forget it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// Input written to the prompt cache for one hour; as that for five minutes if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<PicoUsd>,
    /// Input of sound; as plain input if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_audio: Option<PicoUsd>,
    /// Output of sound; as output if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_audio: Option<PicoUsd>,
    /// A picture made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<PicoUsd>,
    /// A reranker's search unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search_unit: Option<PicoUsd>,
    /// One unit of a guardrail's policy, the dearest of them; unset for what is no guardrail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardrail_unit: Option<PicoUsd>,
    /// What tokens cost in calls with a long input, by rising threshold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub long_context: Vec<LongContext>,
}

/// What the tokens of a call cost if its input is long. All of them, not only those beyond the
/// threshold; what is not counted in tokens keeps its price.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LongContext {
    /// Valid for calls whose input has more tokens than this, cached ones included.
    pub above_input_tokens: u64,
    /// Plain input.
    pub input: PicoUsd,
    /// Output, reasoning included.
    pub output: PicoUsd,
    /// Input read from the prompt cache; as plain input of a long call if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<PicoUsd>,
    /// Input written to the prompt cache for five minutes; as plain input of a long call if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_5m: Option<PicoUsd>,
    /// Input written to the prompt cache for one hour; as that for five minutes if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<PicoUsd>,
    /// Input of sound; as plain input of a long call if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_audio: Option<PicoUsd>,
    /// Output of sound; as output of a long call if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_audio: Option<PicoUsd>,
}

/// What each kind of token costs in one call, nothing left open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenPrices {
    /// Plain input.
    pub input: PicoUsd,
    /// Output, reasoning included.
    pub output: PicoUsd,
    /// Input read from the prompt cache.
    pub cache_read: PicoUsd,
    /// Input written to the prompt cache for five minutes.
    pub cache_write_5m: PicoUsd,
    /// Input written to the prompt cache for one hour.
    pub cache_write_1h: PicoUsd,
    /// Input of sound.
    pub input_audio: PicoUsd,
    /// Output of sound.
    pub output_audio: PicoUsd,
}

impl LongContext {
    fn tokens(&self) -> TokenPrices {
        let Self { input, output, .. } = *self;
        TokenPrices {
            input,
            output,
            cache_read: self.cache_read.unwrap_or(input),
            cache_write_5m: self.cache_write_5m.unwrap_or(input),
            cache_write_1h: self.cache_write_1h.or(self.cache_write_5m).unwrap_or(input),
            input_audio: self.input_audio.unwrap_or(input),
            output_audio: self.output_audio.unwrap_or(output),
        }
    }
}

impl TokenPrices {
    /// The dearest way to consume input, and to produce output.
    fn dearest(self) -> (PicoUsd, PicoUsd) {
        let Self { cache_read, cache_write_5m, cache_write_1h, input_audio, .. } = self;
        let input = [cache_read, cache_write_5m, cache_write_1h, input_audio]
            .into_iter()
            .fold(self.input, PicoUsd::max);
        (input, self.output.max(self.output_audio))
    }
}

impl Price {
    /// The price of tokens alone, whatever is cached.
    pub fn of_tokens(input: PicoUsd, output: PicoUsd) -> Self {
        Self { input, output, ..Self::default() }
    }

    /// Whether there is a price for every kind in `usage`. A call that may consume another is to be
    /// refused, since [`Self::cost`] would take nothing for it.
    pub fn covers(&self, usage: &TokenUsage) -> bool {
        (usage.images == 0 || self.image.is_some())
            && (usage.search_units == 0 || self.search_unit.is_some())
            && (usage.guardrail_units == 0 || self.guardrail_unit.is_some())
    }

    /// What `usage` costs. The kinds are summed exactly and the sum is rounded up once, so that a
    /// call that consumed anything never costs nothing. An amount that no [`NanoUsd`] holds is the
    /// largest one.
    pub fn cost(&self, usage: &TokenUsage) -> NanoUsd {
        let price = self.tokens(usage.total_input());
        let tokens = [
            (usage.input, price.input),
            (usage.output, price.output),
            (usage.cache_read, price.cache_read),
            (usage.cache_write_5m, price.cache_write_5m),
            (usage.cache_write_1h, price.cache_write_1h),
            (usage.input_audio, price.input_audio),
            (usage.output_audio, price.output_audio),
        ];
        sum(tokens.into_iter().chain(self.pieces(usage)))
    }

    /// What a call that consumes at most `most` can cost, whatever of its input is cached or sound, and
    /// however short it turns out: the long context of a model may be the cheaper one.
    pub fn bound(&self, most: &TokenUsage) -> NanoUsd {
        let input = most.total_input();
        let thresholds = self.long_context.iter().map(|tier| tier.above_input_tokens);
        // Each tier from its threshold up to the next one's: nothing in it has more input than that.
        let tiers = std::iter::once(self.short())
            .chain(self.long_context.iter().map(LongContext::tokens))
            .zip(std::iter::once(0).chain(thresholds.clone()))
            .zip(thresholds.map(Some).chain([None]));
        tiers
            .filter(|((_, above), _)| *above == 0 || input > *above)
            .map(|((price, _), up_to)| {
                let (dearest_input, dearest_output) = price.dearest();
                let tokens = [
                    (input.min(up_to.unwrap_or(u64::MAX)), dearest_input),
                    (most.total_output(), dearest_output),
                ];
                sum(tokens.into_iter().chain(self.pieces(most)))
            })
            .fold(NanoUsd::ZERO, NanoUsd::max)
    }

    fn short(&self) -> TokenPrices {
        let tier = LongContext {
            above_input_tokens: 0,
            input: self.input,
            output: self.output,
            cache_read: self.cache_read,
            cache_write_5m: self.cache_write_5m,
            cache_write_1h: self.cache_write_1h,
            input_audio: self.input_audio,
            output_audio: self.output_audio,
        };
        // What is left open falls back in the same way.
        tier.tokens()
    }

    /// What tokens cost in a call with so many of input, cached ones included.
    pub fn tokens(&self, total_input: u64) -> TokenPrices {
        self.long_context
            .iter()
            .filter(|tier| total_input > tier.above_input_tokens)
            .max_by_key(|tier| tier.above_input_tokens)
            .map_or_else(|| self.short(), LongContext::tokens)
    }

    fn pieces(&self, usage: &TokenUsage) -> [(u64, PicoUsd); 3] {
        [
            (usage.images, self.image.unwrap_or_default()),
            (usage.search_units, self.search_unit.unwrap_or_default()),
            (usage.guardrail_units, self.guardrail_unit.unwrap_or_default()),
        ]
    }
}

/// Sums exactly and rounds up once.
fn sum(kinds: impl Iterator<Item = (u64, PicoUsd)>) -> NanoUsd {
    let pico = kinds
        .map(|(units, price)| u128::from(units) * u128::from(price.0))
        .fold(0, u128::saturating_add);
    NanoUsd(u64::try_from(pico.div_ceil(1_000)).unwrap_or(u64::MAX))
}

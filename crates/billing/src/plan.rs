//! What a tenant is charged for what its calls cost.

use std::collections::{BTreeMap, BTreeSet};

use metering::{NanoUsd, PicoUsd, TokenUsage};
use serde::{Deserialize, Serialize};
use tenancy::ModelId;

use crate::Month;
use crate::rounding::half_even;

/// Hundredths of a per cent in a whole.
const WHOLE_BP: u32 = 10_000;

/// A mark-up beyond a hundredfold is a slip of the keyboard.
const MAX_MARKUP_BP: u32 = 1_000_000;

/// More of each than anybody needs, and less than an item of the store holds.
const MAX_ENTRIES: usize = 100;

/// The terms on which a tenant is billed, from one month on: a month has one plan.
///
/// A line of a statement is charged `base × (1 + mark-up) × (1 - discount)`, rounded once, half to even.
/// The base is what the provider took; of a model with a rate of its own, its units times that rate,
/// without the mark-up. What is included is then taken off, allowance by allowance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Names it on statements.
    pub id: String,
    /// The first month that it is in force.
    pub valid_from: Month,
    /// The first month that it is in force no more, if it ends before another one begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Month>,
    /// Due each month. Of a plan that a tenant has from its line of business or the organisation, only
    /// in months in which it made a call.
    #[serde(default)]
    pub flat_fee_nanousd: NanoUsd,
    /// What is added to the provider's price, in hundredths of a per cent.
    #[serde(default)]
    pub markup_bp: u32,
    /// What is taken off the charge, in hundredths of a per cent; the flat fee has none.
    #[serde(default)]
    pub discount_bp: u32,
    /// What the flat fee pays for, used up in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub included: Vec<Allowance>,
    /// Own prices of models.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rates: BTreeMap<ModelId, Rate>,
}

/// A volume that is not charged.
///
/// It is shared out over the lines that it covers in proportion to what they hold, so that what it is
/// worth depends neither on the order of calls nor on the names of models. Of a line with tokens, a
/// covered token is worth the line's average.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowance {
    /// Names it on statements.
    pub id: String,
    /// How much.
    pub volume: Volume,
    /// Of which models; all if there are none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub models: BTreeSet<ModelId>,
}

/// How much is included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Volume {
    /// So many tokens, of input and output together.
    Tokens(u64),
    /// Charges of so much.
    AmountNanousd(u64),
}

/// An own price of a model, per unit of each kind. What may be left out is priced as plain input (or
/// output); pictures, searches and guardrail units cost nothing then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// An input token.
    pub input: PicoUsd,
    /// An output token.
    pub output: PicoUsd,
    /// An input token of sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_audio: Option<PicoUsd>,
    /// An output token of sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_audio: Option<PicoUsd>,
    /// An input token read from the prompt cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<PicoUsd>,
    /// An input token written to it for five minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_5m: Option<PicoUsd>,
    /// An input token written to it for one hour; as for five minutes if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<PicoUsd>,
    /// A picture made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<PicoUsd>,
    /// A reranker's search unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search_unit: Option<PicoUsd>,
    /// A unit of a guardrail's policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardrail_unit: Option<PicoUsd>,
}

/// A plan that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {rule}")]
pub struct InvalidPlan {
    /// Which part of it.
    pub field: &'static str,
    /// What is wrong, in words.
    pub rule: &'static str,
}

impl Rate {
    /// What so many units cost, exactly.
    pub(crate) fn cost_pico(&self, usage: &TokenUsage) -> u128 {
        let kinds = [
            (usage.input, self.input),
            (usage.output, self.output),
            (usage.input_audio, self.input_audio.unwrap_or(self.input)),
            (usage.output_audio, self.output_audio.unwrap_or(self.output)),
            (usage.cache_read, self.cache_read.unwrap_or(self.input)),
            (usage.cache_write_5m, self.cache_write_5m.unwrap_or(self.input)),
            (
                usage.cache_write_1h,
                self.cache_write_1h.or(self.cache_write_5m).unwrap_or(self.input),
            ),
            (usage.images, self.image.unwrap_or_default()),
            (usage.search_units, self.search_unit.unwrap_or_default()),
            (usage.guardrail_units, self.guardrail_unit.unwrap_or_default()),
        ];
        let costs = kinds.map(|(units, price)| u128::from(units) * u128::from(price.0));
        costs.into_iter().fold(0, u128::saturating_add)
    }
}

impl Plan {
    /// The plan of who has none: what the provider takes.
    pub fn at_cost() -> Self {
        Self {
            id: "at-cost".to_owned(),
            valid_from: Month::default(),
            valid_until: None,
            flat_fee_nanousd: NanoUsd::ZERO,
            markup_bp: 0,
            discount_bp: 0,
            included: Vec::new(),
            rates: BTreeMap::new(),
        }
    }

    /// The plan in force in a month: of the owner's plans that began, the youngest, unless it ended.
    pub fn in_force(plans: &[Self], period: Month) -> Option<&Self> {
        let begun = plans.iter().filter(|plan| plan.valid_from <= period);
        let youngest = begun.max_by(|a, b| (a.valid_from, &a.id).cmp(&(b.valid_from, &b.id)))?;
        let has_ended = youngest.valid_until.is_some_and(|until| until <= period);
        (!has_ended).then_some(youngest)
    }

    /// Whether it makes sense; to be asked before it is kept.
    pub fn validate(&self) -> Result<(), InvalidPlan> {
        let check = |holds: bool, field, rule| {
            if holds { Ok(()) } else { Err(InvalidPlan { field, rule }) }
        };
        check(is_label(&self.id), "id", LABEL)?;
        check(
            self.valid_until.is_none_or(|until| until > self.valid_from),
            "valid_until",
            "must be later than `valid_from`",
        )?;
        check(
            self.flat_fee_nanousd <= crate::entry::MAX_AMOUNT,
            "flat_fee_nanousd",
            "must be a billion dollars at most",
        )?;
        check(
            self.markup_bp <= MAX_MARKUP_BP,
            "markup_bp",
            "must be 1000000 (a hundredfold) at most",
        )?;
        check(self.discount_bp <= WHOLE_BP, "discount_bp", "must be 10000 (all of it) at most")?;
        check(self.included.len() <= MAX_ENTRIES, "included", "must have 100 entries at most")?;
        let ids: BTreeSet<_> = self.included.iter().map(|allowance| &allowance.id).collect();
        check(ids.len() == self.included.len(), "included", "must have ids that differ")?;
        for allowance in &self.included {
            check(is_label(&allowance.id), "included.id", LABEL)?;
            check(
                allowance.models.len() <= MAX_ENTRIES,
                "included.models",
                "must have 100 entries at most",
            )?;
        }
        check(self.rates.len() <= MAX_ENTRIES, "rates", "must have 100 entries at most")
    }

    /// What a line is charged before anything is taken off, in nano-USD.
    ///
    /// Rounded once: to a whole nano-USD, half to even.
    pub(crate) fn charge(
        &self,
        model: &ModelId,
        cost_nano: u128,
        usage: &TokenUsage,
    ) -> Option<u64> {
        let (base_pico, markup_bp) = match self.rates.get(model) {
            Some(rate) => (rate.cost_pico(usage), 0),
            None => (cost_nano.checked_mul(1_000)?, self.markup_bp),
        };
        let factor = u128::from(WHOLE_BP.saturating_add(markup_bp))
            * u128::from(WHOLE_BP.saturating_sub(self.discount_bp));
        let exact = i128::try_from(base_pico.checked_mul(factor)?).ok()?;
        let unit = 1_000 * i128::from(WHOLE_BP) * i128::from(WHOLE_BP);
        u64::try_from(half_even(exact, unit)).ok()
    }
}

/// What [`is_label`] asks for, in words.
const LABEL: &str = "must be 1 to 64 letters, digits, hyphens, dots and underscores";

/// Whether `text` may name a part of a plan or an entry: it stands in keys and on statements.
pub(crate) fn is_label(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;

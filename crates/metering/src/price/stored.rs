//! How price books and overrides are stored, and what is refused of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tenancy::ModelId;

use super::{ModelPrices, PicoUsd, Price};

/// What prices are in. There is one: amounts of several currencies could not be added up, and the
/// providers' price lists are in this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Currency {
    /// US dollars.
    #[default]
    #[serde(rename = "USD")]
    Usd,
}

/// A price book or overrides as they are stored, not yet checked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StoredPrices {
    pub(super) version: String,
    pub(super) valid_from: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) valid_until: Option<i64>,
    #[serde(default)]
    pub(super) currency: Currency,
    pub(super) models: BTreeMap<ModelId, ModelPrices>,
}

/// What is wrong with a price book or with overrides.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPrices {
    /// The version is not one to forty letters, digits, dots, hyphens and underscores.
    #[error("`{0}` is no version: use up to 40 letters, digits, `.`, `-` and `_`")]
    Version(String),
    /// It ends before it begins.
    #[error("`valid_until` must be later than `valid_from`")]
    NeverValid,
    /// A list of rates without any.
    #[error("model `{0}` has no rate")]
    NoRate(ModelId),
    /// Two rates for the same terms.
    #[error("model `{0}` has two rates for the same Region, profile scope and service tier")]
    SameTerms(ModelId),
    /// Thresholds of long contexts do not rise from above zero.
    #[error("model `{0}` has `long_context` thresholds that do not rise")]
    Thresholds(ModelId),
    /// A price that must be in the wrong unit.
    #[error(
        "model `{model}` costs {} pico-USD per {unit}: more than any model does. A dollar per million tokens is 1000000",
        price.0
    )]
    Absurd {
        /// The model.
        model: ModelId,
        /// Of what.
        unit: &'static str,
        /// How much.
        price: PicoUsd,
    },
}

/// Ten thousand dollars for a million tokens.
const DEAREST_TOKEN: PicoUsd = PicoUsd(10_000_000_000);
/// A hundred dollars for a picture or search.
const DEAREST_PIECE: PicoUsd = PicoUsd(100_000_000_000_000);

pub(super) fn validate(
    version: &str,
    valid_from: i64,
    valid_until: Option<i64>,
    models: &BTreeMap<ModelId, ModelPrices>,
) -> Result<(), InvalidPrices> {
    // `+` stands between two versions, `#` in keys.
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || ".-_".contains(letter);
    if version.is_empty() || version.len() > 40 || !version.chars().all(is_allowed) {
        return Err(InvalidPrices::Version(version.to_owned()));
    }
    if valid_until.is_some_and(|until| until <= valid_from) {
        return Err(InvalidPrices::NeverValid);
    }
    models.iter().try_for_each(|(model, prices)| validate_model(model, prices))
}

fn validate_model(model: &ModelId, prices: &ModelPrices) -> Result<(), InvalidPrices> {
    let rates = prices.rates();
    if rates.is_empty() {
        return Err(InvalidPrices::NoRate(model.clone()));
    }
    let mut terms: Vec<_> = rates
        .iter()
        .map(|rate| (rate.region.as_ref(), rate.profile_scope, rate.service_tier))
        .collect();
    terms.sort_unstable();
    terms.dedup();
    if terms.len() < rates.len() {
        return Err(InvalidPrices::SameTerms(model.clone()));
    }
    rates.iter().try_for_each(|rate| validate_price(model, &rate.price))
}

fn validate_price(model: &ModelId, price: &Price) -> Result<(), InvalidPrices> {
    let thresholds =
        std::iter::once(0).chain(price.long_context.iter().map(|tier| tier.above_input_tokens));
    if !thresholds.is_sorted_by(|lower, higher| lower < higher) {
        return Err(InvalidPrices::Thresholds(model.clone()));
    }
    let tiers = std::iter::once(price.short())
        .chain(price.long_context.iter().map(super::LongContext::tokens));
    let tokens = tiers.flat_map(|tier| {
        let (input, output) = tier.dearest();
        [("token", input, DEAREST_TOKEN), ("token", output, DEAREST_TOKEN)]
    });
    let pieces = [
        ("image", price.image.unwrap_or_default(), DEAREST_PIECE),
        ("search unit", price.search_unit.unwrap_or_default(), DEAREST_PIECE),
        ("guardrail unit", price.guardrail_unit.unwrap_or_default(), DEAREST_PIECE),
    ];
    match tokens.chain(pieces).find(|(_, price, dearest)| price > dearest) {
        Some((unit, price, _)) => Err(InvalidPrices::Absurd { model: model.clone(), unit, price }),
        None => Ok(()),
    }
}

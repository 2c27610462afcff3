//! From rows of offers to rates.

use std::collections::BTreeMap;
use std::fmt;

use metering::{PicoUsd, ProfileScope, ServiceTier};
use serde_json::Value;

use super::offer::{Dimension, Offer, Product, Term, Unique};
use super::usd::{BadPrice, per_unit};
use super::vocabulary::{Kind, NoUsage, Vocabulary};

/// On what terms a foundation model has a price.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RateKey {
    pub(super) model: String,
    pub(super) region: String,
    pub(super) scope: Option<ProfileScope>,
    pub(super) tier: ServiceTier,
}

/// What is known of a rate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RateUnits {
    pub(super) short: BTreeMap<Kind, PicoUsd>,
    /// In a long context.
    pub(super) long: BTreeMap<Kind, PicoUsd>,
    /// Two rows have said two things of one kind.
    pub(super) is_contradictory: bool,
}

/// A row that became no price.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) sku: String,
    pub(super) usage_type: String,
    pub(super) reason: Reason,
}

/// Why.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reason {
    NotPriced(String),
    UnknownModel(String),
    UnknownWord(String),
    NoKind,
    NoProduct,
    NoRegion(String),
    Terms(usize),
    Currency(String),
    Price(String, BadPrice),
    NoText,
    Volume,
    Unit { unit: String, description: String },
    NoThreshold,
    Contradiction { known: PicoUsd, now: PicoUsd },
}

impl Reason {
    /// Whether nobody has to look at it.
    pub(super) fn is_expected(&self) -> bool {
        matches!(self, Self::NotPriced(_))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPriced(why) => write!(f, "not priced by use: {why}"),
            Self::UnknownModel(name) => write!(f, "unknown model or product `{name}`"),
            Self::UnknownWord(words) => write!(f, "unknown words `{words}`"),
            Self::NoKind => f.write_str("does not say what is sold, or says it twice"),
            Self::NoProduct => f.write_str("a price without a product"),
            Self::NoRegion(code) => write!(f, "no Region: `{code}`"),
            Self::Terms(count) => write!(f, "{count} on-demand prices instead of one"),
            Self::Currency(found) => write!(f, "priced in {found} and not in USD alone"),
            Self::Price(text, BadPrice::NoDecimal) => write!(f, "`{text}` is no plain decimal"),
            Self::Price(text, BadPrice::TooFine) => {
                write!(f, "`{text}` is no whole number of pico-USD a unit")
            }
            Self::Price(text, BadPrice::Absurd) => {
                write!(f, "`{text}` is more than anything costs")
            }
            Self::NoText => f.write_str("a price that is no text"),
            Self::Volume => f.write_str("a price for a part of the volume only"),
            Self::Unit { unit, description } => {
                write!(f, "unit `{unit}`, described as `{description}`, is not clear")
            }
            Self::NoThreshold => f.write_str("from which length on a context is long is not known"),
            Self::Contradiction { known, now } => {
                write!(f, "{} pico-USD, where another row says {}", now.0, known.0)
            }
        }
    }
}

/// What came of some offers.
#[derive(Debug, Default)]
pub(super) struct Import {
    pub(super) rates: BTreeMap<RateKey, RateUnits>,
    /// Rows that became prices.
    pub(super) rows: usize,
    /// Rows of Regions that were not asked for.
    pub(super) other_regions: usize,
    pub(super) left_out: Vec<LeftOut>,
}

/// Where a row's price belongs.
struct Place {
    key: RateKey,
    kind: Kind,
    is_long_context: bool,
}

impl Import {
    /// Adds an offer's rows, of these Regions only; of all if there are none.
    pub(super) fn add(&mut self, offer: &Offer, vocabulary: &Vocabulary, regions: &[String]) {
        for (sku, product) in &offer.products.0 {
            if !regions.is_empty()
                && !regions.iter().any(|it| it == product.attribute("regionCode"))
            {
                self.other_regions += 1;
                continue;
            }
            let terms = offer.terms.on_demand.0.get(sku);
            let added =
                price(product, terms, vocabulary).and_then(|(place, price)| self.put(place, price));
            match added {
                Ok(()) => self.rows += 1,
                Err(reason) => self.left_out.push(LeftOut {
                    sku: sku.clone(),
                    usage_type: product.attribute("usagetype").to_owned(),
                    reason,
                }),
            }
        }
        let without_product =
            offer.terms.on_demand.0.keys().filter(|sku| !offer.products.0.contains_key(*sku));
        self.left_out.extend(without_product.map(|sku| LeftOut {
            sku: sku.clone(),
            usage_type: String::new(),
            reason: Reason::NoProduct,
        }));
    }

    fn put(&mut self, place: Place, price: PicoUsd) -> Result<(), Reason> {
        let rate = self.rates.entry(place.key).or_default();
        let units = if place.is_long_context { &mut rate.long } else { &mut rate.short };
        let known = units.insert(place.kind, price).filter(|known| *known != price);
        match known {
            // Pictures are sold in qualities, guardrails by policy; a price book has the dearest.
            Some(known) if !place.kind.is_token() => {
                units.insert(place.kind, known.max(price));
                Ok(())
            }
            Some(known) => {
                rate.is_contradictory = true;
                Err(Reason::Contradiction { known, now: price })
            }
            None => Ok(()),
        }
    }
}

fn price(
    product: &Product,
    terms: Option<&Unique<Term>>,
    vocabulary: &Vocabulary,
) -> Result<(Place, PicoUsd), Reason> {
    let usage = vocabulary.usage(product).map_err(|error| match error {
        NoUsage::NotPriced(why) => Reason::NotPriced(why),
        NoUsage::UnknownModel => Reason::UnknownModel(name(product).to_owned()),
        NoUsage::UnknownWord(words) => Reason::UnknownWord(words),
        NoUsage::NoKind => Reason::NoKind,
    })?;
    let region = product.attribute("regionCode");
    if !is_region(region) {
        return Err(Reason::NoRegion(region.to_owned()));
    }
    if usage.is_long_context && vocabulary.long_context_above(&usage.model).is_none() {
        return Err(Reason::NoThreshold);
    }
    let dimensions: Vec<&Dimension> = terms
        .into_iter()
        .flat_map(|terms| terms.0.values())
        .flat_map(|term| term.price_dimensions.0.values())
        .collect();
    let [dimension] = dimensions.as_slice() else {
        return Err(Reason::Terms(dimensions.len()));
    };
    let price = dimension_price(dimension, usage.kind, vocabulary)?;
    let key = RateKey {
        model: usage.model,
        region: region.to_owned(),
        scope: usage.scope,
        tier: usage.tier,
    };
    Ok((Place { key, kind: usage.kind, is_long_context: usage.is_long_context }, price))
}

fn dimension_price(
    dimension: &Dimension,
    kind: Kind,
    vocabulary: &Vocabulary,
) -> Result<PicoUsd, Reason> {
    let is_all = dimension.begin_range.as_deref().is_none_or(|from| from == "0")
        && dimension.end_range.as_deref().is_none_or(|to| to == "Inf");
    if !is_all {
        return Err(Reason::Volume);
    }
    let currencies: Vec<&str> = dimension.price_per_unit.0.keys().map(String::as_str).collect();
    let (["USD"], Some(amount)) =
        (currencies.as_slice(), dimension.price_per_unit.0.values().next())
    else {
        return Err(Reason::Currency(currencies.join(", ")));
    };
    // A number would have been through a float on its way into the file, or out of it.
    let Value::String(text) = amount else {
        return Err(Reason::NoText);
    };
    let scale = vocabulary.scale(dimension, kind).ok_or_else(|| Reason::Unit {
        unit: dimension.unit.clone(),
        description: dimension.description.clone(),
    })?;
    per_unit(text, scale, kind.is_token()).map_err(|bad| Reason::Price(text.clone(), bad))
}

/// What a row calls what it sells.
fn name(product: &Product) -> &str {
    ["model", "titanModel", "servicename", "usagetype"]
        .into_iter()
        .map(|attribute| product.attribute(attribute))
        .find(|name| !name.is_empty())
        .unwrap_or_default()
}

/// Whether it looks like `us-east-1`.
fn is_region(code: &str) -> bool {
    code.split('-').count() >= 3
        && code.ends_with(|it: char| it.is_ascii_digit())
        && code.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
}

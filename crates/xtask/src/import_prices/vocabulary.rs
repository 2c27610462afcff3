//! What AWS's names of usage mean: a table, not code.

use std::collections::BTreeMap;

use metering::{ProfileScope, ServiceTier};
use serde::Deserialize;

use super::offer::{Dimension, Product};

const BUILT_IN: &str = include_str!("vocabulary.json");

/// The table. AWS publishes no list of these names: this one is collected from price files that others
/// cite. What it does not know is reported by the import, to be added here.
#[derive(Debug, Deserialize)]
pub(super) struct Vocabulary {
    /// What follows a model's name in names of products.
    product_suffix: String,
    units: BTreeMap<String, u32>,
    /// Units of which only the description says how many of what they are.
    vague_units: Vec<String>,
    models: Vec<ModelName>,
    words: Vec<Word>,
}

#[derive(Debug, Deserialize)]
struct ModelName {
    model: String,
    /// In usage types, in lower case.
    #[serde(default)]
    usage: Vec<String>,
    /// As products, in lower case.
    #[serde(default)]
    product: Vec<String>,
    #[serde(default)]
    long_context_above: Option<u64>,
}

/// A word of a usage type, in lower case and with hyphens for underscores.
#[derive(Debug, Deserialize)]
struct Word {
    #[serde(rename = "word")]
    text: String,
    #[serde(default)]
    kind: Option<Kind>,
    #[serde(default)]
    tier: Option<ServiceTier>,
    #[serde(default)]
    scope: Option<ProfileScope>,
    #[serde(default)]
    is_long_context: bool,
    /// Why what it is about has no place in a price book.
    #[serde(default)]
    not_priced: Option<String>,
}

/// What is sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Input,
    Output,
    CacheRead,
    #[serde(rename = "cache_write_5m")]
    CacheWrite5m,
    #[serde(rename = "cache_write_1h")]
    CacheWrite1h,
    InputAudio,
    OutputAudio,
    Image,
    SearchUnit,
    GuardrailUnit,
}

impl Kind {
    pub(super) fn is_token(self) -> bool {
        !matches!(self, Self::Image | Self::SearchUnit | Self::GuardrailUnit)
    }
}

/// What a usage type means.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) model: String,
    pub(super) kind: Kind,
    pub(super) tier: ServiceTier,
    /// None if it is the price of a Region and its geography's profile alike.
    pub(super) scope: Option<ProfileScope>,
    pub(super) is_long_context: bool,
}

/// Why a usage type means nothing here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoUsage {
    /// The table says why it has no place in a price book.
    NotPriced(String),
    UnknownModel,
    /// From here on, nothing is known.
    UnknownWord(String),
    /// It says nothing of what is sold, or twice.
    NoKind,
}

impl Vocabulary {
    pub(super) fn built_in() -> Result<Self, serde_json::Error> {
        serde_json::from_str(BUILT_IN)
    }

    /// What is sold. Half understood is not understood: a name of which any word is unknown means nothing.
    pub(super) fn usage(&self, product: &Product) -> Result<Usage, NoUsage> {
        let usage_type = product.attribute("usagetype");
        let (region, rest) = split_region(usage_type);
        let rest = rest.strip_prefix("MP:").map_or(rest, |rest| {
            rest.strip_prefix(region).and_then(|rest| rest.strip_prefix('_')).unwrap_or(rest)
        });
        let rest = rest.to_lowercase().replace('_', "-");
        let rest = rest.strip_suffix("-units").unwrap_or(&rest);
        let (model, words) =
            match product.attribute("servicename").strip_suffix(&self.product_suffix) {
                Some(name) => (self.product_model(&name.trim().to_lowercase()), rest),
                None => self
                    .named_model(rest)
                    .map_or((None, rest), |(model, words)| (Some(model), words)),
            };
        let Some(model) = model else {
            // Much of what is sold is no model, and some of it says so.
            return Err(self.not_priced(rest).map_or(NoUsage::UnknownModel, NoUsage::NotPriced));
        };
        self.sentence(model.model.clone(), words)
    }

    fn sentence(&self, model: String, mut words: &str) -> Result<Usage, NoUsage> {
        let mut kind = None;
        let (mut tier, mut scope, mut is_long_context) = (ServiceTier::Default, None, false);
        while !words.is_empty() {
            let Some((word, rest)) = self.next(words) else {
                let reason = self.not_priced(words).map(NoUsage::NotPriced);
                return Err(reason.unwrap_or_else(|| NoUsage::UnknownWord(words.to_owned())));
            };
            words = rest;
            if let Some(reason) = &word.not_priced {
                return Err(NoUsage::NotPriced(reason.clone()));
            }
            if let Some(known) = word.kind
                && kind.replace(known).is_some()
            {
                return Err(NoUsage::NoKind);
            }
            tier = word.tier.unwrap_or(tier);
            scope = word.scope.or(scope);
            is_long_context |= word.is_long_context;
        }
        let kind = kind.ok_or(NoUsage::NoKind)?;
        Ok(Usage { model, kind, tier, scope, is_long_context })
    }

    /// The longest word that `text` begins with, and what follows it.
    fn next<'a>(&self, text: &'a str) -> Option<(&Word, &'a str)> {
        self.words
            .iter()
            .filter_map(|word| Some((word, after(text, &word.text)?)))
            .max_by_key(|(word, _)| word.text.len())
    }

    /// Why what a text is about is not priced, whatever else it says.
    fn not_priced(&self, text: &str) -> Option<String> {
        let mut starts = std::iter::once(0).chain(text.match_indices('-').map(|(at, _)| at + 1));
        starts.find_map(|at| {
            let (word, _) = self.next(text.get(at..)?)?;
            word.not_priced.clone()
        })
    }

    fn named_model<'a>(&self, text: &'a str) -> Option<(&ModelName, &'a str)> {
        self.models
            .iter()
            .flat_map(|model| model.usage.iter().map(move |name| (model, name)))
            .filter_map(|(model, name)| Some((model, after(text, name)?, name.len())))
            .max_by_key(|(_, _, length)| *length)
            .map(|(model, rest, _)| (model, rest))
    }

    fn product_model(&self, name: &str) -> Option<&ModelName> {
        self.models.iter().find(|model| model.product.iter().any(|product| product == name))
    }

    /// From which length of input on a model's long context counts.
    pub(super) fn long_context_above(&self, model: &str) -> Option<u64> {
        self.models.iter().find(|name| name.model == model)?.long_context_above
    }

    /// How many tokens or pieces a price is for; none if that is not said, or said in two ways.
    pub(super) fn scale(&self, dimension: &Dimension, kind: Kind) -> Option<u32> {
        let description = dimension.description.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| description.contains(word));
        let thousand = says(&["thousand", "1k ", "1,000 ", "1000 "]).then_some(1_000);
        let million = says(&["million", "1m ", "1,000,000 ", "1000000 "]).then_some(1_000_000);
        let unit = dimension.unit.to_lowercase();
        let described = match (thousand, million) {
            (Some(_), Some(_)) => return None,
            (thousand, million) => thousand.or(million),
        };
        match self.units.get(&unit) {
            Some(scale) if described.is_none_or(|described| described == *scale) => Some(*scale),
            Some(_) => None,
            None if !self.vague_units.contains(&unit) => None,
            None => described.or((!kind.is_token()).then_some(1)),
        }
    }
}

/// The Region's code that a usage type begins with, and the rest of it.
fn split_region(usage_type: &str) -> (&str, &str) {
    let is_code = |code: &str| {
        code.starts_with(|it: char| it.is_ascii_uppercase())
            && code.chars().all(|it| it.is_ascii_uppercase() || it.is_ascii_digit())
    };
    match usage_type.find(['-', '_']) {
        Some(at) => match (usage_type.get(..at), usage_type.get(at + 1..)) {
            (Some(code), Some(rest)) if is_code(code) => (code, rest),
            _ => ("", usage_type),
        },
        None => ("", usage_type),
    }
}

/// What follows `word` in `text`, without the hyphen between; none if `text` does not begin with it.
fn after<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let rest = text.strip_prefix(word)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('-') }
}

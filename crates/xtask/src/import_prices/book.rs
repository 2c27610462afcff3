//! From rates of foundation models to the price book of the registered ones.

use std::collections::BTreeMap;

use metering::{
    InvalidPrices, LongContext, ModelPrices, PicoUsd, Price, PriceBook, ProfileScope, Rate,
    ServiceTier,
};
use serde::Deserialize;
use tenancy::ModelId;

use super::import::{Import, RateKey, RateUnits};
use super::vocabulary::{Kind, Vocabulary};

/// A model of the registry (`infra/seed/models.json`), as far as prices need it.
#[derive(Debug, Deserialize)]
pub(super) struct Registered {
    pub(super) id: ModelId,
    #[serde(default)]
    pub(super) provider: Option<String>,
    pub(super) provider_model_id: String,
    #[serde(default)]
    pub(super) protocols: Vec<String>,
    #[serde(default)]
    pub(super) max_output_tokens: u32,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) book: PriceBook,
    /// Models whose prices are the offers'.
    pub(super) imported: Vec<ModelId>,
    /// Models whose prices are those of the book before.
    pub(super) kept: Vec<ModelId>,
    /// Models without a price: they are refused to who may not use unpriced ones.
    pub(super) unpriced: Vec<ModelId>,
    /// Rates that were not complete, or contradict themselves.
    pub(super) faults: Vec<String>,
}

/// The book of `registered` models: prices of the import, else of `base`.
pub(super) fn draft(
    import: &Import,
    vocabulary: &Vocabulary,
    registered: &[Registered],
    base: Option<&PriceBook>,
    validity: (String, i64),
) -> Result<Draft, InvalidPrices> {
    let (version, valid_from) = validity;
    let mut book = PriceBook { version, valid_from, valid_until: None, models: BTreeMap::new() };
    let (mut imported, mut kept, mut unpriced, mut faults) = (vec![], vec![], vec![], vec![]);
    for model in registered {
        let is_bedrock = model.provider.as_deref().is_none_or(|provider| provider == "bedrock");
        let rates =
            if is_bedrock { rates_of(model, import, vocabulary, &mut faults) } else { vec![] };
        let before = base.and_then(|base| base.models.get(&model.id));
        if !rates.is_empty() {
            imported.push(model.id.clone());
            book.models.insert(model.id.clone(), ModelPrices::from(rates));
        } else if let Some(before) = before {
            kept.push(model.id.clone());
            book.models.insert(model.id.clone(), before.clone());
        } else {
            unpriced.push(model.id.clone());
        }
    }
    book.validate()?;
    Ok(Draft { book, imported, kept, unpriced, faults })
}

fn rates_of(
    model: &Registered,
    import: &Import,
    vocabulary: &Vocabulary,
    faults: &mut Vec<String>,
) -> Vec<Rate> {
    let scope = ProfileScope::of_model_id(&model.provider_model_id);
    let foundation_model = match scope {
        _ if model.protocols.iter().any(|it| it == "bedrock_guardrail") => "guardrail",
        ProfileScope::InRegion => &model.provider_model_id,
        ProfileScope::Geo | ProfileScope::Global => {
            model.provider_model_id.split_once('.').map_or("", |(_, rest)| rest)
        }
    };
    let own = import.rates.iter().filter(|(key, _)| {
        // A registered model is called in one scope: others' rates are nothing to it.
        key.model == foundation_model && key.scope.is_none_or(|of| of == scope)
    });
    own.filter_map(|(key, units)| {
        let default = RateKey { tier: ServiceTier::Default, ..key.clone() };
        let price = price_of(model, key, units, import.rates.get(&default), vocabulary);
        match price {
            Ok(price) => Some(Rate {
                region: Some(key.region.clone()),
                profile_scope: key.scope,
                service_tier: key.tier,
                price,
            }),
            Err(fault) => {
                let scope = key.scope.map_or("any", ProfileScope::as_str);
                faults.push(format!(
                    "{} in {}, scope {scope}, tier {}: {fault}",
                    model.id,
                    key.region,
                    key.tier.as_str()
                ));
                None
            }
        }
    })
    .collect()
}

/// A rate's price. One that lacks what calls consume is none: it would be given away.
fn price_of(
    model: &Registered,
    key: &RateKey,
    units: &RateUnits,
    default: Option<&RateUnits>,
    vocabulary: &Vocabulary,
) -> Result<Price, &'static str> {
    if units.is_contradictory {
        return Err("rows contradict each other");
    }
    let short = &units.short;
    let is_by_piece = !short.keys().any(|kind| kind.is_token());
    let (input, output) = match (short.get(&Kind::Input), short.get(&Kind::Output)) {
        (Some(input), Some(output)) => (*input, *output),
        (Some(input), None) if model.max_output_tokens == 0 => (*input, PicoUsd(0)),
        (None, None) if is_by_piece && !short.is_empty() => (PicoUsd(0), PicoUsd(0)),
        _ => return Err("no price of input or of output"),
    };
    let long = match (&units.long, default.map(|default| &default.long), key.tier) {
        (own, _, _) if !own.is_empty() => Some(own),
        (_, Some(default), ServiceTier::Flex | ServiceTier::Batch) if !default.is_empty() => {
            Some(default)
        }
        (_, Some(default), _) if !default.is_empty() => return Err("no price of long contexts"),
        _ => None,
    };
    let long_context = match (long, vocabulary.long_context_above(&key.model)) {
        (Some(long), Some(above)) => vec![long_of(long, above)?],
        (Some(_), None) => return Err("no threshold of long contexts"),
        (None, _) => vec![],
    };
    let kind = |kind| short.get(&kind).copied();
    Ok(Price {
        input,
        output,
        cache_read: kind(Kind::CacheRead),
        cache_write_5m: kind(Kind::CacheWrite5m),
        cache_write_1h: kind(Kind::CacheWrite1h),
        input_audio: kind(Kind::InputAudio),
        output_audio: kind(Kind::OutputAudio),
        image: kind(Kind::Image),
        search_unit: kind(Kind::SearchUnit),
        guardrail_unit: kind(Kind::GuardrailUnit),
        long_context,
    })
}

fn long_of(
    units: &BTreeMap<Kind, PicoUsd>,
    above_input_tokens: u64,
) -> Result<LongContext, &'static str> {
    let kind = |kind| units.get(&kind).copied();
    let (Some(input), Some(output)) = (kind(Kind::Input), kind(Kind::Output)) else {
        return Err("no price of input or of output of long contexts");
    };
    Ok(LongContext {
        above_input_tokens,
        input,
        output,
        cache_read: kind(Kind::CacheRead),
        cache_write_5m: kind(Kind::CacheWrite5m),
        cache_write_1h: kind(Kind::CacheWrite1h),
        input_audio: kind(Kind::InputAudio),
        output_audio: kind(Kind::OutputAudio),
    })
}

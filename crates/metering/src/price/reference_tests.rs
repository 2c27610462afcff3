//! Every price of `infra/prices/bedrock.json` against the decimals that it was made from, and the seeded
//! price book against those rows.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use tenancy::ModelId;

use super::{Price, PriceBook, PriceTerms, Rate};
use crate::{NanoUsd, ProfileScope, ServiceTier, TokenUsage};

const REFERENCE: &str = include_str!("../../../../infra/prices/bedrock.json");
const SEED: &str = include_str!("../../../../infra/seed/prices.json");
const MODELS: &str = include_str!("../../../../infra/seed/models.json");

#[derive(Deserialize)]
struct Reference {
    currency: super::Currency,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    id: String,
    model: String,
    #[serde(default)]
    profile_scope: ProfileScope,
    region: Option<String>,
    #[serde(default)]
    service_tier: ServiceTier,
    variant: Option<String>,
    price: Price,
    usd: Usd,
}

/// Dollars as the source writes them.
#[derive(Deserialize)]
struct Usd {
    #[serde(default)]
    long_context: Vec<LongUsd>,
    #[serde(flatten)]
    kinds: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct LongUsd {
    above_input_tokens: u64,
    #[serde(flatten)]
    kinds: BTreeMap<String, String>,
}

fn reference() -> Reference {
    serde_json::from_str(REFERENCE).unwrap()
}

/// Dollars in units of 10^-24: exact for decimals such as `3.75e-06`, and no way that prices are
/// computed in.
fn dollars(decimal: &str) -> u128 {
    let (mantissa, exponent) = decimal.split_once('e').unwrap_or((decimal, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: u128 = format!("{whole}{fraction}").parse().unwrap();
    let shift = 24 + exponent.parse::<i32>().unwrap() - i32::try_from(fraction.len()).unwrap();
    digits * 10_u128.pow(u32::try_from(shift).unwrap())
}

/// What a usage costs, from the source's decimals.
fn expected(usd: &Usd, usage: &TokenUsage) -> NanoUsd {
    let input = usage.input
        + usage.cache_read
        + usage.cache_write_5m
        + usage.cache_write_1h
        + usage.input_audio;
    let long = usd.long_context.iter().rfind(|long| input > long.above_input_tokens);
    let tokens = long.map_or(&usd.kinds, |long| &long.kinds);
    let first = |kinds: &BTreeMap<String, String>, names: &[&str]| {
        names.iter().find_map(|name| kinds.get(*name)).map_or(0, |usd| dollars(usd))
    };
    let total = u128::from(usage.input) * first(tokens, &["input"])
        + u128::from(usage.output) * first(tokens, &["output"])
        + u128::from(usage.cache_read) * first(tokens, &["cache_read", "input"])
        + u128::from(usage.cache_write_5m) * first(tokens, &["cache_write_5m", "input"])
        + u128::from(usage.cache_write_1h)
            * first(tokens, &["cache_write_1h", "cache_write_5m", "input"])
        + u128::from(usage.input_audio) * first(tokens, &["input_audio", "input"])
        + u128::from(usage.output_audio) * first(tokens, &["output_audio", "output"])
        + u128::from(usage.images) * first(&usd.kinds, &["image"])
        + u128::from(usage.search_units) * first(&usd.kinds, &["search_unit"])
        + u128::from(usage.guardrail_units) * first(&usd.kinds, &["guardrail_unit"]);
    NanoUsd(u64::try_from(total.div_ceil(10_u128.pow(15))).unwrap())
}

/// A question, an agent's turn from the cache, one that fills it, a long document, one token each, what
/// is spoken and what is counted by the piece.
fn usages() -> Vec<TokenUsage> {
    let none = TokenUsage::default();
    vec![
        TokenUsage { input: 1, ..none },
        TokenUsage { output: 1, ..none },
        TokenUsage { input: 1_337, output: 421, ..none },
        TokenUsage { input: 3, output: 911, cache_read: 87_654, cache_write_5m: 1_234, ..none },
        TokenUsage { input: 17, output: 29, cache_write_5m: 40_001, cache_write_1h: 9_999, ..none },
        TokenUsage { input: 100_000, output: 1, ..none },
        TokenUsage { input: 100_001, output: 1, ..none },
        TokenUsage { input: 1, output: 7_777, cache_read: 272_000, cache_write_1h: 333, ..none },
        TokenUsage { input: 999_983, output: 127_999, ..none },
        TokenUsage { input: 50, output: 50, input_audio: 1_500, output_audio: 2_500, ..none },
        TokenUsage { images: 3, search_units: 7, guardrail_units: 11, ..none },
    ]
}

#[test]
fn every_row_costs_what_its_decimals_say_to_the_nano_dollar() {
    let Reference { currency, rows } = reference();
    assert_eq!(currency, super::Currency::Usd);
    assert!(rows.len() >= 800, "{} rows", rows.len());
    for Row { id, region, service_tier, variant, price, usd, .. } in &rows {
        for usage in usages() {
            let about = format!("{id} {region:?} {service_tier:?} {variant:?} {usage:?}");
            assert_eq!(price.cost(&usage), expected(usd, &usage), "{about}");
            assert!(price.bound(&usage) >= price.cost(&usage), "{about}");
        }
    }
}

#[test]
fn the_rows_have_every_dimension() {
    let rows = reference().rows;
    let count = |is_so: fn(&Row) -> bool| rows.iter().filter(|row| is_so(row)).count();
    assert!(count(|row| row.region.is_some()) >= 200);
    assert!(count(|row| row.profile_scope == ProfileScope::Geo) >= 100);
    assert!(count(|row| row.profile_scope == ProfileScope::Global) >= 20);
    assert!(count(|row| row.service_tier == ServiceTier::Priority) >= 50);
    assert!(count(|row| row.service_tier == ServiceTier::Flex) >= 50);
    assert!(count(|row| row.service_tier == ServiceTier::Batch) >= 50);
    assert!(count(|row| row.price.cache_read.is_some()) >= 100);
    assert!(count(|row| row.price.cache_write_1h.is_some()) >= 100);
    assert!(count(|row| !row.price.long_context.is_empty()) >= 20);
    assert!(count(|row| row.price.image.is_some()) >= 20);
    assert!(count(|row| row.price.search_unit.is_some()) >= 2);
    assert!(count(|row| row.price.guardrail_unit.is_some()) >= 5);
    assert!(count(|row| row.price.input_audio.is_some()) >= 2);
}

/// A book of all rows: by foundation model, as rates.
fn book_of_all() -> PriceBook {
    let mut models: BTreeMap<ModelId, Vec<Rate>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for row in reference().rows {
        let Row { model, profile_scope, region, service_tier, variant, price, .. } = row;
        let terms = (model.clone(), profile_scope, region.clone(), service_tier.as_str());
        // Geographies differ in price, and pictures in size: a book has one of each.
        if variant.is_none() && seen.insert(terms) {
            let rate = Rate { region, profile_scope: Some(profile_scope), service_tier, price };
            models.entry(model.parse().unwrap()).or_default().push(rate);
        }
    }
    PriceBook {
        version: "all".into(),
        valid_from: 0,
        valid_until: None,
        models: models.into_iter().map(|(model, rates)| (model, rates.into())).collect(),
    }
}

#[test]
fn a_book_of_all_rows_is_valid_and_finds_each() {
    let book = book_of_all();
    assert_eq!(book.validate(), Ok(()));
    let written = serde_json::to_string(&book).unwrap();
    assert_eq!(serde_json::from_str::<PriceBook>(&written).unwrap(), book);
    for prices in book.models.values() {
        for rate in prices.rates() {
            let terms = PriceTerms {
                region: rate.region.as_deref().unwrap_or("nowhere-1"),
                profile_scope: rate.profile_scope.unwrap(),
                service_tier: rate.service_tier,
            };
            assert_eq!(prices.on(&terms), Some(&rate.price));
        }
    }
}

#[track_caller]
fn check(book: &PriceBook, model: &str, terms: (&str, ProfileScope, ServiceTier), usd: (u64, u64)) {
    let (region, profile_scope, service_tier) = terms;
    let terms = PriceTerms { region, profile_scope, service_tier };
    let price = book.models[&model.parse::<ModelId>().unwrap()].on(&terms).unwrap();
    assert_eq!((price.input.0, price.output.0), usd, "{model} {terms:?}");
}

#[test]
fn a_region_a_profile_and_a_tier_change_the_price() {
    use ProfileScope::{Geo, Global, InRegion};
    use ServiceTier::{Batch, Default, Flex, Priority};
    let book = book_of_all();
    let sonnet = "anthropic.claude-sonnet-4-5-20250929-v1:0";
    // A geography's profile costs a tenth more than the global one.
    check(&book, sonnet, ("us-east-1", Global, Default), (3_000_000, 15_000_000));
    check(&book, sonnet, ("us-east-1", Geo, Default), (3_300_000, 16_500_000));
    check(&book, sonnet, ("us-east-1", Geo, Batch), (1_650_000, 8_250_000));
    let nova = "amazon.nova-pro-v1:0";
    check(&book, nova, ("us-east-1", InRegion, Default), (800_000, 3_200_000));
    check(&book, nova, ("us-east-1", InRegion, Flex), (400_000, 1_600_000));
    check(&book, nova, ("us-east-1", InRegion, Priority), (1_400_000, 5_600_000));
    let llama = "meta.llama3-70b-instruct-v1:0";
    check(&book, llama, ("us-east-1", InRegion, Default), (2_650_000, 3_500_000));
    check(&book, llama, ("sa-east-1", InRegion, Default), (4_450_000, 5_880_000));
}

#[derive(Deserialize)]
struct SeededModel {
    id: ModelId,
    #[serde(default)]
    provider: Option<String>,
    provider_model_id: String,
}

/// The seed's prices that the reference has not: what they are from stands in `docs/prices.md`.
const NOT_IN_THE_REFERENCE: [&str; 1] = ["nova-canvas"];

#[test]
fn the_seed_has_the_reference_prices_of_each_bedrock_model() {
    let seed: PriceBook = serde_json::from_str(SEED).unwrap();
    let models: Vec<SeededModel> = serde_json::from_str(MODELS).unwrap();
    let rows = reference().rows;
    for SeededModel { id, provider, provider_model_id } in models {
        let prices = &seed.models[&id];
        if provider.is_some() || NOT_IN_THE_REFERENCE.contains(&id.as_str()) {
            continue;
        }
        let mut rates: Vec<Rate> = rows
            .iter()
            .filter(|row| row.id == provider_model_id && row.variant.is_none())
            .map(|row| Rate {
                region: row.region.clone(),
                profile_scope: None,
                service_tier: row.service_tier,
                price: row.price.clone(),
            })
            .collect();
        let mut seeded = prices.rates().to_vec();
        let order = |rate: &Rate| (rate.region.clone(), rate.service_tier);
        rates.sort_by_key(order);
        seeded.sort_by_key(order);
        assert_eq!(seeded, rates, "{id}");
    }
}

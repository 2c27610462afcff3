use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tenancy::ModelId;

use super::*;
use crate::{ProfileScope, ServiceTier};

/// Claude Sonnet 4.5: $3 in, $15 out, $0.30 cache read, $3.75 and $6 cache writes, per million tokens;
/// twice that but for output ($22.50) above 200,000 tokens of input.
fn sonnet() -> Price {
    Price {
        input: PicoUsd(3_000_000),
        output: PicoUsd(15_000_000),
        cache_read: Some(PicoUsd(300_000)),
        cache_write_5m: Some(PicoUsd(3_750_000)),
        cache_write_1h: Some(PicoUsd(6_000_000)),
        long_context: vec![LongContext {
            above_input_tokens: 200_000,
            input: PicoUsd(6_000_000),
            output: PicoUsd(22_500_000),
            cache_read: Some(PicoUsd(600_000)),
            cache_write_5m: Some(PicoUsd(7_500_000)),
            cache_write_1h: Some(PicoUsd(12_000_000)),
            ..LongContext::default()
        }],
        ..Price::default()
    }
}

fn model(id: &str) -> ModelId {
    id.parse().unwrap()
}

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
    assert_eq!(sonnet().cost(&usage), NanoUsd(23_100_000));
}

#[test]
fn a_conversation_that_lives_in_the_cache() {
    // Turn 40 of a coding agent: 180,000 tokens of it are read from the cache, the last answer and the
    // tools' output are written to it.
    let usage = TokenUsage {
        input: 12,
        output: 850,
        cache_read: 180_000,
        cache_write_5m: 6_400,
        cache_write_1h: 2_000,
        ..TokenUsage::default()
    };
    // read   180,000 x $0.30 / 1M = $0.054     = 54,000,000 nano-USD
    // 5 min    6,400 x $3.75 / 1M = $0.024     = 24,000,000
    // 1 h      2,000 x $6.00 / 1M = $0.012     = 12,000,000
    // plain       12 x $3.00 / 1M = $0.000036  =     36,000
    // output     850 x $15   / 1M = $0.01275   = 12,750,000
    assert_eq!(sonnet().cost(&usage), NanoUsd(102_786_000));
    // Without a cache, all 188,412 tokens of input at $3.00: $0.565236, and the same output.
    assert_eq!(sonnet().cost(&usage.uncached()), NanoUsd(565_236_000 + 12_750_000));
}

#[test]
fn cached_tokens_count_towards_a_long_context_and_it_is_dearer_as_a_whole() {
    let usage = |cache_read| TokenUsage {
        input: 500,
        output: 1_000,
        cache_read,
        cache_write_5m: 4_500,
        ..TokenUsage::default()
    };
    // 500 + 195,000 + 4,500 = 200,000 tokens of input: not above the threshold.
    // plain 500 x $3.00 = $0.0015; read 195,000 x $0.30 = $0.0585; write 4,500 x $3.75 = $0.016875;
    // output 1,000 x $15 = $0.015; together $0.091875
    assert_eq!(sonnet().cost(&usage(195_000)), NanoUsd(91_875_000));
    // One more is, and every token of the call costs what it does in a long one.
    // plain 500 x $6.00 = $0.003; read 195,001 x $0.60 = $0.1170006; write 4,500 x $7.50 = $0.03375;
    // output 1,000 x $22.50 = $0.0225; together $0.1762506
    assert_eq!(sonnet().cost(&usage(195_001)), NanoUsd(176_250_600));
}

#[test]
fn the_highest_threshold_that_is_passed_counts() {
    let long = |above_input_tokens, input| LongContext {
        above_input_tokens,
        input: PicoUsd(input),
        output: PicoUsd(0),
        ..LongContext::default()
    };
    let price = Price {
        long_context: vec![long(100, 2_000), long(1_000, 500)],
        ..Price::of_tokens(PicoUsd(1_000), PicoUsd(0))
    };
    let cost = |input| price.cost(&TokenUsage { input, ..TokenUsage::default() }).0;
    assert_eq!((cost(100), cost(101), cost(1_000), cost(1_001)), (100, 202, 2_000, 501));
    // What has at most 1,001 tokens of input is dearest with 1,000.
    let bound = |input| price.bound(&TokenUsage { input, ..TokenUsage::default() }).0;
    assert_eq!((bound(100), bound(101), bound(1_001), bound(10_000)), (100, 202, 2_000, 5_000));
}

#[test]
fn sound_has_its_own_price_or_that_of_text() {
    // Nova 2 Sonic: $0.33 and $2.75 per million tokens of text, $3 and $12 of sound.
    let price = Price {
        input_audio: Some(PicoUsd(3_000_000)),
        output_audio: Some(PicoUsd(12_000_000)),
        ..Price::of_tokens(PicoUsd(330_000), PicoUsd(2_750_000))
    };
    let usage = TokenUsage {
        input: 100,
        output: 10,
        input_audio: 1_000,
        output_audio: 500,
        ..TokenUsage::default()
    };
    // 33,000 + 27,500 + 3,000,000 + 6,000,000
    assert_eq!(price.cost(&usage), NanoUsd(9_060_500));
    let text = Price::of_tokens(PicoUsd(330_000), PicoUsd(2_750_000));
    // 1,100 x 330 + 510 x 2,750
    assert_eq!(text.cost(&usage), NanoUsd(363_000 + 1_402_500));
}

#[test]
fn an_hour_in_the_cache_costs_no_less_than_five_minutes() {
    let price = Price { cache_write_1h: None, ..sonnet() };
    let usage = TokenUsage { cache_write_1h: 1_000, ..TokenUsage::default() };
    assert_eq!(price.cost(&usage), NanoUsd(3_750_000));
    assert_eq!(Price { cache_write_5m: None, ..price }.cost(&usage), NanoUsd(3_000_000));
}

#[test]
fn pictures_and_searches_are_priced_by_the_piece() {
    let price = Price {
        image: Some(PicoUsd(40_000_000_000)),
        search_unit: Some(PicoUsd(2_000_000_000)),
        ..sonnet()
    };
    let usage = TokenUsage { images: 3, search_units: 2, ..TokenUsage::default() };
    assert_eq!(price.cost(&usage), NanoUsd(124_000_000), "$0.12 + $0.004");
    assert_eq!(price.bound(&usage), price.cost(&usage));
    assert_eq!(usage.total(), 0, "they are no tokens");
    assert!(price.covers(&usage) && sonnet().covers(&TokenUsage::default()));
    assert!(!sonnet().covers(&usage), "not for nothing");
    assert!(!Price { image: None, ..price }.covers(&usage));
}

#[test]
fn a_fraction_of_a_nano_dollar_is_rounded_up_once() {
    let price = Price::of_tokens(PicoUsd(11), PicoUsd(11));
    let usage = TokenUsage { input: 50, output: 50, ..TokenUsage::default() };
    assert_eq!(price.cost(&usage), NanoUsd(2), "1,100 pico-USD, not 1 + 1 rounded apart");
    assert_eq!(price.cost(&TokenUsage { input: 1, ..TokenUsage::default() }), NanoUsd(1));
    assert_eq!(price.cost(&TokenUsage::default()), NanoUsd::ZERO);
}

#[test]
fn an_amount_beyond_all_money_is_the_largest_one() {
    let dear = PicoUsd(u64::MAX);
    let price = Price { cache_read: Some(dear), image: Some(dear), ..Price::of_tokens(dear, dear) };
    let most = u64::MAX;
    let usage = TokenUsage {
        input: most,
        output: most,
        cache_read: most,
        images: most,
        ..TokenUsage::default()
    };
    assert_eq!(price.cost(&usage), NanoUsd(u64::MAX));
    assert_eq!(price.bound(&usage), NanoUsd(u64::MAX));
}

fn rates(rates: &Value) -> ModelPrices {
    serde_json::from_value(rates.clone()).unwrap()
}

fn rate(region: Option<&str>, scope: Option<&str>, tier: &str, input: u64) -> Value {
    let mut rate = json!({ "service_tier": tier, "price": { "input": input, "output": 0 } });
    if let Some(region) = region {
        rate["region"] = region.into();
    }
    if let Some(scope) = scope {
        rate["profile_scope"] = scope.into();
    }
    rate
}

#[track_caller]
fn check_terms(prices: &ModelPrices, terms: (&str, ProfileScope, ServiceTier), input: Option<u64>) {
    let (region, profile_scope, service_tier) = terms;
    let price = prices.on(&PriceTerms { region, profile_scope, service_tier });
    assert_eq!(price.map(|price| price.input.0), input, "{terms:?}");
}

#[test]
fn the_rate_that_names_most_of_the_terms_counts() {
    use ProfileScope::{Geo, Global, InRegion};
    use ServiceTier::Default;
    let prices = rates(&json!([
        rate(None, None, "default", 1),
        rate(None, Some("global"), "default", 2),
        rate(Some("eu-west-2"), None, "default", 3),
        rate(Some("eu-west-2"), Some("global"), "default", 4),
        rate(Some("eu-west-1"), None, "default", 5),
        rate(Some("eu-west-3"), Some("global"), "default", 6),
    ]));
    check_terms(&prices, ("us-east-1", InRegion, Default), Some(1));
    check_terms(&prices, ("us-east-1", Global, Default), Some(2));
    check_terms(&prices, ("eu-west-2", Geo, Default), Some(3));
    check_terms(&prices, ("eu-west-2", Global, Default), Some(4));
    check_terms(&prices, ("eu-west-1", Global, Default), Some(5));
    check_terms(&prices, ("eu-west-3", Global, Default), Some(6));
    check_terms(&prices, ("eu-west-3", Geo, Default), Some(1));
}

#[test]
fn terms_that_no_rate_is_for_have_no_price() {
    use ProfileScope::{Global, InRegion};
    use ServiceTier::Default;
    let prices = rates(&json!([rate(Some("us-east-1"), Some("global"), "default", 1)]));
    check_terms(&prices, ("us-east-1", Global, Default), Some(1));
    check_terms(&prices, ("us-east-1", InRegion, Default), None);
    check_terms(&prices, ("eu-west-1", Global, Default), None);
}

#[test]
fn a_tier_without_a_rate_is_never_priced_too_low() {
    use ProfileScope::InRegion;
    use ServiceTier::{Batch, Default, Flex, Priority};
    let flat = rates(&json!({ "input": 10, "output": 0 }));
    check_terms(&flat, ("r", InRegion, Default), Some(10));
    check_terms(&flat, ("r", InRegion, Flex), Some(10));
    check_terms(&flat, ("r", InRegion, Batch), Some(10));
    check_terms(&flat, ("r", InRegion, Priority), None);
    let tiers = rates(&json!([rate(None, None, "default", 10), rate(None, None, "priority", 18),]));
    check_terms(&tiers, ("r", InRegion, Flex), Some(10));
    check_terms(&tiers, ("r", InRegion, Priority), Some(18));
    // A Region with rates of its own has no tier at another Region's price.
    let dear_region = rates(&json!([
        rate(None, None, "default", 10),
        rate(None, None, "flex", 5),
        rate(None, None, "priority", 18),
        rate(Some("r"), None, "default", 20),
    ]));
    check_terms(&dear_region, ("r", InRegion, Flex), Some(20));
    check_terms(&dear_region, ("r", InRegion, Priority), None);
    check_terms(&dear_region, ("s", InRegion, Flex), Some(5));
    // One without: its tiers are those of any Region, but for the one that it names.
    let dear_tier = rates(&json!([
        rate(None, None, "default", 10),
        rate(None, None, "flex", 5),
        rate(Some("r"), None, "priority", 30),
    ]));
    check_terms(&dear_tier, ("r", InRegion, Priority), Some(30));
    check_terms(&dear_tier, ("r", InRegion, Default), Some(10));
    check_terms(&dear_tier, ("r", InRegion, Flex), Some(5));
    check_terms(&dear_tier, ("s", InRegion, Priority), None);
    let flex_only = rates(&json!([rate(None, None, "flex", 5)]));
    check_terms(&flex_only, ("r", InRegion, Default), None);
    check_terms(&flex_only, ("r", InRegion, Batch), None);
}

#[test]
fn one_price_and_a_list_of_rates_are_read_and_written() {
    let flat = json!({ "input": 3_000_000, "output": 15_000_000, "cache_read": 300_000 });
    let list = json!([{ "region": "eu-west-2", "profile_scope": "geo", "price": flat }]);
    let tiers = json!([
        { "price": flat },
        { "service_tier": "flex", "price": { "input": 1, "output": 2, "long_context": [{ "above_input_tokens": 9, "input": 3, "output": 4 }] } },
    ]);
    for written in [flat, list, tiers] {
        assert_eq!(serde_json::to_value(rates(&written)).unwrap(), written);
    }
}

fn book(models: &Value) -> Result<PriceBook, String> {
    let book =
        json!({ "version": "2026-11-01", "valid_from": 1, "currency": "USD", "models": models });
    serde_json::from_value(book).map_err(|error| error.to_string())
}

#[track_caller]
fn refuses(models: &Value, reason: &str) {
    let error = book(models).unwrap_err();
    assert!(error.contains(reason), "{error}");
}

#[test]
fn a_book_that_makes_no_sense_is_refused() {
    let price = json!({ "input": 1, "output": 2 });
    assert!(book(&json!({ "m": price })).is_ok());
    refuses(&json!({ "m": { "input": -1, "output": 2 } }), "-1");
    refuses(&json!({ "m": { "input": 0.5, "output": 2 } }), "0.5");
    refuses(&json!({ "m": { "input": "1", "output": 2 } }), "invalid type: string");
    refuses(&json!({ "m": { "input": 1 } }), "missing field `output`");
    refuses(
        &json!({ "m": { "input": 1, "output": 2, "cache_reed": 1 } }),
        "unknown field `cache_reed`",
    );
    refuses(&json!({ "m": [] }), "has no rate");
    refuses(&json!({ "m": [{ "price": price }, { "price": price }] }), "two rates for the same");
    refuses(
        &json!({ "m": [{ "price": price }, { "price": price, "service_tier": "default" }] }),
        "two rates for the same",
    );
    refuses(&json!({ "m": [{ "price": price, "tier": "flex" }] }), "unknown field `tier`");
    let long = |above: &[u64]| {
        let tiers: Vec<_> = above
            .iter()
            .map(|it| json!({ "above_input_tokens": it, "input": 1, "output": 1 }))
            .collect();
        json!({ "m": { "input": 1, "output": 1, "long_context": tiers } })
    };
    assert!(book(&long(&[1, 2])).is_ok());
    for thresholds in [&[0][..], &[2, 1], &[1, 1]] {
        refuses(&long(thresholds), "do not rise");
    }
    // Dollars per million tokens, read as dollars per thousand.
    refuses(
        &json!({ "m": { "input": 1, "output": 15_000_000_000_u64 } }),
        "more than any model does",
    );
    refuses(&json!({ "m": { "input": 1, "output": 1, "image": u64::MAX } }), "per image");
}

#[test]
fn a_version_can_be_told_from_two() {
    let book = |version: &str| PriceBook {
        version: version.into(),
        valid_from: 0,
        valid_until: None,
        models: BTreeMap::new(),
    };
    assert_eq!(book("2026-11-01_b").validate(), Ok(()));
    for version in ["", "a+b", "a#b", "a b", &"a".repeat(41)] {
        assert_eq!(book(version).validate(), Err(InvalidPrices::Version(version.into())));
    }
    let ended = PriceBook { valid_until: Some(0), ..book("v") };
    assert_eq!(ended.validate(), Err(InvalidPrices::NeverValid));
}

#[test]
fn dollars_are_the_only_currency() {
    let with = |currency: &str| {
        let book = json!({ "version": "v", "valid_from": 0, "currency": currency, "models": {} });
        serde_json::from_value::<PriceBook>(book)
    };
    assert!(with("USD").is_ok());
    for currency in ["EUR", "usd", "CNY", ""] {
        assert!(with(currency).is_err(), "{currency}");
    }
}

#[test]
fn the_youngest_valid_book_is_in_force() {
    let book = |version: &str, valid_from, valid_until| {
        let models = BTreeMap::new();
        Arc::new(PriceBook { version: version.into(), valid_from, valid_until, models })
    };
    let books = [
        book("2026-02", 200, None),
        book("2026-01", 100, None),
        book("2026-03-offer", 300, Some(350)),
        book("2026-04", 400, None),
        book("2026-04-corrected", 400, None),
    ];
    let in_force = |now| PriceBook::in_force(&books, now).map(|book| book.version.as_str());
    assert_eq!(in_force(99), None);
    assert_eq!(in_force(100), Some("2026-01"));
    assert_eq!(in_force(299), Some("2026-02"));
    assert_eq!(in_force(300), Some("2026-03-offer"));
    assert_eq!(in_force(349), Some("2026-03-offer"));
    assert_eq!(in_force(350), Some("2026-02"), "the offer is over");
    assert_eq!(in_force(400), Some("2026-04-corrected"));
}

#[test]
fn overrides_go_before_the_book_while_they_are_valid() {
    let prices =
        |input, output| ModelPrices::from(Price::of_tokens(PicoUsd(input), PicoUsd(output)));
    let book = Arc::new(PriceBook {
        version: "2026-11-01".into(),
        valid_from: 100,
        valid_until: None,
        models: [(model("a"), prices(10, 20)), (model("b"), prices(30, 40))].into(),
    });
    let agreed = |version: &str, valid_from, valid_until, input| {
        let models = [(model("a"), prices(input, 20)), (model("own"), prices(1, 1))].into();
        Arc::new(PriceOverrides { version: version.into(), valid_from, valid_until, models })
    };
    let overrides = [agreed("ovr-1", 0, None, 9), agreed("ovr-2", 200, Some(300), 8)];
    let all = Prices { books: &[book], overrides: &overrides };
    let terms = PriceTerms {
        region: "us-east-1",
        profile_scope: ProfileScope::Geo,
        service_tier: ServiceTier::Default,
    };
    let quote = |id: &str, now| {
        let quote = all.quote(&model(id), &terms, now)?;
        assert_eq!(all.quoted(&quote.version, &model(id), &terms), Some(quote.price));
        Some((quote.price.input.0, quote.version))
    };
    let some = |input, version: &str| Some((input, version.to_owned()));
    assert_eq!(quote("a", 99), None, "no book is in force");
    assert_eq!(quote("a", 100), some(9, "2026-11-01+ovr-1"));
    assert_eq!(quote("a", 200), some(8, "2026-11-01+ovr-2"));
    assert_eq!(quote("a", 300), some(9, "2026-11-01+ovr-1"));
    assert_eq!(quote("b", 200), some(30, "2026-11-01"));
    assert_eq!(quote("own", 200), some(1, "2026-11-01+ovr-2"));
    assert_eq!(quote("c", 200), None);
    // The list says the same as the quotes.
    for now in [99, 100, 200, 300] {
        let listed: Vec<_> = all
            .in_force(now)
            .iter()
            .map(|it| (it.model.as_str(), it.prices.on(&terms).unwrap().input.0, it.version()))
            .collect();
        let quoted: Vec<_> = ["a", "b", "c", "own"]
            .iter()
            .filter_map(|id| quote(id, now).map(|(input, version)| (*id, input, version)))
            .collect();
        assert_eq!(listed, quoted, "{now}");
    }
    // What overrides say of a model is all: a tier that they leave out is not the book's.
    let priority = PriceTerms { service_tier: ServiceTier::Priority, ..terms };
    assert_eq!(all.quote(&model("a"), &priority, 200), None);
    assert!(all.has_any(&model("a"), 200) && all.has_any(&model("own"), 200));
    assert!(!all.has_any(&model("a"), 99) && !all.has_any(&model("c"), 200));
    assert_eq!(all.quoted("2026-10-01", &model("a"), &terms), None);
    assert_eq!(all.quoted("2026-11-01+ovr-9", &model("a"), &terms), None);
}

use metering::{PicoUsd, Price, PriceTerms, ProfileScope, ServiceTier};
use serde_json::{Value, json};

use super::book::{Draft, Registered, draft};
use super::import::{Import, Reason};
use super::usd::BadPrice;
use super::*;

const BEDROCK: &str = include_str!("testdata/AmazonBedrock.json");
const FOUNDATION_MODELS: &str = include_str!("testdata/AmazonBedrockFoundationModels.json");

fn offer(text: &str) -> Offer {
    serde_json::from_str(text).unwrap()
}

fn import(offers: &[Offer], regions: &[&str]) -> Import {
    let vocabulary = Vocabulary::built_in().unwrap();
    let regions: Vec<_> = regions.iter().map(ToString::to_string).collect();
    let mut import = Import::default();
    for offer in offers {
        import.add(offer, &vocabulary, &regions);
    }
    import
}

fn both(regions: &[&str]) -> Import {
    import(&[offer(BEDROCK), offer(FOUNDATION_MODELS)], regions)
}

fn registered() -> Vec<Registered> {
    serde_json::from_value(json!([
        { "id": "sonnet", "provider_model_id": "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "max_output_tokens": 64000 },
        { "id": "sonnet-global", "provider_model_id": "global.anthropic.claude-sonnet-4-5-20250929-v1:0", "max_output_tokens": 64000 },
        { "id": "nova-pro", "provider_model_id": "amazon.nova-pro-v1:0", "max_output_tokens": 10000 },
        { "id": "nova-canvas", "provider_model_id": "amazon.nova-canvas-v1:0", "max_output_tokens": 0 },
        { "id": "titan-embed", "provider_model_id": "amazon.titan-embed-text-v2:0", "max_output_tokens": 0 },
        { "id": "rerank", "provider_model_id": "cohere.rerank-v3-5:0", "max_output_tokens": 0 },
        { "id": "pii", "provider_model_id": "gr-1", "protocols": ["bedrock_guardrail"], "max_output_tokens": 0 },
        { "id": "vllm-llama", "provider": "vllm", "provider_model_id": "amazon.nova-pro-v1:0", "max_output_tokens": 4096 },
        { "id": "unknown", "provider_model_id": "vendor.unknown-v1:0", "max_output_tokens": 4096 },
    ]))
    .unwrap()
}

fn book(import: &Import) -> Draft {
    let base = json!({ "version": "before", "valid_from": 0, "models": { "vllm-llama": { "input": 500_000, "output": 700_000 } } });
    let base: PriceBook = serde_json::from_value(base).unwrap();
    let vocabulary = Vocabulary::built_in().unwrap();
    draft(import, &vocabulary, &registered(), Some(&base), ("2026-12-01".into(), 1_796_083_200))
        .unwrap()
}

#[track_caller]
fn price<'a>(draft: &'a Draft, model: &str, tier: ServiceTier) -> Option<&'a Price> {
    let scope = if model.ends_with("global") { ProfileScope::Global } else { ProfileScope::Geo };
    let terms = PriceTerms { region: "us-east-1", profile_scope: scope, service_tier: tier };
    draft.book.models.get(&model.parse().unwrap())?.on(&terms)
}

#[test]
fn the_offers_become_a_book() {
    let draft = book(&both(&[]));
    let default = |model| price(&draft, model, ServiceTier::Default).unwrap();
    let (regional, global) = (default("sonnet"), default("sonnet-global"));
    assert_eq!((regional.input.0, regional.output.0), (3_300_000, 16_500_000));
    assert_eq!((global.input.0, global.output.0), (3_000_000, 15_000_000));
    assert_eq!(regional.cache_read, Some(PicoUsd(330_000)));
    assert_eq!(regional.cache_write_5m, Some(PicoUsd(4_125_000)));
    assert_eq!(regional.cache_write_1h, Some(PicoUsd(6_600_000)));
    let long = &regional.long_context[0];
    assert_eq!(
        (long.above_input_tokens, long.input.0, long.output.0),
        (200_000, 6_600_000, 24_750_000)
    );
    let batch = price(&draft, "sonnet", ServiceTier::Batch).unwrap();
    assert_eq!(
        (batch.input.0, batch.long_context[0].input.0),
        (1_650_000, 6_600_000),
        "no discount is known for long ones"
    );
    let nova = |tier| price(&draft, "nova-pro", tier).map(|price| (price.input.0, price.output.0));
    assert_eq!(nova(ServiceTier::Default), Some((800_000, 3_200_000)));
    assert_eq!(nova(ServiceTier::Flex), Some((400_000, 1_600_000)));
    assert_eq!(nova(ServiceTier::Priority), Some((1_400_000, 5_600_000)));
    assert_eq!(default("nova-canvas").image, Some(PicoUsd(80_000_000_000)), "the dearest quality");
    assert_eq!(default("titan-embed"), &Price::of_tokens(PicoUsd(20_000), PicoUsd(0)));
    assert_eq!(default("rerank").search_unit, Some(PicoUsd(2_000_000_000)));
    assert_eq!(default("pii").guardrail_unit, Some(PicoUsd(150_000_000)), "the dearest policy");
    assert_eq!(default("vllm-llama").input.0, 500_000, "that of the book before");
    assert_eq!(draft.unpriced, ["unknown".parse().unwrap()]);
    assert_eq!(
        draft.faults,
        ["nova-pro in eu-west-2, scope any, tier default: no price of input or of output"]
    );
    let written = serde_json::to_string(&draft.book).unwrap();
    assert_eq!(serde_json::from_str::<PriceBook>(&written).unwrap(), draft.book);
}

#[test]
fn every_row_is_a_price_or_in_the_report() {
    let offers = [offer(BEDROCK), offer(FOUNDATION_MODELS)];
    let products: usize = offers.iter().map(|offer| offer.products.0.len()).sum();
    let import = import(&offers, &[]);
    assert_eq!(import.rows + import.left_out.len() + import.other_regions, products);
    let report = report(&import, &book(&import));
    for row in import.left_out.iter().filter(|row| !row.reason.is_expected()) {
        assert!(report.contains(&format!("{} {}", row.sku, row.usage_type)), "{report}");
    }
    assert!(report.contains("1 rows: not priced by use: reserved capacity"), "{report}");
    assert!(
        report.contains("MYSTERY0001 USE1-Claude9Sonnet-input-tokens: unknown model"),
        "{report}"
    );
    assert!(
        report
            .contains("MYSTERY0002 USE1-NovaPro-input-tokens-starlight: unknown words `starlight`"),
        "{report}"
    );
}

#[test]
fn only_the_regions_that_were_asked_for_are_imported() {
    let import = both(&["eu-west-2"]);
    assert!(import.rates.keys().all(|key| key.region == "eu-west-2") && import.rows == 1);
    assert!(import.other_regions > 20);
}

/// A row as a file has it, changed by the caller.
fn row(change: impl FnOnce(&mut Value, &mut Value)) -> Offer {
    let mut product = json!({ "attributes": { "usagetype": "USE1-NovaPro-input-tokens", "regionCode": "us-east-1", "servicename": "Amazon Bedrock" } });
    let mut dimension = json!({ "unit": "1K tokens", "description": "$0.0008 per 1K input tokens", "beginRange": "0", "endRange": "Inf", "pricePerUnit": { "USD": "0.0008000000" } });
    change(&mut product, &mut dimension);
    let file = json!({
        "offerCode": "AmazonBedrock",
        "products": { "SKU": product },
        "terms": { "OnDemand": { "SKU": { "SKU.TERM": { "priceDimensions": { "SKU.TERM.RATE": dimension } } } } },
    });
    serde_json::from_value(file).unwrap()
}

#[track_caller]
fn refuses(reason: &Reason, change: impl FnOnce(&mut Value, &mut Value)) {
    let import = import(&[row(change)], &[]);
    assert_eq!(import.rows, 0);
    assert_eq!(import.left_out.iter().map(|row| &row.reason).collect::<Vec<_>>(), [reason]);
    assert!(import.rates.is_empty());
}

#[test]
fn a_row_that_is_as_it_should_be_is_a_price() {
    assert_eq!(import(&[row(|_, _| {})], &[]).rows, 1);
}

#[test]
fn a_hostile_price_is_refused() {
    for text in ["-0.0008", "NaN", "1e-6", "0,0008", "", "8e400", "0.0008 "] {
        let reason = Reason::Price(text.into(), BadPrice::NoDecimal);
        refuses(&reason, |_, dimension| dimension["pricePerUnit"]["USD"] = text.into());
    }
    let absurd = Reason::Price("900000000".into(), BadPrice::Absurd);
    refuses(&absurd, |_, dimension| dimension["pricePerUnit"]["USD"] = "900000000".into());
    let fine = Reason::Price("0.0000000001".into(), BadPrice::TooFine);
    refuses(&fine, |_, dimension| dimension["pricePerUnit"]["USD"] = "0.0000000001".into());
    for value in [json!(0.0008), json!(null), json!(["0.0008"]), json!({})] {
        refuses(&Reason::NoText, |_, dimension| dimension["pricePerUnit"]["USD"] = value);
    }
}

#[test]
fn another_currency_is_refused() {
    let currency = |names: &str| Reason::Currency(names.into());
    refuses(&currency("CNY"), |_, dimension| {
        dimension["pricePerUnit"] = json!({ "CNY": "0.0056" });
    });
    refuses(&currency("EUR, USD"), |_, dimension| {
        dimension["pricePerUnit"]["EUR"] = "0.0007".into();
    });
    refuses(&currency("usd"), |_, dimension| {
        dimension["pricePerUnit"] = json!({ "usd": "0.0008" });
    });
    refuses(&currency(""), |_, dimension| dimension["pricePerUnit"] = json!({}));
}

#[test]
fn a_unit_that_is_not_clear_is_refused() {
    let unit = |unit: &str, description: &str| Reason::Unit {
        unit: unit.into(),
        description: description.into(),
    };
    let check = |name: &'static str, about: &'static str| {
        refuses(&unit(name, about), |_, dimension| {
            dimension["unit"] = name.into();
            dimension["description"] = about.into();
        });
    };
    check("Hours", "$0.0008 per hour");
    check("Units", "AWS Marketplace software usage|us-east-1|Input Tokens - Standard, Global");
    check("1K tokens", "Million Input Tokens Regional");
    check("1M tokens", "$0.0008 per 1K input tokens");
    check("Units", "thousand or million tokens");
    check("", "$0.0008 per 1K input tokens");
}

#[test]
fn terms_that_are_not_one_are_refused() {
    refuses(&Reason::Volume, |_, dimension| dimension["endRange"] = "1000000".into());
    refuses(&Reason::Volume, |_, dimension| dimension["beginRange"] = "1".into());
    let mut none = row(|_, _| {});
    none.terms.on_demand.0.clear();
    assert_eq!(import(&[none], &[]).left_out[0].reason, Reason::Terms(0));
    let mut two = row(|_, _| {});
    let further =
        row(|_, _| {}).terms.on_demand.0.remove("SKU").unwrap().0.remove("SKU.TERM").unwrap();
    two.terms.on_demand.0.get_mut("SKU").unwrap().0.insert("SKU.OTHER".into(), further);
    assert_eq!(import(&[two], &[]).left_out[0].reason, Reason::Terms(2));
    let mut orphan = row(|_, _| {});
    orphan.products.0.clear();
    assert_eq!(import(&[orphan], &[]).left_out[0].reason, Reason::NoProduct);
}

#[test]
fn a_usage_type_that_is_half_understood_is_refused() {
    let check = |usage_type: &'static str, reason: Reason| {
        refuses(&reason, |product, _| product["attributes"]["usagetype"] = usage_type.into());
    };
    check("USE1-NovaPro", Reason::NoKind);
    check("USE1-NovaPro-input-tokens-output-tokens", Reason::NoKind);
    check("USE1-NovaPro-input-tokensx", Reason::UnknownWord("input-tokensx".into()));
    check("USE1-NovaPro-input-tokens-ultrafast", Reason::UnknownWord("ultrafast".into()));
    check("USE1-NovaPro-input-tokens-long-context", Reason::NoThreshold);
    check(
        "USE1-NovaPro-input-tokens-custom-model",
        Reason::NotPriced("calls of custom models".into()),
    );
    check("USE1-NovaProX-input-tokens", Reason::UnknownModel("Amazon Bedrock".into()));
    check("", Reason::UnknownModel("Amazon Bedrock".into()));
    refuses(&Reason::NoRegion("Any".into()), |product, _| {
        product["attributes"]["regionCode"] = "Any".into();
    });
    refuses(&Reason::NoRegion(String::new()), |product, _| {
        product["attributes"]["regionCode"] = 1.into();
    });
}

#[test]
fn rows_that_contradict_each_other_price_nothing() {
    let dearer = row(|_, dimension| dimension["pricePerUnit"]["USD"] = "0.0009".into());
    let output =
        row(|product, _| product["attributes"]["usagetype"] = "USE1-NovaPro-output-tokens".into());
    let import = import(&[row(|_, _| {}), output, dearer], &[]);
    let reason = Reason::Contradiction { known: PicoUsd(800_000), now: PicoUsd(900_000) };
    assert_eq!(import.left_out[0].reason, reason);
    let draft = book(&import);
    assert_eq!(price(&draft, "nova-pro", ServiceTier::Default), None);
    assert!(draft.faults[0].contains("contradict"), "{:?}", draft.faults);
}

#[test]
fn a_chat_model_without_a_price_of_output_is_not_given_away() {
    let draft = book(&import(&[row(|_, _| {})], &[]));
    assert_eq!(price(&draft, "nova-pro", ServiceTier::Default), None);
    assert!(draft.unpriced.contains(&"nova-pro".parse().unwrap()));
}

#[test]
fn a_name_that_occurs_twice_is_no_offer() {
    let twice = r#"{ "offerCode": "AmazonBedrock", "products": { "S": { "attributes": {} }, "S": { "attributes": {} } }, "terms": {} }"#;
    let error = serde_json::from_str::<Offer>(twice).unwrap_err().to_string();
    assert!(error.contains("`S` occurs twice"), "{error}");
    let price = r#"{ "unit": "1K tokens", "pricePerUnit": { "USD": "1", "USD": "0" } }"#;
    assert!(serde_json::from_str::<super::offer::Dimension>(price).is_err());
}

#[test]
fn the_registry_of_the_seed_is_read() {
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/seed/models.json");
    let registered: Vec<Registered> = read(Path::new(models)).unwrap();
    assert!(registered.len() >= 18);
}

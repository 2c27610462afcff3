//! `infra/seed` is what the registry takes: every entry has its shape, keeps its rules and names what there is.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};

use inference::{Alias, BodyFormat, Model, Protocol, ProviderConfig};
use metering::{PriceBook, PriceTerms, ProfileScope, ServiceTier, TokenUsage};
use serde_json::Value;
use tenancy::ModelId;

fn models() -> BTreeMap<ModelId, Model> {
    let models: Vec<Model> =
        serde_json::from_str(include_str!("../../../infra/seed/models.json")).unwrap();
    models.into_iter().map(|model| (model.id.clone(), model)).collect()
}

fn local() -> Value {
    serde_json::from_str(include_str!("../../../infra/seed/local.json")).unwrap()
}

fn providers() -> Vec<ProviderConfig> {
    let text = include_str!("../../../infra/seed/providers.json");
    serde_json::from_str(&text.replace("${model_server}", "http://127.0.0.1:4567")).unwrap()
}

fn check_alias(alias: &Alias, models: &BTreeMap<ModelId, Model>) {
    alias.validate().unwrap();
    for model in alias.models() {
        assert!(models.contains_key(model), "alias `{}` names `{model}`", alias.name);
    }
    assert!(!models.contains_key(&alias.name), "`{}` would hide a model", alias.name);
}

#[test]
fn models_are_valid_and_their_providers_known() {
    let providers: BTreeSet<_> =
        providers().into_iter().chain(ProviderConfig::built_in()).map(|it| it.id).collect();
    for model in models().values() {
        model.validate().unwrap();
        assert!(providers.contains(&model.provider), "{} of {}", model.id, model.provider);
    }
}

#[test]
fn providers_are_valid_and_their_secrets_seeded() {
    for provider in providers() {
        provider.validate().unwrap();
        if let Some(auth) = &provider.auth {
            assert!(local()["secrets"][&auth.secret].is_string(), "{}", auth.secret);
        }
    }
}

#[test]
fn every_model_has_prices_for_all_that_it_consumes() {
    let book: PriceBook =
        serde_json::from_str(include_str!("../../../infra/seed/prices.json")).unwrap();
    for (id, model) in models() {
        let prices = book.models.get(&id).unwrap_or_else(|| panic!("{id} has no price"));
        let terms = PriceTerms {
            region: "us-east-1",
            profile_scope: ProfileScope::of_model_id(&model.provider_model_id),
            service_tier: ServiceTier::Default,
        };
        let price = prices.on(&terms).unwrap_or_else(|| panic!("{id} has no price on demand"));
        let makes_images = matches!(model.body, Some(BodyFormat::Native { images: Some(_), .. }));
        let searches = model.speaks(Protocol::BedrockRerank) || model.speaks(Protocol::Rerank);
        let usage = TokenUsage {
            input: 1,
            output: u64::from(model.max_output_tokens),
            images: u64::from(makes_images),
            search_units: u64::from(searches),
            ..TokenUsage::default()
        };
        assert!(price.covers(&usage), "{id}");
        assert!(price.cost(&usage).0 > 0, "{id} is free");
        assert_eq!(model.capabilities.prompt_caching_1h, price.cache_write_1h.is_some(), "{id}");
    }
    assert_eq!(book.models.len(), models().len(), "a price without a model");
}

#[test]
fn aliases_are_valid_and_lead_to_models() {
    let models = models();
    let organisation: Vec<Alias> =
        serde_json::from_str(include_str!("../../../infra/seed/aliases.json")).unwrap();
    let own = local()["tenants"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|tenant| tenant.get("aliases").cloned())
        .flat_map(|aliases| serde_json::from_value::<Vec<Alias>>(aliases).unwrap())
        .collect::<Vec<_>>();
    assert!(!own.is_empty());
    organisation.iter().chain(&own).for_each(|alias| check_alias(alias, &models));
}

#[test]
fn of_each_protocol_two_tenants_have_a_model_that_the_other_has_not() {
    let models = models();
    let protocols_of = |tenant: usize, other: usize| -> BTreeSet<Protocol> {
        let ids = |tenant: usize| -> BTreeSet<ModelId> {
            serde_json::from_value(local()["tenants"][tenant]["models"].clone()).unwrap()
        };
        assert!(ids(tenant).iter().all(|id| models.contains_key(id)));
        let own = &ids(tenant) - &ids(other);
        own.iter().flat_map(|id| models[id].protocols.clone()).collect()
    };
    let shared = [
        Protocol::Converse,
        Protocol::AnthropicMessages,
        Protocol::InvokeModel,
        Protocol::BedrockRerank,
    ];
    for protocol in shared.into_iter().chain([Protocol::OpenaiChat]) {
        assert!(protocols_of(0, 1).contains(&protocol), "acme: {}", protocol.as_str());
        assert!(protocols_of(1, 0).contains(&protocol), "globex: {}", protocol.as_str());
    }
}

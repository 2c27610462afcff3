//! Catalog, entitlements and aliases of two tenants, read from an embedded DynamoDB.

use admission::EntitlementStore as _;
use aws_sdk_dynamodb::Client;
use inference::{AliasStore as _, CatalogStore as _, Protocol};
use serde_json::{Value, json};
use store_dynamodb::Configuration;
use tenancy::ModelId;

use crate::support::{self, context, keyed};

const TABLE: &str = "tenancy";

async fn put(client: &Client, pk: &str, sk: &str, item: Value) {
    support::put(client, TABLE, pk, sk, item).await;
}

fn alias(name: &str, target: &str) -> Value {
    json!({"name": name, "steps": [{"targets": [{"model": target}]}]})
}

fn model(id: &str) -> Value {
    json!({
        "id": id, "provider": "vllm", "provider_model_id": format!("vendor.{id}"), "protocols": ["openai_chat"],
        "owned_by": "vendor", "created": 1, "context_window": 1000, "max_output_tokens": 100,
        "default_max_tokens": 10, "capabilities": {},
    })
}

fn provider(id: &str, base_url: &str) -> Value {
    json!({"id": id, "kind": "openai_compatible", "name": "vllm", "base_url": base_url})
}

async fn configuration() -> (Client, Configuration) {
    let client = keyed(TABLE).await;
    for (tenant, lob) in [("acme", "retail"), ("globex", "markets")] {
        let item = json!({
            "tenant_id": tenant, "lob_id": lob, "status": "active", "models": ["model-a"], "entitlement_version": 3,
        });
        put(&client, &format!("TENANT#{tenant}"), "META", item).await;
        let item = json!({"lob_id": lob, "status": "active", "entitlement_version": 1});
        put(&client, &format!("LOB#{lob}"), "META", item).await;
    }
    (client.clone(), Configuration::new(client, TABLE.to_owned()))
}

fn names<'a>(keys: impl Iterator<Item = &'a ModelId>) -> Vec<&'a str> {
    keys.map(ModelId::as_str).collect()
}

#[tokio::test]
async fn the_catalog_holds_what_is_registered_and_what_every_stack_has() {
    let (client, configuration) = configuration().await;
    put(&client, "CATALOG", "MODEL#model-a", model("model-a")).await;
    put(&client, "CATALOG", "PROVIDER#vllm", provider("vllm", "https://vllm.example/v1")).await;
    put(&client, "CATALOG", "ALIAS#fast", alias("fast", "model-a")).await;
    let prices = json!({"version": "1", "valid_from": 0, "models": {"model-a": {"input": 1, "output": 2, "image": 3}}});
    put(&client, "CATALOG", "PRICES#1", prices).await;
    let catalog = configuration.catalog().await.unwrap();
    assert_eq!(names(catalog.models.keys()), ["model-a"]);
    assert_eq!(catalog.providers.keys().collect::<Vec<_>>(), ["bedrock", "sagemaker", "vllm"]);
    assert_eq!(names(catalog.aliases.keys()), ["fast"]);
    assert_eq!(catalog.price_books.len(), 1);
    let model = catalog.models.values().next().unwrap();
    assert!(model.speaks(Protocol::OpenaiChat) && model.provider == "vllm");
}

#[tokio::test]
async fn prices_are_one_or_by_terms_and_the_organisations_own_go_first() {
    let (client, configuration) = configuration().await;
    let rates = json!([
        {"price": {"input": 10, "output": 20, "long_context": [{"above_input_tokens": 9, "input": 30, "output": 40}]}},
        {"service_tier": "priority", "region": "us-east-1", "profile_scope": "geo", "price": {"input": 50, "output": 60}},
    ]);
    let book =
        json!({"version": "1", "valid_from": 0, "currency": "USD", "models": {"model-a": rates}});
    put(&client, "CATALOG", "PRICES#1", book).await;
    let own = json!({"version": "ovr-1", "valid_from": 5, "valid_until": 9, "models": {"model-a": {"input": 7, "output": 8}}});
    put(&client, "CATALOG", "PRICE_OVERRIDES#ovr-1", own).await;
    let catalog = configuration.catalog().await.unwrap();
    let terms = metering::PriceTerms {
        region: "us-east-1",
        profile_scope: metering::ProfileScope::Geo,
        service_tier: metering::ServiceTier::Priority,
    };
    let model = "model-a".parse().unwrap();
    let quote = catalog.prices().quote(&model, &terms, 4).unwrap();
    assert_eq!((quote.price.input.0, quote.version.as_str()), (50, "1"));
    let default = metering::PriceTerms { service_tier: metering::ServiceTier::Default, ..terms };
    let quote = catalog.prices().quote(&model, &default, 5).unwrap();
    assert_eq!((quote.price.input.0, quote.version.as_str()), (7, "1+ovr-1"));
    assert_eq!(catalog.prices().quote(&model, &default, 9).unwrap().price.long_context.len(), 1);
}

#[tokio::test]
async fn prices_that_make_no_sense_are_no_reason_to_use_others() {
    let (client, configuration) = configuration().await;
    let euros = json!({"version": "1", "valid_from": 0, "currency": "EUR", "models": {}});
    put(&client, "CATALOG", "PRICES#1", euros).await;
    assert!(configuration.catalog().await.is_err());
}

#[tokio::test]
async fn one_mistake_does_not_take_the_others_down() {
    let (client, configuration) = configuration().await;
    put(&client, "CATALOG", "MODEL#model-a", model("model-a")).await;
    put(&client, "CATALOG", "MODEL#model-b", json!({"id": "model-b"})).await;
    put(&client, "CATALOG", "MODEL#model-c", model("model-a")).await;
    let mut speechless = model("model-d");
    speechless["protocols"] = json!([]);
    put(&client, "CATALOG", "MODEL#model-d", speechless).await;
    put(&client, "CATALOG", "PROVIDER#plain", provider("plain", "http://vllm.example")).await;
    let mut unknown = provider("unknown", "https://vllm.example");
    unknown["kind"] = json!("carrier_pigeon");
    put(&client, "CATALOG", "PROVIDER#unknown", unknown).await;
    put(&client, "CATALOG", "ALIAS#none", json!({"name": "none", "steps": []})).await;
    let idle = json!({"name": "idle", "steps": [{"targets": [{"model": "model-a", "weight": 0}]}]});
    put(&client, "CATALOG", "ALIAS#idle", idle).await;
    let catalog = configuration.catalog().await.unwrap();
    assert_eq!(names(catalog.models.keys()), ["model-a"]);
    assert_eq!(catalog.providers.len(), 2, "the built-in ones");
    assert!(catalog.aliases.is_empty());

    put(&client, "CATALOG", "PRICES#2", json!({"version": "2"})).await;
    configuration.catalog().await.expect_err("another book would be in force");
}

#[tokio::test]
async fn a_tenant_sees_its_own_aliases_and_nobody_elses() {
    let (client, configuration) = configuration().await;
    let own = json!({"aliases": [alias("mine", "model-a"), {"name": "broken"}, {"name": "idle", "steps": []}]});
    put(&client, "TENANT#acme", "META", own).await;
    let theirs = json!({"aliases": [alias("theirs", "model-a")]});
    put(&client, "TENANT#globex", "META", theirs).await;
    for (tenant, lob, expected) in [
        ("acme", "retail", vec!["mine"]),
        ("globex", "markets", vec!["theirs"]),
        ("initech", "x-y", vec![]),
    ] {
        let aliases = configuration.aliases(&context(tenant, lob)).await.unwrap();
        assert_eq!(names(aliases.keys()), expected, "{tenant}");
    }
}

#[tokio::test]
async fn settings_are_read_with_the_tenant() {
    let (client, configuration) = configuration().await;
    let acme = context("acme", "retail");
    let read = configuration.entitlements(&acme).await.unwrap().unwrap();
    assert_eq!(read.tenant.settings, tenancy::TenantSettings::default());
    let item = json!({
        "tenant_id": "acme", "lob_id": "retail", "status": "active", "models": [], "entitlement_version": 4,
        "settings": {"response_cache": {"ttl_s": 60}, "stored_responses_days": 0},
    });
    put(&client, "TENANT#acme", "META", item).await;
    let settings = configuration.entitlements(&acme).await.unwrap().unwrap().tenant.settings;
    assert_eq!(settings.response_cache.unwrap().ttl_s, 60);
    assert_eq!(settings.response_retention_s(), None);
}

#[tokio::test]
async fn a_line_of_business_narrows_what_its_tenants_may_call() {
    let (client, configuration) = configuration().await;
    let tenant = json!({
        "tenant_id": "acme", "lob_id": "retail", "status": "active", "models": ["model-a", "model-b"], "entitlement_version": 4,
    });
    put(&client, "TENANT#acme", "META", tenant).await;
    for (list, expected) in [
        (json!(null), vec!["model-a", "model-b"]),
        (json!(["model-b", "model-c"]), vec!["model-b"]),
        (json!([]), vec![]),
    ] {
        let mut lob = json!({"lob_id": "retail", "status": "active", "limits": []});
        if !list.is_null() {
            lob["models"] = list.clone();
        }
        put(&client, "LOB#retail", "META", lob).await;
        let read = configuration.entitlements(&context("acme", "retail")).await.unwrap().unwrap();
        assert_eq!(names(read.tenant.models.0.iter()), expected, "{list}");
    }
}

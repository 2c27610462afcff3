//! A recorded order in, the ledger's state out.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use admission::fakes::InMemoryLedger;
use admission::{EntitlementStore, Entitlements, Meter, Scope, StoreError};
use bytes::Bytes;
use content::fakes::InMemoryContent;
use gateway::fakes::Nothing;
use gateway::{Cache, Exhausted, SharedHealth};
use inference::{
    Alias, AliasStore, Catalog, CatalogStore, Protocol, ProviderAdapter, ProviderCall,
    ProviderError, ProviderRequest, ProviderResponse, ReadCatalogError, fixtures,
};
use lambda_runtime::Context;
use metering::{Outcome, PicoUsd, Price, PriceBook};
use serde_json::Value;
use tenancy::{ModelAllowlist, ModelId, Status, Tenant, TenantContext, TenantSettings};

use super::*;

const ANSWER: &str = r#"{"id":"c-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}"#;

/// One tenant and one model.
struct Fixed;

impl EntitlementStore for Fixed {
    async fn entitlements(&self, _: &TenantContext) -> Result<Option<Entitlements>, StoreError> {
        let tenant = Tenant {
            tenant_id: "acme".parse().unwrap(),
            lob_id: "retail".parse().unwrap(),
            status: Status::Active,
            models: ModelAllowlist(["new-b".parse().unwrap()].into()),
            default_max_tokens: None,
            entitlement_version: 1,
            settings: TenantSettings::default(),
            projects: BTreeMap::new(),
            tags: BTreeMap::new(),
        };
        Ok(Some(admission::fakes::entitlements(tenant, vec![])))
    }
}

impl AliasStore for Fixed {
    async fn aliases(
        &self,
        _: &TenantContext,
    ) -> Result<BTreeMap<ModelId, Arc<Alias>>, ReadCatalogError> {
        Ok(BTreeMap::new())
    }
}

impl CatalogStore for Fixed {
    async fn catalog(&self) -> Result<Catalog, ReadCatalogError> {
        let model = Arc::new(fixtures::model("new-b", Protocol::OpenaiChat));
        let price =
            Price { input: PicoUsd(1_000_000), output: PicoUsd(10_000_000), ..Price::default() };
        let book = PriceBook {
            version: "2026-11".into(),
            valid_from: 0,
            valid_until: None,
            models: BTreeMap::from([(model.id.clone(), price.into())]),
        };
        Ok(Catalog {
            models: BTreeMap::from([(model.id.clone(), model)]),
            price_books: vec![Arc::new(book)],
            ..Catalog::default()
        })
    }
}

/// Answers every call, and counts.
#[derive(Default)]
struct FakeProvider(Mutex<usize>);

impl ProviderAdapter for FakeProvider {
    async fn send(
        &self,
        _: &ProviderCall<'_>,
        _: ProviderRequest,
    ) -> Result<ProviderResponse, ProviderError> {
        *self.0.lock().unwrap() += 1;
        let body = Box::pin(futures::stream::iter([Ok(Bytes::from_static(ANSWER.as_bytes()))]));
        Ok(ProviderResponse { provider_request_id: None, headers: Vec::new(), body })
    }
}

struct FakePorts;

impl Ports for FakePorts {
    type Configuration = Fixed;
    type Ledger = InMemoryLedger;
    type Providers = FakeProvider;
    type Content = InMemoryContent;
    type Objects = Nothing;
    type Health = Nothing;
    type Shadows = Nothing;
}

fn state() -> Arc<State<FakePorts>> {
    let meter = (Scope::Tenant("acme".parse().unwrap()), Meter::new(Status::Active, 1));
    Arc::new(State {
        configuration: Cache::new(Fixed, Duration::from_mins(1)),
        ledger: InMemoryLedger::with_meters([meter]),
        providers: FakeProvider::default(),
        content: InMemoryContent::default(),
        objects: Nothing,
        health: SharedHealth::new(Nothing),
        shadows: None,
        exhausted: Exhausted::default(),
        calendar: admission::Calendar::utc(),
        region: "us-east-1".into(),
        heartbeat: Duration::from_secs(10),
        now_ms: || 1_795_435_200_000,
        random: || 0,
    })
}

/// The recorded order, with `value` at `field` (a JSON pointer).
fn order(field: &str, value: &str) -> LambdaEvent<ShadowOrder> {
    let mut order: Value = serde_json::from_str(include_str!("../testdata/order.json")).unwrap();
    *order.pointer_mut(field).unwrap() = value.into();
    LambdaEvent::new(serde_json::from_value(order).unwrap(), Context::default())
}

#[tokio::test]
async fn an_order_is_a_call_of_the_model_that_it_names() {
    let state = state();
    handle(&state, order("/model", "new-b")).await.unwrap();
    let records = state.ledger.all_records();
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!(record.choice.model.as_str(), "new-b");
    assert_eq!(record.shadow_of.as_deref(), Some("0198f0c2a7b37d1e8f00aabbccddeeff"));
    assert_ne!(record.id.call_id, "0198f0c2a7b37d1e8f00aabbccddeeff");
    assert_eq!((record.usage.input, record.outcome), (9, Outcome::Completed));
    assert_eq!((record.tenant_id.as_str(), record.principal_id.as_str()), ("acme", "u-1"));
}

#[tokio::test]
async fn an_order_that_is_refused_leaves_nothing_and_is_no_failure() {
    for (field, value) in [
        ("/model", "not-allowed"),
        ("/caller/roles", "no-role"),
        ("/caller/roles", ""),
        ("/path", "/v1/embeddings"),
        ("/path", "/v1/files"),
        ("/body", "{}"),
    ] {
        let state = state();
        handle(&state, order(field, value)).await.unwrap();
        assert!(state.ledger.all_records().is_empty(), "{field}");
        assert_eq!(*state.providers.0.lock().unwrap(), 0);
    }
}

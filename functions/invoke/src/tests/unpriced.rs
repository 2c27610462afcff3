//! Models and tiers that nobody has priced.

use admission::fakes::hard;
use admission::{Metric, Period};
use inference::Protocol;
use metering::NanoUsd;
use serde_json::json;

use super::support::{Gateway, Script, body, chat, whole};

fn gateway(allow_unpriced: bool) -> Gateway {
    let limits = vec![hard(Metric::Cost, Period::Month, 1)];
    let further = [inference::fixtures::model("unpriced-d", Protocol::Converse)];
    let gateway = Gateway::with_models(limits, vec![Script::Whole(whole("Hi"))], &further);
    let mut tenants = gateway.configuration.tenants.lock().unwrap();
    tenants.get_mut("acme").unwrap().tenant.settings.allow_unpriced = allow_unpriced;
    drop(tenants);
    gateway
}

#[tokio::test]
async fn a_model_without_a_price_is_refused() {
    let gateway = gateway(false);
    let response = gateway.send("acme", &chat("unpriced-d")).await;
    assert_eq!(response.status(), 503);
    assert_eq!(body(response).await["error"]["code"], "model_unpriced");
    assert_eq!(gateway.provider_calls(), 0);
}

#[tokio::test]
async fn a_tenant_may_be_allowed_to_use_it_and_the_record_says_that_it_has_no_price() {
    let gateway = gateway(true);
    let response = gateway.send("acme", &chat("unpriced-d")).await;
    assert_eq!(response.status(), 200, "a budget of nothing is no hindrance");
    let record = gateway.record();
    assert!(!record.is_priced && record.usage.input > 0);
    assert_eq!((record.cost_nanousd, record.price_version.as_str()), (NanoUsd::ZERO, "unpriced"));
}

#[tokio::test]
async fn a_tier_without_a_price_is_not_free_for_anybody() {
    let gateway = gateway(true);
    let mut request = chat("native-b");
    request["service_tier"] = json!("priority");
    let response = gateway.send("acme", &request).await;
    assert_eq!(response.status(), 400);
    assert_eq!(gateway.provider_calls(), 0);
}

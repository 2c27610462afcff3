//! The control API.

use crate::support::{Sim, user};

#[tokio::test]
async fn calls_are_listed_since_a_number_and_reset() {
    let sim = Sim::start().await;
    assert_eq!(sim.get("/_sim/health").await["status"], "ok");
    for tenant_id in ["acme", "globex"] {
        let request = sim.bedrock().converse().model_id("m").messages(user("hi"));
        request.request_metadata("tenant_id", tenant_id).send().await.unwrap();
    }
    let tenants = async |query: &str| -> Vec<String> {
        let answer = sim.get(&format!("/_sim/calls{query}")).await;
        let calls = answer["calls"].as_array().unwrap();
        calls.iter().map(|call| call["tenant_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(tenants("").await, ["acme", "globex"]);
    assert_eq!(tenants("?since=1").await, ["globex"]);
    assert_eq!(tenants("?since=0&tenant_id=acme").await, ["acme"]);
    assert_eq!(tenants("?limit=1").await, ["acme"]);
    let reset = sim.http.post(format!("{}/_sim/reset", sim.url)).send().await.unwrap();
    assert!(reset.status().is_success());
    assert!(tenants("").await.is_empty());
}

#[tokio::test]
async fn every_answer_says_that_it_is_simulated() {
    let sim = Sim::start().await;
    for path in ["/_sim/health", "/nowhere", "/openai/v1/nowhere"] {
        let response = sim.http.get(format!("{}{path}", sim.url)).send().await.unwrap();
        assert_eq!(response.headers()["x-model-sim"], "1", "{path}");
    }
}

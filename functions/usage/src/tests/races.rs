//! Two administrators at the same time.

use admission::LimitOwner;
use http::StatusCode;
use serde_json::json;

use super::support::{asked, budget, put, state};

#[tokio::test]
async fn a_change_of_what_has_changed_is_refused() {
    let state = state();
    let seen = asked(&state, "lob_admin@acme").get("/v1/limits/tenants/acme").await.etag();
    put(&state, "lob_admin@acme", "tenants/acme", &budget(1)).await;
    for stale in
        [seen.clone(), format!("W/{seen}"), "\"1\", \"2\"".into(), String::new(), "7".into()]
    {
        let asked = asked(&state, "lob_admin@acme").header("If-Match", stale).body(&budget(2));
        let answer = asked.send("PUT", "/v1/limits/tenants/acme").await;
        assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED);
        assert_eq!(answer.code(), "precondition_failed");
        assert_eq!(answer.headers["x-should-retry"], "false");
    }
    let fresh = asked(&state, "lob_admin@acme").header("If-Match", "\"8\"").body(&budget(2));
    assert_eq!(fresh.send("PUT", "/v1/limits/tenants/acme").await.status, 200);
}

#[tokio::test]
async fn a_change_between_reading_and_writing_is_not_overwritten() {
    let state = state();
    let owner = LimitOwner::of_text("tenants/acme").unwrap();
    // A principal's limits are of the same item: two changes of different lists do not lose each other.
    let each = LimitOwner::of_text("tenants/acme/each-principal").unwrap();
    for other in [owner.clone(), each] {
        let rules = admission::read_rules(&budget(77)["limits"]).unwrap();
        state.store.data().others.push((other.clone(), rules.clone()));
        let answer = put(&state, "lob_admin@acme", "tenants/acme", &budget(1)).await;
        assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED);
        assert_eq!(state.store.data().rules[&other], rules);
        assert!(state.store.data().audit.is_empty());
    }
}

#[tokio::test]
async fn a_change_says_what_it_is_a_change_of() {
    let state = state();
    let answer = asked(&state, "lob_admin@acme")
        .body(&budget(1))
        .send("PUT", "/v1/limits/tenants/acme")
        .await;
    assert_eq!((answer.status, answer.param()), (StatusCode::BAD_REQUEST, "If-Match"));
}

#[tokio::test]
async fn a_raise_that_meets_another_change_is_granted_on_top_of_it() {
    let state = state();
    let wish = json!({"limit_id": "budget", "amount": 5, "valid_until": "2026-11-24T00:00:00Z"});
    let raise = asked(&state, "developer@acme")
        .body(&wish)
        .send("POST", "/v1/limits/tenants/acme/raises")
        .await;
    let owner = LimitOwner::of_text("tenants/acme").unwrap();
    let rules = admission::read_rules(&budget(77)["limits"]).unwrap();
    state.store.data().others.push((owner.clone(), rules));
    let path =
        format!("/v1/limits/tenants/acme/raises/{}/approve", raise.body["id"].as_str().unwrap());
    assert_eq!(asked(&state, "lob_admin@zenith").send("POST", &path).await.status, 200);
    let data = state.store.data();
    assert_eq!((data.rules[&owner][0].amount, data.rules[&owner][0].raises.len()), (77, 1));
}

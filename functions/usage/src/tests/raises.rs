//! Asking for more, and who grants it.

use admission::LimitOwner;
use http::StatusCode;
use serde_json::{Value, json};

use super::fake::Fake;
use super::support::{Answer, EVERYBODY, asked, budget, put, state};
use crate::State;

fn wish() -> Value {
    json!({"limit_id": "budget", "amount": 5_000_000_000u64, "valid_until": "2026-11-30T00:00:00Z", "reason": "launch"})
}

async fn request(state: &State<Fake>, who: &str, scope: &str, body: &Value) -> Answer {
    asked(state, who).body(body).send("POST", &format!("/v1/limits/{scope}/raises")).await
}

async fn decide(state: &State<Fake>, who: &str, scope: &str, raise: &Answer, how: &str) -> Answer {
    let id = raise.body["id"].as_str().unwrap();
    asked(state, who).send("POST", &format!("/v1/limits/{scope}/raises/{id}/{how}")).await
}

fn amount(state: &State<Fake>, scope: &str, moment: &str) -> u64 {
    let moment: jiff::Timestamp = moment.parse().unwrap();
    let data = state.store.data();
    data.rules[&LimitOwner::of_text(scope).unwrap()][0].amount_at(moment.as_millisecond())
}

#[tokio::test]
async fn a_raise_is_asked_for_by_a_member_and_granted_from_above_for_a_time() {
    let state = state();
    let raise = request(&state, "developer@acme", "tenants/acme", &wish()).await;
    assert_eq!((raise.status, &raise.body["status"]), (StatusCode::CREATED, &json!("requested")));
    assert_eq!(amount(&state, "tenants/acme", "2026-11-25T00:00:00Z"), 50_000_000_000, "not yet");
    for (who, status) in [
        ("developer@acme", 403),
        ("tenant_admin@acme", 403),
        ("viewer@acme", 403),
        ("machine@acme", 403),
        ("tenant_admin@globex", 404),
        ("lob_admin@globex", 404),
    ] {
        for how in ["approve", "reject"] {
            let answer = decide(&state, who, "tenants/acme", &raise, how).await;
            assert_eq!(answer.status.as_u16(), status, "{who} {how}");
        }
    }
    let granted = decide(&state, "lob_admin@zenith", "tenants/acme", &raise, "approve").await;
    assert_eq!(
        (granted.status, &granted.body["decided_by"]),
        (StatusCode::OK, &json!("lob_admin-1"))
    );
    assert_eq!(amount(&state, "tenants/acme", "2026-11-23T12:00:00Z"), 55_000_000_000);
    assert_eq!(amount(&state, "tenants/acme", "2026-11-30T00:00:00Z"), 50_000_000_000, "it ends");
    assert_eq!(state.store.data().known[&"acme".parse().unwrap()], 8, "effective on the next call");
    let actions: Vec<_> = state
        .store
        .data()
        .audit
        .iter()
        .filter(|it| it.is_allowed)
        .map(|it| it.action.clone())
        .collect();
    assert_eq!(actions, ["raise.requested", "raise.approved"]);
}

#[tokio::test]
async fn a_request_is_decided_once() {
    let state = state();
    for (first, second) in
        [("approve", "approve"), ("approve", "reject"), ("reject", "approve"), ("reject", "reject")]
    {
        let before = amount(&state, "tenants/acme", "2026-11-25T00:00:00Z");
        let raise = request(&state, "developer@acme", "tenants/acme", &wish()).await;
        assert_eq!(
            decide(&state, "lob_admin@acme", "tenants/acme", &raise, first).await.status,
            200
        );
        let again = decide(&state, "org_admin@globex", "tenants/acme", &raise, second).await;
        assert_eq!((again.status, again.code()), (StatusCode::CONFLICT, "already_decided"));
        let raised = if first == "approve" { 5_000_000_000 } else { 0 };
        assert_eq!(amount(&state, "tenants/acme", "2026-11-25T00:00:00Z"), before + raised);
    }
}

#[tokio::test]
async fn nobody_grants_their_own_request() {
    let state = state();
    let raise = request(&state, "lob_admin@acme", "tenants/acme", &wish()).await;
    let own = decide(&state, "lob_admin@acme", "tenants/acme", &raise, "approve").await;
    assert_eq!((own.status, own.code()), (StatusCode::FORBIDDEN, "own_request"));
    // To take it back is no harm, and another's grant is another's.
    assert_eq!(
        decide(&state, "lob_admin@zenith", "tenants/acme", &raise, "approve").await.status,
        200
    );
}

#[tokio::test]
async fn requests_are_seen_by_those_who_asked_and_those_who_see_the_limits() {
    let state = state();
    request(&state, "developer@acme", "tenants/acme", &wish()).await;
    request(&state, "machine@acme", "tenants/acme", &wish()).await;
    let mut seen = Vec::new();
    for who in EVERYBODY {
        let answer = asked(&state, who).get("/v1/limits/tenants/acme/raises").await;
        seen.push(answer.body["data"].as_array().map(Vec::len));
    }
    assert_eq!(seen, [Some(2), Some(2), Some(2), Some(1), Some(2), Some(1), None]);
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_refused_by_field() {
    let state = state();
    for (change, field) in [
        (json!({"limit_id": "nosuch"}), "limit_id"),
        (json!({"limit_id": 5}), "limit_id"),
        (json!({"amount": 0}), "amount"),
        (json!({"amount": -5}), "amount"),
        (json!({"amount": 1.5}), "amount"),
        (json!({"amount": "5"}), "amount"),
        (json!({"amount": u64::MAX}), "amount"),
        (json!({"amount": null}), "amount"),
        (json!({"currency": "EUR"}), "currency"),
        (json!({"valid_until": null}), "valid_until"),
        (json!({"valid_until": "tomorrow"}), "valid_until"),
        (json!({"valid_until": "2026-11-23T12:00:00Z"}), "valid_until"),
        (json!({"valid_until": "2028-11-23T12:00:00Z"}), "valid_until"),
        (json!({"valid_from": "2026-12-01T00:00:00Z"}), "valid_until"),
        (json!({"reason": "x".repeat(501)}), "reason"),
        (json!({"granted_by": "me"}), "granted_by"),
    ] {
        let mut body = wish();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let answer = request(&state, "developer@acme", "tenants/acme", &body).await;
        assert_eq!((answer.status.as_u16(), answer.param()), (400, field), "{change}");
    }
    assert!(state.store.data().raises.is_empty());
    assert_eq!(request(&state, "developer@acme", "tenants/globex", &wish()).await.status, 404);
    let none = asked(&state, "lob_admin@acme")
        .send("POST", "/v1/limits/tenants/acme/raises/nosuch/approve")
        .await;
    assert_eq!(none.status, 404);
}

#[tokio::test]
async fn setting_limits_keeps_raises_and_makes_none() {
    let state = state();
    let raise = request(&state, "developer@acme", "tenants/acme", &wish()).await;
    decide(&state, "lob_admin@acme", "tenants/acme", &raise, "approve").await;
    put(&state, "lob_admin@acme", "tenants/acme", &budget(1_000)).await;
    assert_eq!(amount(&state, "tenants/acme", "2026-11-25T00:00:00Z"), 5_000_001_000, "kept");

    let mut shown = asked(&state, "lob_admin@acme").get("/v1/limits/tenants/acme").await.body;
    shown["limits"][0]["raises"][0]["amount"] = json!(900_000_000_000u64);
    let forged = put(&state, "lob_admin@acme", "tenants/acme", &shown).await;
    assert_eq!((forged.status.as_u16(), forged.param()), (400, "limits[0].raises"));

    shown["limits"][0]["raises"] = json!([]);
    assert_eq!(put(&state, "lob_admin@acme", "tenants/acme", &shown).await.status, 200);
    assert_eq!(amount(&state, "tenants/acme", "2026-11-25T00:00:00Z"), 1_000, "taken away");
}

#[tokio::test]
async fn a_limit_that_is_gone_cannot_be_raised() {
    let state = state();
    let raise = request(&state, "developer@acme", "tenants/acme", &wish()).await;
    put(&state, "lob_admin@acme", "tenants/acme", &json!({"limits": []})).await;
    let answer = decide(&state, "lob_admin@acme", "tenants/acme", &raise, "approve").await;
    assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "limit_removed"));
}

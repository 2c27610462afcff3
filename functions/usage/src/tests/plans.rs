//! Plans.

use serde_json::{Value, json};

use super::bills::{books, everybody, noted};
use super::fake::Fake;
use super::support::{Answer, asked, state};
use crate::State;

fn gold() -> Value {
    json!({
        "id": "gold", "valid_from": "2026-11", "flat_fee_nanousd": 99_000_000_000_u64, "markup_bp": 1250, "discount_bp": 300,
        "included": [{"id": "tokens", "volume": {"tokens": 20_000_000}, "models": ["nova-lite"]}],
        "rates": {"nova-pro": {"input": 4_000_000, "output": 20_000_000}},
    })
}

fn changed(change: &Value) -> Value {
    let mut body = gold();
    for (name, value) in change.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

async fn put(state: &State<Fake>, account: &str, body: &Value) -> Answer {
    let path = format!("/v1/billing/plans?account={account}");
    asked(state, "org_admin@globex").body(body).send("PUT", &path).await
}

#[tokio::test]
async fn who_sees_and_agrees_plans() {
    let state = state();
    let body = gold().to_string();
    for account in ["tenant=acme", "lob=retail", "org"] {
        let path = format!("/v1/billing/plans?account={account}");
        assert_eq!(
            everybody(&state, "PUT", &path, &body).await,
            "200 403 403 403 403 403 403",
            "{path}"
        );
        assert_eq!(noted(&state).iter().filter(|it| it.2).count(), 1);
        assert_eq!(noted(&state).len(), 7, "refusals, too");
        assert_eq!(noted(&state)[0].1, format!("billing/plans/{account}"));
        state.store.data().audit.clear();
    }
    let path = "/v1/billing/plans?account=org";
    assert_eq!(everybody(&state, "GET", path, "").await, "200 403 403 403 403 403 403");
    for account in ["tenant=globex", "tenant=nosuch", "nonsense"] {
        let path = format!("/v1/billing/plans?account={account}");
        let answer = asked(&state, "tenant_admin@acme").text(&body).send("PUT", &path).await;
        assert_eq!(answer.status, 403, "whoever may not agree learns nothing of what there is");
    }
}

#[tokio::test]
async fn a_plan_is_agreed_and_read_as_it_was_said() {
    let state = state();
    let answer = put(&state, "tenant=acme", &gold()).await;
    assert_eq!((answer.status.as_u16(), &answer.body), (200, &gold()));
    let short = json!({"id": "next", "valid_from": "2027-01"});
    assert_eq!(put(&state, "tenant=acme", &short).await.status, 200);
    let list = asked(&state, "tenant_admin@acme").get("/v1/billing/plans").await.body;
    assert_eq!(list["data"][0], gold());
    let next = json!({"id": "next", "valid_from": "2027-01", "flat_fee_nanousd": 0, "markup_bp": 0, "discount_bp": 0});
    assert_eq!((&list["data"][1], &list["account"]), (&next, &json!("tenant=acme")));
    let other = asked(&state, "tenant_admin@globex").get("/v1/billing/plans").await.body;
    assert_eq!(other["data"], json!([]));

    let before = noted(&state).len();
    assert_eq!(put(&state, "tenant=acme", &gold()).await.status, 200);
    assert_eq!(noted(&state).len(), before, "the same again is no change");
    put(&state, "tenant=acme", &changed(&json!({"markup_bp": 5}))).await;
    let audit = state.store.data().audit.last().unwrap().clone();
    assert_eq!((&audit.before["markup_bp"], &audit.after["markup_bp"]), (&json!(1250), &json!(5)));
    let list = asked(&state, "tenant_admin@acme").get("/v1/billing/plans").await.body;
    assert_eq!(list["data"].as_array().unwrap().len(), 2, "in the place of the other");
}

#[tokio::test]
async fn a_month_that_is_closed_keeps_its_plan() {
    let state = state();
    put(&state, "org", &changed(&json!({"valid_from": "2026-09"}))).await;
    books(&state, "2026-09", "2026-10").await;
    let before = noted(&state).len();
    for period in ["2020-01", "2026-09", "2026-10"] {
        let answer =
            put(&state, "org", &changed(&json!({"valid_from": period, "markup_bp": 1}))).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (409, "month_not_open"), "{period}");
    }
    assert_eq!(noted(&state).len(), before);
    assert_eq!(put(&state, "org", &gold()).await.status, 200);
    let list = asked(&state, "org_admin@acme").get("/v1/billing/plans?account=org").await.body;
    assert_eq!(list["data"][0]["markup_bp"], 1250);
}

#[tokio::test]
async fn what_is_no_plan_is_refused_by_field() {
    let state = state();
    for (change, field) in [
        (json!({"id": ""}), "id"),
        (json!({"id": 5}), "id"),
        (json!({"valid_from": "2026-13"}), "valid_from"),
        (json!({"valid_until": "2026-11"}), "valid_until"),
        (json!({"valid_until": 2027}), "valid_until"),
        (json!({"flat_fee_nanousd": -1}), "flat_fee_nanousd"),
        (json!({"flat_fee_nanousd": 1.5}), "flat_fee_nanousd"),
        (json!({"flat_fee_nanousd": "99"}), "flat_fee_nanousd"),
        (json!({"flat_fee_nanousd": u64::MAX}), "flat_fee_nanousd"),
        (json!({"markup_bp": -1}), "markup_bp"),
        (json!({"markup_bp": 1_000_001}), "markup_bp"),
        (json!({"discount_bp": 10_001}), "discount_bp"),
        (json!({"discount_bp": 5e9}), "discount_bp"),
        (json!({"included": {}}), "included"),
        (json!({"included": [{"id": "a", "volume": {"tokens": -5}}]}), "included"),
        (json!({"included": [{"id": "a", "volume": {"calls": 5}}]}), "included"),
        (json!({"included": [{"id": "a b", "volume": {"tokens": 5}}]}), "included.id"),
        (json!({"rates": {"nova-pro": {"input": -1, "output": 1}}}), "rates"),
        (json!({"rates": {"nova-pro": {"input": 1}}}), "rates"),
        (json!({"rates": {"NO MODEL": {"input": 1, "output": 1}}}), "rates"),
        (json!({"currency": "EUR"}), "currency"),
    ] {
        let answer = put(&state, "tenant=acme", &changed(&change)).await;
        assert_eq!((answer.status.as_u16(), answer.param()), (400, field), "{change}");
    }
    for name in ["id", "valid_from"] {
        let mut body = gold();
        body.as_object_mut().unwrap().remove(name);
        assert_eq!(put(&state, "tenant=acme", &body).await.param(), name);
    }
    for body in ["", "[]", "null", "{\"markup_bp\":NaN}"] {
        let asked = asked(&state, "org_admin@acme").text(body);
        let answer = asked.send("PUT", "/v1/billing/plans?account=org").await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "invalid_json"), "{body}");
    }
    for (path, field) in [
        ("/v1/billing/plans", "account"),
        ("/v1/billing/plans?account=acme", "account"),
        ("/v1/billing/plans?account=org&dry_run=true", "dry_run"),
    ] {
        let answer = asked(&state, "org_admin@acme").body(&gold()).send("PUT", path).await;
        assert_eq!((answer.status.as_u16(), answer.param()), (400, field), "{path}");
    }
    assert!(noted(&state).is_empty());
}

#[tokio::test]
async fn who_is_not_there_has_no_plan() {
    let state = state();
    for account in ["tenant=nosuch", "lob=nosuch"] {
        assert_eq!(put(&state, account, &gold()).await.status, 404, "{account}");
    }
    assert!(noted(&state).is_empty());
}

#[tokio::test]
async fn nothing_is_agreed_when_a_store_fails() {
    let state = state();
    state.store.data().failing.insert("note");
    assert_eq!(put(&state, "tenant=acme", &gold()).await.code(), "store_unavailable");
    state.store.data().failing.clear();
    for operations in 0..3 {
        state.store.2.books.fail_after(Some(operations));
        let answer = put(&state, "tenant=acme", &gold()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (503, "store_unavailable"));
    }
    assert_eq!(asked(&state, "tenant_admin@acme").get("/v1/billing/plans").await.status, 503);
    state.store.2.books.fail_after(None);
    let list = asked(&state, "tenant_admin@acme").get("/v1/billing/plans").await.body;
    assert_eq!(list["data"], json!([]));
}

//! What is left, and what one call used.

use std::collections::BTreeMap;

use admission::{Counter, LimitOwner, Meter, Metric, Minute, ModelSelector, Period, Reservation};
use metering::{NanoUsd, UsageRecord};
use serde_json::{Value, json};
use tenancy::Status;

use super::fake::Fake;
use super::support::{NOON_MS, asked, put, state};
use crate::State;

/// A meter that counted money: `used`, of which `open` is reserved.
fn meter(used: u64, open: u64) -> Meter {
    let mut meter = Meter::new(Status::Active, 1);
    meter.minute = Some(Minute::of(NOON_MS));
    for period in Metric::Cost.periods() {
        meter.counters.set(Counter::of(Metric::Cost, *period).unwrap(), used);
    }
    let reservation: Reservation = serde_json::from_value(json!({
        "t": "acme", "a": open, "i": 0, "o": 0, "m": Minute::of(NOON_MS), "d": NOON_MS + 1,
    }))
    .unwrap();
    meter.open = BTreeMap::from([("call-1".to_owned(), reservation)]);
    meter
}

fn set_meter(state: &State<Fake>, scope: &str, meter: Meter) {
    let scope = LimitOwner::of_text(scope).unwrap().scope();
    state.store.data().meters.insert((scope, ModelSelector::All), meter);
}

fn limit<'a>(body: &'a Value, scope: &str) -> &'a Value {
    let found = body["data"].as_array().unwrap().iter().find(|it| it["scope"] == scope);
    found.unwrap_or(&Value::Null)
}

#[tokio::test]
async fn everybody_sees_what_is_left_and_of_levels_above_only_how_full_they_are() {
    let state = state();
    set_meter(&state, "tenants/acme", meter(20_000_000_001, 5_000_000_000));
    set_meter(&state, "lobs/retail", meter(45_000_000_000, 0));
    let answer = asked(&state, "developer@acme").get("/v1/usage/limits").await;
    assert_eq!(answer.status, 200);
    let own = limit(&answer.body, "tenants/acme");
    assert_eq!(own["amount"], 50_000_000_000u64);
    assert_eq!(
        (&own["used"], &own["used_usd"]),
        (&json!(15_000_000_001u64), &json!("15.000000001"))
    );
    assert_eq!(
        (&own["reserved"], &own["remaining_usd"]),
        (&json!(5_000_000_000u64), &json!("29.999999999"))
    );
    assert_eq!(
        (&own["used_percent"], &own["resets_at"]),
        (&json!(40), &json!("2026-12-01T00:00:00Z"))
    );
    let lob = limit(&answer.body, "lobs/retail");
    assert_eq!(lob["used_percent"], 90);
    for hidden in ["amount", "used", "remaining", "amount_usd", "raises"] {
        assert_eq!(lob[hidden], Value::Null, "{hidden}");
    }
    let admin = asked(&state, "lob_admin@acme").get("/v1/usage/limits").await;
    assert_eq!(limit(&admin.body, "lobs/retail")["remaining_usd"], "5.00");
    assert_eq!(limit(&admin.body, "org")["amount"], Value::Null);
    let admin = asked(&state, "org_admin@acme").get("/v1/usage/limits").await;
    assert_eq!(limit(&admin.body, "org")["amount_usd"], "50.00");
}

#[tokio::test]
async fn nobody_sees_another_tenants_meters() {
    let state = state();
    set_meter(&state, "tenants/acme", meter(20_000_000_000, 0));
    let answer = asked(&state, "org_admin@globex").get("/v1/usage/limits").await;
    assert_eq!(limit(&answer.body, "tenants/acme"), &Value::Null);
    assert_eq!(limit(&answer.body, "tenants/globex")["used"], 0);
    assert_eq!(limit(&answer.body, "lobs/retail"), &Value::Null);
}

#[tokio::test]
async fn a_window_that_is_over_counts_nothing() {
    let state = state();
    let mut old = meter(20_000_000_000, 1_000_000_000);
    old.minute = Some(Minute(Minute::of(NOON_MS).0 - 31 * 24 * 60));
    set_meter(&state, "tenants/acme", old);
    let answer = asked(&state, "developer@acme").get("/v1/usage/limits").await;
    assert_eq!(limit(&answer.body, "tenants/acme")["remaining"], 50_000_000_000u64);
}

#[tokio::test]
async fn limits_of_principals_and_shares_are_among_them() {
    let state = state();
    let each = json!({"limits": [{"id": "day", "metric": "cost", "period": "day", "amount": 1_000_000_000}]});
    put(&state, "tenant_admin@acme", "tenants/acme/each-principal", &each).await;
    let shared = json!({"limits": [{"id": "pool", "metric": "cost", "period": "month", "amount": 80_000_000_000u64, "max_share": 25}]});
    put(&state, "org_admin@acme", "lobs/retail", &shared).await;
    set_meter(&state, "tenants/acme", meter(15_000_000_000, 0));
    set_meter(&state, "tenants/acme/principals/developer-1", meter(900_000_000, 0));
    let answer = asked(&state, "developer@acme").get("/v1/usage/limits").await;
    let own = limit(&answer.body, "tenants/acme/principals/developer-1");
    assert_eq!((&own["limit_id"], &own["used_percent"]), (&json!("day"), &json!(90)));
    let all = answer.body["data"].as_array().unwrap();
    let share = all.iter().find(|it| it["share_of"] == "lobs/retail").unwrap();
    assert_eq!((&share["scope"], &share["used_percent"]), (&json!("tenants/acme"), &json!(75)));
    assert_eq!(share["amount"], Value::Null);
}

#[tokio::test]
async fn a_limit_that_is_not_in_force_is_not_met() {
    let state = state();
    let limits = json!({"limits": [
        {"id": "past", "metric": "cost", "period": "month", "amount": 5, "valid_until": "2026-11-23T12:00:00Z"},
        {"id": "now", "metric": "cost", "period": "month", "amount": 6, "valid_from": "2026-11-23T12:00:00Z"},
        {"id": "calls", "metric": "concurrency", "amount": 4},
    ]});
    put(&state, "lob_admin@acme", "tenants/acme", &limits).await;
    set_meter(&state, "tenants/acme", meter(1, 1));
    let answer = asked(&state, "developer@acme").get("/v1/usage/limits").await;
    let all = answer.body["data"].as_array().unwrap();
    let own: Vec<_> = all.iter().filter(|it| it["scope"] == "tenants/acme").collect();
    assert_eq!(
        own.iter().map(|it| it["limit_id"].as_str().unwrap()).collect::<Vec<_>>(),
        ["now", "calls"]
    );
    assert_eq!(
        (&own[1]["reserved"], &own[1]["remaining"], &own[1]["resets_at"]),
        (&json!(1), &json!(3), &Value::Null)
    );
    assert_eq!(own[0]["period"], json!(Period::Month));
}

fn record(tenant: &str, principal: &str, attempt: u32, cost: u64) -> UsageRecord {
    let event: Value = serde_json::from_str(include_str!("../../testdata/record.json")).unwrap();
    let mut record: UsageRecord = serde_json::from_value(event).unwrap();
    record.tenant_id = tenant.parse().unwrap();
    record.principal_id = principal.to_owned().try_into().unwrap();
    record.id.attempt = attempt;
    record.cost_nanousd = NanoUsd(cost);
    record
}

#[tokio::test]
async fn a_call_is_seen_by_who_made_it_and_who_sees_the_tenants_usage() {
    let state = state();
    state.store.data().records =
        vec![record("acme", "developer-1", 1, 2_000_000_000), record("acme", "developer-1", 2, 1)];
    let path = "/v1/usage/records/0193c0de";
    for (who, status) in [
        ("developer@acme", 200),
        ("machine@acme", 404),
        ("viewer@acme", 200),
        ("lob_admin@acme", 200),
        ("org_admin@globex", 404),
        ("developer@globex", 404),
    ] {
        let answer = asked(&state, who).get(path).await;
        assert_eq!(answer.status.as_u16(), status, "{who}");
        if status == 200 {
            assert_eq!(answer.body["cost_usd"], "2.000000001");
            assert_eq!(answer.body["data"].as_array().unwrap().len(), 2);
            assert_eq!(answer.body["data"][0]["meters"], Value::Null, "the ledger's own affair");
        }
    }
    for id in ["nosuch", "a%23b", &"a".repeat(65), "..%2Fx"] {
        assert_eq!(
            asked(&state, "developer@acme").get(&format!("/v1/usage/records/{id}")).await.status,
            404
        );
    }
}

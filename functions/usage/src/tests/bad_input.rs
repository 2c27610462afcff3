//! What is no sensible request.

use serde_json::{Value, json};

use super::support::{asked, put, state};

#[tokio::test]
async fn what_is_no_limit_is_refused_by_field() {
    let state = state();
    let base = json!({"id": "a", "metric": "cost", "period": "month", "amount": 5});
    for (change, field) in [
        (json!({"amount": -1}), "limits[0].amount"),
        (json!({"amount": 1e300}), "limits[0].amount"),
        (json!({"amount": 0.1}), "limits[0].amount"),
        (json!({"amount": "NaN"}), "limits[0].amount"),
        (json!({"amount": u64::MAX}), "limits[0].amount"),
        (json!({"currency": "EUR"}), "limits[0].currency"),
        (json!({"amount_usd": 5}), "limits[0].amount_usd"),
        (json!({"valid_from": "2026-13-01T00:00:00Z"}), "limits[0].valid_from"),
        (json!({"thresholds": [80, 80]}), "limits[0].thresholds"),
        (
            json!({"raises": [{"id": "r", "amount": 9, "valid_from": "2026-11-01T00:00:00Z", "valid_until": "2026-12-01T00:00:00Z", "granted_by": "me"}]}),
            "limits[0].raises",
        ),
    ] {
        let mut limit = base.clone();
        limit.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let answer = put(&state, "org_admin@acme", "org", &json!({"limits": [limit]})).await;
        assert_eq!((answer.status.as_u16(), answer.param()), (400, field), "{change}");
    }
    let twice =
        json!({"limits": [base, {"id": "b", "metric": "cost", "period": "month", "amount": 6}]});
    let answer = put(&state, "org_admin@acme", "org", &twice).await;
    assert_eq!(answer.param(), "limits[1].valid_from", "overlapping");
    assert_eq!(state.store.data().levels[&admission::LimitOwner::Org].0, 3, "nothing was changed");
}

#[tokio::test]
async fn what_is_no_body_is_refused() {
    let state = state();
    let long = "[".repeat(5_000);
    for body in [
        "",
        "x",
        "[]",
        "null",
        "\"limits\"",
        "{\"limits\":",
        "{\"limits\":[{\"amount\":NaN}]}",
        "{\"limits\":[{\"amount\":1e999}]}",
        &long,
    ] {
        let asked = asked(&state, "org_admin@acme").header("If-Match", "*").text(body);
        let answer = asked.send("PUT", "/v1/limits/org").await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "invalid_json"), "{body:.20}");
    }
    for (body, field) in [
        (json!({}), "limits"),
        (json!({"limits": null}), "limits"),
        (json!({"limits": {}}), "limits"),
        (json!({"limits": [], "tenant_id": "globex"}), "tenant_id"),
    ] {
        let answer = put(&state, "org_admin@acme", "org", &body).await;
        assert_eq!((answer.status.as_u16(), answer.param()), (400, field), "{body}");
    }
}

#[tokio::test]
async fn parameters_that_are_not_known_are_named() {
    let state = state();
    for (method, path, field) in [
        ("PUT", "/v1/limits/org?dryrun=true", "dryrun"),
        ("PUT", "/v1/limits/org?dry_run=yes", "dry_run"),
        ("PUT", "/v1/limits/org?dry_run=true&dry_run=false", "dry_run"),
        ("GET", "/v1/limits/org/history?limit=0", "limit"),
        ("GET", "/v1/limits/org/history?limit=-1", "limit"),
        ("GET", "/v1/limits/org/history?limit=1e3", "limit"),
        ("GET", "/v1/limits/org/history?limit=99999999999999999999", "limit"),
        ("GET", "/v1/usage/limits?tenant=globex", "tenant"),
    ] {
        let asked =
            asked(&state, "org_admin@acme").header("If-Match", "*").body(&json!({"limits": []}));
        let answer = asked.send(method, path).await;
        assert_eq!((answer.status.as_u16(), answer.param()), (400, field), "{path}");
    }
}

#[tokio::test]
async fn a_wrong_path_or_method_is_said_to_be_one() {
    let state = state();
    for (method, path, status) in [
        ("GET", "/v1/limits/planets/mars", 404),
        ("GET", "/v1/limits/tenants/acme%23/x", 404),
        ("DELETE", "/v1/limits/org", 405),
        ("POST", "/v1/usage/limits", 405),
        ("GET", "/v1/limits/org/raises/r/approve", 405),
    ] {
        let answer = asked(&state, "org_admin@acme").send(method, path).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}");
        assert_eq!(answer.body["error"]["type"], "invalid_request_error");
        assert!(answer.headers.contains_key("x-request-id"));
    }
}

#[tokio::test]
async fn a_level_has_room_for_so_many_limits() {
    let state = state();
    let many: Vec<Value> = (0..50)
        .map(|number| json!({"id": format!("l{number}"), "metric": "requests", "period": "day", "amount": 5, "models": {"model": format!("m{number}")}}))
        .collect();
    let mut refused = 0;
    for number in 0..11 {
        let scope = format!("tenants/acme/principals/u{number}");
        let answer = put(&state, "tenant_admin@acme", &scope, &json!({"limits": many})).await;
        refused += u32::from(answer.status == 400 && answer.param() == "limits");
    }
    assert_eq!(refused, 2, "9 lists of 50 beside the one limit that there was");
}

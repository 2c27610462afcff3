//! What AWS says.

use serde_json::json;

use super::bills::{everybody, keep, noted, requested};
use super::support::{asked, state};

#[tokio::test]
async fn who_sees_and_asks_for_reconciliations() {
    let state = state();
    keep(&state, "reconciliation/2026-10/report.json", "{\"period\":\"2026-10\"}").await;
    for path in ["/v1/reconciliations", "/v1/reconciliations/2026-10"] {
        assert_eq!(everybody(&state, "GET", path, "").await, "200 403 403 403 403 403 403");
    }
    let statuses = everybody(&state, "POST", "/v1/reconciliations/2026-10", "").await;
    assert_eq!(statuses, "202 403 403 403 403 403 403");
    let noted = noted(&state);
    assert_eq!((noted.len(), noted.iter().filter(|it| it.2).count()), (7, 1));
    assert_eq!(noted[0].1, "reconciliations/2026-10");
    assert_eq!(requested(&state), [json!({"task": "reconcile", "period": "2026-10"})]);
    let reader = asked(&state, "org_admin.read@acme").get("/v1/reconciliations").await;
    assert_eq!(reader.status, 200);
    let reader =
        asked(&state, "org_admin.read@acme").send("POST", "/v1/reconciliations/2026-10").await;
    assert_eq!(reader.status, 403);
}

#[tokio::test]
async fn reports_are_listed_and_read_as_they_are_kept() {
    let state = state();
    let admin = || asked(&state, "org_admin@acme");
    assert_eq!(admin().get("/v1/reconciliations").await.body["data"], json!([]));
    for key in [
        "2026-09/report.json",
        "2026-09/report.csv",
        "2026-10/report.json",
        "x/report.json",
        "2026-08/report.csv",
    ] {
        keep(&state, &format!("reconciliation/{key}"), format!("\"{key}\"")).await;
    }
    keep(&state, "statements/2026-07/report.json", "x").await;
    let list = admin().get("/v1/reconciliations").await.body;
    assert_eq!(list["data"], json!([{"period": "2026-10"}, {"period": "2026-09"}]));
    let json = admin().get("/v1/reconciliations/2026-09").await;
    assert_eq!(
        (json.text.as_str(), &json.headers["content-type"]),
        ("\"2026-09/report.json\"", &"application/json".parse().unwrap())
    );
    let csv = admin().get("/v1/reconciliations/2026-09?format=csv").await;
    assert_eq!(csv.text, "\"2026-09/report.csv\"");
    let name = "attachment; filename=\"reconciliation-2026-09.csv\"";
    assert_eq!(csv.headers["content-disposition"], name);
    assert_eq!(admin().get("/v1/reconciliations/2026-07").await.status, 404);
}

#[tokio::test]
async fn a_month_is_compared_once_it_is_over_in_utc() {
    let mut state = state();
    state.calendar = admission::Calendar::of("Asia/Kolkata").unwrap();
    state.now = || "2026-11-30T23:59:59.999Z".parse().unwrap();
    let path = "/v1/reconciliations/2026-11";
    let answer = asked(&state, "org_admin@acme").send("POST", path).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (409, "month_not_over"));
    assert!(noted(&state).is_empty() && requested(&state).is_empty());
    state.now = || "2026-12-01T00:00:00Z".parse().unwrap();
    assert_eq!(asked(&state, "org_admin@acme").send("POST", path).await.status, 202);
}

#[tokio::test]
async fn what_fails_or_makes_no_sense_says_so() {
    let state = state();
    let admin = || asked(&state, "org_admin@acme");
    for (method, path, field) in [
        ("GET", "/v1/reconciliations?limit=1", "limit"),
        ("GET", "/v1/reconciliations/2026", "period"),
        ("GET", "/v1/reconciliations/2026-10?format=pdf", "format"),
        ("POST", "/v1/reconciliations/..", "period"),
        ("POST", "/v1/reconciliations/2026-10?force=true", "force"),
    ] {
        let answer = admin().send(method, path).await;
        assert_eq!((answer.status.as_u16(), answer.param()), (400, field), "{path}");
    }
    state.store.data().failing.insert("note");
    assert_eq!(admin().send("POST", "/v1/reconciliations/2026-10").await.status, 503);
    assert!(requested(&state).is_empty());
    state.store.data().failing.clear();
    state.store.2.bus.refuse("task");
    assert_eq!(admin().send("POST", "/v1/reconciliations/2026-10").await.status, 503);
    for operation in ["list", "get"] {
        state.store.2.documents.fail(operation);
    }
    for path in ["/v1/reconciliations", "/v1/reconciliations/2026-10"] {
        assert_eq!(admin().get(path).await.code(), "store_unavailable", "{path}");
    }
}

//! Months, and closing them.

use billing::SignedNanoUsd;
use billing::port::{BillingStore as _, ClosedMonth};
use serde_json::{Value, json};

use super::bills::{books, everybody, month, noted, requested};
use super::fake::Fake;
use super::support::{asked, state};
use crate::State;

async fn closed(state: &State<Fake>, period: &str) {
    let closed = ClosedMonth {
        period: month(period),
        requested_by: "u-8".to_owned(),
        started_ms: 1,
        closed_ms: 2,
        tenants: 3,
        lobs: 4,
        records: 5,
        cost_nanousd: SignedNanoUsd(6),
        total_nanousd: SignedNanoUsd(-7),
    };
    state.store.2.books.put_closed(&closed).await.unwrap();
}

/// Periods and states.
fn states(list: &Value) -> Vec<String> {
    let months = list["data"].as_array().unwrap().iter();
    months.map(|it| format!("{} {}", it["period"], it["state"]).replace('"', "")).collect()
}

#[tokio::test]
async fn who_sees_and_closes_months() {
    let state = state();
    for path in ["/v1/months", "/v1/months/2026-10"] {
        assert_eq!(everybody(&state, "GET", path, "").await, "200 403 403 403 403 403 403");
    }
    assert!(noted(&state).is_empty());
    let statuses = everybody(&state, "POST", "/v1/months/2026-10/close", "").await;
    assert_eq!(statuses, "202 403 403 403 403 403 403");
    let noted = noted(&state);
    assert_eq!(noted.len(), 7, "refusals, too");
    assert!(noted.iter().all(|(action, subject, _)| (action.as_str(), subject.as_str())
        == ("month.close", "months/2026-10")));
    assert_eq!(noted.iter().filter(|it| it.2).count(), 1);
    assert_eq!(requested(&state).len(), 1);
    for (scope, read, close) in [("read", 200, 403), ("admin", 200, 202), ("invoke", 403, 403)] {
        let who = format!("org_admin.{scope}@acme");
        assert_eq!(asked(&state, &who).get("/v1/months").await.status.as_u16(), read);
        let answer = asked(&state, &who).send("POST", "/v1/months/2026-10/close").await;
        assert_eq!(answer.status.as_u16(), close, "{scope}");
    }
}

#[tokio::test]
async fn months_are_what_the_books_say() {
    let state = state();
    let list = || async { asked(&state, "org_admin@acme").get("/v1/months").await.body };
    assert_eq!(states(&list().await), ["2026-11 open"], "nobody ever closed one");
    for period in ["2026-07", "2026-08", "2026-09"] {
        closed(&state, period).await;
    }
    books(&state, "2026-08", "").await;
    let open = ["2026-11 open", "2026-10 open", "2026-09 open", "2026-08 closed", "2026-07 closed"];
    assert_eq!(states(&list().await), open, "2026-09 is about to be closed");
    books(&state, "2026-08", "2026-09").await;
    let months = list().await;
    let closing =
        ["2026-11 open", "2026-10 open", "2026-09 closing", "2026-08 closed", "2026-07 closed"];
    assert_eq!(states(&months), closing);
    assert_eq!(months["time_zone"], "UTC");
    assert_eq!(
        months["data"][2],
        json!({"object": "month", "period": "2026-09", "state": "closing", "time_zone": "UTC",
               "closing": {"requested_by": "u-9", "started_ms": 1, "done_through": "acme"}})
    );
    assert_eq!(
        months["data"][3]["closed"],
        json!({"requested_by": "u-8", "started_ms": 1, "closed_ms": 2, "tenants": 3, "lobs": 4, "records": 5,
               "cost_nanousd": 6, "total_nanousd": -7})
    );
    for (index, period) in ["2026-11", "2026-10", "2026-09", "2026-08"].into_iter().enumerate() {
        let one = asked(&state, "org_admin@acme").get(&format!("/v1/months/{period}")).await;
        assert_eq!(one.body, months["data"][index], "{period}");
    }
    let before = asked(&state, "org_admin@acme").get("/v1/months/2020-01").await;
    assert_eq!((&before.body["state"], &before.body["closed"]), (&json!("closed"), &json!(null)));
}

#[tokio::test]
async fn a_month_is_closed_in_its_order_and_once_it_is_over() {
    let state = state();
    let close = |period: &'static str| {
        let state = &state;
        async move {
            asked(state, "org_admin@acme").send("POST", &format!("/v1/months/{period}/close")).await
        }
    };
    let answer = close("2026-11").await;
    assert_eq!((answer.status.as_u16(), answer.code()), (409, "month_not_over"));
    let message = answer.body["error"]["message"].as_str().unwrap();
    assert_eq!(message, "2026-11 can be closed from 2026-12-01T01:00:00Z on.");
    assert!(noted(&state).is_empty() && requested(&state).is_empty());

    books(&state, "2026-08", "").await;
    let answer = close("2026-10").await;
    assert_eq!((answer.status.as_u16(), answer.code()), (409, "month_out_of_order"));
    let message = answer.body["error"]["message"].as_str().unwrap();
    assert_eq!(message, "Months are closed in their order: 2026-09 before 2026-10.");

    let answer = close("2026-09").await;
    let task = json!({"task": "close_month", "period": "2026-09", "requested_by": "org_admin-1"});
    assert_eq!((answer.status.as_u16(), &answer.body["task"]), (202, &task));
    assert_eq!(requested(&state), [task]);

    books(&state, "2026-08", "2026-09").await;
    assert_eq!(close("2026-09").await.status, 202, "asked again, it goes on");
    assert_eq!(close("2026-10").await.code(), "month_out_of_order");
    assert_eq!(requested(&state).len(), 2);

    closed(&state, "2026-09").await;
    books(&state, "2026-09", "").await;
    let answer = close("2026-09").await;
    assert_eq!((answer.status.as_u16(), &answer.body["closed"]["records"]), (200, &json!(5)));
    assert_eq!(close("2020-01").await.status, 200);
    assert_eq!(requested(&state).len(), 2, "there is nothing to do");
}

#[tokio::test]
async fn a_month_is_over_where_the_organisation_lives() {
    let mut state = state();
    state.now = || "2026-12-01T00:30:00Z".parse().unwrap();
    let path = "/v1/months/2026-11/close";
    assert_eq!(asked(&state, "org_admin@acme").send("POST", path).await.status, 409);
    state.calendar = admission::Calendar::of("Asia/Kolkata").unwrap();
    assert_eq!(asked(&state, "org_admin@acme").send("POST", path).await.status, 202);
    let months = asked(&state, "org_admin@acme").get("/v1/months").await.body;
    assert_eq!(
        (states(&months), &months["time_zone"]),
        (vec!["2026-12 open".to_owned()], &json!("Asia/Kolkata"))
    );
}

#[tokio::test]
async fn nothing_is_closed_that_nobody_noted() {
    let state = state();
    let close = || asked(&state, "org_admin@acme").send("POST", "/v1/months/2026-10/close");
    state.store.data().failing.insert("note");
    let answer = close().await;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "store_unavailable"));
    assert!(requested(&state).is_empty());
    state.store.data().failing.clear();
    state.store.2.bus.refuse("task");
    assert_eq!(close().await.status, 503);
    state.store.2.bus.refuse("");
    state.store.2.books.fail_after(Some(0));
    assert_eq!(close().await.status, 503);
    for path in ["/v1/months", "/v1/months/2026-10"] {
        assert_eq!(asked(&state, "org_admin@acme").get(path).await.status, 503);
    }
    state.store.2.books.fail_after(Some(1));
    assert_eq!(asked(&state, "org_admin@acme").get("/v1/months").await.status, 503);
}

#[tokio::test]
async fn what_is_no_month_is_named() {
    let state = state();
    for (method, path, field) in [
        ("GET", "/v1/months?limit=5", "limit"),
        ("GET", "/v1/months/2026-1", "period"),
        ("GET", "/v1/months/2026-11?account=org", "account"),
        ("POST", "/v1/months/now/close", "period"),
        ("POST", "/v1/months/2026-00/close", "period"),
        ("POST", "/v1/months/2026-10/close?force=true", "force"),
    ] {
        let answer = asked(&state, "org_admin@acme").send(method, path).await;
        assert_eq!((answer.status.as_u16(), answer.param()), (400, field), "{path}");
    }
    assert!(requested(&state).is_empty());
}

//! Entries of the ledger.

use billing::port::BillingStore as _;
use billing::{Account, Books, LedgerEntry};
use futures::future::join_all;
use serde_json::{Value, json};

use super::bills::{books, everybody, month, noted};
use super::fake::Fake;
use super::support::{Answer, asked, state};
use crate::State;

fn credit() -> Value {
    json!({"id": "goodwill-1", "account": "tenant=acme", "kind": "credit", "amount_nanousd": -5,
           "reason": "Outage of 3 November"})
}

fn changed(change: &Value) -> Value {
    let mut body = credit();
    for (name, value) in change.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

async fn book(state: &State<Fake>, body: &Value) -> Answer {
    asked(state, "org_admin@globex").body(body).send("POST", "/v1/billing/entries").await
}

async fn of_acme(state: &State<Fake>) -> Vec<LedgerEntry> {
    let acme: Account = "tenant=acme".parse().unwrap();
    state.store.2.books.entries(&acme, month("2020-01")..=month("2030-01")).await.unwrap()
}

#[tokio::test]
async fn an_entry_is_booked_by_who_keeps_the_books_and_noted() {
    let state = state();
    let statuses = everybody(&state, "POST", "/v1/billing/entries", &credit().to_string()).await;
    assert_eq!(statuses, "201 403 403 403 403 403 403");
    let entries = of_acme(&state).await;
    let (booked_by, booked_ms) = (entries[0].booked_by.as_str(), entries[0].booked_ms);
    assert_eq!((entries.len(), booked_by, booked_ms), (1, "org_admin-1", super::support::NOON_MS));
    let audit = state.store.data().audit.clone();
    assert_eq!(audit.len(), 7);
    assert_eq!(audit[0].subject, "billing/entries/tenant=acme/goodwill-1");
    assert_eq!((audit[0].is_allowed, &audit[0].after["amount_nanousd"]), (true, &json!(-5)));
    assert!(
        audit[1..]
            .iter()
            .all(|it| !it.is_allowed && it.action == "entry.book" && it.after.is_null())
    );
    // Whoever may not book learns nothing of what there is.
    for account in ["tenant=globex", "tenant=nosuch", "lob=retail", "nonsense"] {
        let body = changed(&json!({"account": account})).to_string();
        let answer =
            asked(&state, "lob_admin@acme").text(&body).send("POST", "/v1/billing/entries").await;
        assert_eq!(answer.status, 403, "{account}");
    }
    for scope in ["read", "invoke"] {
        let who = format!("org_admin.{scope}@globex");
        let answer = asked(&state, &who).body(&credit()).send("POST", "/v1/billing/entries").await;
        assert_eq!(answer.status, 403, "{scope}");
    }
}

#[tokio::test]
async fn an_entry_goes_into_the_first_open_month() {
    let state = state();
    for (closed, closing, expected) in [
        ("", "", "2026-11"),
        ("2026-08", "", "2026-09"),
        ("2026-08", "2026-09", "2026-10"),
        ("2026-11", "", "2026-12"),
    ] {
        books(&state, closed, closing).await;
        let answer = book(&state, &changed(&json!({"id": format!("to-{expected}")}))).await;
        assert_eq!((answer.status.as_u16(), &answer.body["period"]), (201, &json!(expected)));
    }
    let named = book(&state, &changed(&json!({"id": "later", "period": "2027-11"}))).await;
    assert_eq!((named.status.as_u16(), &named.body["period"]), (201, &json!("2027-11")));
    let lob = book(
        &state,
        &changed(&json!({"account": "lob=retail", "kind": "adjustment", "refers_to": "T-1"})),
    )
    .await;
    assert_eq!(lob.status, 201);
    assert_eq!(lob.body["refers_to"], "T-1");
}

#[tokio::test]
async fn the_same_again_is_booked_once() {
    let state = state();
    let first = book(&state, &credit()).await;
    let noted_before = noted(&state).len();
    for change in [json!({}), json!({"currency": "USD"}), json!({"period": "2026-11"})] {
        let again = book(&state, &changed(&change)).await;
        assert_eq!((again.status.as_u16(), &again.body), (200, &first.body), "{change}");
    }
    for change in [
        json!({"amount_nanousd": -6}),
        json!({"kind": "adjustment"}),
        json!({"reason": "Another"}),
        json!({"refers_to": "T-1"}),
        json!({"period": "2026-12"}),
    ] {
        let other = book(&state, &changed(&change)).await;
        assert_eq!(
            (other.status.as_u16(), other.code()),
            (409, "idempotency_conflict"),
            "{change}"
        );
        assert_eq!(other.headers["x-should-retry"], "false");
    }
    // It stands where it does, whatever became of its month.
    books(&state, "2026-11", "").await;
    let again = book(&state, &credit()).await;
    assert_eq!((again.status.as_u16(), &again.body), (200, &first.body));
    let again = book(&state, &changed(&json!({"period": "2026-11"}))).await;
    assert_eq!(again.status, 200);
    assert_eq!((of_acme(&state).await.len(), noted(&state).len()), (1, noted_before));
    // An id is the account's.
    assert_eq!(book(&state, &changed(&json!({"account": "tenant=globex"}))).await.status, 201);
}

#[tokio::test]
async fn a_closed_month_takes_nothing() {
    let state = state();
    books(&state, "2026-09", "2026-10").await;
    for period in ["2026-08", "2026-09", "2026-10"] {
        let answer = book(&state, &changed(&json!({"period": period}))).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (409, "month_not_open"), "{period}");
    }
    assert!(of_acme(&state).await.is_empty() && noted(&state).is_empty());
}

#[tokio::test]
async fn who_is_not_there_gets_nothing() {
    let state = state();
    for account in ["tenant=nosuch", "lob=nosuch"] {
        let answer = book(&state, &changed(&json!({"account": account}))).await;
        assert_eq!(answer.status, 404, "{account}");
    }
    assert!(noted(&state).is_empty());
}

#[tokio::test]
async fn what_is_no_entry_is_refused_by_field() {
    let state = state();
    let long = "x".repeat(501);
    for (change, field) in [
        (json!({"id": null}), "id"),
        (json!({"id": ""}), "id"),
        (json!({"id": "a b"}), "id"),
        (json!({"id": "a#b"}), "id"),
        (json!({"id": 5}), "id"),
        (json!({"id": "flat-fee-2026-12"}), "id"),
        (json!({"id": "late-usage-2026-10-1"}), "id"),
        (json!({"id": "reconciliation:2026-10:0:1"}), "id"),
        (json!({"account": "org"}), "account"),
        (json!({"account": "acme"}), "account"),
        (json!({"account": ["tenant=acme"]}), "account"),
        (json!({"kind": "correction"}), "kind"),
        (json!({"kind": "flat_fee"}), "kind"),
        (json!({"kind": "Credit"}), "kind"),
        (json!({"amount_nanousd": 0}), "amount_nanousd"),
        (json!({"amount_nanousd": 5}), "amount_nanousd"),
        (json!({"amount_nanousd": -1.0}), "amount_nanousd"),
        (json!({"amount_nanousd": -1e3}), "amount_nanousd"),
        (json!({"amount_nanousd": "-5"}), "amount_nanousd"),
        (json!({"amount_nanousd": "NaN"}), "amount_nanousd"),
        (json!({"amount_nanousd": null}), "amount_nanousd"),
        (json!({"amount_nanousd": u64::MAX}), "amount_nanousd"),
        (json!({"amount_nanousd": i64::MIN}), "amount_nanousd"),
        (json!({"amount_nanousd": -1_000_000_000_000_000_001_i64}), "amount_nanousd"),
        (json!({"currency": "EUR"}), "currency"),
        (json!({"currency": "usd"}), "currency"),
        (json!({"currency": null}), "currency"),
        (json!({"reason": ""}), "reason"),
        (json!({"reason": "a\nb"}), "reason"),
        (json!({"reason": long}), "reason"),
        (json!({"refers_to": ""}), "refers_to"),
        (json!({"refers_to": 7}), "refers_to"),
        (json!({"period": "2026-13"}), "period"),
        (json!({"period": "2027-12"}), "period"),
        (json!({"period": "2026-09"}), "period"),
        (json!({"period": 202_611}), "period"),
        (json!({"booked_by": "me"}), "booked_by"),
        (json!({"amount_usd": 5}), "amount_usd"),
    ] {
        let answer = book(&state, &changed(&change)).await;
        assert_eq!((answer.status.as_u16(), answer.param()), (400, field), "{change}");
    }
    for name in ["id", "account", "kind", "amount_nanousd", "reason"] {
        let mut body = credit();
        body.as_object_mut().unwrap().remove(name);
        assert_eq!(book(&state, &body).await.param(), name);
    }
    for body in [
        "",
        "[]",
        "{\"amount_nanousd\":NaN}",
        "{\"amount_nanousd\":-1e999}",
        "{\"amount_nanousd\":Infinity}",
    ] {
        let answer =
            asked(&state, "org_admin@acme").text(body).send("POST", "/v1/billing/entries").await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "invalid_json"), "{body}");
    }
    assert!(of_acme(&state).await.is_empty() && noted(&state).is_empty());
}

#[tokio::test]
async fn entries_are_listed_by_month() {
    let state = state();
    for (id, period) in [("b", "2026-11"), ("a", "2026-11"), ("c", "2026-12"), ("d", "2027-01")] {
        assert_eq!(book(&state, &changed(&json!({"id": id, "period": period}))).await.status, 201);
    }
    for (query, expected) in [
        ("", vec!["a", "b"]),
        ("?from=2026-12", vec!["c"]),
        ("?from=2026-11&to=2027-01", vec!["a", "b", "c", "d"]),
        ("?to=2026-12", vec!["a", "b", "c"]),
        ("?from=2020-01", vec![]),
    ] {
        let answer =
            asked(&state, "tenant_admin@acme").get(&format!("/v1/billing/entries{query}")).await;
        let data = answer.body["data"].as_array().unwrap();
        let ids: Vec<_> = data.iter().map(|it| it["id"].as_str().unwrap()).collect();
        assert_eq!((ids, &answer.body["account"]), (expected, &json!("tenant=acme")), "{query}");
    }
    for (query, field) in [
        ("from=2026-11&to=2026-10", "to"),
        ("from=2020-01&to=2023-01", "from"),
        ("from=x", "from"),
        ("to=2026", "to"),
        ("period=2026-11", "period"),
        ("account=org", "account"),
    ] {
        let answer =
            asked(&state, "org_admin@acme").get(&format!("/v1/billing/entries?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.param()), (400, field), "{query}");
    }
    let most =
        asked(&state, "org_admin@acme").get("/v1/billing/entries?from=2020-01&to=2022-12").await;
    assert_eq!(most.status, 200);
}

#[tokio::test]
async fn nothing_is_booked_when_a_store_fails() {
    let state = state();
    state.store.data().failing.insert("note");
    assert_eq!(book(&state, &credit()).await.code(), "store_unavailable");
    state.store.data().failing.clear();
    assert!(of_acme(&state).await.is_empty());
    // The books, whether the entry is known, the entry.
    for operations in 0..3 {
        state.store.2.books.fail_after(Some(operations));
        let answer = book(&state, &credit()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (503, "store_unavailable"),
            "{operations}"
        );
    }
    state.store.2.books.fail_after(None);
    assert!(of_acme(&state).await.is_empty());
    assert_eq!(book(&state, &credit()).await.status, 201, "and can be tried again");
    state.store.2.books.fail_after(Some(0));
    assert_eq!(asked(&state, "tenant_admin@acme").get("/v1/billing/entries").await.status, 503);
}

/// Of many at the same time, one books; the others hear of it, or that theirs is another.
#[tokio::test]
async fn one_of_many_books() {
    for seed in 0..40 {
        let state = state();
        state.store.2.books.interleave(seed);
        let bodies: Vec<Value> =
            (0..6).map(|number| changed(&json!({"amount_nanousd": -5 - number % 2}))).collect();
        let answers = join_all(bodies.iter().map(|body| book(&state, body))).await;
        let booked = of_acme(&state).await;
        assert_eq!(booked.len(), 1, "seed {seed}");
        let count = |status: u16| answers.iter().filter(|it| it.status.as_u16() == status).count();
        assert_eq!((count(201), count(200), count(409)), (1, 2, 3), "seed {seed}");
        for (body, answer) in bodies.iter().zip(&answers) {
            let is_same = body["amount_nanousd"] == json!(booked[0].amount_nanousd);
            assert_eq!(answer.status.is_success(), is_same, "seed {seed}");
        }
        // What was noted and not done is noted as that.
        let noted = noted(&state);
        let (let_, undone) =
            (noted.iter().filter(|it| it.2).count(), noted.iter().filter(|it| !it.2).count());
        assert_eq!(let_, undone + 1, "seed {seed}");
    }
}

/// Whoever is told that an entry is booked finds it in a month that was not closed without it.
#[tokio::test]
async fn an_entry_and_the_closing_of_its_month_decide_for_each_other() {
    let mut seen = [0; 2];
    for seed in 0..40 {
        let state = state();
        let store = &state.store.2.books;
        store.interleave(seed);
        let close = async {
            let open = Books::default();
            let span = billing::calendar::span(&state.calendar, month("2026-10"));
            let Ok(billing::Begin::Start(closing)) = open.begin(&span, "u", i64::MAX) else {
                panic!()
            };
            assert!(store.change_books(&open, &closing).await.unwrap());
            of_acme(&state).await.len()
        };
        let body = changed(&json!({"period": "2026-10"}));
        let (on_the_bill, answer) = futures::join!(close, book(&state, &body));
        match answer.status.as_u16() {
            201 => assert_eq!(on_the_bill, 1, "seed {seed}"),
            409 => assert_eq!((on_the_bill, answer.code()), (0, "month_not_open"), "seed {seed}"),
            status => panic!("{status}"),
        }
        assert_eq!(of_acme(&state).await.len(), on_the_bill);
        seen[on_the_bill] += 1;
    }
    assert!(seen.iter().all(|times| *times > 0), "both come to pass: {seen:?}");
}

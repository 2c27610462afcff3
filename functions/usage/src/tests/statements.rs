//! Statements and drafts.

use serde_json::json;

use super::bills::{books, everybody, issue, keep, noted, requested};
use super::support::{asked, state};

/// Everybody in the order of `EVERYBODY`.
#[tokio::test]
async fn who_sees_whose_bills() {
    let state = state();
    for account in ["tenant=acme", "tenant=zenith", "tenant=globex", "lob=retail", "lob=markets"] {
        issue(&state, account, "2026-10").await;
    }
    for (account, expected) in [
        ("tenant=acme", "200 200 200 403 403 403 404"),
        ("tenant=zenith", "200 200 404 404 404 404 404"),
        ("tenant=globex", "200 404 404 404 404 404 200"),
        ("lob=retail", "200 200 403 403 403 403 404"),
        ("lob=markets", "200 404 404 404 404 404 403"),
        ("tenant=nosuch", "404 404 404 404 404 404 404"),
        ("lob=nosuch", "404 404 404 404 404 404 404"),
    ] {
        for path in [
            "/v1/statements?",
            "/v1/statements/2026-10?",
            "/v1/statements/2026-10?format=pdf&",
            "/v1/billing/entries?",
            "/v1/billing/plans?",
        ] {
            let path = format!("{path}account={account}");
            assert_eq!(everybody(&state, "GET", &path, "").await, expected, "{path}");
        }
        let path = format!("/v1/statements/2026-11/draft?account={account}");
        let statuses = everybody(&state, "POST", &path, "").await;
        assert_eq!(statuses.replace("202", "200"), expected, "{path}");
    }
    assert!(noted(&state).is_empty(), "nothing was changed");
}

#[tokio::test]
async fn auditors_see_bills_and_change_none() {
    let state = state();
    for (who, account, expected) in [
        ("auditor@acme", "tenant=acme", [200, 403, 403]),
        ("auditor@acme", "lob=retail", [403, 403, 403]),
        ("auditor@acme", "tenant=globex", [404, 403, 403]),
        ("org_auditor@acme", "tenant=globex", [200, 200, 403]),
        ("org_auditor@acme", "lob=markets", [200, 200, 403]),
        ("org_auditor@acme", "org", [200, 200, 403]),
    ] {
        let path = format!("/v1/billing/plans?account={account}");
        let statuses = [
            asked(&state, who).get(&path).await.status.as_u16(),
            asked(&state, who).get("/v1/months").await.status.as_u16(),
            asked(&state, who).send("PUT", &path).await.status.as_u16(),
        ];
        assert_eq!(statuses, expected, "{who} {account}");
    }
}

#[tokio::test]
async fn a_token_says_what_it_is_for() {
    let state = state();
    issue(&state, "tenant=acme", "2026-10").await;
    for (scope, status) in [("read", 200), ("admin", 200), ("invoke", 403)] {
        let who = format!("tenant_admin.{scope}@acme");
        let answer = asked(&state, &who).get("/v1/statements/2026-10").await;
        assert_eq!(answer.status.as_u16(), status, "{scope}");
    }
}

#[tokio::test]
async fn anothers_bills_and_nobodys_look_the_same() {
    let state = state();
    issue(&state, "tenant=globex", "2026-10").await;
    for path in
        ["/v1/statements", "/v1/statements/2026-10", "/v1/billing/entries", "/v1/billing/plans"]
    {
        for (other, nobody) in [("tenant=globex", "tenant=nobody"), ("lob=markets", "lob=nobody")] {
            let theirs =
                asked(&state, "lob_admin@acme").get(&format!("{path}?account={other}")).await;
            let none =
                asked(&state, "lob_admin@acme").get(&format!("{path}?account={nobody}")).await;
            assert_eq!((theirs.status.as_u16(), none.status.as_u16()), (404, 404), "{path}");
            let (theirs, none) = (&theirs.body["error"], &none.body["error"]);
            let message = theirs["message"].as_str().unwrap().replace(other, nobody);
            assert_eq!(message, none["message"].as_str().unwrap());
        }
    }
}

#[tokio::test]
async fn a_document_comes_as_it_is_kept() {
    let state = state();
    issue(&state, "tenant=acme", "2026-10").await;
    let binary: Vec<u8> = (0..=255).collect();
    keep(&state, "statements/2026-10/tenant=acme/statement.pdf", binary.clone()).await;
    let get = |form: &'static str| {
        let path = format!("/v1/statements/2026-10{form}");
        let state = &state;
        async move { asked(state, "tenant_admin@acme").get(&path).await }
    };
    let json = get("").await;
    assert_eq!(json.body, "json of tenant=acme for 2026-10");
    assert_eq!(json.headers["content-type"], "application/json");
    assert!(!json.headers.contains_key("content-disposition"));
    let csv = get("?format=csv").await;
    assert_eq!(csv.text, "\"csv of tenant=acme for 2026-10\"");
    assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8");
    let name = "attachment; filename=\"statement-2026-10-tenant-acme.csv\"";
    assert_eq!(csv.headers["content-disposition"], name);
    let pdf = get("?format=pdf&account=tenant=acme").await;
    assert_eq!(
        (&pdf.bytes[..], &pdf.headers["content-type"]),
        (&binary[..], &"application/pdf".parse().unwrap())
    );
    assert_eq!(pdf.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn a_statement_that_is_not_issued_is_not_there_and_its_draft_is() {
    let state = state();
    // Written, and not issued: the month is being closed.
    keep(&state, "statements/2026-11/tenant=acme/statement.json", "{}").await;
    let admin = || asked(&state, "tenant_admin@acme");
    assert_eq!(admin().get("/v1/statements/2026-11").await.status, 404);
    assert_eq!(admin().get("/v1/statements/2026-11?draft=true").await.status, 404);
    keep(&state, "drafts/2026-11/tenant=acme/statement.csv", "draft").await;
    let draft = admin().get("/v1/statements/2026-11?draft=true&format=csv").await;
    assert_eq!((draft.status.as_u16(), draft.text.as_str()), (200, "draft"));
    let name = "attachment; filename=\"draft-2026-11-tenant-acme.csv\"";
    assert_eq!(draft.headers["content-disposition"], name);
    assert_eq!(admin().get("/v1/statements/2026-11?draft=false&format=csv").await.status, 404);
}

#[tokio::test]
async fn statements_are_listed_in_pages() {
    let state = state();
    for period in ["2026-08", "2026-10", "2026-07", "2026-09"] {
        issue(&state, "tenant=acme", period).await;
    }
    issue(&state, "tenant=zenith", "2026-11").await;
    let mut path = "/v1/statements?limit=3".to_owned();
    let page = asked(&state, "tenant_admin@acme").get(&path).await.body;
    let periods = |page: &serde_json::Value| {
        let data = page["data"].as_array().unwrap().clone();
        data.iter().map(|it| it["period"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(periods(&page), ["2026-10", "2026-09", "2026-08"]);
    assert_eq!(
        (&page["account"], &page["next_before"]),
        (&json!("tenant=acme"), &json!("2026-08"))
    );
    assert_eq!(
        page["data"][0],
        json!({"account": "tenant=acme", "period": "2026-10", "version": 1, "digest": "sha256:0", "records": 3,
               "cost_nanousd": 5, "total_nanousd": -2, "issued_ms": 7})
    );
    path.push_str("&before=2026-08");
    let page = asked(&state, "tenant_admin@acme").get(&path).await.body;
    assert_eq!((periods(&page), &page["next_before"]), (vec!["2026-07".to_owned()], &json!(null)));
    let none = asked(&state, "lob_admin@acme").get("/v1/statements?account=lob=retail").await;
    assert_eq!((none.status.as_u16(), &none.body["data"]), (200, &json!([])));
}

#[tokio::test]
async fn bills_of_who_was_offboarded_are_there_for_who_sees_everybodys() {
    let state = state();
    issue(&state, "tenant=gone", "2026-09").await;
    for path in ["/v1/statements?account=tenant=gone", "/v1/statements/2026-09?account=tenant=gone"]
    {
        assert_eq!(
            everybody(&state, "GET", path, "").await,
            "200 404 404 404 404 404 404",
            "{path}"
        );
    }
    let draft = "/v1/statements/2026-11/draft?account=tenant=gone";
    assert_eq!(asked(&state, "org_admin@acme").send("POST", draft).await.status, 404);
}

#[tokio::test]
async fn a_draft_is_asked_for() {
    let state = state();
    books(&state, "2026-09", "2026-10").await;
    let post = |period: &'static str, account: &'static str| {
        let path = format!("/v1/statements/{period}/draft{account}");
        let state = &state;
        async move { asked(state, "tenant_admin@acme").send("POST", &path).await }
    };
    let answer = post("2026-11", "").await;
    let task = json!({"task": "draft_statement", "period": "2026-11", "account": "tenant=acme"});
    assert_eq!(answer.status, 202);
    assert_eq!(answer.body, json!({"object": "billing.task", "status": "requested", "task": task}));
    assert_eq!(requested(&state), [task]);
    for (period, code) in [
        ("2026-09", "month_not_open"),
        ("2026-10", "month_not_open"),
        ("2026-12", "month_not_begun"),
    ] {
        let answer = post(period, "?account=tenant=acme").await;
        assert_eq!((answer.status.as_u16(), answer.code()), (409, code), "{period}");
        assert_eq!(answer.headers["x-should-retry"], "false");
    }
    assert_eq!(requested(&state).len(), 1);
    let ids: Vec<String> = state.store.2.bus.taken().into_iter().map(|event| event.id).collect();
    post("2026-11", "").await;
    assert_ne!(state.store.2.bus.taken()[1].id, ids[0], "asked for again, it is made again");
}

#[tokio::test]
async fn what_makes_no_sense_is_named() {
    let state = state();
    for (method, path, field) in [
        ("GET", "/v1/statements?account=org", "account"),
        ("GET", "/v1/statements?account=acme", "account"),
        ("GET", "/v1/statements?account=tenant=", "account"),
        ("GET", "/v1/statements?account=tenant=../x", "account"),
        ("GET", "/v1/statements?account=tenant=ACME", "account"),
        ("GET", "/v1/statements?account=tenant=a&account=tenant=b", "account"),
        ("GET", "/v1/statements?before=2026-13", "before"),
        ("GET", "/v1/statements?limit=0", "limit"),
        ("GET", "/v1/statements?limit=101", "limit"),
        ("GET", "/v1/statements?period=2026-11", "period"),
        ("GET", "/v1/statements/2026-13", "period"),
        ("GET", "/v1/statements/2026-11-01", "period"),
        ("GET", "/v1/statements/latest", "period"),
        ("GET", "/v1/statements/2026-10%2Ftenant=globex", "period"),
        ("GET", "/v1/statements/2026-11?format=xml", "format"),
        ("GET", "/v1/statements/2026-11?format=JSON", "format"),
        ("GET", "/v1/statements/2026-11?draft=1", "draft"),
        ("GET", "/v1/statements/2026-11?account=org", "account"),
        ("POST", "/v1/statements/november/draft", "period"),
        ("POST", "/v1/statements/2026-11/draft?account=org", "account"),
        ("POST", "/v1/statements/2026-11/draft?format=csv", "format"),
    ] {
        let answer = asked(&state, "org_admin@acme").send(method, path).await;
        assert_eq!((answer.status.as_u16(), answer.param()), (400, field), "{path}");
    }
    assert!(requested(&state).is_empty());
}

#[tokio::test]
async fn what_fails_says_so() {
    let state = state();
    issue(&state, "tenant=acme", "2026-10").await;
    let admin = || asked(&state, "tenant_admin@acme");
    state.store.2.documents.fail("get");
    let answer = admin().get("/v1/statements/2026-10").await;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "store_unavailable"));
    assert!(answer.headers.contains_key("retry-after"));
    state.store.2.documents.heal();
    state.store.2.bus.refuse("task");
    let answer = admin().send("POST", "/v1/statements/2026-11/draft").await;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "store_unavailable"));
    state.store.2.books.fail_after(Some(0));
    for path in ["/v1/statements", "/v1/statements/2026-10"] {
        assert_eq!(admin().get(path).await.status, 503, "{path}");
    }
    assert_eq!(admin().send("POST", "/v1/statements/2026-11/draft").await.status, 503);
    state.store.2.books.fail_after(None);
    state.store.data().failing.insert("limits");
    assert_eq!(admin().get("/v1/statements").await.status, 503);
    state.store.data().failing.clear();
    issue(&state, "tenant=acme", "2026-09").await;
    lake::ObjectStore::delete(
        &state.store.2.documents,
        "statements/2026-09/tenant=acme/statement.json",
    )
    .await
    .unwrap();
    let lost = admin().get("/v1/statements/2026-09").await;
    assert_eq!((lost.status.as_u16(), lost.code()), (500, "internal_error"));
}

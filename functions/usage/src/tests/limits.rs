//! Who sees and sets limits, and what setting them does.

use admission::LimitOwner;
use http::StatusCode;
use serde_json::json;
use tenancy::TenantId;

use super::support::{EVERYBODY, asked, budget, put, state};

const SCOPES: [&str; 9] = [
    "org",
    "lobs/retail",
    "lobs/markets",
    "tenants/acme",
    "tenants/acme/projects/web-shop",
    "tenants/acme/principals/developer-1",
    "tenants/acme/principals/somebody",
    "tenants/acme/each-principal",
    "tenants/globex",
];

fn table(rows: &[(&str, Vec<u16>)]) -> String {
    let row = |(scope, statuses): &(&str, Vec<u16>)| {
        let statuses: Vec<_> = statuses.iter().map(u16::to_string).collect();
        format!("{} {scope}", statuses.join(" "))
    };
    rows.iter().map(row).collect::<Vec<_>>().join("\n")
}

/// Everybody in the order of `EVERYBODY`, at each scope: what is another's is not there, what is one's
/// own and not one's to see is refused.
#[tokio::test]
async fn who_sees_limits() {
    let state = state();
    let mut rows = Vec::new();
    for scope in SCOPES {
        let mut statuses = Vec::new();
        for who in EVERYBODY {
            let answer = asked(&state, who).get(&format!("/v1/limits/{scope}")).await;
            statuses.push(answer.status.as_u16());
        }
        rows.push((scope, statuses));
    }
    assert_eq!(
        table(&rows),
        "\
200 403 403 403 403 403 403 org
200 200 403 403 403 403 404 lobs/retail
200 404 404 404 404 404 403 lobs/markets
200 200 200 403 200 403 404 tenants/acme
200 200 200 403 200 403 404 tenants/acme/projects/web-shop
200 200 200 403 200 404 404 tenants/acme/principals/developer-1
200 200 200 404 200 404 404 tenants/acme/principals/somebody
200 200 200 403 200 403 404 tenants/acme/each-principal
200 404 404 404 404 404 200 tenants/globex"
    );
}

/// As above. Who is held to a limit never sets it.
#[tokio::test]
async fn who_sets_limits() {
    let mut rows = Vec::new();
    for scope in SCOPES {
        let mut statuses = Vec::new();
        for who in EVERYBODY {
            let state = state();
            let answer = put(&state, who, scope, &budget(9_000_000_000)).await;
            statuses.push(answer.status.as_u16());
            let owner = LimitOwner::of_text(scope).unwrap();
            let is_set = state
                .store
                .data()
                .rules
                .get(&owner)
                .is_some_and(|rules| rules[0].amount == 9_000_000_000);
            assert_eq!(is_set, answer.status == StatusCode::OK, "{who} {scope}");
            // Everything that was done is on record, and what was refused; what is not there is not.
            let audit = state.store.data().audit.clone();
            match answer.status.as_u16() {
                200 => assert!(audit[0].is_allowed && audit[0].action == "limits.set"),
                403 => assert!(!audit[0].is_allowed && audit[0].subject == scope),
                _ => assert!(audit.is_empty()),
            }
        }
        rows.push((scope, statuses));
    }
    assert_eq!(
        table(&rows),
        "\
200 403 403 403 403 403 403 org
200 403 403 403 403 403 404 lobs/retail
200 404 404 404 404 404 403 lobs/markets
200 200 403 403 403 403 404 tenants/acme
200 200 200 403 403 403 404 tenants/acme/projects/web-shop
200 200 200 403 403 404 404 tenants/acme/principals/developer-1
200 200 200 404 403 404 404 tenants/acme/principals/somebody
200 200 200 403 403 403 404 tenants/acme/each-principal
200 404 404 404 404 404 403 tenants/globex"
    );
}

#[tokio::test]
async fn a_token_for_reading_changes_nothing() {
    let state = state();
    let path = "/v1/limits/org";
    assert_eq!(asked(&state, "org_admin.read@acme").get(path).await.status, 200);
    assert_eq!(asked(&state, "org_admin.invoke@acme").get(path).await.status, 403);
    assert_eq!(put(&state, "org_admin.read@acme", "org", &budget(5)).await.status, 403);
    assert_eq!(put(&state, "org_admin.invoke@acme", "org", &budget(5)).await.status, 403);
    assert_eq!(put(&state, "org_admin.admin@acme", "org", &budget(5)).await.status, 200);
}

#[tokio::test]
async fn what_is_not_there_and_what_is_anothers_look_the_same() {
    let state = state();
    for (scope, absent) in [
        ("tenants/globex", "tenants/nosuch"),
        ("lobs/markets", "lobs/nosuch"),
        ("tenants/globex/principals/x", "tenants/nosuch/principals/x"),
    ] {
        let other = asked(&state, "lob_admin@acme").get(&format!("/v1/limits/{scope}")).await;
        let none = asked(&state, "lob_admin@acme").get(&format!("/v1/limits/{absent}")).await;
        assert_eq!((other.status, none.status), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND));
        assert_eq!(other.text.replace(scope, absent), none.text);
    }
    let project =
        asked(&state, "org_admin@acme").get("/v1/limits/tenants/acme/projects/nosuch").await;
    assert_eq!(project.status, 404);
}

#[tokio::test]
async fn a_change_is_told_to_every_tenant_below_and_to_no_other() {
    let known = |state: &crate::State<super::fake::Fake>| {
        let data = state.store.data();
        ["acme", "zenith", "globex"].map(|id| data.known[&id.parse::<TenantId>().unwrap()])
    };
    for (scope, expected) in [
        ("org", [8, 8, 8]),
        ("lobs/retail", [8, 8, 7]),
        ("tenants/acme", [8, 7, 7]),
        ("tenants/acme/projects/web-shop", [8, 7, 7]),
        ("tenants/acme/each-principal", [8, 7, 7]),
    ] {
        let state = state();
        let answer = put(&state, "org_admin@acme", scope, &budget(1_000)).await;
        assert_eq!((answer.status, &answer.body["is_effective"]), (StatusCode::OK, &json!(true)));
        assert_eq!(known(&state), expected, "{scope}");
        assert!(state.store.data().unfinished.is_empty());
    }
}

#[tokio::test]
async fn a_change_that_was_not_finished_is_finished_by_the_schedule() {
    let state = state();
    state.store.data().failing.insert("renew");
    let answer = put(&state, "org_admin@acme", "lobs/retail", &budget(1_000)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(answer.body["is_effective"], false);
    let shown = asked(&state, "org_admin@acme").get("/v1/limits/lobs/retail").await;
    assert_eq!(shown.body["is_effective"], false);
    assert_eq!(state.store.data().known[&"acme".parse().unwrap()], 7);

    state.store.data().failing.clear();
    let event = include_str!("../../testdata/schedule.json");
    let schedule = || lambda_http::request::from_str(event).unwrap();
    assert_eq!(crate::handle(&state, schedule()).await.unwrap().status(), 200);
    assert_eq!(state.store.data().known[&"acme".parse().unwrap()], 8);
    assert!(state.store.data().unfinished.is_empty());
    crate::handle(&state, schedule()).await.unwrap();
    assert_eq!(state.store.data().known[&"acme".parse().unwrap()], 8, "once was enough");
}

#[tokio::test]
async fn a_dry_run_shows_the_difference_and_does_nothing() {
    let state = state();
    let wanted = json!({"limits": [
        {"id": "budget", "metric": "cost", "period": "month", "amount": 1_000},
        {"id": "rate", "metric": "requests", "period": "minute", "amount": 60},
    ]});
    let asked_ = asked(&state, "lob_admin@acme").header("If-Match", "\"7\"").body(&wanted);
    let answer = asked_.send("PUT", "/v1/limits/tenants/acme?dry_run=true").await;
    assert_eq!(answer.status, 200);
    let changes = answer.body["changes"].as_array().unwrap();
    let kinds: Vec<_> = changes.iter().map(|change| change["change"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["changed", "added"]);
    assert_eq!(changes[0]["before"]["amount"], 50_000_000_000u64);
    assert_eq!(changes[0]["after"]["amount"], 1_000);
    assert_eq!((answer.etag().as_str(), &answer.body["is_dry_run"]), ("\"7\"", &json!(true)));
    let data = state.store.data();
    assert_eq!(data.levels[&LimitOwner::of_text("tenants/acme").unwrap()].0, 7);
    assert!(data.audit.is_empty());
}

#[tokio::test]
async fn the_same_again_is_no_change() {
    let state = state();
    let first = put(&state, "lob_admin@acme", "tenants/acme", &budget(1_000)).await;
    let shown = asked(&state, "lob_admin@acme").get("/v1/limits/tenants/acme").await;
    assert_eq!(first.etag(), shown.etag());
    // What GET shows can be sent back as it is.
    let again = put(&state, "lob_admin@acme", "tenants/acme", &shown.body).await;
    assert_eq!((again.status, again.etag()), (StatusCode::OK, shown.etag()));
    assert_eq!(again.body["changes"], json!([]));
    assert_eq!(state.store.data().audit.len(), 1);
}

#[tokio::test]
async fn the_history_says_who_changed_what() {
    let state = state();
    for amount in 1..=5 {
        put(&state, "lob_admin@acme", "tenants/acme", &budget(amount)).await;
    }
    put(&state, "developer@acme", "tenants/acme", &budget(99)).await;
    put(&state, "org_admin@acme", "lobs/retail", &budget(7)).await;
    let path = "/v1/limits/tenants/acme/history?limit=4";
    let page = asked(&state, "viewer@acme").get(path).await;
    let entries = page.body["data"].as_array().unwrap();
    assert_eq!(entries[0]["is_allowed"], false);
    assert_eq!(entries[0]["principal_id"], "developer-1");
    assert_eq!(
        (&entries[1]["before"][0]["amount"], &entries[1]["after"][0]["amount"]),
        (&json!(4), &json!(5))
    );
    assert_eq!((&entries[1]["version"], &entries[1]["roles"]), (&json!(12), &json!(["lob_admin"])));
    let next = page.body["next_before"].as_str().unwrap();
    let rest = asked(&state, "viewer@acme").get(&format!("{path}&before={next}")).await;
    assert_eq!(rest.body["data"].as_array().unwrap().len(), 2);
    assert_eq!(rest.body["next_before"], json!(null));
    assert_eq!(asked(&state, "tenant_admin@globex").get(path).await.status, 404);
}

#[tokio::test]
async fn tables_that_cannot_be_reached_are_no_refusal() {
    let state = state();
    for operation in ["limits", "change"] {
        state.store.data().failing.insert(operation);
        let answer = put(&state, "org_admin@acme", "org", &budget(1)).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{operation}");
        assert!(answer.headers.contains_key("retry-after"));
        state.store.data().failing.clear();
    }
    assert_eq!(state.store.data().levels[&LimitOwner::Org].0, 3);
}

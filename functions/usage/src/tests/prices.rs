//! What models cost, and what the organisation agrees for itself.

use std::sync::Arc;

use http::StatusCode;
use inference::Model;
use metering::{AgreedPrices, PriceBook, PriceOverrides};
use serde_json::{Value, json};
use tenancy::Role;

use super::fake::Fake;
use super::support::{Answer, NOON_MS, asked};
use crate::State;

const NOON: i64 = NOON_MS / 1_000;
const OVERRIDES: &str = "/v1/prices/overrides";

/// Two models with a book of today and one of tomorrow, and what is agreed for one of them until then.
fn state() -> State<Fake> {
    let state = super::support::state();
    {
        let mut data = state.store.data();
        for id in ["model-a", "model-b", "vendor.model:0/c"] {
            data.catalog.models.insert(id.parse().unwrap(), Arc::new(model(id)));
        }
        for (version, valid_from, input) in [("b1", 0, 10), ("b2", NOON + 86_400, 20)] {
            let rates = json!([
                {"price": {"input": input + 1, "output": 4}},
                {"service_tier": "flex", "price": {"input": 1, "output": 2}},
            ]);
            let book = json!({"version": version, "valid_from": valid_from, "currency": "USD",
                "models": {"model-a": {"input": input, "output": 3}, "model-b": rates}});
            let book: PriceBook = serde_json::from_value(book).unwrap();
            data.catalog.price_books.push(Arc::new(book));
        }
        let agreed = overrides("ovr-1", -3_600, None);
        data.agreed = AgreedPrices { revision: 4, overrides: vec![agreed] };
    }
    state
}

fn model(id: &str) -> Model {
    let model = json!({
        "id": id, "provider_model_id": id, "protocols": ["openai_chat"], "owned_by": "vendor", "created": 1,
        "context_window": 1000, "max_output_tokens": 100, "default_max_tokens": 10, "capabilities": {},
    });
    serde_json::from_value(model).unwrap()
}

/// Overrides of one model, from and until moments that are counted from now.
fn overrides(version: &str, from: i64, until: Option<i64>) -> PriceOverrides {
    let overrides =
        json!({"version": version, "valid_from": NOON + from, "models": {"model-a": price(7)}});
    let overrides: PriceOverrides = serde_json::from_value(overrides).unwrap();
    PriceOverrides { valid_until: until.map(|until| NOON + until), ..overrides }
}

fn price(input: u64) -> Value {
    json!({"input": input, "output": 9})
}

/// Many rates, of 170 bytes each.
fn rates(count: u64) -> Value {
    let rate = |number| json!({"region": format!("region-{number:-<120}"), "price": price(1)});
    (0..count).map(rate).collect()
}

/// A body of one model.
fn body(from: Option<&str>, until: Option<&str>, input: u64) -> Value {
    json!({"valid_from": from, "valid_until": until, "models": {"model-a": price(input)}})
}

async fn put(state: &State<Fake>, who: &str, version: &str, body: &Value) -> Answer {
    let asked = asked(state, who).header("If-Match", "*").body(body);
    asked.send("PUT", &format!("{OVERRIDES}/{version}")).await
}

async fn delete(state: &State<Fake>, who: &str, version: &str) -> Answer {
    let asked = asked(state, who).header("If-Match", "*");
    asked.send("DELETE", &format!("{OVERRIDES}/{version}")).await
}

fn versions(answer: &Answer) -> Vec<&str> {
    let data = answer.body["data"].as_array().unwrap();
    data.iter().map(|it| it["version"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn prices_are_those_in_force_at_a_moment_and_say_what_set_them() {
    let state = state();
    let now = asked(&state, "developer@acme").get("/v1/prices").await;
    assert_eq!(now.status, 200);
    assert_eq!(
        now.body,
        json!({
            "object": "list", "at": "2026-11-23T12:00:00Z", "currency": "USD", "unit": "pico_usd",
            "data": [
                {"model": "model-a", "price_version": "b1+ovr-1", "book": "b1", "overrides": "ovr-1",
                    "rates": [{"price": price(7)}]},
                {"model": "model-b", "price_version": "b1", "book": "b1", "overrides": null, "rates": [
                    {"price": {"input": 11, "output": 4}},
                    {"service_tier": "flex", "price": {"input": 1, "output": 2}},
                ]},
            ],
            "next_after": null,
        })
    );
    for (at, version, input) in [
        ("2026-11-23T10:59:59Z", "b1", 10),
        ("2026-11-23T11:00:00Z", "b1+ovr-1", 7),
        ("2026-11-24T13:00:00.5%2B01:00", "b2+ovr-1", 7),
    ] {
        let at = at.replace("%2B", "+");
        let path = format!("/v1/prices?model=model-a&at={at}");
        let answer = asked(&state, "viewer@globex").get(&path).await;
        let [only] = answer.body["data"].as_array().unwrap().as_slice() else { panic!("{at}") };
        assert_eq!(
            (&only["price_version"], &only["rates"][0]["price"]["input"]),
            (&json!(version), &json!(input)),
            "{at}"
        );
    }
    let before = asked(&state, "viewer@acme").get("/v1/prices?at=1969-01-01T00:00:00Z").await;
    assert_eq!((before.status, &before.body["data"]), (StatusCode::OK, &json!([])));
}

#[tokio::test]
async fn pages_hold_every_model_once() {
    let state = state();
    {
        let rates = rates(100);
        let models: serde_json::Map<_, _> =
            (0..100).map(|number| (format!("model-{number:03}"), json!(rates))).collect();
        let book = json!({"version": "b3", "valid_from": NOON, "models": models});
        let book: PriceBook = serde_json::from_value(book).unwrap();
        let mut data = state.store.data();
        data.catalog.price_books.push(Arc::new(book));
    }
    for (limit, pages) in [(500, 2), (7, 15)] {
        let (mut found, mut after, mut count) = (Vec::new(), String::new(), 0);
        loop {
            let path = format!("/v1/prices?limit={limit}&after={after}");
            let page = asked(&state, "developer@acme").get(&path).await;
            assert!(page.text.len() < 1_000_000);
            count += 1;
            for it in page.body["data"].as_array().unwrap() {
                found.push(it["model"].as_str().unwrap().to_owned());
            }
            let Some(next) = page.body["next_after"].as_str() else { break };
            next.clone_into(&mut after);
        }
        let mut expected: Vec<_> = (0..100).map(|number| format!("model-{number:03}")).collect();
        expected.push("model-a".into());
        assert_eq!((found, count), (expected, pages));
    }
}

#[tokio::test]
async fn what_is_not_asked_for_rightly_is_refused() {
    let state = state();
    for (path, status, param) in [
        ("/v1/prices?model=model-z", 404, ""),
        ("/v1/prices?model=vendor.model:0/c", 404, ""),
        ("/v1/prices?model=a%23b", 404, ""),
        ("/v1/prices?model=model-a&at=1969-01-01T00:00:00Z", 404, ""),
        ("/v1/prices?at=yesterday", 400, "at"),
        ("/v1/prices?at=2026-11-23", 400, "at"),
        ("/v1/prices?limit=0", 400, "limit"),
        ("/v1/prices?limit=501", 400, "limit"),
        ("/v1/prices?tenant=globex", 400, "tenant"),
        ("/v1/prices?model=model-a&model=model-b", 400, "model"),
        ("/v1/prices/overrides?limit=1", 400, "limit"),
        ("/v1/prices/overrides/ovr-1", 405, ""),
        ("/v1/prices/books", 404, ""),
        ("/v1/prices/overrides/ovr-1/x", 404, ""),
    ] {
        let answer = asked(&state, "org_admin@acme").get(path).await;
        assert_eq!((answer.status.as_u16(), answer.param()), (status, param), "{path}");
    }
    assert_eq!(asked(&state, "org_admin@acme").send("POST", OVERRIDES).await.status, 405);
}

#[tokio::test]
async fn overrides_are_listed_from_the_youngest() {
    let state = state();
    {
        let mut data = state.store.data();
        data.agreed.overrides.push(overrides("ovr-3", 600, Some(900)));
        data.agreed.overrides.push(overrides("ovr-0", -7_200, Some(-7_000)));
        data.agreed.overrides.push(overrides("ovr-2", 60, None));
    }
    let answer = asked(&state, "machine@acme").get(OVERRIDES).await;
    assert_eq!(
        (answer.etag().as_str(), versions(&answer)),
        ("\"4\"", vec!["ovr-3", "ovr-2", "ovr-1", "ovr-0"])
    );
    assert_eq!(
        answer.body["data"][0],
        json!({
            "object": "price_overrides", "version": "ovr-3", "valid_from": "2026-11-23T12:10:00Z",
            "valid_until": "2026-11-23T12:15:00Z", "currency": "USD", "models": {"model-a": price(7)},
            "is_in_force": false, "is_fixed": false,
        })
    );
    let flags = |name: &str| {
        let data = answer.body["data"].as_array().unwrap();
        data.iter().map(|it| it[name].as_bool().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(flags("is_in_force"), [false, false, true, false]);
    assert_eq!(flags("is_fixed"), [false, true, true, true]);
}

/// All see prices; whoever runs the organisation changes them, and nobody else.
#[tokio::test]
async fn who_sees_and_changes_prices() {
    let mut table = Vec::new();
    for role in Role::ALL {
        let (who, state) = (format!("{}@acme", role.as_str()), state());
        let who = who.as_str();
        let mut row = Vec::new();
        for path in ["/v1/prices", OVERRIDES] {
            row.push(asked(&state, who).get(path).await.status.as_u16());
        }
        let later = body(Some("2026-12-01T00:00:00Z"), None, 5);
        for (version, action) in [("ovr-2", "prices.set"), ("ovr-2", "prices.removed")] {
            let answer = if action == "prices.set" {
                put(&state, who, version, &later).await
            } else {
                delete(&state, who, version).await
            };
            row.push(answer.status.as_u16());
            let data = state.store.data();
            let entry = data.audit.last().unwrap();
            assert_eq!(
                (entry.action.as_str(), entry.subject.as_str()),
                (action, "prices/overrides/ovr-2")
            );
            assert_eq!(entry.is_allowed, answer.status.is_success(), "{who} {action}");
        }
        let changes = state.store.data().agreed.revision - 4;
        assert_eq!(changes, if row[2] == 201 { 2 } else { 0 }, "{who}");
        table.push((role, row));
    }
    for (role, row) in table {
        let changed = if role == Role::OrgAdmin { [201, 204] } else { [403, 403] };
        let read = if role == Role::Provisioner { [403, 403] } else { [200, 200] };
        assert_eq!(row, [read, changed].concat(), "{role:?}");
    }
}

/// Whoever may not change prices learns nothing of which there are from the refusal.
#[tokio::test]
async fn a_refusal_is_the_same_whatever_there_is() {
    let state = state();
    let long = "x".repeat(300);
    for version in ["ovr-1", "nosuch", "a+b", &long] {
        assert_eq!(put(&state, "lob_admin@acme", version, &json!({})).await.status, 403);
        assert_eq!(delete(&state, "tenant_admin@globex", version).await.status, 403);
    }
    let data = state.store.data();
    assert!(data.audit.iter().all(|entry| !entry.is_allowed && entry.subject.len() < 100));
    assert_eq!(data.audit.len(), 8);
}

#[tokio::test]
async fn a_token_for_reading_changes_no_prices() {
    let state = state();
    for (who, sees, changes) in [
        ("org_admin.read@acme", 200, 403),
        ("org_admin.invoke@acme", 403, 403),
        ("org_admin.admin@acme", 200, 201),
    ] {
        assert_eq!(asked(&state, who).get("/v1/prices").await.status, sees);
        assert_eq!(asked(&state, who).get(OVERRIDES).await.status, sees);
        assert_eq!(put(&state, who, "ovr-2", &body(None, None, 5)).await.status, changes, "{who}");
    }
}

#[tokio::test]
async fn what_is_set_is_in_force_from_then_on() {
    let state = state();
    let now = put(&state, "org_admin@acme", "ovr-2", &body(None, None, 5)).await;
    assert_eq!((now.status, now.etag()), (StatusCode::CREATED, "\"5\"".into()));
    assert_eq!(now.body["valid_from"], "2026-11-23T12:00:00Z");
    assert_eq!(
        (&now.body["is_in_force"], &now.body["is_fixed"], &now.body["currency"]),
        (&json!(true), &json!(true), &json!("USD"))
    );
    let offer = body(Some("2026-12-01T01:00:00+01:00"), Some("2027-01-01T00:00:00Z"), 3);
    let offer = put(&state, "org_admin@acme", "ovr-3", &offer).await;
    assert_eq!(offer.body["valid_from"], "2026-12-01T00:00:00Z");
    let input = async |at: &str| {
        let path = format!("/v1/prices?model=model-a&at={at}");
        let answer = asked(&state, "developer@acme").get(&path).await;
        answer.body["data"][0]["rates"][0]["price"]["input"].clone()
    };
    assert_eq!(input("2026-11-23T11:59:59Z").await, 7);
    assert_eq!(input("2026-11-23T12:00:00Z").await, 5);
    assert_eq!(input("2026-12-01T00:00:00Z").await, 3);
    assert_eq!(input("2027-01-01T00:00:00Z").await, 5);
    let data = state.store.data();
    let entry = &data.audit[1];
    assert_eq!((entry.version, &entry.before), (Some(6), &json!(null)));
    assert_eq!(entry.after["models"]["model-a"]["input"], 3);
}

#[tokio::test]
async fn what_is_not_in_force_yet_can_be_changed_and_taken_away() {
    let state = state();
    let later = "2026-12-01T00:00:00Z";
    put(&state, "org_admin@acme", "ovr-2", &body(Some(later), None, 5)).await;
    // Its beginning stays, unless another is given.
    let changed = put(&state, "org_admin@acme", "ovr-2", &body(None, None, 6)).await;
    assert_eq!((changed.status, &changed.body["valid_from"]), (StatusCode::OK, &json!(later)));
    let moved = body(Some("2026-12-02T00:00:00Z"), Some("2026-12-03T00:00:00Z"), 6);
    let moved = put(&state, "org_admin@acme", "ovr-2", &moved).await;
    assert_eq!(moved.body["valid_until"], "2026-12-03T00:00:00Z");
    let removed = delete(&state, "org_admin@acme", "ovr-2").await;
    assert_eq!((removed.status, removed.text.as_str()), (StatusCode::NO_CONTENT, ""));
    assert_eq!(removed.etag(), "\"8\"");
    assert_eq!(delete(&state, "org_admin@acme", "ovr-2").await.status, 404);
    let data = state.store.data();
    assert_eq!(data.agreed.overrides.len(), 1);
    let last = data.audit.last().unwrap();
    assert_eq!(
        (&last.after, &last.before["models"]["model-a"]["input"]),
        (&json!(null), &json!(6))
    );
}

#[tokio::test]
async fn what_calls_were_priced_by_gets_an_end_and_stays_otherwise() {
    let state = state();
    let refused = async |body: &Value, status: u16, code: &str| {
        let answer = put(&state, "org_admin@acme", "ovr-1", body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{body}");
    };
    let end = "2026-12-01T00:00:00Z";
    refused(&body(None, None, 8), 409, "already_in_force").await;
    refused(&body(None, Some(end), 8), 409, "already_in_force").await;
    refused(&body(Some(end), None, 7), 409, "already_in_force").await;
    refused(&body(None, Some("2026-11-23T12:00:00Z"), 7), 400, "invalid_value").await;
    assert_eq!(delete(&state, "org_admin@acme", "ovr-1").await.code(), "already_in_force");
    assert_eq!(state.store.data().agreed.revision, 4);

    // A model that is registered no more was priced, all the same.
    state.store.data().catalog.models.clear();
    let ended = put(&state, "org_admin@acme", "ovr-1", &body(None, Some(end), 7)).await;
    assert_eq!((ended.status, &ended.body["valid_until"]), (StatusCode::OK, &json!(end)));
    refused(&body(None, Some("2026-12-02T00:00:00Z"), 7), 409, "already_in_force").await;
    refused(&body(None, None, 7), 409, "already_in_force").await;
    let earlier = body(None, Some("2026-11-30T00:00:00Z"), 7);
    assert_eq!(put(&state, "org_admin@acme", "ovr-1", &earlier).await.status, 200);
}

#[tokio::test]
async fn the_same_again_is_no_change_of_prices() {
    let state = state();
    for (from, version) in [(None, "ovr-2"), (Some("2026-12-01T00:00:00Z"), "ovr-3")] {
        let seen = asked(&state, "org_admin@acme").get(OVERRIDES).await.etag();
        let once = async || {
            let asked = asked(&state, "org_admin@acme").header("If-Match", seen.clone());
            let asked = asked.body(&body(from, None, 5));
            asked.send("PUT", &format!("{OVERRIDES}/{version}")).await
        };
        let (first, again) = (once().await, once().await);
        assert_eq!((first.status, again.status), (StatusCode::CREATED, StatusCode::OK));
        assert_eq!((first.etag(), &first.body), (again.etag(), &again.body));
        // What GET shows can be sent back as it is.
        let list = asked(&state, "org_admin@acme").get(OVERRIDES).await;
        let shown = put(&state, "org_admin@acme", version, &list.body["data"][0]).await;
        assert_eq!((shown.status, shown.etag()), (StatusCode::OK, list.etag()));
    }
    let data = state.store.data();
    assert_eq!((data.agreed.revision, data.audit.len()), (6, 2));
}

#[tokio::test]
async fn prices_that_changed_meanwhile_are_not_overwritten() {
    let state = state();
    let later = body(Some("2026-12-01T00:00:00Z"), None, 5);
    let path = format!("{OVERRIDES}/ovr-2");
    let with_tag = async |method: &str, tag: &str| {
        let asked = asked(&state, "org_admin@acme").header("If-Match", tag).body(&later);
        asked.send(method, &path).await
    };
    for tag in ["\"3\"", "W/\"5\"", "", "4"] {
        let answer = with_tag("PUT", tag).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (412, "precondition_failed"), "{tag}");
    }
    assert_eq!(with_tag("PUT", "\"4\"").await.status, 201);
    assert_eq!(with_tag("DELETE", "\"4\"").await.status, 412);
    // Somebody else is quicker, with another version.
    for method in ["PUT", "DELETE"] {
        let agreed = state.store.data().agreed.clone();
        let other = overrides(&format!("other-{method}"), 86_400, None);
        state.store.data().others_prices.push(other);
        let asked = asked(&state, "org_admin@acme").header("If-Match", "*");
        let asked = asked.body(&body(None, None, 6));
        let answer = asked.send(method, &path).await;
        assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED);
        let data = state.store.data();
        assert_eq!(data.agreed.revision, agreed.revision + 1, "the other's");
        assert_eq!(data.agreed.find("ovr-2"), agreed.find("ovr-2"));
        assert_eq!(data.audit.len(), 1);
    }
    for method in ["PUT", "DELETE"] {
        let answer = asked(&state, "org_admin@acme").body(&later).send(method, &path).await;
        assert_eq!((answer.status.as_u16(), answer.param()), (400, "If-Match"));
    }
}

#[tokio::test]
async fn what_is_no_price_is_refused_by_field() {
    let state = state();
    let base = body(Some("2026-12-01T00:00:00Z"), None, 5);
    let many: Value = (0..201).map(|number| (format!("m-{number}"), price(1))).collect();
    let large: Value = (0..20).map(|number| (format!("m-{number}"), rates(60))).collect();
    let priced = |price: Value| json!({"models": {"model-a": price}});
    let input = |input: Value| priced(json!({"input": input, "output": 1}));
    let long = |above: Value| {
        priced(json!({"input": 1, "output": 1,
            "long_context": [{"above_input_tokens": above, "input": 1, "output": 1}]}))
    };
    for (change, param) in [
        (input(json!(-1)), "models.model-a.input"),
        (input(json!(0.1)), "models.model-a.input"),
        (input(json!(1.0)), "models.model-a.input"),
        (input(json!(1e300)), "models.model-a.input"),
        (input(json!("NaN")), "models.model-a.input"),
        (input(json!("5")), "models.model-a.input"),
        (input(json!(null)), "models.model-a.input"),
        (input(json!(true)), "models.model-a.input"),
        (input(json!(u64::MAX)), "models.model-a"),
        (input(json!(10_000_000_001_u64)), "models.model-a"),
        (priced(json!({"input": 1})), "models.model-a"),
        (priced(json!({"input": 1, "output": 1, "cache_reed": 1})), "models.model-a"),
        (priced(json!({"input": 1, "output": 1, "cache_read": null})), "models.model-a.cache_read"),
        (priced(json!([])), "models.model-a"),
        (priced(json!(5)), "models.model-a"),
        (priced(json!(null)), "models.model-a"),
        (priced(json!([price(1)])), "models.model-a"),
        (priced(json!([{"price": price(1)}, {"price": price(2)}])), "models.model-a"),
        (priced(json!([{"price": price(1), "service_tier": "gold"}])), "models.model-a"),
        (priced(json!([{"price": price(1), "region": 5}])), "models.model-a"),
        (priced(json!([{"price": {"input": "1", "output": 1}}])), "models.model-a[0].price.input"),
        (long(json!(0)), "models.model-a"),
        (long(json!(1.5)), "models.model-a.long_context[0].above_input_tokens"),
        (json!({"models": {"model-z": price(1)}}), "models.model-z"),
        (json!({"models": {"a#b": price(1)}}), "models.a#b"),
        (json!({"models": {}}), "models"),
        (json!({"models": null}), "models"),
        (json!({"models": [price(1)]}), "models"),
        (json!({"models": many}), "models"),
        (json!({"models": large}), "models"),
        (json!({"currency": "EUR"}), "currency"),
        (json!({"currency": null}), "currency"),
        (json!({"version": "ovr-3"}), "version"),
        (json!({"tenant_id": "globex"}), "tenant_id"),
        (json!({"valid_from": "2026-11-23T11:59:59Z"}), "valid_from"),
        (json!({"valid_from": "2026-12-01T00:00:00.5Z"}), "valid_from"),
        (json!({"valid_from": "2026-12-01"}), "valid_from"),
        (json!({"valid_from": 1_796_083_200}), "valid_from"),
        (json!({"valid_from": "2026-11-23T11:00:00Z"}), "valid_from"),
        (json!({"valid_until": "2026-12-01T00:00:00Z"}), "valid_until"),
        (json!({"valid_until": "2026-13-01T00:00:00Z"}), "valid_until"),
    ] {
        let mut wanted = base.clone();
        wanted.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let answer = put(&state, "org_admin@acme", "ovr-2", &wanted).await;
        assert_eq!((answer.status.as_u16(), answer.param()), (400, param), "{change:.200}");
    }
    for version in ["a+b", "a%20b", "x".repeat(41).as_str(), "a%2Fb"] {
        let answer = put(&state, "org_admin@acme", version, &base).await;
        assert_eq!((answer.status.as_u16(), answer.param()), (400, "version"), "{version}");
    }
    for text in
        ["", "[]", "{\"models\":", "{\"models\":{\"model-a\":{\"input\":NaN,\"output\":1}}}"]
    {
        let asked = asked(&state, "org_admin@acme").header("If-Match", "*").text(text);
        let answer = asked.send("PUT", &format!("{OVERRIDES}/ovr-2")).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "invalid_json"), "{text}");
    }
    let data = state.store.data();
    assert_eq!((data.agreed.revision, data.audit.len()), (4, 0), "nothing was changed");
}

#[tokio::test]
async fn prices_of_one_time_do_not_contradict_each_other() {
    let state = state();
    let (first, last) = ("2026-12-01T00:00:00Z", "2026-12-31T00:00:00Z");
    put(&state, "org_admin@acme", "offer", &body(Some(first), Some(last), 5)).await;
    for (from, until, param) in [
        (first, None, "valid_from"),
        ("2026-12-30T00:00:00Z", None, "valid_from"),
        ("2026-12-02T00:00:00Z", Some("2026-12-03T00:00:00Z"), "valid_from"),
        ("2026-11-30T00:00:00Z", Some("2026-12-02T00:00:00Z"), "valid_until"),
    ] {
        let answer = put(&state, "org_admin@acme", "ovr-2", &body(Some(from), until, 5)).await;
        assert_eq!((answer.status.as_u16(), answer.param()), (400, param), "{from} {until:?}");
        assert!(answer.text.contains("offer"));
    }
    for (version, from, until) in
        [("ovr-2", "2026-11-30T00:00:00Z", Some(first)), ("ovr-3", last, None)]
    {
        let answer = put(&state, "org_admin@acme", version, &body(Some(from), until, 5)).await;
        assert_eq!(answer.status, 201, "{version}");
    }
}

#[tokio::test]
async fn all_overrides_together_have_room() {
    let state = state();
    let ids: Vec<String> = (0..20).map(|number| format!("m-{number}")).collect();
    let models: Value = ids.iter().map(|id| (id.clone(), rates(40))).collect();
    for id in &ids {
        state.store.data().catalog.models.insert(id.parse().unwrap(), Arc::new(model(id)));
    }
    let put_on = async |day: u32| {
        let body = json!({"valid_from": format!("2026-12-0{day}T00:00:00Z"), "models": models});
        put(&state, "org_admin@acme", &format!("large-{day}"), &body).await.status.as_u16()
    };
    let mut statuses = Vec::new();
    for day in 1..=9 {
        statuses.push(put_on(day).await);
    }
    assert_eq!(statuses, [201, 201, 201, 201, 201, 201, 201, 400, 400]);
    let listed = asked(&state, "org_admin@acme").get(OVERRIDES).await;
    assert!(listed.text.len() < 1_010_000, "{}", listed.text.len());
    assert_eq!(delete(&state, "org_admin@acme", "large-1").await.status, 204);
    assert_eq!(put_on(9).await, 201);
}

#[tokio::test]
async fn tables_that_cannot_be_reached_change_no_prices() {
    let state = state();
    for (operation, is_read) in
        [("catalog", true), ("agreed_prices", true), ("change_prices", false)]
    {
        state.store.data().failing.insert(operation);
        let answer = put(&state, "org_admin@acme", "ovr-2", &body(None, None, 5)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (503, "store_unavailable"),
            "{operation}"
        );
        let path = if operation == "catalog" { "/v1/prices" } else { OVERRIDES };
        let read = asked(&state, "developer@acme").get(path).await;
        assert_eq!(read.status == StatusCode::OK, !is_read, "{operation}");
        state.store.data().failing.clear();
    }
    assert_eq!(state.store.data().agreed.revision, 4);
}

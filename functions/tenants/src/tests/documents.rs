//! Tenants and lines of business as documents.

use http::StatusCode;
use serde_json::{Value, json};
use tenancy::{Status, TenantId};

use super::support::{World, asked, create, document, put, schedule, world};

fn acme() -> TenantId {
    "acme".parse().unwrap()
}

fn known(state: &World) -> [u64; 3] {
    let data = state.store.data();
    ["acme", "zenith", "globex"].map(|id| data.known[&id.parse::<TenantId>().unwrap()])
}

#[tokio::test]
async fn a_tenant_is_made_from_one_document() {
    let state = world();
    let yaml = "name: Initech\nlob_id: retail\ncontact:\n  email: ops@initech.example\nmodels: [nova-pro, nova-lite]\n\
                settings:\n  response_cache: {ttl_s: 60}\nprojects:\n  web-shop:\n    members: [u-1]\n";
    let ask =
        || asked(&state, "lob_admin@acme").header("Content-Type", "application/yaml").text(yaml);
    let dry = ask().send("PUT", "/v1/tenants/initech?dry_run=true").await;
    assert_eq!((dry.status.as_u16(), &dry.body["is_dry_run"]), (200, &json!(true)));
    assert!(state.store.data().audit.is_empty());
    let made = ask().header("If-None-Match", "*").send("PUT", "/v1/tenants/initech").await;
    assert_eq!((made.status.as_u16(), made.etag().as_str()), (201, "\"1\""), "{}", made.text);
    assert_eq!(made.body["changes"], dry.body["changes"]);
    assert_eq!(made.body["settings"]["response_cache"]["ttl_s"], 60);
    let shown = asked(&state, "lob_admin@acme").get("/v1/tenants/initech").await;
    assert_eq!(shown.body["projects"]["web-shop"]["members"], json!(["u-1"]));
    let again = ask().header("If-Match", "*").send("PUT", "/v1/tenants/initech").await;
    assert_eq!((again.etag().as_str(), &again.body["changes"]), ("\"1\"", &json!([])));
    let twice = ask().header("If-None-Match", "*").send("PUT", "/v1/tenants/initech").await;
    assert_eq!(twice.status, 412);
    assert_eq!(state.store.data().audit.len(), 1);
    // What GET shows can be sent back as it is.
    let back = put(&state, "lob_admin@acme", "initech", &shown.body).await;
    assert_eq!((back.status.as_u16(), &back.body["changes"]), (200, &json!([])), "{}", back.text);
}

#[tokio::test]
async fn an_id_that_is_anothers_is_taken_and_nothing_more() {
    let state = world();
    let answer = create(&state, "lob_admin@acme", "globex", &document("Mine", "retail")).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (409, "id_taken"));
    assert!(!answer.text.contains("markets"));
    let answer = put(&state, "lob_admin@acme", "globex", &document("Mine", "retail")).await;
    assert_eq!(answer.status, 404);
    let elsewhere = create(&state, "lob_admin@acme", "newer", &document("Mine", "markets")).await;
    let nowhere = create(&state, "lob_admin@acme", "newer", &document("Mine", "no-such")).await;
    assert_eq!((elsewhere.status.as_u16(), elsewhere.param()), (400, "lob_id"));
    assert_eq!(elsewhere.text.replace("markets", "no-such"), nowhere.text);
}

/// `If-Match`, `If-None-Match`, on something that is there, and on what is not.
#[tokio::test]
async fn a_change_says_what_it_changes() {
    for (header, value, existing, absent) in [
        ("", "", 428, 428),
        ("If-Match", "\"7\"", 200, 404),
        ("If-Match", "W/\"7\"", 200, 404),
        ("If-Match", "\"6\", \"7\"", 200, 404),
        ("If-Match", "*", 200, 404),
        ("If-Match", "\"6\"", 412, 404),
        ("If-Match", "7", 412, 404),
        ("If-None-Match", "*", 412, 201),
        ("If-None-Match", "\"7\"", 412, 400),
    ] {
        for (id, expected) in [("acme", existing), ("new-one", absent)] {
            let state = world();
            let mut ask = asked(&state, "org_admin@globex").body(&document("Other", "retail"));
            if !header.is_empty() {
                ask = ask.header(header, value);
            }
            let answer = ask.send("PUT", &format!("/v1/tenants/{id}")).await;
            assert_eq!(answer.status.as_u16(), expected, "{header} {value} {id} {}", answer.text);
            let is_changed = !state.store.data().audit.is_empty();
            assert_eq!(is_changed, expected < 300, "{header} {value} {id}");
        }
    }
}

#[tokio::test]
async fn of_two_changes_at_once_one_is_made() {
    let state = world();
    let change = async |name: &str| {
        let ask = asked(&state, "org_admin@globex").header("If-Match", "\"7\"");
        ask.body(&document(name, "retail")).send("PUT", "/v1/tenants/acme").await.status
    };
    let (one, other) = futures::future::join(change("One"), change("Two")).await;
    let mut both = [one.as_u16(), other.as_u16()];
    both.sort_unstable();
    assert_eq!(both, [200, 412]);
}

#[tokio::test]
async fn models_have_to_be_registered_unless_the_tenant_has_them() {
    let state = world();
    let mut wanted = document("acme", "retail");
    wanted["models"] = json!(["nova-pro", "opuss", "nova-max"]);
    let answer = put(&state, "org_admin@globex", "acme", &wanted).await;
    assert_eq!((answer.status.as_u16(), answer.param()), (400, "models"));
    assert!(answer.message().contains("`opuss`") && answer.message().contains("`nova-max`"));
    state.store.data().models.clear();
    let same = put(&state, "org_admin@globex", "acme", &document("Acme", "retail")).await;
    assert_eq!(same.status, 200, "{}", same.text);
}

#[tokio::test]
async fn a_tenant_is_not_moved_by_its_document() {
    let state = world();
    let answer = put(&state, "org_admin@globex", "acme", &document("acme", "markets")).await;
    assert_eq!((answer.status.as_u16(), answer.param()), (400, "lob_id"));
    assert!(answer.message().contains("task"));
}

#[tokio::test]
async fn a_tenant_decides_on_its_own_part_only() {
    let state = world();
    let mut wanted = document("acme", "retail");
    wanted["contact"] = json!({"email": "ops@acme.example"});
    wanted["projects"] = json!({"web-shop": {"tags": {"cost-center": "1"}}});
    let answer = put(&state, "tenant_admin@acme", "acme", &wanted).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    for (field, value) in [
        ("name", json!("Bigger")),
        ("models", json!(["nova-pro", "opus"])),
        ("tags", json!({"a": "1"})),
        ("settings", json!({"allow_unpriced": true})),
        ("default_max_tokens", json!(5)),
        ("lob_id", json!("markets")),
    ] {
        let mut more = wanted.clone();
        more[field] = value;
        more["contact"] = json!({"email": "other@acme.example"});
        let answer = put(&state, "tenant_admin@acme", "acme", &more).await;
        assert_eq!(answer.status, 403, "{field}");
        assert!(answer.message().contains(&format!("`{field}`")), "{}", answer.message());
        let entry = state.store.data().audit.last().unwrap().1.clone();
        assert!(!entry.is_allowed && entry.subject == "tenants/acme" && entry.after.is_null());
    }
    let now = state.store.data().tenants[&acme()].document.clone();
    assert_eq!(now.contact.unwrap().email.unwrap(), "ops@acme.example", "no part of it was made");
}

#[tokio::test]
async fn members_see_what_is_public() {
    let state = world();
    let mut wanted = document("acme", "retail");
    wanted["contact"] = json!({"email": "ops@acme.example"});
    wanted["tags"] = json!({"cost-center": "1"});
    wanted["projects"] = json!({"secret-project": {}});
    put(&state, "org_admin@globex", "acme", &wanted).await;
    for who in ["developer@acme", "viewer@acme", "machine@acme"] {
        let shown = asked(&state, who).get("/v1/tenants/acme").await;
        let fields: Vec<_> = shown.body.as_object().unwrap().keys().cloned().collect();
        let public = ["object", "tenant_id", "status", "name", "lob_id", "contact", "models"];
        assert_eq!(fields, public, "{who}");
    }
}

#[tokio::test]
async fn a_suspension_is_effective_on_the_next_call() {
    let state = world();
    let post = async |what: &str, body: Value| {
        asked(&state, "lob_admin@acme")
            .body(&body)
            .send("POST", &format!("/v1/tenants/acme/{what}"))
            .await
    };
    assert_eq!(post("suspend", json!({})).await.param(), "reason");
    let answer = post("suspend", json!({"reason": "unpaid"})).await;
    assert_eq!((answer.status.as_u16(), &answer.body["status"]), (200, &json!("suspended")));
    assert_eq!(answer.body["suspension"]["reason"], "unpaid");
    assert_eq!(known(&state), [8, 7, 7], "its meter knows");
    let again = post("suspend", json!({"reason": "still"})).await;
    assert_eq!(again.etag(), "\"8\"");
    // A change of the document does not resume it.
    let answer = put(&state, "org_admin@globex", "acme", &document("Other", "retail")).await;
    assert_eq!(answer.body["status"], "suspended");
    let said =
        json!({"name": "Other", "lob_id": "retail", "models": ["nova-pro"], "status": "active"});
    assert_eq!(put(&state, "org_admin@globex", "acme", &said).await.param(), "status");
    let resumed = post("resume", json!({"reason": "paid"})).await;
    assert_eq!(
        (&resumed.body["status"], &resumed.body["suspension"]),
        (&json!("active"), &Value::Null)
    );
    assert_eq!(known(&state), [10, 7, 7]);
    let outdated =
        asked(&state, "lob_admin@acme").header("If-Match", "\"8\"").body(&json!({"reason": "x"}));
    assert_eq!(outdated.send("POST", "/v1/tenants/acme/suspend").await.status, 412);
}

#[tokio::test]
async fn a_change_that_was_not_finished_is_finished_by_the_schedule() {
    let state = world();
    state.store.data().failing.insert("renew");
    let asked_ = asked(&state, "org_admin@globex").body(&json!({"reason": "x"}));
    let answer = asked_.send("POST", "/v1/tenants/acme/suspend").await;
    assert_eq!(
        (answer.status, &answer.body["is_effective"]),
        (StatusCode::ACCEPTED, &json!(false))
    );
    assert_eq!(state.store.data().tenants[&acme()].status, Status::Suspended, "the change stands");
    assert_eq!(schedule(&state).await, 500);
    let shown = asked(&state, "org_admin@globex").get("/v1/tenants/acme").await;
    assert_eq!(shown.body["is_effective"], false);
    state.store.data().failing.clear();
    assert_eq!(schedule(&state).await, 200);
    assert_eq!(known(&state), [8, 7, 7]);
    assert!(state.store.data().unfinished.is_empty());
}

#[tokio::test]
async fn what_was_can_be_had_again() {
    let state = world();
    for name in ["One", "Two", "Three"] {
        put(&state, "org_admin@globex", "acme", &document(name, "retail")).await;
    }
    let roll_back = async |version: Value, etag: &str| {
        let ask = asked(&state, "lob_admin@acme").header("If-Match", etag);
        ask.body(&json!({"version": version})).send("POST", "/v1/tenants/acme/rollback").await
    };
    assert_eq!(roll_back(json!(8), "\"9\"").await.status, 412);
    let answer = roll_back(json!(8), "\"10\"").await;
    assert_eq!((answer.status.as_u16(), &answer.body["name"]), (200, &json!("One")));
    assert_eq!(answer.etag(), "\"11\"", "a new version with the old content");
    // How it was before anybody changed it here.
    assert_eq!(roll_back(json!(7), "*").await.body["name"], "acme");
    for bad in [json!(99), json!(-1), json!("8"), Value::Null] {
        assert_eq!(roll_back(bad.clone(), "*").await.param(), "version", "{bad}");
    }
    let history = asked(&state, "auditor@acme").get("/v1/tenants/acme/history?limit=2").await;
    let data = history.body["data"].as_array().unwrap();
    assert_eq!(
        (&data[0]["action"], &data[0]["version"]),
        (&json!("tenant.rolled_back"), &json!(12))
    );
    assert_eq!(
        (&data[0]["before"]["name"], &data[0]["after"]["name"]),
        (&json!("One"), &json!("acme"))
    );
    assert_eq!(data[0]["principal_id"], "lob_admin-1");
    let next = history.body["next_cursor"].as_str().unwrap();
    let path = format!("/v1/tenants/acme/history?limit=100&cursor={next}");
    let rest = asked(&state, "auditor@acme").get(&path).await;
    assert_eq!(rest.body["data"].as_array().unwrap().len(), 3);
    assert_eq!(rest.body["next_cursor"], Value::Null);
}

#[tokio::test]
async fn a_line_of_business_is_told_to_all_its_tenants_and_to_no_other() {
    let state = world();
    let body = json!({"name": "Retail", "tags": {"cost-center": "7"}, "status": "suspended"});
    let ask = || asked(&state, "org_admin@globex").body(&body);
    let dry = ask().send("PUT", "/v1/lobs/retail?dry_run=true").await;
    assert_eq!((dry.status.as_u16(), known(&state)), (200, [7, 7, 7]));
    let answer = ask().header("If-Match", "\"5\"").send("PUT", "/v1/lobs/retail").await;
    assert_eq!((answer.status.as_u16(), known(&state)), (200, [8, 8, 7]), "{}", answer.text);
    assert_eq!(answer.body["changes"], dry.body["changes"]);
    let shown = asked(&state, "lob_admin@acme").get("/v1/lobs/retail").await;
    assert_eq!((&shown.body["status"], shown.etag().as_str()), (&json!("suspended"), "\"6\""));
    let again = ask().header("If-Match", "\"6\"").send("PUT", "/v1/lobs/retail").await;
    assert_eq!((again.etag().as_str(), known(&state)), ("\"6\"", [8, 8, 7]));
}

#[tokio::test]
async fn lists_have_pages_and_filters() {
    let state = world();
    for index in 0..60 {
        let lob = if index % 2 == 0 { "retail" } else { "markets" };
        let id = format!("team-{index:02}");
        let made = create(&state, "org_admin@globex", &id, &document("Team", lob)).await;
        assert_eq!(made.status, 201);
    }
    let all = async |who: &str, query: &str| {
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/tenants?limit=7{query}{cursor}");
            let page = asked(&state, who).get(&path).await;
            let data = page.body["data"].as_array().unwrap().clone();
            assert!(data.len() <= 7);
            ids.extend(data.iter().map(|it| it["tenant_id"].as_str().unwrap().to_owned()));
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return ids,
            }
        }
    };
    let everything = all("org_auditor@globex", "").await;
    assert_eq!(everything.len(), 63);
    let mut distinct = everything.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 63);
    assert_eq!(all("lob_admin@acme", "").await.len(), 32);
    assert_eq!(all("lob_admin@acme", "&lob=markets").await.len(), 0);
    assert_eq!(all("org_admin@globex", "&lob=markets").await.len(), 31);
    assert_eq!(all("org_admin@globex", "&q=team-1").await.len(), 10);
    assert_eq!(all("org_admin@globex", "&status=suspended").await.len(), 0);
    assert_eq!(all("developer@acme", "").await, ["acme"]);
    for (query, param) in [
        ("q=Team", "q"),
        ("q=a%2A", "q"),
        ("status=gone", "status"),
        ("lob=RETAIL", "lob"),
        ("cursor=x", "cursor"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("name=x", "name"),
    ] {
        let answer = asked(&state, "org_admin@globex").get(&format!("/v1/tenants?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.param()), (400, param), "{query}");
    }
    let lobs = asked(&state, "org_admin@globex").get("/v1/lobs?limit=1").await;
    let next = lobs.body["next_cursor"].as_str().unwrap();
    let rest =
        asked(&state, "org_admin@globex").get(&format!("/v1/lobs?limit=1&cursor={next}")).await;
    assert_eq!(rest.body["data"][0]["lob_id"], "retail");
    assert_eq!(rest.body["next_cursor"], Value::Null);
}

#[tokio::test]
async fn tables_that_cannot_be_reached_are_no_refusal() {
    let state = world();
    for operation in ["tenant", "change_tenant"] {
        state.store.data().failing.insert(operation);
        let answer = put(&state, "org_admin@globex", "acme", &document("Other", "retail")).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{operation}");
        assert!(answer.headers.contains_key("retry-after"));
        state.store.data().failing.clear();
    }
    assert_eq!(state.store.data().tenants[&acme()].version, 7);
}

#[tokio::test]
async fn a_tenant_makes_aliases_of_its_own() {
    let state = world();
    let alias =
        |name: &str, model: &str| json!({"name": name, "steps": [{"targets": [{"model": model}]}]});
    let mut shown = asked(&state, "tenant_admin@acme").get("/v1/tenants/acme").await.body;
    shown["aliases"] = json!([alias("smart", "nova-pro"), alias("fast", "nova-lite")]);
    let made = put(&state, "tenant_admin@acme", "acme", &shown).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let names: Vec<_> =
        made.body["aliases"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["fast", "smart"], "they are in the order of their names");
    let again = put(&state, "tenant_admin@acme", "acme", &shown).await;
    assert_eq!(again.body["changes"], json!([]));

    shown["aliases"] = json!([alias("smart", "no-such-model")]);
    let unknown = put(&state, "tenant_admin@acme", "acme", &shown).await;
    assert_eq!((unknown.status.as_u16(), unknown.param()), (400, "aliases"), "{}", unknown.text);
    // A model that was taken out of the registry since does not stand in the way of another change.
    state.store.data().models.remove(&"nova-lite".parse().unwrap());
    shown["aliases"] = json!([alias("fast", "nova-lite")]);
    let fewer = put(&state, "tenant_admin@acme", "acme", &shown).await;
    assert_eq!(fewer.status, 200, "{}", fewer.text);
    let developer = put(&state, "developer@acme", "acme", &shown).await;
    assert_eq!(developer.status, 403);
}

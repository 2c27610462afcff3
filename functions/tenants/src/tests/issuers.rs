//! OIDC issuers: one owner each, in roles that who registers them may give.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::support::{Answer, World, asked, world};

const NAME: &str = "https://login.acme.example/realms/one";

fn path(owner: &str, name: &str) -> String {
    format!("/v1{owner}/issuers/{}", URL_SAFE_NO_PAD.encode(name))
}

fn document() -> Value {
    json!({
        "jwks_url": "https://login.acme.example/keys", "audiences": ["weir"], "role": "viewer",
        "role_claim": "groups", "roles": {"builders": "developer"},
    })
}

async fn create(state: &World, who: &str, owner: &str, body: &Value) -> Answer {
    let ask = asked(state, who).header("If-None-Match", "*").body(body);
    ask.send("PUT", &path(owner, NAME)).await
}

async fn change(state: &World, who: &str, owner: &str, tag: &str, body: &Value) -> Answer {
    let ask = asked(state, who).header("If-Match", tag).body(body);
    ask.send("PUT", &path(owner, NAME)).await
}

#[tokio::test]
async fn an_issuer_is_registered_for_exactly_its_tenant() {
    let (state, admin, acme) = (world(), "tenant_admin@acme", "/tenants/acme");
    let made = create(&state, admin, acme, &document()).await;
    assert_eq!((made.status.as_u16(), made.etag()), (201, "\"1\"".to_owned()), "{}", made.text);
    assert_eq!((&made.body["tenant_id"], &made.body["issuer"]), (&json!("acme"), &json!(NAME)));
    let shown = asked(&state, "auditor@acme").get(&path(acme, NAME)).await;
    assert_eq!(shown.body, made.body);
    let listed = asked(&state, admin).get("/v1/tenants/acme/issuers").await;
    assert_eq!(listed.body["data"], json!([made.body]));
    assert_eq!(create(&state, admin, acme, &document()).await.status, 412, "it is there");
    // What was shown may be sent back; it is no change.
    assert_eq!(change(&state, admin, acme, "\"1\"", &shown.body).await.etag(), "\"1\"");
    let mut changed = document();
    changed["audiences"] = json!(["weir", "weir-2"]);
    assert_eq!(change(&state, admin, acme, "\"1\"", &changed).await.etag(), "\"2\"");
    assert_eq!(change(&state, admin, acme, "\"1\"", &document()).await.status, 412);
    let blind = asked(&state, admin).body(&document()).send("PUT", &path(acme, NAME)).await;
    assert_eq!(blind.status, 428);
    let outdated = asked(&state, admin).header("If-Match", "\"1\"");
    assert_eq!(outdated.send("DELETE", &path(acme, NAME)).await.status, 412);
    assert_eq!(asked(&state, admin).send("DELETE", &path(acme, NAME)).await.status, 200);
    assert_eq!(asked(&state, admin).get(&path(acme, NAME)).await.status, 404);
    let data = state.store.data();
    let actions: Vec<_> = data.audit.iter().map(|(_, entry)| entry.action.as_str()).collect();
    assert_eq!(actions, ["issuer.set", "issuer.set", "issuer.removed"]);
    assert!(data.audit[0].1.subject.starts_with("tenants/acme/issuers/"));
}

#[tokio::test]
async fn nobody_learns_whose_an_issuer_is() {
    let state = world();
    assert_eq!(create(&state, "tenant_admin@acme", "/tenants/acme", &document()).await.status, 201);
    let taken = create(&state, "tenant_admin@globex", "/tenants/globex", &document()).await;
    assert_eq!((taken.status.as_u16(), taken.code()), (409, "issuer_taken"));
    assert!(!taken.text.contains("acme"), "{}", taken.text);
    let there = asked(&state, "tenant_admin@globex").get(&path("/tenants/globex", NAME)).await;
    assert_eq!(there.status, 404);
    let of_all = json!({
        "jwks_url": "https://login.acme.example/keys", "audiences": ["weir"], "role": "viewer",
        "tenant_claim": "org", "tenants": {"1": "globex"},
    });
    assert_eq!(create(&state, "org_admin@globex", "", &of_all).await.code(), "issuer_taken");
    let pool = path("/tenants/acme", "https://issuer.example/pool");
    let ask = asked(&state, "tenant_admin@acme").header("If-None-Match", "*").body(&document());
    let answer = ask.send("PUT", &pool).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (409, "issuer_taken"), "{}", answer.text);
    assert_eq!(state.store.data().issuers.len(), 1);
}

#[tokio::test]
async fn an_issuer_gives_no_role_that_its_author_may_not() {
    let state = world();
    for beyond in [
        json!({"role": "lob_admin", "may_grant": ["lob_admin"]}),
        json!({"roles": {"x": "org_admin"}, "may_grant": ["org_admin"]}),
        json!({"may_grant": ["org_auditor"]}),
    ] {
        let mut body = document();
        body.as_object_mut().unwrap().extend(beyond.as_object().unwrap().clone());
        for (who, status) in [("tenant_admin@acme", 403), ("org_admin@globex", 201)] {
            state.store.data().issuers.clear();
            let answer = create(&state, who, "/tenants/acme", &body).await;
            assert_eq!(answer.status, status, "{who} {beyond}");
        }
        // Nor may that one change it or take it away.
        let changed = change(&state, "tenant_admin@acme", "/tenants/acme", "*", &document()).await;
        assert_eq!(changed.status, 403);
        let path = path("/tenants/acme", NAME);
        let gone = asked(&state, "tenant_admin@acme").send("DELETE", &path).await;
        assert_eq!(gone.status, 403);
    }
}

#[tokio::test]
async fn what_is_wrong_is_named_and_registers_nothing() {
    let state = world();
    for (field, value) in [
        ("jwks_url", json!("http://login.acme.example/keys")),
        ("jwks_url", json!("https://169.254.169.254/keys")),
        ("jwks_url", json!("http://127.0.0.1:8080/keys")),
        ("jwks_url", json!(1)),
        ("audiences", json!([])),
        ("audiences", json!("weir")),
        ("audiences", json!(vec!["a"; 201])),
        ("algorithm", json!("HS256")),
        ("tenant_id", json!("globex")),
        ("tenant_claim", json!("org")),
        ("tenants", json!({"1": "globex"})),
        ("role", json!("root")),
        ("role_claim", json!("")),
        ("roles", json!({"x": "root"})),
        ("may_grant", json!("org_admin")),
        ("required_claims", json!({"tid": []})),
        ("subject_claim", json!("/")),
        ("issuer", json!("https://other.example")),
        ("client_secret", json!("mine")),
    ] {
        let mut body = document();
        body[field] = value.clone();
        let answer = create(&state, "tenant_admin@acme", "/tenants/acme", &body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.param()),
            (400, field),
            "{value} {}",
            answer.text
        );
    }
    let mut body = document();
    body["tenant_claim"] = json!("org");
    body["tenants"] = json!({"1": "acme", "2": "not-there"});
    assert_eq!(create(&state, "org_admin@globex", "", &body).await.param(), "tenants");
    body["tenants"] = json!({"1": "acme"});
    body["tenant_id"] = json!("acme");
    assert_eq!(create(&state, "org_admin@globex", "", &body).await.param(), "tenant_id");
    for id in ["not base64", "aHR0cDovL3g", "AAAA", "https%3A%2F%2Flogin.example"] {
        let ask = asked(&state, "tenant_admin@acme").header("If-None-Match", "*").body(&document());
        let answer = ask.send("PUT", &format!("/v1/tenants/acme/issuers/{id}")).await;
        assert_eq!(answer.status, 400, "{id} {}", answer.text);
        assert!(["issuer", "issuer_id"].contains(&answer.param()), "{id} {}", answer.text);
    }
    assert!(state.store.data().issuers.is_empty() && state.store.data().audit.is_empty());
}

#[tokio::test]
async fn the_organisation_has_issuers_of_several_tenants() {
    let state = world();
    let body = json!({
        "jwks_url": "https://login.acme.example/keys", "audiences": ["weir"],
        "tenant_claim": "org", "tenants": {"1": "acme", "2": "globex"},
        "role_claim": "groups", "roles": {"ops": "org_auditor"}, "may_grant": ["org_auditor"],
    });
    for who in ["lob_admin@globex", "tenant_admin@acme", "org_auditor@globex"] {
        assert_eq!(create(&state, who, "", &body).await.status, 403, "{who}");
    }
    let made = create(&state, "org_admin@globex", "", &body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let listed = asked(&state, "org_auditor@globex").get("/v1/issuers").await;
    assert_eq!(listed.body["data"][0]["tenants"], body["tenants"]);
    assert_eq!(asked(&state, "tenant_admin@acme").get("/v1/issuers").await.status, 403);
    let of_acme = asked(&state, "tenant_admin@acme").get("/v1/tenants/acme/issuers").await;
    assert_eq!(of_acme.body["data"], json!([]));
}

#[tokio::test]
async fn a_local_stack_fetches_keys_from_its_own_machine() {
    let mut state = world();
    state.allow_local_issuers = true;
    let mut body = document();
    body["jwks_url"] = json!("http://127.0.0.1:8080/jwks.json");
    assert_eq!(create(&state, "tenant_admin@acme", "/tenants/acme", &body).await.status, 201);
}

#[tokio::test]
async fn a_provisioner_is_a_client_that_calls_nothing() {
    let state = world();
    let create = async |body: Value| {
        asked(&state, "tenant_admin@acme")
            .body(&body)
            .send("POST", "/v1/tenants/acme/clients")
            .await
    };
    let made = create(json!({"name": "Entra", "role": "provisioner"})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.body["role"], "provisioner");
    assert_eq!(made.body["scopes"], json!(["weir/admin"]));
    let machine = create(json!({"name": "batch"})).await;
    assert_eq!(machine.body["role"], "machine");
    for (body, param) in [
        (json!({"name": "x", "role": "tenant_admin"}), "role"),
        (json!({"name": "x", "role": "root"}), "role"),
        (json!({"name": "x", "role": "provisioner", "scopes": ["weir/invoke"]}), "scopes"),
    ] {
        assert_eq!(create(body).await.param(), param);
    }
    // It has no business with these routes, its own registration included.
    for path in ["", "/users", "/clients", "/aws-roles", "/issuers", "/history"] {
        let answer =
            asked(&state, "provisioner@acme").get(&format!("/v1/tenants/acme{path}")).await;
        assert_eq!(answer.status, 403, "{path}");
    }
}

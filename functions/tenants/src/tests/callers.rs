//! Machine clients and AWS roles.

use serde_json::{Value, json};

use super::support::{Answer, World, asked, schedule_later, world};

async fn create(state: &World, who: &str) -> Answer {
    let ask = asked(state, who).body(&json!({"name": "Nightly batch", "scopes": ["weir/invoke"]}));
    ask.send("POST", "/v1/tenants/acme/clients").await
}

#[tokio::test]
async fn a_secret_is_said_once() {
    let state = world();
    let made = create(&state, "tenant_admin@acme").await;
    assert_eq!(made.status, 201, "{}", made.text);
    let (id, secret) = (&made.body["client_id"], made.body["client_secret"].as_str().unwrap());
    let listed = asked(&state, "auditor@acme").get("/v1/tenants/acme/clients").await;
    assert_eq!(listed.body["data"][0]["client_id"], *id);
    assert_eq!(listed.body["data"][0]["scopes"], json!(["weir/invoke"]));
    assert!(!listed.text.contains(secret));
    let data = state.store.data();
    assert!(!format!("{data:?}").contains(secret), "it is nowhere but in the one answer");
    assert_eq!(data.audit[0].1.subject, format!("tenants/acme/clients/{}", id.as_str().unwrap()));
}

#[tokio::test]
async fn a_client_that_nobody_registered_goes_again() {
    for step in ["create_client", "register_client"] {
        let state = world();
        state.pool.data().failing.insert(step);
        state.store.data().failing.insert(step);
        assert_eq!(create(&state, "tenant_admin@acme").await.status, 503, "{step}");
        state.pool.data().failing.clear();
        state.store.data().failing.clear();
        assert_eq!(state.pool.data().clients.len(), usize::from(step == "register_client"));
        assert_eq!(schedule_later(&state).await, 200);
        assert!(state.pool.data().clients.is_empty(), "{step}");
        let data = state.store.data();
        assert!(data.unfinished.is_empty() && data.clients.is_empty() && data.audit.is_empty());
    }
}

#[tokio::test]
async fn a_client_is_removed_everywhere() {
    let state = world();
    let id =
        create(&state, "tenant_admin@acme").await.body["client_id"].as_str().unwrap().to_owned();
    state.pool.data().failing.insert("delete_client");
    let path = format!("/v1/tenants/acme/clients/{id}");
    assert_eq!(asked(&state, "tenant_admin@globex").send("DELETE", &path).await.status, 404);
    let globex = path.replace("acme", "globex");
    assert_eq!(asked(&state, "tenant_admin@globex").send("DELETE", &globex).await.status, 404);
    let gone = asked(&state, "tenant_admin@acme").send("DELETE", &path).await;
    assert_eq!(gone.status, 202, "it is let in no more, and the pool is still to forget it");
    assert!(state.store.data().clients.is_empty());
    state.pool.data().failing.clear();
    schedule_later(&state).await;
    assert!(state.pool.data().clients.is_empty() && state.store.data().unfinished.is_empty());
    assert_eq!(asked(&state, "tenant_admin@acme").send("DELETE", &path).await.status, 404);
}

#[tokio::test]
async fn a_rotation_keeps_the_secret_in_use() {
    let state = world();
    let made = create(&state, "tenant_admin@acme").await;
    let id = made.body["client_id"].as_str().unwrap().to_owned();
    let rotate = async |body: Value| {
        let path = format!("/v1/tenants/acme/clients/{id}/rotate");
        asked(&state, "tenant_admin@acme").body(&body).send("POST", &path).await
    };
    let secrets = || state.pool.data().clients[&id].1.clone();
    assert_eq!(rotate(json!({"drop": "older"})).await.param(), "drop", "its only one");
    let first = secrets();
    let answer = rotate(json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let second = answer.body["client_secret"].as_str().unwrap().to_owned();
    assert_eq!(secrets(), [first[0].clone(), second.clone()], "both count");
    assert_eq!(rotate(json!({})).await.code(), "two_secrets");
    assert_eq!(rotate(json!({"drop": "oldest"})).await.param(), "drop");
    let ended = rotate(json!({"drop": "older", "add": false})).await;
    assert_eq!((ended.status.as_u16(), ended.body.get("client_secret")), (200, None));
    assert_eq!(secrets(), [second]);
    state.pool.data().is_old = true;
    assert_eq!(rotate(json!({})).await.code(), "rotation_unsupported");
    let entries = state.store.data().audit.clone();
    assert_eq!(entries.iter().filter(|(_, it)| it.action == "client.rotated").count(), 2);
    assert!(state.store.data().unfinished.is_empty());
}

#[tokio::test]
async fn a_tenant_has_so_many_clients() {
    let state = world();
    for _ in 0..50 {
        assert_eq!(create(&state, "tenant_admin@acme").await.status, 201);
    }
    assert_eq!(create(&state, "tenant_admin@acme").await.code(), "too_many_clients");
}

#[tokio::test]
async fn an_aws_role_is_one_tenants() {
    let state = world();
    let put = async |who: &str, tenant: &str, body: Value| {
        let path = format!("/v1/tenants/{tenant}/aws-roles/111122223333/batch");
        asked(&state, who).body(&body).send("PUT", &path).await
    };
    let made = put("tenant_admin@acme", "acme", json!({"role": "developer"})).await;
    assert_eq!(
        (made.status.as_u16(), &made.body["role"]),
        (201, &json!("developer")),
        "{}",
        made.text
    );
    assert_eq!(put("tenant_admin@acme", "acme", json!({"role": "developer"})).await.status, 200);
    assert_eq!(state.store.data().audit.len(), 1, "the same again is no change");
    let taken = put("tenant_admin@globex", "globex", json!({})).await;
    assert_eq!((taken.status.as_u16(), taken.code()), (409, "role_taken"));
    assert!(!taken.text.contains("acme"));
    assert_eq!(put("tenant_admin@acme", "acme", json!({"role": "lob_admin"})).await.status, 403);
    let path = "/v1/tenants/globex/aws-roles/111122223333/batch";
    assert_eq!(asked(&state, "tenant_admin@globex").send("DELETE", path).await.status, 404);
    let path = path.replace("globex", "acme");
    assert_eq!(asked(&state, "tenant_admin@acme").send("DELETE", &path).await.status, 200);
    let audit = state.store.data().audit.clone();
    assert_eq!(audit.last().unwrap().1.subject, "tenants/acme/aws-roles/111122223333/batch");
    assert_eq!(put("tenant_admin@globex", "globex", json!({})).await.status, 201);
}

//! Every route for everybody: what is another's is not there, what is one's own and not for one's role
//! is refused, and that is on record.

use serde_json::{Value, json};

use super::support::{EVERYBODY, World, asked, document, world};

/// A good request of each route, at acme.
fn requests() -> Vec<(&'static str, &'static str, Option<Value>)> {
    let mut richer = document("acme", "retail");
    richer["models"] = json!(["nova-pro", "opus"]);
    let mut branded = document("acme", "retail");
    branded["branding"] = json!({"color": "#00aa00"});
    vec![
        ("GET", "/v1/lobs", None),
        ("GET", "/v1/lobs/retail", None),
        ("PUT", "/v1/lobs/retail", Some(json!({"name": "Retail"}))),
        ("PUT", "/v1/lobs/brand-new", Some(json!({"name": "New"}))),
        ("GET", "/v1/tenants", None),
        ("GET", "/v1/tenants/acme", None),
        ("PUT", "/v1/tenants/acme", Some(richer)),
        ("PUT", "/v1/tenants/acme#branding", Some(branded)),
        ("PUT", "/v1/tenants/brand-new", Some(document("New", "retail"))),
        ("GET", "/v1/tenants/acme/history", None),
        ("POST", "/v1/tenants/acme/rollback", Some(json!({"version": 6}))),
        ("POST", "/v1/tenants/acme/suspend", Some(json!({"reason": "unpaid"}))),
        ("POST", "/v1/tenants/acme/resume", None),
        ("GET", "/v1/tenants/acme/users", None),
        ("PUT", "/v1/tenants/acme/users/new@acme.example", Some(json!({"roles": ["viewer"]}))),
        ("DELETE", "/v1/tenants/acme/users/developer-1@mail.example", None),
        ("GET", "/v1/tenants/acme/clients", None),
        ("POST", "/v1/tenants/acme/clients", Some(json!({"name": "batch"}))),
        ("DELETE", "/v1/tenants/acme/clients/c1", None),
        ("POST", "/v1/tenants/acme/clients/c1/rotate", None),
        ("GET", "/v1/tenants/acme/aws-roles", None),
        ("PUT", "/v1/tenants/acme/aws-roles/111122223333/batch", None),
        ("DELETE", "/v1/tenants/acme/aws-roles/111122223333/old", None),
        ("GET", "/v1/tenants/acme/issuers", None),
        ("GET", "/v1/tenants/acme/issuers/aHR0cHM6Ly9vbGQuZXhhbXBsZQ", None),
        (
            "PUT",
            // https://new.example
            "/v1/tenants/acme/issuers/aHR0cHM6Ly9uZXcuZXhhbXBsZQ#new",
            Some(
                json!({"jwks_url": "https://new.example/keys", "audiences": ["weir"], "role": "viewer"}),
            ),
        ),
        ("DELETE", "/v1/tenants/acme/issuers/aHR0cHM6Ly9vbGQuZXhhbXBsZQ", None),
        ("GET", "/v1/tenants/acme/model-requests", None),
        (
            "POST",
            "/v1/tenants/acme/model-requests",
            Some(json!({"model": "nova-lite", "reason": "It is quicker."})),
        ),
        ("POST", "/v1/tenants/acme/model-requests/r1/approve", None),
        ("POST", "/v1/tenants/acme/model-requests/r1/reject", None),
        ("GET", "/v1/issuers", None),
    ]
}

/// With what the requests are about.
fn furnished() -> World {
    let state = world();
    let acme: tenancy::TenantId = "acme".parse().unwrap();
    {
        let mut data = state.store.data();
        let document = data.tenants[&acme].document.clone();
        let was = administration::Version { version: 6, document };
        data.versions.insert((acme.clone(), 6), was);
        let client = serde_json::from_value(json!({"client_id": "c1", "name": "one"})).unwrap();
        data.clients.insert("c1".to_owned(), (acme.clone(), client));
        let role = administration::new_aws_role(
            "111122223333",
            "old",
            None,
            &acme,
            tenancy::Role::Machine,
        );
        data.aws_roles.insert(("111122223333".into(), "old".into()), role.unwrap());
        let issuer = serde_json::from_value(json!({
            "issuer": "https://old.example", "jwks_url": "https://old.example/keys",
            "audiences": ["weir"], "role": "viewer", "tenant_id": "acme", "version": 1,
            "changed_at": "2026-11-23T12:00:00Z", "changed_by": "u-1",
        }));
        data.issuers.insert("https://old.example".to_owned(), issuer.unwrap());
        let request = serde_json::from_value(json!({
            "id": "r1", "model": "opus", "reason": "Longer contracts.", "requested_by": "somebody",
            "requested_by_tenant": "acme", "requested_at": "2026-11-23T12:00:00Z",
            "status": "requested",
        }));
        data.model_requests.insert((acme.clone(), "r1".to_owned()), request.unwrap());
    }
    let secrets = vec!["s1".to_owned()];
    state.pool.data().clients.insert("c1".to_owned(), ("acme.1".to_owned(), secrets));
    state
}

#[tokio::test]
async fn every_route_for_everybody() {
    let mut rows = Vec::new();
    for (method, path, body) in requests() {
        let mut row = Vec::new();
        for who in EVERYBODY {
            let state = furnished();
            let url = path.split('#').next().unwrap();
            let mut ask = asked(&state, who);
            if method == "PUT" {
                let header = if path.contains("new") { "If-None-Match" } else { "If-Match" };
                ask = ask.header(header, "*");
            } else if url.ends_with("rollback") {
                ask = ask.header("If-Match", "*");
            }
            if let Some(body) = &body {
                ask = ask.body(body);
            }
            let answer = ask.send(method, url).await;
            let status = answer.status.as_u16();
            row.push(status.to_string());
            // What changed something is on record, what was refused too, and what is not there is not.
            let audit = state.store.data().audit.clone();
            let data = state.store.data();
            match (status, method) {
                (403, _) => {
                    assert_eq!(audit.len(), 1, "{who} {path} {audit:?}");
                    let (partition, entry) = &audit[0];
                    assert!(!entry.is_allowed);
                    assert_eq!(*partition, who.split_once('@').unwrap().1, "{who} {path}");
                }
                (404 | 400, _) | (_, "GET") => assert!(audit.is_empty(), "{who} {path} {audit:?}"),
                (200 | 201, _) => {
                    let is_nothing = path.ends_with("resume") || path.ends_with("rollback");
                    assert_eq!(audit.len(), usize::from(!is_nothing), "{who} {path} {audit:?}");
                    assert!(audit.iter().all(|(_, entry)| entry.is_allowed));
                }
                other => panic!("{who} {path} {other:?} {}", answer.text),
            }
            assert!(data.unfinished.is_empty(), "{who} {path}");
        }
        rows.push(format!("{} {method} {path}", row.join(" ")));
    }
    assert_eq!(
        rows.join("\n"),
        "\
200 200 200 403 403 403 403 403 403 200 GET /v1/lobs
200 200 200 403 403 403 403 403 404 404 GET /v1/lobs/retail
200 403 403 403 403 403 403 403 404 404 PUT /v1/lobs/retail
201 404 404 404 404 404 404 404 404 404 PUT /v1/lobs/brand-new
200 200 200 200 200 200 200 200 200 200 GET /v1/tenants
200 200 200 200 200 200 200 200 404 404 GET /v1/tenants/acme
200 403 200 403 403 403 403 403 404 404 PUT /v1/tenants/acme
200 403 200 200 403 403 403 403 404 404 PUT /v1/tenants/acme#branding
201 404 201 404 404 404 404 404 404 400 PUT /v1/tenants/brand-new
200 200 200 200 200 403 403 403 404 404 GET /v1/tenants/acme/history
200 403 200 200 403 403 403 403 404 404 POST /v1/tenants/acme/rollback
200 403 200 403 403 403 403 403 404 404 POST /v1/tenants/acme/suspend
200 403 200 403 403 403 403 403 404 404 POST /v1/tenants/acme/resume
200 200 200 200 200 403 403 403 404 404 GET /v1/tenants/acme/users
201 403 201 201 403 403 403 403 404 404 PUT /v1/tenants/acme/users/new@acme.example
200 403 200 200 403 403 403 403 404 404 DELETE /v1/tenants/acme/users/developer-1@mail.example
200 200 200 200 200 403 403 403 404 404 GET /v1/tenants/acme/clients
201 403 201 201 403 403 403 403 404 404 POST /v1/tenants/acme/clients
200 403 200 200 403 403 403 403 404 404 DELETE /v1/tenants/acme/clients/c1
200 403 200 200 403 403 403 403 404 404 POST /v1/tenants/acme/clients/c1/rotate
200 200 200 200 200 403 403 403 404 404 GET /v1/tenants/acme/aws-roles
201 403 201 201 403 403 403 403 404 404 PUT /v1/tenants/acme/aws-roles/111122223333/batch
200 403 200 200 403 403 403 403 404 404 DELETE /v1/tenants/acme/aws-roles/111122223333/old
200 200 200 200 200 403 403 403 404 404 GET /v1/tenants/acme/issuers
200 200 200 200 200 403 403 403 404 404 GET /v1/tenants/acme/issuers/aHR0cHM6Ly9vbGQuZXhhbXBsZQ
201 403 201 201 403 403 403 403 404 404 PUT /v1/tenants/acme/issuers/aHR0cHM6Ly9uZXcuZXhhbXBsZQ#new
200 403 200 200 403 403 403 403 404 404 DELETE /v1/tenants/acme/issuers/aHR0cHM6Ly9vbGQuZXhhbXBsZQ
200 200 200 200 200 200 200 200 404 404 GET /v1/tenants/acme/model-requests
201 403 201 201 403 201 201 201 404 404 POST /v1/tenants/acme/model-requests
200 403 200 403 403 403 403 403 404 404 POST /v1/tenants/acme/model-requests/r1/approve
200 403 200 403 403 403 403 403 404 404 POST /v1/tenants/acme/model-requests/r1/reject
200 200 403 403 403 403 403 403 403 403 GET /v1/issuers"
    );
}

#[tokio::test]
async fn what_is_not_there_and_what_is_anothers_look_the_same() {
    let state = furnished();
    for (method, path, body) in requests() {
        let path = path.split('#').next().unwrap();
        if !path.starts_with("/v1/tenants/acme") {
            continue;
        }
        let mut texts = Vec::new();
        for id in ["acme", "no-such"] {
            let mut ask = asked(&state, "tenant_admin@globex").header("If-Match", "*");
            if let Some(body) = &body {
                ask = ask.body(body);
            }
            let answer = ask.send(method, &path.replace("acme", id)).await;
            assert_eq!(answer.status, 404, "{method} {path}");
            texts.push(answer.text.replace(id, "{id}"));
        }
        assert_eq!(texts[0], texts[1], "{method} {path}");
    }
}

#[tokio::test]
async fn scopes_narrow_what_roles_may() {
    let state = furnished();
    let path = "/v1/tenants/acme";
    for (who, get, suspend) in [
        ("org_admin.read@globex", 200, 403),
        ("org_admin.invoke@globex", 403, 403),
        ("org_admin.admin@globex", 200, 200),
    ] {
        assert_eq!(asked(&state, who).get(path).await.status, get, "{who}");
        let ask = asked(&state, who).body(&json!({"reason": "x"}));
        assert_eq!(ask.send("POST", &format!("{path}/suspend")).await.status, suspend, "{who}");
    }
}

/// Who audits the organisation and runs one tenant runs no other tenant.
#[tokio::test]
async fn two_roles_give_no_more_than_each_does() {
    let state = furnished();
    let who = "tenant_admin+org_auditor@globex";
    let client = || asked(&state, who).body(&json!({"name": "x"}));
    assert_eq!(asked(&state, who).get("/v1/tenants/acme/clients").await.status, 200);
    assert_eq!(client().send("POST", "/v1/tenants/acme/clients").await.status, 403);
    assert_eq!(client().send("POST", "/v1/tenants/globex/clients").await.status, 201);
}

#[tokio::test]
async fn wrong_methods_and_unknown_routes_are_named() {
    let state = world();
    let answer = asked(&state, "viewer@acme").send("DELETE", "/v1/tenants/acme").await;
    assert_eq!((answer.status.as_u16(), answer.code()), (405, "method_not_allowed"));
    let answer = asked(&state, "viewer@acme").get("/v1/tenants/acme/nothing").await;
    assert_eq!((answer.status.as_u16(), answer.code()), (404, "unknown_url"));
}

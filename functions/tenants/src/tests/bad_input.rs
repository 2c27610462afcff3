//! What makes no sense is named, and changes nothing.

use serde_json::json;

use super::support::{asked, world};

#[tokio::test]
async fn what_is_wrong_is_named() {
    let named = "/v1/tenants/acme/users/x@acme.example";
    let roles = "/v1/tenants/acme/aws-roles";
    let lob = "/v1/lobs/retail";
    for (method, path, body, param) in [
        ("PUT", "/v1/tenants/acme?dry_run=maybe", "{}", "dry_run"),
        ("PUT", "/v1/tenants/acme?dry_run=true&dry_run=false", "{}", "dry_run"),
        ("PUT", "/v1/tenants/acme?force=true", "{}", "force"),
        ("PUT", "/v1/tenants/acme", "", ""),
        ("PUT", "/v1/tenants/acme", "[]", ""),
        ("PUT", "/v1/tenants/acme", "{\"name\":\"a\",", ""),
        ("PUT", "/v1/tenants/acme", "{}", "lob_id"),
        ("PUT", "/v1/tenants/acme", r#"{"name":"a","lob_id":"retail","quota":1}"#, "quota"),
        ("PUT", "/v1/tenants/NEW", r#"{"name":"a","lob_id":"retail"}"#, "tenant_id"),
        ("PUT", "/v1/tenants/new%2A", r#"{"name":"a","lob_id":"retail"}"#, "tenant_id"),
        ("PUT", "/v1/tenants/acm%D0%B5", r#"{"name":"a","lob_id":"retail"}"#, "tenant_id"),
        ("PUT", "/v1/tenants/acme%23x", r#"{"name":"a","lob_id":"retail"}"#, "tenant_id"),
        ("PUT", "/v1/tenants/acme%00", r#"{"name":"a","lob_id":"retail"}"#, "tenant_id"),
        ("PUT", lob, r#"{"name":"a","models":"all"}"#, "models"),
        ("PUT", lob, r#"{"name":"a","status":"gone"}"#, "status"),
        ("PUT", "/v1/lobs/A", r#"{"name":"a"}"#, "lob_id"),
        ("GET", "/v1/lobs?cursor=%21", "", "cursor"),
        ("GET", "/v1/tenants/acme?verbose=1", "", "verbose"),
        ("GET", "/v1/tenants/acme/history?limit=ten", "", "limit"),
        ("POST", "/v1/tenants/acme/suspend", r#"{"reason":5}"#, "reason"),
        ("POST", "/v1/tenants/acme/suspend", r#"{"reason":"x","until":"y"}"#, "until"),
        ("PUT", named, "{}", "roles"),
        ("PUT", named, r#"{"roles":[]}"#, "roles"),
        ("PUT", named, r#"{"roles":"viewer"}"#, "roles"),
        ("PUT", named, r#"{"roles":["viewer","machine"]}"#, "roles[1]"),
        ("PUT", named, r#"{"roles":["root"]}"#, "roles[0]"),
        ("PUT", named, r#"{"roles":["viewer"],"password":"x"}"#, "password"),
        ("PUT", named, r#"{"roles":["viewer"],"email":"y@acme.example"}"#, "email"),
        ("PUT", named, r#"{"roles":["viewer"],"invite":"no"}"#, "invite"),
        (
            "PUT",
            "/v1/tenants/acme/users/a%2A%40acme.example",
            r#"{"roles":["viewer"]}"#,
            "username",
        ),
        ("PUT", "/v1/tenants/acme/users/a%23b", r#"{"roles":["viewer"]}"#, "username"),
        ("DELETE", "/v1/tenants/acme/users/a%2Fb", "", "username"),
        ("POST", "/v1/tenants/acme/clients", "{}", "name"),
        ("POST", "/v1/tenants/acme/clients", r#"{"name":"a/b"}"#, "name"),
        ("POST", "/v1/tenants/acme/clients", r#"{"name":"a","scopes":[]}"#, "scopes"),
        ("POST", "/v1/tenants/acme/clients", r#"{"name":"a","scopes":["weir/admin"]}"#, "scopes"),
        ("POST", "/v1/tenants/acme/clients", r#"{"name":"a","secret":"mine"}"#, "secret"),
        ("PUT", &format!("{roles}/1/x"), "", "account_id"),
        ("PUT", &format!("{roles}/11112222333%23/x"), "", "account_id"),
        ("PUT", &format!("{roles}/111122223333/a%2Fb"), "", "role_name"),
        ("PUT", &format!("{roles}/111122223333/a%2A"), "", "role_name"),
        ("PUT", &format!("{roles}/111122223333/a%3Fb"), "", "role_name"),
        ("PUT", &format!("{roles}/111122223333/a"), r#"{"role_id":"x"}"#, "role_id"),
        ("PUT", &format!("{roles}/111122223333/a"), r#"{"role":"root"}"#, "role"),
        ("PUT", &format!("{roles}/111122223333/a"), r#"{"tenant_id":"globex"}"#, "tenant_id"),
    ] {
        let state = world();
        let is_new = param == "tenant_id" || param == "lob_id" && path.contains("/A");
        let header = if is_new { "If-None-Match" } else { "If-Match" };
        let mut ask = asked(&state, "org_admin@globex").header(header, "*");
        if !body.is_empty() {
            ask = ask.text(body);
        }
        let answer = ask.send(method, path).await;
        let outcome = (answer.status.as_u16(), answer.param());
        assert_eq!(outcome, (400, param), "{method} {path} {body}: {}", answer.text);
        assert!(answer.message().ends_with('.'), "{}", answer.message());
        let data = state.store.data();
        assert!(data.audit.is_empty() && data.unfinished.is_empty(), "{method} {path}");
    }
}

#[tokio::test]
async fn a_document_of_another_kind_is_refused() {
    let state = world();
    let ask = asked(&state, "org_admin@globex").header("If-Match", "*");
    let ask = ask.header("Content-Type", "application/xml").body(&json!({}));
    let answer = ask.send("PUT", "/v1/tenants/acme").await;
    assert_eq!((answer.status.as_u16(), answer.param()), (400, "Content-Type"));
}

//! Callers who are let in, and what the rest of the gateway learns about them.

use serde_json::{Value, json};

use super::*;

#[tokio::test]
async fn a_person_gets_the_whole_stage_and_a_context() {
    let answer =
        Gateway::new().answer(&POOL_KEY.bearer(&person(&["acme:developer"]))).await.unwrap();
    assert_eq!(
        answer,
        json!({
            "principalId": "acme|0c5f1a52-person",
            "policyDocument": {
                "Version": "2012-10-17",
                "Statement": [{
                    "Action": "execute-api:Invoke",
                    "Effect": "Allow",
                    "Resource": "arn:aws:execute-api:eu-west-1:111122223333:abc123/live/*",
                }],
            },
            "context": {
                "tenant_id": "acme", "lob_id": "retail", "principal_id": "0c5f1a52-person",
                "principal_kind": "user", "roles": "developer", "scopes": "", "expires_at": "1800003660",
            },
        })
    );
}

#[tokio::test]
async fn a_lower_case_header_of_the_local_stack_counts_too() {
    let gateway = Gateway::new();
    let request =
        event(LOCAL, &POOL_KEY.bearer(&person(&["globex:viewer"])).replace("Bearer", "bearer"));
    let answer = serde_json::to_value(handle(&gateway.state, request, NOW).await.unwrap()).unwrap();
    assert_eq!(
        answer["policyDocument"]["Statement"][0]["Resource"],
        "arn:aws:execute-api:us-east-1:000000000000:1a2b3c4d5e/live/*"
    );
    assert_eq!(
        (&answer["context"]["tenant_id"], &answer["context"]["roles"]),
        (&json!("globex"), &json!("viewer"))
    );
}

#[tokio::test]
async fn a_machine_acts_for_the_tenant_of_its_client() {
    let gateway = Gateway::new();
    for (client_id, tenant_id, lob_id) in
        [("acme-batch", "acme", "retail"), ("globex-batch", "globex", "research")]
    {
        assert_eq!(
            gateway.context(&POOL_KEY.bearer(&machine(client_id))).await,
            json!({
                "tenant_id": tenant_id, "lob_id": lob_id, "principal_id": client_id,
                "principal_kind": "machine", "roles": "machine", "scopes": "weir/invoke weir/read",
                "expires_at": "1800003660",
            })
        );
    }
}

#[tokio::test]
async fn a_tenants_own_issuer_speaks_for_that_tenant_alone() {
    let gateway = Gateway::new();
    let claims =
        with(federated(GLOBEX_IDP, "weir-globex"), "cognito:groups", json!(["acme:org_admin"]));
    let context = gateway.context(&EC_KEY.bearer(&with(claims, "tenant_id", json!("acme")))).await;
    assert_eq!(
        context,
        json!({
            "tenant_id": "globex", "lob_id": "research", "principal_id": "idp|7",
            "principal_kind": "user", "roles": "developer", "scopes": "", "expires_at": "1800000360",
        })
    );
    let claims = with(federated(ACME_IDP, "ignored"), "aud", json!(["account", "weir"]));
    assert_eq!(gateway.context(&OTHER_KEY.bearer(&claims)).await["tenant_id"], "acme");
}

#[tokio::test]
async fn groups_of_other_kinds_are_ignored() {
    let groups = [
        "admins",
        "acme:developer",
        "globex:guest",
        "Globex:developer",
        "globex:machine",
        "acme:tenant_admin",
        ":",
        "globex",
    ];
    let context = Gateway::new().context(&POOL_KEY.bearer(&person(&groups))).await;
    assert_eq!(
        (&context["tenant_id"], &context["roles"]),
        (&json!("acme"), &json!("tenant_admin developer"))
    );
}

#[tokio::test]
async fn scopes_of_this_api_narrow_a_person_and_others_do_not_appear() {
    let claims = with(
        person(&["acme:developer"]),
        "scope",
        json!("openid weir/read weir/unknown other/invoke"),
    );
    assert_eq!(Gateway::new().context(&POOL_KEY.bearer(&claims)).await["scopes"], "weir/read");
}

#[tokio::test]
async fn clocks_may_differ_by_a_minute() {
    let gateway = Gateway::new();
    let at = |name: &str, time: u64| {
        POOL_KEY.bearer(&with(person(&["acme:developer"]), name, json!(time)))
    };
    for (name, good, bad) in
        [("exp", NOW - 59, NOW - 60), ("iat", NOW + 60, NOW + 61), ("nbf", NOW + 60, NOW + 61)]
    {
        assert_eq!(gateway.reason(&at(name, good)).await, "allowed", "{name}");
        assert_ne!(gateway.reason(&at(name, bad)).await, "allowed", "{name}");
    }
}

#[tokio::test]
async fn the_answer_holds_texts_only() {
    let answer = Gateway::new().answer(&POOL_KEY.bearer(&machine("acme-batch"))).await.unwrap();
    assert!(answer["context"].as_object().unwrap().values().all(Value::is_string));
    assert!(answer.as_object().unwrap().values().all(|value| !value.is_null()));
}

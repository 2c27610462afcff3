//! Who is refused, and that a refusal costs nothing.

use std::collections::{BTreeMap, BTreeSet};

use admission::fakes::hard;
use admission::{LimitRule, Metric, ModelSelector, OnExhausted, Period, Scope};
use http::StatusCode;
use metering::{NanoUsd, ServiceTier};
use serde_json::json;
use tenancy::{Project, ProjectId, Status};

use super::support::{Gateway, Script, body, chat, streamed, whole};

#[track_caller]
fn nothing_happened(gateway: &Gateway) {
    assert_eq!((gateway.provider_calls(), gateway.records().len()), (0, 0));
    for tenant in ["acme", "globex"] {
        assert_eq!(gateway.committed(tenant), NanoUsd::ZERO);
    }
}

#[tokio::test]
async fn a_model_that_is_not_allowed_is_not_found() {
    let gateway = Gateway::new(vec![], vec![]);
    for (tenant, model) in [
        ("globex", "converse-a"),
        ("acme", "no-such"),
        ("acme", "unregistered-c"),
        ("acme", "a b\n"),
    ] {
        let response = gateway.send(tenant, &chat(model)).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{tenant} {model}");
        assert_eq!(body(response).await["error"]["code"], "model_not_found");
    }
    nothing_happened(&gateway);
}

#[tokio::test]
async fn a_viewer_may_not_call_models() {
    let gateway = Gateway::new(vec![], vec![]);
    let response = gateway.send_as("acme", "viewer", &chat("converse-a").to_string()).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    for (method, path) in
        [("POST", "/v1/files"), ("GET", "/v1/responses/resp_1"), ("GET", "/v1/files/file-1")]
    {
        let event = include_str!("../../testdata/chat.json")
            .replace("/v1/chat/completions", path)
            .replace(r#""POST""#, &json!(method).to_string())
            .replace(r#""developer""#, r#""viewer""#)
            .replace(r#""BODY""#, "null");
        let response = gateway.handle(lambda_http::request::from_str(&event).unwrap()).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{method} {path}");
    }
    nothing_happened(&gateway);
}

#[tokio::test]
async fn bad_requests_are_refused_before_anything_is_reserved() {
    let gateway = Gateway::new(vec![], vec![]);
    for request in [
        "{",
        "[]",
        r#"{"model":"converse-a","messages":[]}"#,
        r#"{"model":"converse-a","messages":[{"role":"user","content":"a"}],"max_tokens":1000000000}"#,
        r#"{"model":"converse-a","model":"native-b","messages":[{"role":"user","content":"a"}]}"#,
    ] {
        let response = gateway.send_as("acme", "developer", request).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{request}");
        let error = body(response).await;
        assert!(
            error["error"]["message"].as_str().is_some_and(|message| message.len() > 10),
            "{error}"
        );
    }
    nothing_happened(&gateway);
}

#[tokio::test]
async fn a_spent_budget_refuses_the_next_call_of_that_tenant_only() {
    // A call reserves (some 100 bytes in + 100 tokens out): more than half of this.
    let limits = vec![hard(Metric::Cost, Period::Month, 1_500_000)];
    let gateway =
        Gateway::new(limits, vec![Script::Whole(whole("Hi")), Script::Whole(whole("Hi"))]);
    assert_eq!(gateway.send("acme", &chat("converse-a")).await.status(), 200);
    for request in [chat("converse-a"), streamed("native-b")] {
        let response = gateway.send("acme", &request).await;
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()["x-should-retry"], "false");
        let error = body(response).await;
        assert_eq!(error["error"]["code"], "insufficient_quota");
        assert!(
            error["error"]["message"].as_str().unwrap().contains("2026-12-01T00:00:00Z"),
            "{error}"
        );
    }
    assert_eq!(gateway.send("globex", &chat("native-b")).await.status(), 200);
    assert_eq!(gateway.provider_calls(), 2);
    let alerts = gateway.state.ledger.all_alerts();
    let told: Vec<_> = alerts.keys().map(String::as_str).collect();
    assert_eq!(
        told,
        ["tenants/acme#budget-month#1793491200#exhausted"],
        "once, however many are refused"
    );
}

#[tokio::test]
async fn a_suspension_holds_on_the_next_call() {
    let gateway = Gateway::new(vec![], vec![Script::Whole(whole("Hi"))]);
    assert_eq!(gateway.send("acme", &chat("converse-a")).await.status(), 200);
    let acme = Scope::Tenant("acme".parse().unwrap());
    gateway.state.ledger.update_meter(&acme, |meter| meter.status = Status::Suspended);
    assert_eq!(gateway.send("acme", &chat("converse-a")).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(gateway.provider_calls(), 1);
}

#[tokio::test]
async fn a_suspended_line_of_business_is_not_served_though_its_tenant_is_active() {
    let gateway = Gateway::new(vec![], vec![Script::Whole(whole("Hi"))]);
    assert_eq!(gateway.send("acme", &chat("converse-a")).await.status(), 200);
    {
        let mut tenants = gateway.configuration.tenants.lock().unwrap();
        let entitlements = tenants.get_mut("acme").unwrap();
        entitlements.lob_status = Status::Suspended;
        entitlements.tenant.entitlement_version = 2;
    }
    let acme = Scope::Tenant("acme".parse().unwrap());
    gateway.state.ledger.update_meter(&acme, |meter| meter.entitlement_version = 2);
    let response = gateway.send("acme", &chat("converse-a")).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let message = body(response).await["error"]["message"].to_string();
    assert!(message.contains("line of business `retail` is suspended"), "{message}");
    assert_eq!(gateway.provider_calls(), 1);
}

#[tokio::test]
async fn an_exhausted_limit_falls_to_the_model_that_its_policy_names() {
    let dear = LimitRule {
        models: ModelSelector::Model("converse-a".parse().unwrap()),
        on_exhausted: Some(OnExhausted::Fallback("native-b".parse().unwrap())),
        ..hard(Metric::Cost, Period::Month, 1)
    };
    let gateway = Gateway::new(vec![dear.clone()], vec![Script::Whole(whole("Hi"))]);
    let response = gateway.send("acme", &chat("converse-a")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-weir-model"], "native-b");
    let records = gateway.state.ledger.all_records();
    let served = (records[0].choice.requested_model.as_str(), records[0].choice.model.as_str());
    assert_eq!((records.len(), served), (1, ("converse-a", "native-b")));

    let everything = hard(Metric::Cost, Period::Month, 2);
    let gateway = Gateway::new(vec![dear, everything], vec![]);
    let response = gateway.send("acme", &chat("converse-a")).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS, "the other is held to it, too");
    assert_eq!(gateway.provider_calls(), 0);
}

#[tokio::test]
async fn a_call_that_has_ended_makes_room_for_the_next_at_once() {
    let one = LimitRule { period: None, ..hard(Metric::Concurrency, Period::Minute, 1) };
    let scripts = vec![Script::Whole(whole("Hi")), Script::Whole(whole("Hi"))];
    let gateway = Gateway::new(vec![one], scripts);
    for _ in 0..2 {
        assert_eq!(gateway.send("acme", &chat("converse-a")).await.status(), 200);
    }
}

#[tokio::test]
async fn a_project_has_limits_and_a_line_of_its_own() {
    let gateway =
        Gateway::new(vec![], vec![Script::Whole(whole("Hi")), Script::Whole(whole("Hi"))]);
    {
        let mut tenants = gateway.configuration.tenants.lock().unwrap();
        let of = tenants.get_mut("acme").unwrap();
        let search: ProjectId = "search".parse().unwrap();
        let tags = BTreeMap::from([("cost-center".to_owned(), "42".to_owned())]);
        of.tenant.projects.insert(search.clone(), Project { tags, ..Project::default() });
        of.limits.project_limits.insert(search, vec![hard(Metric::Requests, Period::Day, 1)]);
    }
    let send = async |project: &'static str| {
        let headers = [("openai-project", project)];
        gateway.post("acme", "/v1/chat/completions", &headers, &chat("converse-a")).await
    };
    assert_eq!(send("search").await.status(), 200);
    let response = send("search").await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(body(response).await["error"]["message"].to_string().contains("project `search`"));
    assert_eq!(gateway.send("acme", &chat("converse-a")).await.status(), 200, "not the project's");
    assert_eq!(send("other").await.status(), StatusCode::NOT_FOUND);
    let records = gateway.state.ledger.all_records();
    let of: Vec<_> = records.iter().filter_map(|it| it.project_id.as_ref()).collect();
    assert_eq!((records.len(), of.len()), (2, 1));
    assert_eq!(records.iter().filter(|it| it.tags.contains_key("cost-center")).count(), 1);
}

#[tokio::test]
async fn a_withdrawn_model_is_refused_on_the_next_call() {
    let gateway = Gateway::new(vec![], vec![Script::Whole(whole("Hi"))]);
    let acme = Scope::Tenant("acme".parse().unwrap());
    assert_eq!(gateway.send("acme", &chat("converse-a")).await.status(), 200);
    {
        let mut tenants = gateway.configuration.tenants.lock().unwrap();
        let entitlements = tenants.get_mut("acme").unwrap();
        entitlements.tenant.models.0 = ["native-b".parse().unwrap()].into();
        entitlements.tenant.entitlement_version = 2;
        gateway.state.ledger.update_meter(&acme, |meter| meter.entitlement_version = 2);
    }
    assert_eq!(gateway.send("acme", &chat("converse-a")).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(gateway.provider_calls(), 1);
}

#[tokio::test]
async fn a_ledger_that_cannot_be_reached_stops_the_call_before_the_model() {
    let gateway = Gateway::new(vec![], vec![]);
    gateway.state.ledger.fail("reserve");
    let response = gateway.send("acme", &chat("converse-a")).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let wait_ms: u64 = response.headers()["retry-after-ms"].to_str().unwrap().parse().unwrap();
    assert!(
        (1_000..2_000).contains(&wait_ms),
        "a second, and up to another for each call: {wait_ms}"
    );
    nothing_happened(&gateway);
}

#[tokio::test]
async fn an_unknown_route_or_method_is_named() {
    let gateway = Gateway::new(vec![], vec![]);
    for (from, to, status, says) in [
        ("POST", "DELETE", StatusCode::METHOD_NOT_ALLOWED, "Use POST"),
        ("/v1/chat/completions", "/v1/completions", StatusCode::NOT_FOUND, "POST /v1/completions"),
    ] {
        let event =
            include_str!("../../testdata/chat.json").replace(from, to).replace(r#""BODY""#, "null");
        let response = gateway.handle(lambda_http::request::from_str(&event).unwrap()).await;
        assert_eq!(response.status(), status);
        let error = body(response).await;
        assert!(error["error"]["message"].as_str().unwrap().contains(says), "{error}");
        assert_eq!(error["error"]["param"], json!(null));
    }
    nothing_happened(&gateway);
}

#[tokio::test]
async fn a_service_tier_is_charged_at_its_own_price_or_refused() {
    let scripts = vec![Script::Whole(whole("Hi")), Script::Whole(whole("Hi"))];
    let gateway = Gateway::new(vec![], scripts);
    let tiered = |tier: &str| {
        let mut request = chat("native-b");
        request["service_tier"] = json!(tier);
        request
    };
    assert_eq!(gateway.send("acme", &tiered("flex")).await.status(), 200);
    assert_eq!(gateway.send("acme", &chat("native-b")).await.status(), 200);
    let records = gateway.state.ledger.all_records();
    let tiers: BTreeSet<_> = records.iter().map(|it| it.service_tier).collect();
    assert_eq!(tiers, [ServiceTier::Default, ServiceTier::Flex].into());

    let response = gateway.send("acme", &tiered("priority")).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST, "dearer, and nobody knows how much");
    assert_eq!(body(response).await["error"]["param"], "service_tier");
    assert_eq!(gateway.provider_calls(), 2);
}

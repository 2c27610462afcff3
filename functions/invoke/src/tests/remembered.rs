//! What the gateway keeps: cached answers, stored responses, files. Nothing of it crosses tenants.

use admission::Scope;
use bytes::Bytes;
use http::StatusCode;
use metering::NanoUsd;
use serde_json::{Value, json};
use tenancy::Status;

use super::support::{Gateway, Script, body, chat, streamed, text, text_events, whole};

const CHAT: &str = "/v1/chat/completions";
const USE: &[(&str, &str)] = &[("x-weir-cache", "use")];

#[tokio::test]
async fn a_cached_answer_is_replayed_byte_by_byte_and_costs_nothing() {
    for (request, script) in [
        (chat("native-b"), Script::Whole(whole("Hi"))),
        (streamed("native-b"), Script::Events(text_events(&["Hel", "lo"]))),
    ] {
        let gateway = Gateway::new(vec![], vec![script]);
        let first = gateway.post("acme", CHAT, USE, &request).await;
        assert_eq!(first.headers()["x-weir-cache"], "miss");
        let first_type = first.headers()["content-type"].clone();
        let first = text(first).await;
        let spent: u64 = gateway.records().iter().map(|record| record.cost_nanousd.0).sum();
        let second = gateway.post("acme", CHAT, USE, &request).await;
        assert_eq!(second.headers()["x-weir-cache"], "hit");
        assert_eq!(second.headers()["content-type"], first_type);
        assert_eq!(text(second).await, first);
        let records = gateway.records();
        let hit = records.iter().find(|record| record.is_cache_hit).unwrap();
        assert_eq!((records.len(), hit.cost_nanousd), (2, NanoUsd::ZERO));
        assert_eq!(records.iter().map(|record| record.cost_nanousd.0).sum::<u64>(), spent);
    }
}

#[tokio::test]
async fn a_cache_answers_its_own_tenant_only_and_after_every_policy() {
    let scripts = vec![Script::Whole(whole("acme's")), Script::Whole(whole("globex's"))];
    let gateway = Gateway::new(vec![], scripts);
    let request = chat("native-b");
    text(gateway.post("acme", CHAT, USE, &request).await).await;
    let other = gateway.post("globex", CHAT, USE, &request).await;
    assert_eq!(other.headers()["x-weir-cache"], "miss");
    assert!(text(other).await.contains("globex's"));

    let acme = Scope::Tenant("acme".parse().unwrap());
    gateway.state.ledger.update_meter(&acme, |meter| meter.status = Status::Suspended);
    let refused = gateway.post("acme", CHAT, USE, &request).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN, "a hit is no way around a suspension");
}

#[tokio::test]
async fn whatever_influences_the_answer_is_part_of_the_key() {
    let request = chat("native-b");
    let mut warmer = request.clone();
    warmer["temperature"] = json!(0.5);
    let scripts = (0..3).map(|_| Script::Whole(whole("Hi"))).collect();
    let gateway = Gateway::new(vec![], scripts);
    for (headers, body) in
        [(USE, &request), (USE, &warmer), (&[("x-weir-cache", "refresh")][..], &request)]
    {
        text(gateway.post("acme", CHAT, headers, body).await).await;
    }
    assert_eq!(gateway.provider_calls(), 3);
    let plain = gateway.post("acme", CHAT, &[("x-weir-cache", "perhaps")], &request).await;
    assert_eq!(plain.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn another_file_under_the_same_id_is_another_question() {
    let scripts = vec![Script::Whole(whole("A cat")), Script::Whole(whole("A dog"))];
    let gateway = Gateway::new(vec![], scripts);
    let new = json!({"media_type": "image/png", "bytes": 3});
    let file = body(gateway.post("acme", "/v1/files", &[], &new).await).await;
    let id = file["id"].as_str().unwrap();
    let ask = json!({"model": "converse-a", "max_tokens": 10, "messages": [{"role": "user", "content": [
        {"type": "image", "source": {"type": "file", "file_id": id}},
    ]}]});
    for (picture, says) in [("cat", "miss"), ("cat", "hit"), ("dog", "miss")] {
        let (key, bytes) = (format!("acme/{id}"), Bytes::from_static(picture.as_bytes()));
        gateway.state.objects.0.lock().unwrap().insert(key, bytes);
        let answer = gateway.post("acme", "/v1/messages", USE, &ask).await;
        assert_eq!(answer.headers()["x-weir-cache"], says, "{picture}");
        assert!(text(answer).await.contains(picture));
    }
}

#[tokio::test]
async fn a_stored_response_is_there_for_its_tenant_until_it_is_deleted() {
    let scripts = vec![Script::Whole(whole("Hi")), Script::Whole(whole("Again"))];
    let gateway = Gateway::new(vec![], scripts);
    let ask = |input: &str, previous: Value| json!({"model": "converse-a", "input": input, "previous_response_id": previous});
    let first = gateway.post("acme", "/v1/responses", &[], &ask("one", Value::Null)).await;
    assert_eq!(first.status(), 200);
    let id = body(first).await["id"].as_str().unwrap().to_owned();

    let second = gateway.post("acme", "/v1/responses", &[], &ask("two", json!(id))).await;
    assert_eq!(second.status(), 200);
    let sent = gateway.state.providers.calls.lock().unwrap()[1].2.clone();
    let sent: Value = serde_json::from_slice(&sent).unwrap();
    let said: Vec<_> = sent["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["content"][0]["text"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(said, ["one", "Hi", "two"]);

    let path = format!("/v1/responses/{id}");
    for (tenant, method, path, status) in [
        ("globex", "GET", path.as_str(), 404),
        ("globex", "DELETE", path.as_str(), 404),
        ("acme", "GET", path.as_str(), 200),
        ("acme", "GET", &format!("{path}/input_items"), 200),
        ("acme", "DELETE", path.as_str(), 200),
        ("acme", "GET", path.as_str(), 404),
    ] {
        let response = gateway.request(tenant, method, path, &[], &Value::Null).await;
        assert_eq!(response.status(), status, "{tenant} {method} {path}");
    }
    let other = gateway.post("globex", "/v1/responses", &[], &ask("x", json!("resp_other"))).await;
    assert_eq!(other.status(), 400, "it is not there for this tenant");
}

#[tokio::test]
async fn an_uploaded_file_is_inlined_for_its_tenant() {
    let gateway = Gateway::new(vec![], vec![Script::Whole(whole("A cat"))]);
    let new = json!({"media_type": "image/png", "bytes": 3, "filename": "cat.png"});
    let file = body(gateway.post("acme", "/v1/files", &[], &new).await).await;
    let id = file["id"].as_str().unwrap().to_owned();
    let url = file["upload"]["url"].as_str().unwrap();
    assert_eq!(url, format!("https://uploads.test/acme/{id}?length=3"));

    let ask = json!({"model": "converse-a", "max_tokens": 10, "messages": [{"role": "user", "content": [
        {"type": "image", "source": {"type": "file", "file_id": id}},
    ]}]});
    let missing = gateway.post("acme", "/v1/messages", &[], &ask).await;
    assert_eq!(missing.status(), 400, "nothing was put there yet");
    let key = format!("acme/{id}");
    gateway.state.objects.0.lock().unwrap().insert(key, Bytes::from_static(b"png"));
    assert_eq!(gateway.post("acme", "/v1/messages", &[], &ask).await.status(), 200);
    let sent = gateway.state.providers.calls.lock().unwrap()[0].2.clone();
    let sent: Value = serde_json::from_slice(&sent).unwrap();
    assert_eq!(sent["messages"][0]["content"][0]["image"]["source"]["bytes"], "cG5n");

    for (tenant, method, status) in [
        ("globex", "GET", 404),
        ("globex", "DELETE", 404),
        ("acme", "GET", 200),
        ("acme", "DELETE", 200),
    ] {
        let path = format!("/v1/files/{id}");
        let response = gateway.request(tenant, method, &path, &[], &Value::Null).await;
        assert_eq!(response.status(), status, "{tenant} {method}");
    }
    for bad in [
        json!({}),
        json!({"media_type": "x", "bytes": 1}),
        json!({"media_type": "a/b", "bytes": 0}),
    ] {
        assert_eq!(gateway.post("acme", "/v1/files", &[], &bad).await.status(), 400, "{bad}");
    }
    let huge = json!({"media_type": "a/b", "bytes": 1_u64 << 40});
    assert_eq!(gateway.post("acme", "/v1/files", &[], &huge).await.status(), 413);
}

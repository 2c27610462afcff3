//! What callers get when all goes well, and what is recorded of it.

use admission::fakes::hard;
use admission::{Metric, Period};
use bytes::Bytes;
use inference::Event;
use metering::{NanoUsd, Outcome};
use serde_json::json;

use super::support::{
    Gateway, Script, USAGE, body, chat, frame, streamed, text, text_events, whole,
};

#[tokio::test]
async fn an_answer_carries_its_text_its_usage_and_the_gateways_headers() {
    let limits = vec![
        hard(Metric::Requests, Period::Minute, 60),
        hard(Metric::TotalTokens, Period::Minute, 10_000),
    ];
    let gateway = Gateway::new(limits, vec![Script::Whole(whole("Hi"))]);
    let response = gateway.send("acme", &chat("converse-a")).await;
    assert_eq!(response.status(), 200);
    let headers = response.headers().clone();
    assert_eq!(headers["x-ratelimit-remaining-requests"], "59");
    assert!(headers["server-timing"].to_str().unwrap().starts_with("gateway;dur="));
    let answer = body(response).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "Hi");
    assert_eq!(answer["usage"]["prompt_tokens"], 15);
    assert_eq!(answer["usage"]["prompt_tokens_details"]["cached_tokens"], 5);

    let record = gateway.record();
    assert_eq!(headers["x-request-id"], record.id.call_id.as_str());
    assert_eq!((record.tenant_id.as_str(), record.lob_id.as_str()), ("acme", "retail"));
    assert_eq!(
        (record.usage, record.outcome, record.is_estimated),
        (USAGE, Outcome::Completed, false)
    );
    // 10 x 1,000 + 2 x 10,000 + 5 x 100 nano-USD, by hand
    assert_eq!((record.cost_nanousd, record.price_version.as_str()), (NanoUsd(30_500), "2026-11"));
    assert_eq!(record.provider_request_id.as_deref(), Some("prov-1"));
}

#[tokio::test]
async fn pieces_are_passed_on_while_the_model_still_talks() {
    let (sender, events) = futures::channel::mpsc::unbounded();
    let gateway = Gateway::new(vec![], vec![Script::Live(events)]);
    let say = |word: &str| {
        sender.unbounded_send(Ok(Event::TextDelta { block: 0, text: word.into() })).unwrap();
    };
    say("one");
    let response = gateway.send("acme", &streamed("converse-a")).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    for (word, next) in [("one", "two"), ("two", "three")] {
        say(next);
        let piece = frame(&mut body).await;
        assert!(piece.contains(word), "{piece}");
    }
    assert!(gateway.records().is_empty(), "nothing is recorded before the answer has ended");
}

#[tokio::test]
async fn a_streamed_answer_ends_with_done_and_one_record() {
    let gateway = Gateway::new(vec![], vec![Script::Events(text_events(&["Hel", "lo"]))]);
    let answer = text(gateway.send("acme", &streamed("converse-a")).await).await;
    assert!(
        answer.contains(r#""content":"Hel""#) && answer.ends_with("data: [DONE]\n\n"),
        "{answer}"
    );
    assert!(!answer.contains("usage"), "it was not asked for");
    let record = gateway.record();
    assert_eq!(
        (record.usage, record.is_streamed, record.outcome),
        (USAGE, true, Outcome::Completed)
    );
    assert!(record.time_to_first_token_ms.is_some());
}

#[tokio::test]
async fn a_native_model_gets_the_callers_own_bytes() {
    let answer = Bytes::from_static(br#"{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":15,"completion_tokens":2,"total_tokens":17,"prompt_tokens_details":{"cached_tokens":5}},"future":[1]}"#);
    let gateway = Gateway::new(vec![], vec![Script::Bytes(vec![Ok(answer.clone())])]);
    let request = r#"{ "model":"native-b",  "max_tokens":100,"messages":[{"role":"user","content":"Hello"}], "future": {"a":1e2} }"#;
    let response = gateway.send_as("globex", "machine", request).await;
    assert_eq!(text(response).await.as_bytes(), answer, "unknown fields survive on the way back");
    let (tenant, model, sent) = gateway.state.providers.calls.lock().unwrap()[0].clone();
    assert_eq!((tenant.as_str(), model.as_str()), ("globex", "vendor.native-b-v1"));
    assert_eq!(String::from_utf8(sent).unwrap(), request.replace("native-b", "vendor.native-b-v1"));
    assert_eq!((gateway.record().usage, gateway.record().tenant_id.as_str()), (USAGE, "globex"));
}

#[tokio::test]
async fn a_native_stream_is_metered_although_its_caller_did_not_ask_for_usage() {
    let pieces = [
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"},\"finish_reason\":null}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":15,\"completion_tokens\":2,\"total_tokens\":17,\"prompt_tokens_details\":{\"cached_tokens\":5}}}\n\n",
        "data: [DONE]\n\n",
    ];
    let script = Script::Bytes(
        pieces.iter().map(|piece| Ok(Bytes::from_static(piece.as_bytes()))).collect(),
    );
    let gateway = Gateway::new(vec![], vec![script]);
    let answer = text(gateway.send("globex", &streamed("native-b")).await).await;
    assert_eq!(answer, [pieces[0], pieces[1], pieces[3]].concat());
    assert_eq!(gateway.record().usage, USAGE);
    let sent = gateway.state.providers.calls.lock().unwrap()[0].2.clone();
    let sent: serde_json::Value = serde_json::from_slice(&sent).unwrap();
    assert_eq!(sent["stream_options"], json!({ "include_usage": true }));
}

#[tokio::test]
async fn each_tenant_sees_its_own_models_only() {
    let gateway = Gateway::new(vec![], vec![]);
    let ids = |list: &serde_json::Value| -> Vec<String> {
        list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|model| model["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(&gateway.get_models("acme").await), ["converse-a", "native-b", "resilient"]);
    assert_eq!(ids(&gateway.get_models("globex").await), ["native-b", "resilient"]);
}

//! Chat Completions over plain HTTP.

use serde_json::{Value, json};

use crate::support::Sim;

fn body(text: &str, extra: &Value) -> Value {
    let mut body = json!({"model": "openai.gpt-oss-120b-1:0", "messages": [{"role": "user", "content": text}]});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

async fn whole(sim: &Sim, body: &Value) -> Value {
    let response = sim.chat(body).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-model-sim"]),
        (200, &"1".parse().unwrap())
    );
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

/// The events of a stream; `[DONE]` as a string.
async fn events(sim: &Sim, body: &Value) -> Vec<Value> {
    let response = sim.chat(body).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = String::from_utf8(response.bytes().await.unwrap().into()).unwrap();
    assert!(text.ends_with("\n\n"));
    let data = text.trim_end().split("\n\n").map(|event| event.strip_prefix("data: ").unwrap());
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| json!(data))).collect()
}

fn deltas(events: &[Value]) -> Vec<&Value> {
    events.iter().filter_map(|event| event.pointer("/choices/0/delta")).collect()
}

#[tokio::test]
async fn a_whole_answer_has_openais_shape() {
    let sim = Sim::start().await;
    let script =
        r#"[sim {"text":"Hello there","usage":{"input":10,"cache_read":30,"cache_write_5m":2}}]"#;
    let answer = whole(&sim, &body(script, &json!({}))).await;
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(
        answer["choices"][0]["message"],
        json!({"role": "assistant", "content": "Hello there", "refusal": null})
    );
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    let usage = &answer["usage"];
    assert_eq!(
        (&usage["prompt_tokens"], &usage["completion_tokens"], &usage["total_tokens"]),
        (&json!(42), &json!(2), &json!(44))
    );
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 30);
    let call = sim.call().await;
    assert_eq!(
        (&call["api"], &call["model"]),
        (&json!("chat-completions"), &json!("openai.gpt-oss-120b-1:0"))
    );
    assert_eq!((&call["tenant_id"], &call["call_id"]), (&json!("acme"), &json!("c1")));
    assert_eq!(call["usage"]["input"], 10);
}

#[tokio::test]
async fn a_stream_ends_with_usage_only_when_asked() {
    let sim = Sim::start().await;
    let script = r#"[sim {"chunks":["Hel","lo"]}]"#;
    let events_with = events(
        &sim,
        &body(script, &json!({"stream": true, "stream_options": {"include_usage": true}})),
    )
    .await;
    let expected = [
        json!({"role": "assistant", "content": ""}),
        json!({"content": "Hel"}),
        json!({"content": "lo"}),
        json!({}),
    ];
    assert_eq!(deltas(&events_with), expected.iter().collect::<Vec<_>>());
    assert_eq!(events_with[3]["choices"][0]["finish_reason"], "stop");
    assert!(events_with[..4].iter().all(|event| event.get("usage") == Some(&Value::Null)));
    assert_eq!(
        (&events_with[4]["choices"], &events_with[4]["usage"]["completion_tokens"]),
        (&json!([]), &json!(2))
    );
    assert_eq!(events_with[5], "[DONE]");
    let events_without = events(&sim, &body(script, &json!({"stream": true}))).await;
    assert_eq!(events_without.len(), 5);
    assert!(events_without[..4].iter().all(|event| event.get("usage").is_none()));
}

#[tokio::test]
async fn tool_calls_come_in_fragments() {
    let sim = Sim::start().await;
    let script =
        r#"[sim {"tool_calls":[{"name":"f","arguments":{"city":"Berlin"}},{"name":"g"}]}]"#;
    let events = events(&sim, &body(script, &json!({"stream": true}))).await;
    let calls: Vec<_> = deltas(&events)
        .into_iter()
        .filter_map(|delta| delta.pointer("/tool_calls/0"))
        .cloned()
        .collect();
    let expected = [
        json!({"index": 0, "id": "call_sim_1_0", "type": "function", "function": {"name": "f", "arguments": ""}}),
        json!({"index": 0, "function": {"arguments": "{\"city\":\"Ber"}}),
        json!({"index": 0, "function": {"arguments": "lin\"}"}}),
        json!({"index": 1, "id": "call_sim_1_1", "type": "function", "function": {"name": "g", "arguments": ""}}),
        json!({"index": 1, "function": {"arguments": "{}"}}),
    ];
    assert_eq!(calls, expected);
    assert_eq!(events[events.len() - 2]["choices"][0]["finish_reason"], "tool_calls");
    let answer = whole(&sim, &body(script, &json!({}))).await;
    let message = &answer["choices"][0]["message"];
    assert_eq!(
        (&message["content"], &message["tool_calls"][1]["function"]["arguments"]),
        (&Value::Null, &json!("{}"))
    );
}

#[tokio::test]
async fn a_schema_is_met_and_weather_calls_a_tool() {
    let sim = Sim::start().await;
    let schema =
        json!({"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}});
    let format = json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}});
    let answer = whole(&sim, &body("hi", &format)).await;
    assert_eq!(answer["choices"][0]["message"]["content"], r#"{"city":"sim"}"#);
    let tools = json!({"tools": [{"type": "function", "function": {"name": "get_weather", "parameters": schema}}]});
    let answer = whole(&sim, &body("What is the weather?", &tools)).await;
    assert_eq!(answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "get_weather");
}

#[tokio::test]
async fn errors_have_openais_shape_before_and_within_a_stream() {
    let sim = Sim::start().await;
    let script = r#"[sim {"error":{"status":429,"message":"slow down"}}]"#;
    let response = sim.chat(&body(script, &json!({"stream": true}))).await;
    assert_eq!(response.status(), 429);
    let error: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    let expected = json!({"message": "slow down", "type": "requests", "param": null, "code": "rate_limit_exceeded"});
    assert_eq!(error["error"], expected);
    let script = r#"[sim {"chunks":["a","b"],"error_after_chunks":1,"error":{"type":"server_error","message":"oh"}}]"#;
    let events = events(&sim, &body(script, &json!({"stream": true}))).await;
    assert_eq!(events.len(), 3);
    let expected =
        json!({"error": {"message": "oh", "type": "server_error", "param": null, "code": null}});
    assert_eq!(events[2], expected);
}

#[tokio::test]
async fn a_cut_connection_has_no_end() {
    let sim = Sim::start().await;
    let mut response = sim
        .chat(&body(r#"[sim {"chunks":["a","b"],"cut_after_chunks":1}]"#, &json!({"stream": true})))
        .await;
    let mut text = String::new();
    let end = loop {
        match response.chunk().await {
            Ok(Some(bytes)) => text.push_str(std::str::from_utf8(&bytes).unwrap()),
            other => break other,
        }
    };
    assert!(end.is_err());
    assert!(text.contains(r#""content":"a""#) && !text.contains(r#""content":"b""#), "{text}");
}

#[tokio::test]
async fn a_body_that_is_not_json_is_a_bad_request() {
    let sim = Sim::start().await;
    let url = format!("{}/openai/v1/chat/completions", sim.url);
    let response = sim.http.post(url).body("{").send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(sim.call().await["request_body"], "{");
}

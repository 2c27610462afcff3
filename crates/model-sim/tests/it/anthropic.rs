//! Anthropic Messages over plain HTTP.

use serde_json::{Value, json};

use crate::support::Sim;

const PATH: &str = "/anthropic/v1/messages";

fn body(content: impl Into<Value>, extra: &Value) -> Value {
    let mut body = json!({"model": "us.anthropic.claude-sonnet-5", "max_tokens": 2048, "messages": [{"role": "user", "content": content.into()}]});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn a_whole_answer_has_all_kinds_of_blocks() {
    let sim = Sim::start().await;
    let script = r#"[sim {"reasoning":"so","redacted":"hidden","text":"a b","tools":[{"name":"f","input":{"a":1}},{"name":"g"}]}]"#;
    let (status, answer) = sim.ask(PATH, &body(script, &json!({}))).await;
    assert_eq!(status, 200);
    let blocks = answer["content"].as_array().unwrap();
    let kinds: Vec<_> = blocks.iter().map(|block| block["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["thinking", "redacted_thinking", "text", "tool_use", "tool_use"]);
    assert_eq!(
        blocks[3],
        json!({"type": "tool_use", "id": "toolu_sim_1_0", "name": "f", "input": {"a": 1}})
    );
    assert_eq!(
        (&answer["stop_reason"], &answer["role"]),
        (&json!("tool_use"), &json!("assistant"))
    );
    // What was answered may be sent back as it is.
    let results: Vec<_> = ["toolu_sim_1_0", "toolu_sim_1_1"]
        .map(|id| json!({"type": "tool_result", "tool_use_id": id, "content": "21"}))
        .into();
    let mut next =
        body("hi", &json!({"tools": [{"name": "f", "input_schema": {"type": "object"}}]}));
    let messages = next["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": blocks}));
    messages.push(json!({"role": "user", "content": results}));
    let (status, answer) = sim.ask(PATH, &next).await;
    assert_eq!((status, &answer["stop_reason"]), (200, &json!("end_turn")), "{answer}");
}

#[tokio::test]
async fn a_stream_has_anthropics_order() {
    let sim = Sim::start().await;
    let script = r#"[sim {"reasoning":"so","text":"a","tools":[{"name":"f","input":{"a":1}}],"usage":{"input":7,"output":5,"cache_read":3}}]"#;
    let events = sim.events(PATH, &body(script, &json!({"stream": true}))).await;
    let lines: Vec<_> = events
        .iter()
        .map(|(name, data)| {
            assert_eq!(data["type"], name.as_str());
            let said = data["delta"]["type"].as_str().or(data["content_block"]["type"].as_str());
            format!("{name} {}", said.unwrap_or_default()).trim_end().to_owned()
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    message_start
    content_block_start thinking
    content_block_delta thinking_delta
    content_block_delta signature_delta
    content_block_stop
    ping
    content_block_start text
    content_block_delta text_delta
    content_block_stop
    content_block_start tool_use
    content_block_delta input_json_delta
    content_block_delta input_json_delta
    content_block_stop
    message_delta
    message_stop
    ");
    assert_eq!(events[0].1["message"]["usage"]["output_tokens"], 1);
    let delta = &events[events.len() - 2].1;
    assert_eq!(delta["delta"]["stop_reason"], "tool_use");
    assert_eq!(
        (&delta["usage"]["output_tokens"], &delta["usage"]["cache_read_input_tokens"]),
        (&json!(5), &json!(3))
    );
    let call = sim.call().await;
    assert_eq!((&call["api"], &call["outcome"]), (&json!("messages"), &json!("completed")));
}

#[tokio::test]
async fn a_marked_prefix_is_written_and_then_read() {
    let sim = Sim::start().await;
    let system = json!([{"type": "text", "text": "x".repeat(40), "cache_control": {"type": "ephemeral", "ttl": "1h"}}]);
    let request = body("hi", &json!({"system": system}));
    let (_, first) = sim.ask(PATH, &request).await;
    assert_eq!(
        first["usage"]["cache_creation"],
        json!({"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 10})
    );
    assert_eq!(
        (&first["usage"]["cache_read_input_tokens"], &first["usage"]["input_tokens"]),
        (&json!(0), &json!(1))
    );
    let (_, second) = sim.ask(PATH, &request).await;
    assert_eq!(
        (
            &second["usage"]["cache_read_input_tokens"],
            &second["usage"]["cache_creation_input_tokens"]
        ),
        (&json!(10), &json!(0))
    );
}

#[tokio::test]
async fn errors_have_anthropics_shape_before_and_within_a_stream() {
    let sim = Sim::start().await;
    let script = r#"[sim {"error":{"status":429,"message":"slow down","retry_after":3}}]"#;
    let response = sim.post(PATH, &body(script, &json!({"stream": true}))).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (429, &"3".parse().unwrap())
    );
    let error: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(error["error"], json!({"type": "rate_limit_error", "message": "slow down"}));
    let script = r#"[sim {"chunks":["a","b"],"error_after_chunks":1,"error":{"status":529,"message":"busy"}}]"#;
    let events = sim.events(PATH, &body(script, &json!({"stream": true}))).await;
    let (name, data) = events.last().unwrap();
    assert_eq!((name.as_str(), &data["error"]["type"]), ("error", &json!("overloaded_error")));
}

#[tokio::test]
async fn versions_and_betas_are_known_ones() {
    let sim = Sim::start().await;
    let ask = async |headers: &[(&str, &str)]| {
        let mut request =
            sim.http.post(format!("{}{PATH}", sim.url)).body(body("hi", &json!({})).to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask(&[]).await, 400);
    assert_eq!(ask(&[("anthropic-version", "2023-06-01")]).await, 200);
    assert_eq!(
        ask(&[("anthropic-version", "2023-06-01"), ("anthropic-beta", "context-1m-2025-08-07")])
            .await,
        200
    );
    assert_eq!(
        ask(&[("anthropic-version", "2023-06-01"), ("anthropic-beta", "nonsense-1")]).await,
        400
    );
    let calls = sim.get("/_sim/calls").await;
    assert_eq!(calls["calls"][3]["headers"]["anthropic-beta"], "nonsense-1");
}

#[tokio::test]
async fn tokens_are_counted_without_being_limited() {
    let sim = Sim::start().await;
    let request = json!({"model": "m", "messages": [{"role": "user", "content": "12345"}]});
    let (status, counted) = sim.ask("/anthropic/v1/messages/count_tokens", &request).await;
    assert_eq!((status, counted), (200, json!({"input_tokens": 2})));
}

//! Scripted conversations of agents.

use serde_json::{Value, json};

use crate::support::Sim;

fn script() -> Value {
    json!({"match": "Fix the test", "turns": [
        {"text": "Reading.", "tools": [{"name": "Read", "input": {"path": "a"}}, {"name": "Read", "input": {"path": "b"}}]},
        {"text": "Done."}]})
}

#[tokio::test]
async fn a_script_is_played_through_anthropic_messages() {
    let sim = Sim::start().await;
    assert_eq!(sim.put("/_sim/scripts/fix", &script()).await, 204);
    let tools = json!([{"name": "Read", "input_schema": {"type": "object"}}]);
    let mut messages = vec![
        json!({"role": "user", "content": [{"type": "text", "text": "<reminder/>"}, {"type": "text", "text": "Fix the test, please."}]}),
    ];
    let request = |messages: &[Value]| json!({"model": "m", "max_tokens": 99, "tools": tools, "messages": messages});
    let (_, answer) = sim.ask("/anthropic/v1/messages", &request(&messages)).await;
    assert_eq!(
        (&answer["content"][0]["text"], &answer["content"][2]["input"]),
        (&json!("Reading."), &json!({"path": "b"}))
    );
    messages.push(json!({"role": "assistant", "content": answer["content"]}));
    let result = |id: &Value| json!({"type": "tool_result", "tool_use_id": id, "content": "text"});
    messages.push(json!({"role": "user", "content": [result(&answer["content"][1]["id"]), result(&answer["content"][2]["id"])]}));
    let (_, answer) = sim.ask("/anthropic/v1/messages", &request(&messages)).await;
    assert_eq!(answer["content"][0]["text"], "Done.");
    let title = json!({"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "A title for: Fix the test"}]});
    let (_, answer) = sim.ask("/anthropic/v1/messages", &title).await;
    assert_eq!(answer["content"][0]["text"], "Simulated.");
}

#[tokio::test]
async fn a_script_is_played_through_responses_and_chat() {
    let sim = Sim::start().await;
    assert_eq!(sim.put("/_sim/scripts/fix", &script()).await, 204);
    let tools = json!([{"type": "function", "name": "Read", "parameters": {"type": "object"}}]);
    let mut items =
        vec![json!({"role": "user", "content": [{"type": "input_text", "text": "Fix the test"}]})];
    let request = |items: &[Value]| json!({"model": "m", "tools": tools, "input": items});
    let (_, answer) = sim.ask("/openai/v1/responses", &request(&items)).await;
    items.extend(answer["output"].as_array().unwrap().clone());
    for call in answer["output"].as_array().unwrap().iter().skip(1) {
        items.push(
            json!({"type": "function_call_output", "call_id": call["call_id"], "output": "text"}),
        );
    }
    let (_, answer) = sim.ask("/openai/v1/responses", &request(&items)).await;
    assert_eq!(answer["output"][0]["content"][0]["text"], "Done.");
    let tools = json!([{"type": "function", "function": {"name": "Read", "parameters": {"type": "object"}}}]);
    let mut messages = vec![
        json!({"role": "system", "content": "Be brief."}),
        json!({"role": "user", "content": "Fix the test"}),
    ];
    let request = |messages: &[Value]| json!({"model": "m", "tools": tools, "messages": messages});
    let (_, answer) = sim.ask("/v1/chat/completions", &request(&messages)).await;
    let message = &answer["choices"][0]["message"];
    messages.push(message.clone());
    for call in message["tool_calls"].as_array().unwrap() {
        messages.push(json!({"role": "tool", "tool_call_id": call["id"], "content": "text"}));
    }
    let (_, answer) = sim.ask("/v1/chat/completions", &request(&messages)).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "Done.");
}

#[tokio::test]
async fn a_script_ends_when_it_is_deleted() {
    let sim = Sim::start().await;
    assert_eq!(sim.put("/_sim/scripts/fix", &script()).await, 204);
    let url = format!("{}/_sim/scripts/fix", sim.url);
    assert_eq!(sim.http.delete(&url).send().await.unwrap().status(), 204);
    assert_eq!(sim.http.delete(&url).send().await.unwrap().status(), 404);
    assert_eq!(
        sim.put("/_sim/scripts/bad", &json!({"match": "a", "turns": [{"txt": ""}]})).await,
        400
    );
}

//! OpenAI Responses over plain HTTP.

use serde_json::{Value, json};

use crate::support::Sim;

const PATH: &str = "/openai/v1/responses";

fn body(text: &str, extra: &Value) -> Value {
    let mut body = json!({"model": "us.openai.gpt-6-sol", "input": text});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn a_whole_answer_can_be_sent_back() {
    let sim = Sim::start().await;
    let script = r#"[sim {"reasoning":"so","text":"a b","tools":[{"name":"f","input":{"a":1}}],"usage":{"input":4,"cache_read":6}}]"#;
    let tools = json!([{"type": "function", "name": "f", "parameters": {"type": "object"}}]);
    let extra = json!({"tools": tools, "include": ["reasoning.encrypted_content"]});
    let (status, answer) = sim.ask(PATH, &body(script, &extra)).await;
    assert_eq!(
        (status, &answer["status"], &answer["store"]),
        (200, &json!("completed"), &json!(false))
    );
    let output = answer["output"].as_array().unwrap();
    assert_eq!(output[0]["summary"], json!([]));
    assert_eq!(output[1]["content"][0]["text"], "a b");
    assert_eq!(
        (&output[2]["call_id"], &output[2]["arguments"]),
        (&json!("call_sim_1_0"), &json!(r#"{"a":1}"#))
    );
    assert_eq!(answer["usage"]["input_tokens"], 10);
    assert_eq!(
        answer["usage"]["input_tokens_details"],
        json!({"cached_tokens": 6, "cache_write_tokens": 0})
    );
    let mut items = vec![json!({"role": "user", "content": "hi"})];
    items.extend(output.clone());
    items.push(json!({"type": "function_call_output", "call_id": "call_sim_1_0", "output": "21"}));
    let (status, answer) =
        sim.ask(PATH, &json!({"model": "m", "input": items, "tools": tools})).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer["output"][0]["content"][0]["text"].as_str().unwrap().contains("21"));
}

#[tokio::test]
async fn a_stream_is_numbered_and_in_order() {
    let sim = Sim::start().await;
    let script =
        r#"[sim {"reasoning":"so","chunks":["a","b"],"tools":[{"name":"f","input":{"a":1}}]}]"#;
    let extra = json!({"stream": true, "reasoning": {"summary": "auto"}});
    let events = sim.events(PATH, &body(script, &extra)).await;
    for (number, (name, data)) in events.iter().enumerate() {
        assert_eq!((&data["type"], &data["sequence_number"]), (&json!(name), &json!(number)));
    }
    let names: Vec<_> =
        events.iter().map(|(name, _)| name.trim_start_matches("response.")).collect();
    insta::assert_snapshot!(names.join("\n"), @"
    created
    in_progress
    output_item.added
    reasoning_summary_part.added
    reasoning_summary_text.delta
    reasoning_summary_text.done
    reasoning_summary_part.done
    output_item.done
    output_item.added
    content_part.added
    output_text.delta
    output_text.delta
    output_text.done
    content_part.done
    output_item.done
    output_item.added
    function_call_arguments.delta
    function_call_arguments.done
    output_item.done
    completed
    ");
    let (_, begun) = &events[0];
    assert_eq!(
        (&begun["response"]["status"], &begun["response"]["usage"]),
        (&json!("in_progress"), &Value::Null)
    );
    assert_eq!(events.last().unwrap().1["response"]["output"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn an_answer_cut_short_is_incomplete() {
    let sim = Sim::start().await;
    let words = "word ".repeat(20);
    let script = format!("[sim {}]", json!({"text": words}));
    let (_, answer) = sim.ask(PATH, &body(&script, &json!({"max_output_tokens": 16}))).await;
    assert_eq!(
        (&answer["status"], &answer["incomplete_details"]["reason"]),
        (&json!("incomplete"), &json!("max_output_tokens"))
    );
    assert_eq!(answer["output"][0]["status"], "incomplete");
    let (_, answer) = sim.ask(PATH, &body(r#"[sim {"stop_reason":"failed"}]"#, &json!({}))).await;
    assert_eq!(
        (&answer["status"], &answer["error"]["code"]),
        (&json!("failed"), &json!("server_error"))
    );
}

#[tokio::test]
async fn an_error_in_mid_stream_goes_on_counting() {
    let sim = Sim::start().await;
    let script = r#"[sim {"chunks":["a","b"],"error_after_chunks":1,"error":{"code":"rate_limit_exceeded","message":"slow"}}]"#;
    let events = sim.events(PATH, &body(script, &json!({"stream": true}))).await;
    let (name, data) = events.last().unwrap();
    assert_eq!(name, "error");
    let expected = json!({"type": "error", "code": "rate_limit_exceeded", "message": "slow", "param": null, "sequence_number": events.len() - 1});
    assert_eq!(*data, expected);
}

#[tokio::test]
async fn nothing_is_stored() {
    let sim = Sim::start().await;
    let (status, error) =
        sim.ask(PATH, &body("hi", &json!({"previous_response_id": "resp_1"}))).await;
    assert_eq!((status, &error["error"]["type"]), (400, &json!("invalid_request_error")));
}

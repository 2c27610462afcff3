//! OpenAI Chat Completions.

use inference::openai_chat::ChatRequest;
use inference::{BadRequest, GenerateRequest};
use metering::TokenUsage;
use serde_json::{Value, json};

use super::{Client, arguments, count, list, push, server_sent, text};
use crate::said::{
    Call, Ended, MAX_TOKENS, MODEL, PDF, PNG, QUESTION, RESULTS, SYSTEM, Said, Scenario,
    THINKING_TOKENS, TOOL, TOOL_DESCRIPTION, answer_schema, tool_schema, without_ttl,
};

pub(super) struct Chat;

impl Client for Chat {
    fn name(&self) -> &'static str {
        "OpenAI Chat Completions"
    }

    fn parse(&self, body: &Value, _: bool) -> Result<Box<dyn GenerateRequest>, BadRequest> {
        let body = body.to_string();
        Ok(Box::new(ChatRequest::parse(body.as_bytes())?))
    }

    fn told(&self, usage: TokenUsage) -> TokenUsage {
        without_ttl(usage)
    }

    fn request(&self, scenario: Scenario, is_streaming: bool) -> Value {
        chat_request(scenario, is_streaming)
    }

    fn next_request(&self, mut request: Value, answer: &Value) -> Value {
        let message = &answer["choices"][0]["message"];
        push(&mut request["messages"], message.clone());
        for (call, result) in list(&message["tool_calls"]).iter().zip(RESULTS) {
            let message = json!({"role": "tool", "tool_call_id": call["id"], "content": result});
            push(&mut request["messages"], message);
        }
        request
    }

    fn read(&self, body: &Value) -> Said {
        chat_answer(body)
    }

    fn read_stream(&self, bytes: &[u8]) -> Said {
        chat_stream(bytes)
    }

    fn read_error(&self, bytes: &[u8]) -> String {
        let events = server_sent(bytes);
        assert!(events.iter().all(|(_, data)| data != "[DONE]"), "it does not claim to be whole");
        let last: Value = serde_json::from_str(&events.last().unwrap().1).unwrap();
        assert!(last["error"]["type"].is_string());
        text(&last["error"]["message"])
    }
}

fn chat_request(scenario: Scenario, is_streaming: bool) -> Value {
    let mut parts = vec![json!({"type": "text", "text": QUESTION})];
    match scenario {
        Scenario::Images => parts.push(json!({
            "type": "image_url", "image_url": {"url": format!("data:image/png;base64,{PNG}")},
        })),
        Scenario::Documents => parts.push(json!({
            "type": "file", "file": {"filename": "map.pdf", "file_data": format!("data:application/pdf;base64,{PDF}")},
        })),
        Scenario::Caching => parts[0]["cache_control"] = json!({"type": "ephemeral"}),
        _ => {}
    }
    let mut body = json!({
        "model": MODEL,
        "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": parts}],
        "max_completion_tokens": MAX_TOKENS,
    });
    if is_streaming {
        body["stream"] = true.into();
        body["stream_options"] = json!({"include_usage": true});
    }
    if scenario.has_tools() {
        body["tools"] = json!([{"type": "function", "function": {
            "name": TOOL, "description": TOOL_DESCRIPTION, "parameters": tool_schema(),
        }}]);
    }
    match scenario {
        Scenario::Thinking => {
            body["thinking"] = json!({"type": "enabled", "budget_tokens": THINKING_TOKENS});
        }
        Scenario::StructuredOutput => {
            let schema = json!({"name": "forecast", "schema": answer_schema(), "strict": true});
            body["response_format"] = json!({"type": "json_schema", "json_schema": schema});
        }
        _ => {}
    }
    body
}

fn chat_ended(reason: &Value) -> Ended {
    match text(reason).as_str() {
        "stop" => Ended::Done,
        "tool_calls" => Ended::Tools,
        other => panic!("{other}"),
    }
}

fn chat_usage(usage: &Value) -> TokenUsage {
    let details = &usage["prompt_tokens_details"];
    let (read, written) = (count(&details["cached_tokens"]), count(&details["cache_write_tokens"]));
    let (prompt, output) = (count(&usage["prompt_tokens"]), count(&usage["completion_tokens"]));
    assert_eq!(count(&usage["total_tokens"]), prompt + output);
    TokenUsage {
        input: prompt - read - written,
        output,
        cache_read: read,
        cache_write_5m: written,
        ..TokenUsage::default()
    }
}

fn chat_answer(body: &Value) -> Said {
    assert_eq!(body["object"], "chat.completion");
    assert!(text(&body["id"]).starts_with("chatcmpl-"));
    let [choice] = list(&body["choices"]) else { panic!("one choice") };
    let message = &choice["message"];
    assert_eq!(message["role"], "assistant");
    let call = |call: &Value| Call {
        id: text(&call["id"]),
        name: text(&call["function"]["name"]),
        arguments: arguments(&call["function"]["arguments"]),
    };
    Said {
        thinking: message.get("reasoning_content").map(text),
        text: message["content"].as_str().unwrap_or_default().to_owned(),
        calls: list(&message["tool_calls"]).iter().map(call).collect(),
        ended: chat_ended(&choice["finish_reason"]),
        usage: chat_usage(&body["usage"]),
    }
}

fn chat_stream(bytes: &[u8]) -> Said {
    let mut events = server_sent(bytes);
    assert_eq!(events.pop().unwrap().1, "[DONE]");
    let chunks: Vec<Value> =
        events.iter().map(|(_, data)| serde_json::from_str(data).unwrap()).collect();
    let (last, chunks) = chunks.split_last().unwrap();
    assert_eq!(last["choices"], json!([]), "usage comes last, alone");
    let mut said = Said {
        thinking: None,
        text: String::new(),
        calls: Vec::new(),
        ended: Ended::Done,
        usage: chat_usage(&last["usage"]),
    };
    let mut inputs: Vec<String> = Vec::new();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    for (number, chunk) in chunks.iter().enumerate() {
        assert_eq!(
            (&chunk["id"], &chunk["object"]),
            (&last["id"], &"chat.completion.chunk".into())
        );
        assert!(chunk["usage"].is_null());
        let [choice] = list(&chunk["choices"]) else { panic!("one choice") };
        let delta = &choice["delta"];
        if let Some(piece) = delta.get("reasoning_content") {
            said.thinking.get_or_insert_default().push_str(&text(piece));
        }
        if let Some(piece) = delta.get("content").filter(|piece| !piece.is_null()) {
            said.text.push_str(&text(piece));
        }
        for call in list(&delta["tool_calls"]) {
            let index = usize::try_from(count(&call["index"])).unwrap();
            if call.get("id").is_some() {
                assert_eq!(index, said.calls.len());
                let name = text(&call["function"]["name"]);
                said.calls.push(Call { id: text(&call["id"]), name, arguments: Value::Null });
                inputs.push(String::new());
            }
            inputs[index].push_str(&text(&call["function"]["arguments"]));
        }
        let is_last = number + 1 == chunks.len();
        assert_eq!(choice["finish_reason"].is_string(), is_last, "the last chunk says why");
        if is_last {
            said.ended = chat_ended(&choice["finish_reason"]);
        }
    }
    for (call, input) in said.calls.iter_mut().zip(inputs) {
        call.arguments = serde_json::from_str(&input).unwrap();
    }
    said
}

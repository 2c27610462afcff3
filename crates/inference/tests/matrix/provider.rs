//! How providers answer, in each protocol.

use std::fmt::Write as _;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use inference::{Model, Protocol};
use metering::TokenUsage;
use serde_json::{Map, Value, json};

use crate::said::{Ended, MAX_TOKENS, MODEL, SIGNATURE, Said, pieces, without_ttl};

/// A model that can do everything that the protocol can carry.
pub(crate) fn model(protocol: Protocol) -> Model {
    let capabilities = [
        "images",
        "tools",
        "forced_tool_choice",
        "sampling_parameters",
        "structured_output",
        "reasoning_effort",
        "documents",
        "thinking",
        "prompt_caching",
        "prompt_caching_1h",
        "top_k",
        "prefill",
        "s3_sources",
        "count_tokens",
    ];
    let able: Map<_, _> =
        capabilities.into_iter().map(|name| (name.to_owned(), Value::Bool(true))).collect();
    let template = json!({
        "format": "template",
        "request": r#"{"inputs":"{{prompt}}","system":"{{system}}","max":"{{max_tokens}}"}"#,
        "text": "/answer/text", "input_tokens": "/answer/in", "output_tokens": "/answer/out",
    });
    let mut model = json!({
        "id": MODEL, "provider_model_id": MODEL, "protocols": [protocol], "owned_by": "vendor",
        "created": 0, "context_window": 200_000, "max_output_tokens": MAX_TOKENS,
        "default_max_tokens": 1_024, "capabilities": able,
    });
    if protocol == Protocol::JsonTemplate {
        model["body"] = template;
    }
    serde_json::from_value(model).unwrap()
}

/// What of `usage` the protocol tells.
pub(crate) fn told(protocol: Protocol, usage: TokenUsage) -> TokenUsage {
    match protocol {
        Protocol::OpenaiChat | Protocol::OpenaiResponses => without_ttl(usage),
        Protocol::JsonTemplate => {
            TokenUsage { input: usage.input, output: usage.output, ..TokenUsage::default() }
        }
        _ => usage,
    }
}

/// A whole answer.
pub(crate) fn whole(protocol: Protocol, said: &Said) -> Vec<u8> {
    let answer = match protocol {
        Protocol::Converse => converse(said),
        Protocol::OpenaiChat => chat(said),
        Protocol::OpenaiResponses => responses(said),
        Protocol::AnthropicMessages | Protocol::InvokeModel => messages(said),
        Protocol::JsonTemplate => json!({"answer": {
            "text": said.text, "in": said.usage.input, "out": said.usage.output,
        }}),
        other => panic!("{other:?} makes no answers"),
    };
    answer.to_string().into_bytes()
}

/// A streamed answer.
pub(crate) fn stream(protocol: Protocol, said: &Said) -> Vec<u8> {
    match protocol {
        Protocol::Converse => frames(&converse_events(said)),
        Protocol::OpenaiChat => {
            let mut stream = unnamed(&chat_chunks(said));
            stream.push_str("data: [DONE]\n\n");
            stream.into_bytes()
        }
        Protocol::OpenaiResponses => server_sent(&responses_events(said)),
        Protocol::AnthropicMessages => server_sent(&messages_events(said)),
        Protocol::InvokeModel => invoke_frames(&messages_events(said)),
        // An endpoint of its own kind answers at once.
        _ => whole(protocol, said),
    }
}

/// A stream that begins to answer and then reports an error.
pub(crate) fn broken(protocol: Protocol, said: &Said) -> Vec<u8> {
    let message = "overloaded, come back later";
    match protocol {
        Protocol::Converse => {
            let mut stream = frames(&converse_events(said)[..2]);
            stream.extend(frame(
                &[
                    (":message-type", "exception"),
                    (":exception-type", "serviceUnavailableException"),
                ],
                &json!({ "message": message }),
            ));
            stream
        }
        Protocol::OpenaiChat => {
            let mut chunks = chat_chunks(said);
            chunks.truncate(2);
            let error =
                json!({"message": message, "type": "server_error", "param": null, "code": null});
            chunks.push(json!({ "error": error }));
            unnamed(&chunks).into_bytes()
        }
        Protocol::OpenaiResponses => {
            let mut events = responses_events(said);
            events.truncate(4);
            let error = json!({"type": "error", "sequence_number": 4, "code": "server_error", "message": message, "param": null});
            events.push(error);
            server_sent(&events)
        }
        Protocol::AnthropicMessages | Protocol::InvokeModel => {
            let mut events = messages_events(said);
            events.truncate(3);
            if protocol == Protocol::InvokeModel {
                let mut stream = invoke_frames(&events);
                stream.extend(frame(
                    &[
                        (":message-type", "exception"),
                        (":exception-type", "serviceUnavailableException"),
                    ],
                    &json!({ "message": message }),
                ));
                return stream;
            }
            events.push(
                json!({"type": "error", "error": {"type": "overloaded_error", "message": message}}),
            );
            server_sent(&events)
        }
        _ => b"{\"error\": ".to_vec(),
    }
}

fn converse(said: &Said) -> Value {
    let mut content = Vec::new();
    if let Some(text) = &said.thinking {
        content.push(
            json!({"reasoningContent": {"reasoningText": {"text": text, "signature": SIGNATURE}}}),
        );
    }
    content.push(json!({"text": said.text}));
    for call in &said.calls {
        content.push(
            json!({"toolUse": {"toolUseId": call.id, "name": call.name, "input": call.arguments}}),
        );
    }
    json!({
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": converse_stop(said), "usage": converse_usage(said), "metrics": {"latencyMs": 321},
    })
}

fn converse_stop(said: &Said) -> &'static str {
    if said.ended == Ended::Tools { "tool_use" } else { "end_turn" }
}

fn converse_usage(said: &Said) -> Value {
    let usage = said.usage;
    json!({
        "inputTokens": usage.input, "outputTokens": usage.output, "totalTokens": usage.total(),
        "cacheReadInputTokens": usage.cache_read,
        "cacheWriteInputTokens": usage.cache_write_5m + usage.cache_write_1h,
        "cacheDetails": [
            {"ttl": "5m", "inputTokens": usage.cache_write_5m}, {"ttl": "1h", "inputTokens": usage.cache_write_1h},
        ],
    })
}

fn converse_events(said: &Said) -> Vec<(&'static str, Value)> {
    let mut events = vec![("messageStart", json!({"role": "assistant"}))];
    let mut index = 0;
    let mut block = |start: Option<Value>, deltas: Vec<Value>| {
        if let Some(start) = start {
            events.push(("contentBlockStart", json!({"contentBlockIndex": index, "start": start})));
        }
        for delta in deltas {
            events.push(("contentBlockDelta", json!({"contentBlockIndex": index, "delta": delta})));
        }
        events.push(("contentBlockStop", json!({"contentBlockIndex": index})));
        index += 1;
    };
    if let Some(text) = &said.thinking {
        let mut deltas: Vec<_> =
            pieces(text).iter().map(|text| json!({"reasoningContent": {"text": text}})).collect();
        deltas.push(json!({"reasoningContent": {"signature": SIGNATURE}}));
        block(None, deltas);
    }
    block(None, pieces(&said.text).iter().map(|text| json!({ "text": text })).collect());
    for call in &said.calls {
        let start = json!({"toolUse": {"toolUseId": call.id, "name": call.name}});
        let arguments = call.arguments.to_string();
        let deltas =
            pieces(&arguments).iter().map(|json| json!({"toolUse": {"input": json}})).collect();
        block(Some(start), deltas);
    }
    events.push(("messageStop", json!({"stopReason": converse_stop(said)})));
    events
        .push(("metadata", json!({"usage": converse_usage(said), "metrics": {"latencyMs": 321}})));
    events
}

fn frames(events: &[(&'static str, Value)]) -> Vec<u8> {
    let event = |(name, payload): &(&'static str, Value)| {
        frame(
            &[
                (":event-type", name),
                (":content-type", "application/json"),
                (":message-type", "event"),
            ],
            payload,
        )
    };
    events.iter().flat_map(event).collect()
}

fn invoke_frames(events: &[Value]) -> Vec<u8> {
    use base64::Engine as _;
    let chunk = |event: &Value| {
        let bytes = base64::engine::general_purpose::STANDARD.encode(event.to_string());
        ("chunk", json!({ "bytes": bytes }))
    };
    frames(&events.iter().map(chunk).collect::<Vec<_>>())
}

fn frame(headers: &[(&'static str, &'static str)], payload: &Value) -> Vec<u8> {
    let message =
        headers.iter().fold(Message::new(payload.to_string()), |message, (name, value)| {
            message.add_header(Header::new(*name, HeaderValue::String((*value).into())))
        });
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).unwrap();
    bytes
}

/// Server-sent events, named after their types.
fn server_sent(events: &[Value]) -> Vec<u8> {
    let mut stream = String::new();
    for event in events {
        let name = event["type"].as_str().unwrap();
        write!(stream, "event: {name}\ndata: {event}\n\n").unwrap();
    }
    stream.into_bytes()
}

/// Server-sent events without names.
fn unnamed(events: &[Value]) -> String {
    let mut stream = String::new();
    for event in events {
        write!(stream, "data: {event}\n\n").unwrap();
    }
    stream
}

fn chat(said: &Said) -> Value {
    let mut message = json!({"role": "assistant", "content": said.text, "refusal": null});
    if let Some(text) = &said.thinking {
        message["reasoning_content"] = text.as_str().into();
        message["thinking_blocks"] =
            json!([{"type": "thinking", "thinking": text, "signature": SIGNATURE}]);
    }
    if !said.calls.is_empty() {
        message["tool_calls"] = said
            .calls
            .iter()
            .map(|call| {
                json!({
                    "id": call.id, "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments.to_string()},
                })
            })
            .collect();
    }
    json!({
        "id": "chatcmpl-p1", "object": "chat.completion", "created": 1_763_856_000, "model": MODEL,
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": chat_stop(said)}],
        "usage": chat_usage(said),
    })
}

fn chat_stop(said: &Said) -> &'static str {
    if said.ended == Ended::Tools { "tool_calls" } else { "stop" }
}

fn chat_usage(said: &Said) -> Value {
    let usage = said.usage;
    json!({
        "prompt_tokens": usage.total_input(), "completion_tokens": usage.output, "total_tokens": usage.total(),
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
        },
    })
}

fn chat_chunks(said: &Said) -> Vec<Value> {
    let chunk = |choices: Value, usage: Value| {
        json!({
            "id": "chatcmpl-p1", "object": "chat.completion.chunk", "created": 1_763_856_000, "model": MODEL,
            "choices": choices, "usage": usage,
        })
    };
    let delta = |delta: Value| {
        chunk(
            json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": null}]),
            Value::Null,
        )
    };
    let mut chunks = vec![delta(json!({"role": "assistant", "content": ""}))];
    if let Some(text) = &said.thinking {
        chunks.extend(pieces(text).iter().map(|text| delta(json!({ "reasoning_content": text }))));
        let block = json!({"type": "thinking", "thinking": text, "signature": SIGNATURE});
        chunks.push(delta(json!({ "thinking_blocks": [block] })));
    }
    chunks.extend(pieces(&said.text).iter().map(|text| delta(json!({ "content": text }))));
    for (index, call) in said.calls.iter().enumerate() {
        let function = json!({"name": call.name, "arguments": ""});
        let start =
            json!({"index": index, "id": call.id, "type": "function", "function": function});
        chunks.push(delta(json!({ "tool_calls": [start] })));
        for piece in pieces(&call.arguments.to_string()) {
            let piece = json!({"index": index, "function": {"arguments": piece}});
            chunks.push(delta(json!({ "tool_calls": [piece] })));
        }
    }
    let last =
        json!([{"index": 0, "delta": {}, "logprobs": null, "finish_reason": chat_stop(said)}]);
    chunks.push(chunk(last, Value::Null));
    chunks.push(chunk(json!([]), chat_usage(said)));
    chunks
}

fn messages(said: &Said) -> Value {
    let mut content = Vec::new();
    if let Some(text) = &said.thinking {
        content.push(json!({"type": "thinking", "thinking": text, "signature": SIGNATURE}));
    }
    content.push(json!({"type": "text", "text": said.text}));
    for call in &said.calls {
        content.push(
            json!({"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}),
        );
    }
    json!({
        "id": "msg_p1", "type": "message", "role": "assistant", "model": MODEL, "content": content,
        "stop_reason": converse_stop(said), "stop_sequence": null, "usage": messages_usage(said),
    })
}

fn messages_usage(said: &Said) -> Value {
    let usage = said.usage;
    json!({
        "input_tokens": usage.input, "output_tokens": usage.output,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation_input_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m, "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
    })
}

fn messages_events(said: &Said) -> Vec<Value> {
    let mut start = messages(said);
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    start["usage"]["output_tokens"] = 1.into();
    let mut events = vec![json!({"type": "message_start", "message": start})];
    let mut index = 0;
    let mut block = |start: Value, deltas: Vec<Value>| {
        events.push(json!({"type": "content_block_start", "index": index, "content_block": start}));
        for delta in deltas {
            events.push(json!({"type": "content_block_delta", "index": index, "delta": delta}));
        }
        events.push(json!({"type": "content_block_stop", "index": index}));
        index += 1;
    };
    if let Some(text) = &said.thinking {
        let mut deltas: Vec<_> = pieces(text)
            .iter()
            .map(|text| json!({"type": "thinking_delta", "thinking": text}))
            .collect();
        deltas.push(json!({"type": "signature_delta", "signature": SIGNATURE}));
        block(json!({"type": "thinking", "thinking": "", "signature": ""}), deltas);
    }
    let deltas =
        pieces(&said.text).iter().map(|text| json!({"type": "text_delta", "text": text})).collect();
    block(json!({"type": "text", "text": ""}), deltas);
    for call in &said.calls {
        let start = json!({"type": "tool_use", "id": call.id, "name": call.name, "input": {}});
        let deltas = pieces(&call.arguments.to_string())
            .iter()
            .map(|json| json!({"type": "input_json_delta", "partial_json": json}))
            .collect();
        block(start, deltas);
    }
    let delta = json!({"stop_reason": converse_stop(said), "stop_sequence": null});
    events.push(json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": said.usage.output}}));
    events.push(json!({"type": "message_stop"}));
    events
}

fn responses_items(said: &Said) -> Vec<Value> {
    let mut items = Vec::new();
    if let Some(text) = &said.thinking {
        items.push(json!({
            "type": "reasoning", "id": "rs_p1", "summary": [{"type": "summary_text", "text": text}],
            "encrypted_content": SIGNATURE, "status": "completed",
        }));
    }
    let part = json!({"type": "output_text", "text": said.text, "annotations": [], "logprobs": []});
    items.push(json!({
        "type": "message", "id": "msg_p1", "status": "completed", "role": "assistant", "content": [part],
    }));
    for (number, call) in said.calls.iter().enumerate() {
        items.push(json!({
            "type": "function_call", "id": format!("fc_p{number}"), "call_id": call.id, "name": call.name,
            "arguments": call.arguments.to_string(), "status": "completed",
        }));
    }
    items
}

fn responses_object(said: &Said, status: &str) -> Value {
    let is_done = status == "completed";
    let usage = said.usage;
    let usage = json!({
        "input_tokens": usage.total_input(),
        "input_tokens_details": {
            "cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
        },
        "output_tokens": usage.output, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": usage.total(),
    });
    json!({
        "id": "resp_p1", "object": "response", "created_at": 1_763_856_000, "status": status, "error": null,
        "incomplete_details": null, "instructions": null, "model": MODEL,
        "output": if is_done { responses_items(said) } else { Vec::new() },
        "parallel_tool_calls": true, "previous_response_id": null, "store": false, "tool_choice": "auto",
        "tools": [], "text": {"format": {"type": "text"}}, "truncation": "disabled", "metadata": {},
        "temperature": 1.0, "top_p": 1.0, "max_output_tokens": MAX_TOKENS,
        "usage": if is_done { usage } else { Value::Null },
    })
}

fn responses(said: &Said) -> Value {
    responses_object(said, "completed")
}

fn responses_events(said: &Said) -> Vec<Value> {
    let mut events = vec![
        json!({"type": "response.created", "response": responses_object(said, "in_progress")}),
        json!({"type": "response.in_progress", "response": responses_object(said, "in_progress")}),
    ];
    for (index, item) in responses_items(said).into_iter().enumerate() {
        let id = item["id"].clone();
        let mut added = item.clone();
        let mut push = |kind: &str, fields: Value| {
            let mut event = json!({"type": kind, "output_index": index});
            event.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap());
            events.push(event);
        };
        match item["type"].as_str().unwrap() {
            "reasoning" => {
                added["summary"] = json!([]);
                added["status"] = "in_progress".into();
                push("response.output_item.added", json!({ "item": added }));
                let empty = json!({"type": "summary_text", "text": ""});
                push(
                    "response.reasoning_summary_part.added",
                    json!({"item_id": id, "summary_index": 0, "part": empty}),
                );
                let text = item["summary"][0]["text"].as_str().unwrap();
                for piece in pieces(text) {
                    push(
                        "response.reasoning_summary_text.delta",
                        json!({"item_id": id, "summary_index": 0, "delta": piece}),
                    );
                }
                push(
                    "response.reasoning_summary_text.done",
                    json!({"item_id": id, "summary_index": 0, "text": text}),
                );
                push(
                    "response.reasoning_summary_part.done",
                    json!({"item_id": id, "summary_index": 0, "part": item["summary"][0]}),
                );
            }
            "message" => {
                added["content"] = json!([]);
                added["status"] = "in_progress".into();
                push("response.output_item.added", json!({ "item": added }));
                let mut empty = item["content"][0].clone();
                empty["text"] = "".into();
                push(
                    "response.content_part.added",
                    json!({"item_id": id, "content_index": 0, "part": empty}),
                );
                let text = item["content"][0]["text"].as_str().unwrap();
                for piece in pieces(text) {
                    push(
                        "response.output_text.delta",
                        json!({"item_id": id, "content_index": 0, "delta": piece, "logprobs": []}),
                    );
                }
                push(
                    "response.output_text.done",
                    json!({"item_id": id, "content_index": 0, "text": text, "logprobs": []}),
                );
                push(
                    "response.content_part.done",
                    json!({"item_id": id, "content_index": 0, "part": item["content"][0]}),
                );
            }
            _ => {
                added["arguments"] = "".into();
                added["status"] = "in_progress".into();
                push("response.output_item.added", json!({ "item": added }));
                let arguments = item["arguments"].as_str().unwrap();
                for piece in pieces(arguments) {
                    push(
                        "response.function_call_arguments.delta",
                        json!({"item_id": id, "delta": piece}),
                    );
                }
                push(
                    "response.function_call_arguments.done",
                    json!({"item_id": id, "name": item["name"], "arguments": arguments}),
                );
            }
        }
        push("response.output_item.done", json!({ "item": item }));
    }
    events.push(
        json!({"type": "response.completed", "response": responses_object(said, "completed")}),
    );
    for (number, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = number.into();
    }
    events
}

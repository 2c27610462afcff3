use serde_json::{Value, json};

use super::{converse_model, forwarded, head, parse, request};
use crate::openai_responses::{InputItemsQuery, deleted, input_items};
use crate::{
    ContentBlock, Event, Frame, GenerateRequest as _, ModelResponse, StopReason, StoredResponse,
};

fn answer(text: &str) -> ModelResponse {
    ModelResponse {
        content: vec![ContentBlock::Text(text.to_owned())],
        stop_reason: StopReason::EndTurn,
        stop_sequence: None,
        usage: metering::TokenUsage::default(),
        provider_request_id: None,
    }
}

/// A stored response with one output item.
fn stored() -> StoredResponse {
    let mut renderer = parse(&request(json!({"input": "first"}))).unwrap().renderer(head());
    renderer.response(&answer("one"));
    renderer.to_store().unwrap()
}

#[test]
fn what_is_stored_is_the_conversation_and_the_response() {
    let stored = stored();
    assert_eq!(stored.id, "resp_01J");
    assert_eq!(stored.input[0]["content"][0]["text"], "first");
    assert_eq!(stored.response["store"], true);
    assert_eq!(stored.response["output"][0]["id"], "msg_01J_0");
}

#[test]
fn nothing_is_stored_unasked_or_unfinished() {
    let renderer = |fields| parse(&request(fields)).unwrap().renderer(head());
    let mut unasked = renderer(json!({"store": false}));
    unasked.response(&answer("x"));
    assert_eq!(unasked.to_store(), None);

    let mut without = parse(&request(json!({}))).unwrap().without_store().renderer(head());
    let body: Value = serde_json::from_slice(&without.response(&answer("x"))).unwrap();
    assert_eq!((without.to_store(), &body["store"]), (None, &json!(false)));

    let mut unfinished = renderer(json!({}));
    unfinished.event(&Event::TextDelta { block: 0, text: "a".to_owned() });
    assert_eq!(unfinished.to_store(), None);
    unfinished.finish();
    assert_eq!(unfinished.to_store(), None);
}

#[test]
fn a_conversation_goes_on_from_a_stored_response() {
    let body = r#"{"model":"m", "previous_response_id":"resp_01J","input":"second","x":[1.0]}"#;
    let request = super::ResponsesRequest::parse(body.as_bytes()).unwrap();
    assert_eq!(request.stored_ids(), ["resp_01J"]);
    let alone = request.to_canonical(&converse_model(), 9).unwrap_err();
    assert_eq!(alone.code, "previous_response_not_found");
    assert_eq!(request.clone().with_history(&[]).unwrap_err(), alone);

    let request = request.with_history(&[stored()]).unwrap();
    let canonical = request.to_canonical(&converse_model(), 9).unwrap();
    let texts: Vec<_> = canonical.messages.iter().map(|message| &message.content).collect();
    assert_eq!(
        texts,
        ["first", "one", "second"].map(|text| vec![ContentBlock::Text(text.to_owned())]).each_ref()
    );
    let sent = forwarded(&request);
    assert_eq!((sent.get("previous_response_id"), &sent["store"]), (None, &json!(false)));
    assert_eq!(sent["input"].as_array().unwrap().len(), 3);
    assert_eq!(sent["x"], json!([1.0]));

    // The next response is stored with all of it.
    let mut renderer = request.renderer(head());
    let response: Value = serde_json::from_slice(&renderer.response(&answer("two"))).unwrap();
    assert_eq!(response["previous_response_id"], "resp_01J");
    assert_eq!(renderer.to_store().unwrap().input.len(), 3);

    let without_input = json!({"model": "m", "previous_response_id": "resp_01J"});
    let request = parse(&without_input).unwrap().with_history(&[stored()]).unwrap();
    assert_eq!(forwarded(&request)["input"].as_array().unwrap().len(), 2);
}

#[test]
fn references_are_replaced_by_their_items() {
    let body = json!({"model": "m", "input": [
        {"role": "user", "content": "first"},
        {"type": "item_reference", "id": "msg_01J_0"},
        {"role": "user", "content": "second"},
        {"id": "msg_01K_2"},
    ]});
    let request = parse(&body).unwrap();
    assert_eq!(request.stored_ids(), ["resp_01J", "resp_01K"]);
    let error = request.clone().with_history(&[stored()]).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("input[3]"));

    let mut body = body;
    body["input"].as_array_mut().unwrap().pop();
    let request = parse(&body).unwrap().with_history(&[stored()]).unwrap();
    let items = &forwarded(&request)["input"];
    assert_eq!(items[1]["content"][0]["text"], "one");

    let plain = parse(&super::request(json!({}))).unwrap();
    assert_eq!(plain.clone().with_history(&[]).unwrap().text, plain.text);
}

/// Frames of a stream, as its reader cuts them.
fn frames(stream: &[u8]) -> Vec<Frame> {
    use crate::Codec as _;
    let mut reader = crate::openai_responses::ResponsesCodec.stream(&super::native_model());
    let mut frames = reader.push(stream);
    frames.extend(reader.finish());
    frames
}

#[test]
fn a_forwarded_answer_is_stored_under_ids_of_the_gateway() {
    let stream =
        std::fs::read(super::golden::testdata().join("provider_streams/tools.sse")).unwrap();
    let pass = |fields: Value| {
        let mut renderer = parse(&request(fields)).unwrap().renderer(head());
        let mut sent = Vec::new();
        for frame in frames(&stream) {
            sent.extend_from_slice(&renderer.forwarded(&frame));
        }
        sent.extend_from_slice(&renderer.finish_forwarded());
        (String::from_utf8(sent).unwrap(), renderer.to_store())
    };
    let (sent, stored) = pass(json!({"store": false}));
    assert!(sent.as_bytes() == stream && stored.is_none(), "not a byte differs");

    let (sent, stored) = pass(json!({}));
    let stored = stored.unwrap();
    assert_eq!(stored.id, "resp_01J");
    let ids: Vec<_> =
        stored.response["output"].as_array().unwrap().iter().map(|item| &item["id"]).collect();
    assert_eq!(ids, ["rs_01J_0", "msg_01J_1", "fc_01J_2", "ctc_01J_3"]);
    assert_eq!(
        (&stored.response["store"], &stored.response["model"]),
        (&json!(true), &json!("anthropic.claude-test"))
    );
    assert!(sent.contains("\"He said \\\"msg_p\\\".\""), "texts of the model are not touched");
    assert!(!sent.contains("\"id\":\"resp_p\"") && !sent.contains("\"item_id\":\"fc_p\""));
    let back = sent
        .replace("resp_01J", "resp_p")
        .replace("rs_01J_0", "rs_p")
        .replace("msg_01J_1", "msg_p")
        .replace("ctc_01J_3", "ctc_p")
        .replace("fc_01J_2", "fc_p");
    assert_eq!(back.as_bytes(), stream);
}

#[test]
fn only_ids_are_replaced() {
    let odd = r#"{"id": "completed", "status": "completed", "object": "", "output": [{"id": "", "type": "message", "content": []}, {"id":"c","type":"function_call","call_id":"c","name":"c","arguments":"{\"id\":\"c\"}"}]}"#;
    let mut renderer = parse(&request(json!({}))).unwrap().renderer(head());
    let sent: Value = serde_json::from_slice(&renderer.forwarded_response(odd.into())).unwrap();
    let mut expected: Value = serde_json::from_str(odd).unwrap();
    expected["id"] = "resp_01J".into();
    expected["output"][1]["id"] = "item_01J_1".into();
    assert_eq!(sent, expected);
}

#[test]
fn a_whole_forwarded_answer_is_stored() {
    let body =
        std::fs::read(super::golden::testdata().join("provider_responses/tools.json")).unwrap();
    let mut renderer = parse(&request(json!({}))).unwrap().renderer(head());
    let sent: Value =
        serde_json::from_slice(&renderer.forwarded_response(body.clone().into())).unwrap();
    assert_eq!(sent["id"], "resp_01J");
    assert_eq!(sent["output"][2]["id"], "ws_01J_2");
    assert_eq!(renderer.to_store().unwrap().response["output"], sent["output"]);

    let mut renderer = parse(&request(json!({"store": false}))).unwrap().renderer(head());
    assert_eq!(renderer.forwarded_response(body.clone().into()), body);
    let mut renderer = parse(&request(json!({}))).unwrap().renderer(head());
    assert_eq!(renderer.forwarded_response("no json".into()), "no json");
    assert_eq!(renderer.to_store(), None);
}

fn query(pairs: &[(&str, &str)]) -> InputItemsQuery {
    InputItemsQuery::parse(pairs.iter().copied()).unwrap()
}

#[test]
fn input_items_are_listed_in_pages() {
    let stored = StoredResponse {
        id: "resp_9".to_owned(),
        input: vec![
            json!({"role": "user", "content": "a"}),
            json!({"type": "function_call", "id": "fc_8_0", "call_id": "c", "name": "f", "arguments": "{}"}),
            json!({"type": "function_call_output", "call_id": "c", "output": "x"}),
        ],
        response: json!({}),
    };
    let page = |pairs: &[(&str, &str)]| {
        let page = input_items(&stored, &query(pairs)).unwrap();
        let ids: Vec<_> =
            page["data"].as_array().unwrap().iter().map(|it| it["id"].clone()).collect();
        assert_eq!((ids.first(), ids.last()), (Some(&page["first_id"]), Some(&page["last_id"])));
        let ids: Vec<_> = ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect();
        (ids, page["has_more"].as_bool().unwrap())
    };
    assert_eq!(page(&[]).0, ["fco_9_in2", "fc_8_0", "msg_9_in0"]);
    assert_eq!(
        page(&[("order", "asc"), ("limit", "2")]),
        (vec!["msg_9_in0".to_owned(), "fc_8_0".to_owned()], true)
    );
    assert_eq!(
        page(&[("order", "asc"), ("after", "fc_8_0"), ("limit", "1")]),
        (vec!["fco_9_in2".to_owned()], false)
    );
    let last = input_items(&stored, &query(&[("after", "msg_9_in0")])).unwrap();
    assert_eq!((&last["data"], &last["first_id"]), (&json!([]), &Value::Null));
    let first = &input_items(&stored, &query(&[("order", "asc")])).unwrap()["data"][0];
    assert_eq!(first["content"], json!([{"type": "input_text", "text": "a"}]));

    assert_eq!(
        input_items(&stored, &query(&[("after", "x")])).unwrap_err().param.as_deref(),
        Some("after")
    );
    for pair in [("limit", "0"), ("limit", "101"), ("limit", "x"), ("order", "up")] {
        assert_eq!(InputItemsQuery::parse([pair]).unwrap_err().param.as_deref(), Some(pair.0));
    }
    assert_eq!(deleted("resp_9"), json!({"id": "resp_9", "object": "response", "deleted": true}));
}

use serde_json::{Value, json};

use super::checker::check;
use super::{head, parse, request};
use crate::{
    AnswerRenderer, ContentBlock, Event, Fault, FaultKind, Frame, GenerateRequest as _,
    ModelResponse, StopReason,
};

fn text(block: u32, text: &str) -> Event {
    Event::TextDelta { block, text: text.to_owned() }
}

fn start(block: u32, id: &str) -> Event {
    Event::ToolUseStart { block, id: id.to_owned(), name: "f".to_owned() }
}

fn input(block: u32, json: &str) -> Event {
    Event::ToolInputDelta { block, json: json.to_owned() }
}

fn stop(reason: StopReason) -> Event {
    Event::Stop { reason, stop_sequence: None }
}

fn renderer() -> Box<dyn AnswerRenderer> {
    parse(&request(json!({"tools": [{"type": "custom", "name": "patch"}]})))
        .unwrap()
        .renderer(head())
}

fn stream(events: &[Event]) -> String {
    let mut renderer = renderer();
    let mut bytes: Vec<u8> = events.iter().flat_map(|event| renderer.event(event)).collect();
    bytes.extend_from_slice(&renderer.finish());
    String::from_utf8(bytes).unwrap()
}

#[test]
fn parallel_calls_may_be_told_side_by_side() {
    let told = check(&stream(&[
        text(0, "Both."),
        start(1, "a"),
        start(2, "b"),
        input(2, "{\"x\":2}"),
        input(1, "{\"x\":1}"),
        input(9, "nobody's"),
        Event::BlockStop { block: 1 },
        Event::BlockStop { block: 2 },
        stop(StopReason::ToolUse),
    ]));
    let arguments: Vec<_> =
        told.items.iter().skip(1).map(|item| item["arguments"].as_str().unwrap()).collect();
    assert_eq!(arguments, ["{\"x\":1}", "{\"x\":2}"]);
    assert_eq!(told.end["type"], "response.completed");
}

#[test]
fn only_the_last_item_of_a_cut_answer_is_incomplete() {
    for with_stops in [false, true] {
        let mut events = vec![text(0, "a"), start(1, "t"), input(1, "{\"x")];
        if with_stops {
            events.insert(1, Event::BlockStop { block: 0 });
            events.push(Event::BlockStop { block: 1 });
        }
        events.push(stop(StopReason::MaxTokens));
        let told = check(&stream(&events));
        let statuses: Vec<_> = told.items.iter().map(|item| item["status"].clone()).collect();
        assert_eq!(statuses, ["completed", "incomplete"]);
        assert_eq!(told.end["response"]["incomplete_details"]["reason"], "max_output_tokens");
    }
}

#[test]
fn reasons_to_stop_have_their_status() {
    for (reason, status) in [
        (StopReason::EndTurn, "completed"),
        (StopReason::StopSequence, "completed"),
        (StopReason::PauseTurn, "completed"),
        (StopReason::Other("x".to_owned()), "completed"),
        (StopReason::ContextWindowExceeded, "incomplete"),
        (StopReason::Refusal, "incomplete"),
        (StopReason::GuardrailIntervened, "incomplete"),
    ] {
        let told = check(&stream(&[text(0, "a"), stop(reason.clone())]));
        assert_eq!(told.end["response"]["status"], status);
        let response = ModelResponse {
            content: vec![ContentBlock::Text("a".to_owned())],
            stop_reason: reason,
            stop_sequence: None,
            usage: metering::TokenUsage::default(),
            provider_request_id: None,
        };
        let whole: Value = serde_json::from_slice(&renderer().response(&response)).unwrap();
        assert_eq!(
            (&whole["status"], &whole["output"][0]["status"]),
            (&json!(status), &json!(status))
        );
    }
}

#[test]
fn a_stream_without_an_end_fails() {
    let told = check(&stream(&[text(0, "a")]));
    assert_eq!(told.end["type"], "response.failed");
    assert_eq!(told.end["response"]["error"]["code"], "server_error");
    assert_eq!(check(&stream(&[])).end["type"], "response.failed");
}

#[test]
fn a_fault_is_told_in_the_stream() {
    let fault = Fault::new(FaultKind::TokenRate, "rate_limit_exceeded", "Slow down.");
    let mut renderer = renderer();
    let mut bytes = renderer.event(&text(0, "a")).to_vec();
    bytes.extend_from_slice(&renderer.interrupt(&fault));
    let stream = String::from_utf8(bytes).unwrap();
    assert!(stream.contains("event: error\ndata: {\"type\":\"error\",\"sequence_number\":5,\"code\":\"rate_limit_exceeded\",\"message\":\"Slow down.\",\"param\":null}"));
    assert_eq!(check(&stream).end["response"]["error"]["code"], "rate_limit_exceeded");
    assert_eq!(renderer.to_store(), None);
}

#[test]
fn a_forwarded_stream_that_broke_goes_on_in_its_own_numbers() {
    let created = "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_p\",\"status\":\"in_progress\",\"output\":[]}}\n\n";
    let progress = created.replace("created", "in_progress").replace("er\":0", "er\":1");
    let fault = Fault::new(FaultKind::Provider, "provider_interrupted", "It broke.");
    for store in [true, false] {
        let mut renderer = parse(&request(json!({ "store": store }))).unwrap().renderer(head());
        let mut sent = Vec::new();
        for event in [created, &progress, ": comment\n\n"] {
            let frame = Frame { bytes: event.as_bytes().to_vec().into(), ..Frame::default() };
            if event.starts_with("event") {
                sent.extend_from_slice(&renderer.forwarded(&frame));
            } else {
                renderer.forwarded(&frame);
            }
        }
        sent.extend_from_slice(&renderer.interrupt(&fault));
        let told = check(&String::from_utf8(sent).unwrap());
        let id = if store { "resp_01J" } else { "resp_p" };
        assert_eq!(
            (&told.end["sequence_number"], &told.end["response"]["id"]),
            (&json!(3), &json!(id))
        );
    }
}

#[test]
fn what_was_asked_for_is_repeated() {
    let asked = json!({
        "instructions": "Be brief.", "temperature": 0.5, "tool_choice": "auto", "metadata": {"a": "b"},
        "reasoning": {"effort": "low"}, "text": {"verbosity": "low"}, "max_output_tokens": 9,
        "previous_response_id": "resp_0", "store": false,
        "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": true}],
    });
    let response = ModelResponse {
        content: Vec::new(),
        stop_reason: StopReason::EndTurn,
        stop_sequence: None,
        usage: metering::TokenUsage::default(),
        provider_request_id: None,
    };
    let mut renderer = parse(&request(asked.clone())).unwrap().renderer(head());
    let whole: Value = serde_json::from_slice(&renderer.response(&response)).unwrap();
    for (key, value) in asked.as_object().unwrap() {
        match key.as_str() {
            "text" => {
                assert_eq!(whole[key], json!({"verbosity": "low", "format": {"type": "text"}}));
            }
            "reasoning" => assert_eq!(whole[key], json!({"effort": "low", "summary": null})),
            _ => assert_eq!(whole[key], *value, "{key}"),
        }
    }
    assert_eq!(whole["output"], json!([]));
}

#[test]
fn a_custom_tool_gets_its_text_whatever_the_model_made_of_it() {
    let told = |arguments: &[&str]| {
        let mut events =
            vec![Event::ToolUseStart { block: 0, id: "t".to_owned(), name: "patch".to_owned() }];
        events.extend(arguments.iter().map(|json| input(0, json)));
        events.push(stop(StopReason::ToolUse));
        let told = check(&stream(&events));
        assert_eq!(told.items[0]["type"], "custom_tool_call");
        told.items[0]["input"].as_str().unwrap().to_owned()
    };
    assert_eq!(told(&["{\"input\":", "\"a\\nb\"}"]), "a\nb");
    assert_eq!(told(&["{\"patch\":\"a\"}"]), "{\"patch\":\"a\"}");
    assert_eq!(told(&["{\"input\":\"cut"]), "{\"input\":\"cut");
    assert_eq!(told(&["{\"input\":\"\"}"]), "");
}

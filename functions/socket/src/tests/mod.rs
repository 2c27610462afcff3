//! The whole function in memory: recorded events in, messages out, with two tenants on every side.

mod support;

use serde_json::{Value, json};
use tenancy::Status;

use self::support::{Socket, answer_text, request, say, stop};
use crate::Answer;

fn kinds(told: &[Value]) -> Vec<&str> {
    told.iter().map(|message| message["type"].as_str().unwrap()).collect()
}

fn has_text(text: &'static str) -> impl Fn(&Value) -> bool {
    move |message| message["data"].as_str().is_some_and(|data| data.contains(text))
}

fn is_end(message: &Value) -> bool {
    message["type"] == "end"
}

#[tokio::test]
async fn a_connection_is_accepted_in_the_protocol_that_it_offers() {
    let socket = Socket::new();
    let event: Value = serde_json::from_str(include_str!("../../testdata/connect.json")).unwrap();
    let answer = serde_json::to_value(socket.event(event.clone()).await.unwrap()).unwrap();
    assert_eq!(answer, json!({"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": "bearer"}}));
    let mut anonymous = event;
    anonymous["requestContext"].as_object_mut().unwrap().remove("authorizer");
    let answer = serde_json::to_value(socket.event(anonymous).await.unwrap()).unwrap();
    assert_eq!(answer, json!({"statusCode": 500}));
}

#[tokio::test]
async fn several_turns_stream_on_one_connection_and_each_is_recorded_once() {
    let socket = Socket::new();
    socket.hello("c1").await;
    for (id, text) in [("r1", "one"), ("r2", "two")] {
        let model = socket.model();
        socket.say("c1", request(id)).await;
        let worker = socket.work();
        say(&model, text);
        socket.until("c1", has_text(text)).await;
        stop(model);
        worker.await.unwrap();
        let told = socket.told("c1");
        let of: Vec<Value> = told.into_iter().filter(|message| message["id"] == id).collect();
        assert_eq!((&of[0]["type"], &of[0]["status"]), (&json!("head"), &json!(200)));
        assert_eq!(of[0]["headers"]["content-type"], "text/event-stream");
        assert_eq!(of.last().unwrap()["reason"], "complete");
        assert_eq!(answer_text(&of), text);
        let numbers: Vec<_> = of.iter().map(|message| message["seq"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
    }
    assert_eq!(socket.records().len(), 2);
}

#[tokio::test]
async fn a_turn_runs_once_however_often_its_event_comes() {
    let socket = Socket::new();
    socket.hello("c1").await;
    stop({
        let model = socket.model();
        say(&model, "once");
        model
    });
    socket.say("c1", request("r1")).await;
    let turn = socket.turn().unwrap();
    for _ in 0..3 {
        socket.run(&turn).await.unwrap();
    }
    assert_eq!(socket.records().len(), 1);
    assert_eq!(socket.told("c1").iter().filter(|message| is_end(message)).count(), 1);
    // Neither does a client's second request of the same id run.
    socket.say("c1", request("r1")).await;
    assert_eq!(socket.last("c1")["code"], "duplicate_id");
    assert!(socket.turn().is_none());
}

#[tokio::test]
async fn nobody_runs_a_turn_that_was_not_asked_for() {
    let socket = Socket::new();
    socket.hello("c1").await;
    socket.say("c1", request("r1")).await;
    let mut turn = socket.turn().unwrap();
    turn.caller.insert("tenant_id".into(), "globex".into());
    turn.caller.insert("lob_id".into(), "markets".into());
    socket.run(&turn).await.unwrap();
    assert!(socket.state.gateway.providers.calls.lock().unwrap().is_empty());
    let event = json!({"turn": turn, "requestContext": {"eventType": "MESSAGE"}});
    assert!(socket.event(event).await.is_err());
}

#[tokio::test]
async fn a_request_in_parts_is_put_together_in_order_whenever_they_come() {
    let socket = Socket::new();
    socket.hello("c1").await;
    let content = "caf\u{e9} ".repeat(50_000);
    let body = json!({
        "model": "m", "max_tokens": 100, "stream": true,
        "messages": [{"role": "user", "content": content}],
    });
    let body: Vec<char> = body.to_string().chars().collect();
    let parts: Vec<String> = body.chunks(100_000).map(|part| part.iter().collect()).collect();
    let part =
        |index: usize| json!({"type": "part", "id": "r1", "index": index, "data": parts[index]});
    socket.say("c1", part(2)).await;
    socket.say("c1", part(0)).await;
    socket
        .say("c1", json!({"type": "request", "id": "r1", "path": "/v1/chat/completions", "parts": parts.len()}))
        .await;
    let model = socket.model();
    say(&model, "read");
    stop(model);
    let worker = socket.work();
    tokio::task::yield_now().await;
    socket.say("c1", part(1)).await;
    worker.await.unwrap();
    let calls = socket.state.gateway.providers.calls.lock().unwrap().clone();
    let sent: Value = serde_json::from_slice(&calls[0].1).unwrap();
    assert_eq!(sent["messages"][0]["content"], content);
    assert_eq!(answer_text(&socket.told("c1")), "read");
    let left = socket.state.gateway.content.names();
    assert!(!left.iter().any(|(_, _, id, _)| id.as_str().starts_with(['p', 'q'])), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn a_part_that_never_comes_is_missed_by_its_number() {
    let socket = Socket::new();
    socket.hello("c1").await;
    socket.say("c1", json!({"type": "part", "id": "r1", "index": 0, "data": "{"})).await;
    socket
        .say("c1", json!({"type": "request", "id": "r1", "path": "/v1/messages", "parts": 2}))
        .await;
    socket.work().await.unwrap();
    let told = socket.told("c1");
    assert_eq!(kinds(&told), ["welcome", "head", "piece", "end"]);
    assert_eq!(told[1]["status"], 400);
    let error: Value = serde_json::from_str(told[2]["data"].as_str().unwrap()).unwrap();
    // In the dialect of its path.
    assert_eq!(
        (&error["type"], &error["error"]["type"]),
        (&json!("error"), &json!("invalid_request_error"))
    );
    assert!(error["error"]["message"].as_str().unwrap().starts_with("Part 1 of 2"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_answer_ends_at_once_and_is_billed_to_its_end() {
    let socket = Socket::new();
    socket.hello("c1").await;
    let model = socket.model();
    socket.say("c1", request("r1")).await;
    let worker = socket.work();
    say(&model, "begin");
    socket.until("c1", has_text("begin")).await;
    socket.say("c1", json!({"type": "cancel", "id": "r1"})).await;
    socket.until("c1", is_end).await;
    assert_eq!(socket.last("c1")["reason"], "cancelled");
    assert!(socket.records().is_empty(), "the provider is still at it");
    say(&model, "unheard");
    stop(model);
    worker.await.unwrap();
    assert_eq!(kinds(&socket.told("c1")).last(), Some(&"end"));
    assert_eq!(socket.records().len(), 1);
    assert_eq!(socket.records()[0].usage.output, 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_gets_exactly_what_it_missed_while_the_answer_goes_on() {
    let socket = Socket::new();
    let session = socket.hello("c1").await;
    let model = socket.model();
    socket.say("c1", request("r1")).await;
    let worker = socket.work();
    say(&model, "one ");
    socket.until("c1", has_text("one ")).await;
    let seen = socket.told("c1");
    let after = seen.last().unwrap()["seq"].clone();
    socket.leave("c1");
    say(&model, "two ");
    tokio::task::yield_now().await;
    let back = json!({"type": "resume", "session": session, "id": "r1", "after": after});
    socket.say("c2", back).await;
    socket.until("c2", has_text("two ")).await;
    say(&model, "three");
    stop(model);
    worker.await.unwrap();
    let missed = socket.told("c2");
    assert_eq!(answer_text(&[seen, missed.clone()].concat()), "one two three");
    assert_eq!(missed[0]["seq"].as_u64(), after.as_u64().map(|after| after + 1));
    assert_eq!(missed.iter().filter(|message| is_end(message)).count(), 1);
    assert_eq!(socket.records().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_while_the_answer_ends_gets_it_once() {
    let socket = Socket::new();
    let session = socket.hello("c1").await;
    let model = socket.model();
    socket.say("c1", request("r1")).await;
    let worker = socket.work();
    say(&model, "one");
    socket.until("c1", has_text("one")).await;
    socket.leave("c1");
    // Before the worker looks, it has ended.
    socket.say("c2", json!({"type": "resume", "session": session, "id": "r1"})).await;
    stop(model);
    worker.await.unwrap();
    let told = socket.told("c2");
    assert_eq!(answer_text(&told), "one");
    assert_eq!((kinds(&told)[0], kinds(&told).last()), ("head", Some(&"end")));
}

#[tokio::test]
async fn an_answer_that_has_ended_can_be_had_again_by_its_owner_alone() {
    let socket = Socket::new();
    let session = socket.hello("c1").await;
    let model = socket.model();
    say(&model, "all of it");
    stop(model);
    socket.say("c1", request("r1")).await;
    socket.leave("c1");
    socket.work().await.unwrap();
    assert_eq!(socket.records().len(), 1, "billed as for a client that hangs up");

    let back = json!({"type": "resume", "session": session, "id": "r1"});
    socket.say("c2", back.clone()).await;
    let told = socket.told("c2");
    assert_eq!((kinds(&told)[0], answer_text(&told)), ("head", "all of it".to_owned()));
    let after = told.iter().find(|message| message["type"] == "piece").unwrap()["seq"].clone();
    let mut rest = back.clone();
    rest["after"] = after.clone();
    socket.say("c3", rest).await;
    assert_eq!(socket.told("c3"), told[usize::try_from(after.as_u64().unwrap()).unwrap() + 1..]);

    socket.say_as("globex", "c4", &back.to_string()).await;
    assert_eq!(socket.last("c4")["code"], "unknown_session");
    let hello = json!({"type": "hello", "session": session});
    socket.say_as("globex", "c4", &hello.to_string()).await;
    assert_eq!(socket.last("c4")["code"], "unknown_session");
    let mut event: Value =
        serde_json::from_str(include_str!("../../testdata/message.json")).unwrap();
    event["requestContext"]["connectionId"] = json!("c5");
    event["requestContext"]["authorizer"]["principal_id"] = json!("u-2");
    event["body"] = json!(back.to_string());
    socket.event(event).await.unwrap();
    assert_eq!(socket.last("c5")["code"], "unknown_session", "a colleague is somebody else");
}

#[tokio::test]
async fn a_tenant_that_keeps_nothing_keeps_no_answer() {
    let socket = Socket::new();
    socket.change("acme", |tenant| tenant.settings.stored_responses_days = Some(0));
    let session = socket.hello("c1").await;
    let model = socket.model();
    say(&model, "secret");
    stop(model);
    socket.say("c1", request("r1")).await;
    socket.work().await.unwrap();
    socket.say("c2", json!({"type": "resume", "session": session, "id": "r1"})).await;
    assert_eq!(socket.last("c2")["code"], "not_kept");
    assert_eq!(answer_text(&socket.told("c1")), "secret");
}

#[tokio::test]
async fn every_message_is_checked_again() {
    let socket = Socket::new();
    socket.hello("c1").await;
    // The token expires.
    let mut event: Value =
        serde_json::from_str(include_str!("../../testdata/message.json")).unwrap();
    event["requestContext"]["connectionId"] = json!("c1");
    event["requestContext"]["authorizer"]["expires_at"] =
        json!((support::NOON_MS / 1_000).to_string());
    event["body"] = json!(request("r1").to_string());
    assert_eq!(socket.event(event).await.unwrap(), Answer::ok());
    assert_eq!(socket.last("c1")["code"], "token_expired");
    assert_eq!(*socket.state.outside.closed.lock().unwrap(), ["c1"]);
    // The tenant is suspended.
    let socket = Socket::new();
    socket.change("acme", |tenant| tenant.status = Status::Suspended);
    for message in [json!({"type": "hello"}), request("r1"), json!({"type": "cancel", "id": "r1"})]
    {
        socket.say("c2", message).await;
        assert_eq!(socket.last("c2")["code"], "suspended");
    }
    assert!(socket.turn().is_none());
}

#[tokio::test]
async fn what_cannot_be_done_is_said() {
    let socket = Socket::new();
    socket.say("c1", request("r1")).await;
    assert_eq!(socket.last("c1")["code"], "no_session");
    socket.hello("c1").await;
    socket.say_as("acme", "c1", "{").await;
    assert_eq!(socket.last("c1")["code"], "invalid_message");
    socket.say("c1", json!({"type": "cancel", "id": "r9"})).await;
    assert_eq!(socket.last("c1")["code"], "unknown_request");
    *socket.state.outside.is_full.lock().unwrap() = true;
    socket.say("c1", request("r1")).await;
    let told = socket.last("c1");
    assert_eq!((&told["code"], &told["id"]), (&json!("unavailable"), &json!("r1")));
    // The id is free again.
    *socket.state.outside.is_full.lock().unwrap() = false;
    socket.say("c1", request("r1")).await;
    assert!(socket.turn().is_some());
}

#[tokio::test]
async fn routes_answer_as_over_http() {
    let socket = Socket::new();
    socket.hello("c1").await;
    for (id, path, status) in [
        ("r1", "/v1/models", 405),
        ("r2", "/v1/nothing", 404),
        ("r3", "/v1/messages", 400),
        ("r4", "/v1/chat/completions?a=b", 400),
    ] {
        socket.say("c1", json!({"type": "request", "id": id, "path": path, "body": {}})).await;
        socket.work().await.unwrap();
        let told = socket.told("c1");
        let head = told.iter().find(|it| it["type"] == "head" && it["id"] == id).unwrap();
        assert_eq!(head["status"], status, "{path}");
    }
}

#[tokio::test]
async fn a_closed_connection_is_forgotten() {
    let socket = Socket::new();
    socket.hello("L0SM9cOFvHcCIhw=").await;
    let event = serde_json::from_str(include_str!("../../testdata/disconnect.json")).unwrap();
    socket.event(event).await.unwrap();
    socket.say("L0SM9cOFvHcCIhw=", request("r1")).await;
    assert_eq!(socket.last("L0SM9cOFvHcCIhw=")["code"], "no_session");
}

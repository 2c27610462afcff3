//! Recorded events in, chains out.

use audit::fakes::InMemoryAudit;
use audit::{Filter, Verifier, read, segment_key};
use lambda_runtime::Context;

use super::*;

/// 2026-11-23T12:00:05Z
fn now() -> Timestamp {
    Timestamp::from_second(1_795_435_205).unwrap()
}

type World = State<InMemoryAudit, InMemoryAudit>;

fn world() -> World {
    let audit = InMemoryAudit::default();
    State { table: audit.clone(), files: audit, now }
}

const STREAM: &str = include_str!("../testdata/stream.json");

async fn invoke(world: &World, event: &str) -> Result<Value, Error> {
    let mut context = Context::default();
    context.deadline = u64::MAX;
    handle(world, LambdaEvent::new(serde_json::from_str(event)?, context)).await
}

/// What is in a chain, as `action decision actor`, which is whole.
async fn chain(world: &World, chain: &str) -> Vec<String> {
    let chain = chain.parse().unwrap();
    let page =
        read(&world.table, &world.files, &chain, &Filter::default(), None, 99).await.unwrap();
    let mut verifier = Verifier::new(chain.clone());
    let folder = format!("/{}/", chain.folder());
    for (key, bytes) in world.files.files() {
        if key.contains(&folder) {
            verifier.segment(&key, &bytes).unwrap();
        }
    }
    verifier.finish(Some(&world.table.head(&chain).await.unwrap())).unwrap();
    let text = |record: &Value, name: &str| record[name].as_str().unwrap_or("-").to_owned();
    let names = ["action", "decision", "principal_id", "tenant_id"];
    let row = |record: &Value| names.map(|name| text(record, name)).join(" ");
    page.records.iter().rev().map(row).collect()
}

const ACME: [&str; 2] = ["limits.set allow u-1 globex", "limits.set deny u-2 acme"];

#[tokio::test]
async fn each_entry_comes_into_its_owners_chain_however_often_it_is_delivered() {
    let world = world();
    for _ in 0..3 {
        assert_eq!(invoke(&world, STREAM).await.unwrap(), json!({ "batchItemFailures": [] }));
        assert_eq!(chain(&world, "tenant=acme").await, ACME);
        assert_eq!(chain(&world, "org").await, ["prices.set allow u-1 globex"]);
        assert_eq!(chain(&world, "tenant=globex").await, Vec::<String>::new());
    }
    let key = segment_key(&"tenant=acme".parse().unwrap(), "2026-11-23".parse().unwrap(), 1);
    let text = String::from_utf8(world.files.files()[&key].clone()).unwrap();
    assert!(text.contains(r#""before":[{"amount":9007199254740993}]"#), "{text}");
}

#[tokio::test]
async fn other_changes_of_the_table_are_ignored() {
    for (from, to) in [("INSERT", "MODIFY"), ("INSERT", "REMOVE"), ("AUDIT#", "VERSION#")] {
        let world = world();
        let answer = invoke(&world, &STREAM.replace(from, to)).await.unwrap();
        assert_eq!(answer, json!({ "batchItemFailures": [] }));
        assert_eq!(world.files.files().len(), 0);
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_reported_and_stops_nobody_else() {
    let world = world();
    let broken = STREAM.replacen("TENANT#acme", "TENANT#ACME", 2);
    let answer = invoke(&world, &broken).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": "100" }] }));
    assert_eq!(chain(&world, "tenant=acme").await, ACME[1..]);
    assert_eq!(chain(&world, "org").await.len(), 1);
}

#[tokio::test]
async fn a_store_that_fails_is_asked_again() {
    for operations in 0..12 {
        for is_late in [false, true] {
            let world = world();
            world.table.die_after(Some(operations), is_late);
            let answer = invoke(&world, STREAM).await.unwrap();
            let failures = answer["batchItemFailures"].as_array().unwrap();
            assert_eq!(failures.len(), 1, "{operations}");
            let first = failures[0]["itemIdentifier"].as_str().unwrap();
            assert!(["100", "101"].contains(&first), "{first}");
            world.table.die_after(None, false);
            invoke(&world, STREAM).await.unwrap();
            assert_eq!(chain(&world, "tenant=acme").await, ACME, "{operations}");
            assert_eq!(chain(&world, "org").await.len(), 1);
        }
    }
}

#[tokio::test]
async fn schedules_sweep_and_make_checkpoints() {
    let world = world();
    invoke(&world, STREAM).await.unwrap();
    let swept = invoke(&world, r#"{"task":"sweep"}"#).await.unwrap();
    assert_eq!(swept, json!({"owners": 0, "records": 0, "failed": 0, "is_complete": true}));
    let made = invoke(&world, include_str!("../testdata/checkpoint.json")).await.unwrap();
    assert_eq!(
        (&made["key"], &made["chains"]),
        (&json!("checkpoints/2026-11-23.jsonl"), &json!(2))
    );
    assert_eq!(invoke(&world, r#"{"task":"checkpoint"}"#).await.unwrap(), made);
    assert_eq!(chain(&world, "org").await[1], "audit.checkpoint allow audit -");
    for event in ["{}", r#"{"task":"purge"}"#, "[]"] {
        invoke(&world, event).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_sweep_that_could_not_look_at_all_fails() {
    let world = world();
    let event: StreamEvent = serde_json::from_str(STREAM).unwrap();
    for record in event.records {
        let item = serde_dynamo::from_item(record.change.new_image).unwrap();
        let (chain, entry) = audit::Entry::of_item(item).unwrap();
        world.table.note(&chain, entry);
    }
    world.table.die_after(Some(4), false);
    invoke(&world, r#"{"task":"sweep"}"#).await.unwrap_err();
    world.table.die_after(None, false);
    let swept = invoke(&world, r#"{"task":"sweep"}"#).await.unwrap();
    assert_eq!(swept["records"], 3);
    assert_eq!(chain(&world, "tenant=acme").await, ACME);
}

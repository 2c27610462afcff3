//! Recorded events in, the ledger's state out.

use std::collections::BTreeMap;

use ::lake::fakes::InMemoryObjects;
use admission::fakes::InMemoryLedger;
use admission::{Calendar, Gate, Meter, MeterRef, Minute, Part, Reservation, Scope};
use lambda_runtime::{Context, LambdaEvent};
use metering::fakes::InMemoryUsage;
use metering::{NanoUsd, RecordId};
use serde_json::{Value, json};
use tenancy::Status;

use super::{State, handle};

type World = State<InMemoryLedger, InMemoryUsage, InMemoryObjects>;

fn world() -> World {
    let (usage, objects) = (InMemoryUsage::default(), InMemoryObjects::default());
    State { ledger: ledger(), usage, objects, lake_groups: 1 }
}

/// 2026-11-23T12:00:00Z
const NOON_MS: i64 = 1_795_435_200_000;

fn scopes(tenant: &str, lob: &str) -> [Scope; 2] {
    [Scope::Tenant(tenant.parse().unwrap()), Scope::Lob(lob.parse().unwrap())]
}

/// One open call of each tenant, of 100 nano-USD and 50 tokens.
fn ledger() -> InMemoryLedger {
    let mut meters = BTreeMap::new();
    for (tenant, lob, call) in
        [("acme", "retail", ("call-1", 1)), ("globex", "markets", ("call-2", 2))]
    {
        for scope in scopes(tenant, lob) {
            let id = RecordId { call_id: call.0.to_owned(), attempt: call.1 };
            let mut meter = Meter::new(Status::Active, 1);
            let reservation = Reservation {
                tenant_id: tenant.parse().unwrap(),
                amount_nanousd: NanoUsd(100),
                input_tokens: 30,
                output_tokens: 20,
                requests: 1,
                minute: Minute::of(NOON_MS),
                deadline_ms: NOON_MS + 960_000,
                part: Part::WHOLE,
            };
            let gate = Gate {
                meter: MeterRef::of(scope.clone()),
                caps: vec![],
                entitlement_version: Some(1),
            };
            let roll = meter.decide(&Calendar::utc(), &gate, &reservation).unwrap();
            meter.reserve(&gate, roll, &id, reservation);
            meters.insert(scope, meter);
        }
    }
    InMemoryLedger::with_meters(meters)
}

async fn invoke(state: &World, event: &str) -> Result<Value, lambda_runtime::Error> {
    handle(state, LambdaEvent::new(serde_json::from_str(event)?, Context::default())).await
}

/// What each scope has committed, and how many calls are open.
fn committed(ledger: &InMemoryLedger, tenant: &str, lob: &str) -> [(u64, usize); 2] {
    scopes(tenant, lob)
        .map(|scope| (ledger.committed(&scope).0, ledger.meter_of(&scope).open.len()))
}

#[tokio::test]
async fn a_record_settles_its_own_scopes_once_however_often_it_comes() {
    let state = world();
    for _ in 0..3 {
        let answer = invoke(&state, include_str!("../testdata/stream.json")).await.unwrap();
        assert_eq!(answer, json!({ "batchItemFailures": [] }));
        assert_eq!(committed(&state.ledger, "acme", "retail"), [(42, 0); 2]);
        assert_eq!(committed(&state.ledger, "globex", "markets"), [(7, 0); 2]);
    }
}

#[tokio::test]
async fn a_failure_is_reported_where_it_happened_and_nothing_after_it_is_passed_over() {
    let state = world();
    let broken = include_str!("../testdata/stream.json").replacen(r#""schema""#, r#""scheme""#, 1);
    let answer = invoke(&state, &broken).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": "100" }] }));
    assert_eq!(
        committed(&state.ledger, "globex", "markets"),
        [(100, 1); 2],
        "delivered again later"
    );

    let state = world();
    state.ledger.fail("settle");
    let answer = invoke(&state, include_str!("../testdata/stream.json")).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": "100" }] }));
}

#[tokio::test]
async fn other_changes_of_the_table_are_ignored() {
    let state = world();
    for (from, to) in [("INSERT", "MODIFY"), (r#""USAGE#call"#, r#""METER#call"#)] {
        let event = include_str!("../testdata/stream.json").replace(from, to);
        assert_eq!(invoke(&state, &event).await.unwrap(), json!({ "batchItemFailures": [] }));
        assert_eq!(committed(&state.ledger, "acme", "retail"), [(100, 1); 2]);
    }
}

#[tokio::test]
async fn a_schedule_sweeps_by_its_own_time() {
    let state = world();
    let early = include_str!("../testdata/schedule.json").replace("13:00:00", "12:15:00");
    assert_eq!(
        invoke(&state, &early).await.unwrap(),
        json!({ "settled": 0, "estimated": 0, "released": 0 })
    );
    invoke(&state, r#"{"time":"yesterday"}"#).await.unwrap_err();
    state.ledger.fail("meter");
    invoke(&state, include_str!("../testdata/schedule.json")).await.unwrap_err();
}

use bytes::Bytes;
use serde_json::json;

use super::{Api, CallHead, MAX_BODY, MAX_CALLS, Outcome, Records};
use crate::plan::Usage;

fn head(tenant_id: &str, body: impl Into<Bytes>) -> CallHead {
    let metadata = json!({"tenant_id": tenant_id, "call_id": "c"}).as_object().unwrap().clone();
    CallHead { request_metadata: metadata, request_body: body.into(), ..CallHead::default() }
}

#[test]
fn calls_are_listed_by_tenant_and_number() {
    let records = Records::default();
    let _one = records.begin(Api::Converse, "m", head("acme", "{}"));
    let two = records.begin(Api::Converse, "m", head("globex", "{}"));
    assert_eq!(records.list(0, None, 10).len(), 2);
    assert_eq!(records.list(1, None, 10)[0].seq, two.seq());
    assert_eq!(records.list(0, Some("acme"), 10)[0].tenant_id.as_deref(), Some("acme"));
    assert!(records.list(2, None, 10).is_empty());
    records.reset();
    assert!(records.list(0, None, 10).is_empty());
    assert_eq!(records.last_seq(), 2);
}

#[test]
fn a_dropped_guard_is_a_caller_who_hung_up_and_pays_for_what_was_produced() {
    let records = Records::default();
    let guard = records.begin(Api::ConverseStream, "m", head("acme", "{}"));
    guard.planned(Usage { input: 5, output: 40, ..Usage::default() }, 4);
    guard.chunk_sent();
    drop(guard);
    let call = &records.list(0, None, 1)[0];
    assert_eq!((call.finished, call.outcome, call.chunks_sent), (false, Outcome::Disconnected, 1));
    assert_eq!((call.usage.input, call.usage.output), (5, 10));
}

#[test]
fn the_bytes_of_a_body_are_kept() {
    let records = Records::default();
    let sent = r#"{"a" : 1.50}"#;
    let _guard = records.begin(Api::Converse, "m", head("acme", sent));
    assert_eq!(records.list(0, None, 1)[0].request_body.get(), sent);
}

#[test]
fn a_long_body_is_truncated_and_says_so() {
    let records = Records::default();
    let _guard = records.begin(Api::Converse, "m", head("acme", "x".repeat(MAX_BODY + 1)));
    let call = &records.list(0, None, 1)[0];
    assert!(call.request_body_truncated);
    assert_eq!(call.request_body.get().len(), MAX_BODY + 2);
}

#[test]
fn the_oldest_calls_are_forgotten() {
    let records = Records::default();
    for _ in 0..=MAX_CALLS {
        records.begin(Api::Converse, "m", CallHead::default());
    }
    let calls = records.list(0, None, usize::MAX);
    assert_eq!((calls.len(), calls[0].seq), (MAX_CALLS, 2));
}

//! Who dies where, who races whom: each entry is in its chain once, and the chain is whole.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::fakes::InMemoryAudit;
use crate::{Decision, Verifier, checkpoint, sha256, sweep};

/// 2026-11-23T12:00:00Z
const NOON_S: i64 = 1_795_435_200;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOON_S + seconds).unwrap()
}

pub(crate) fn entry(number: i64) -> Entry {
    Entry {
        id: format!("e-{number}"),
        time: at(number),
        principal_id: Some("u-1".into()),
        principal_kind: None,
        tenant_id: Some("acme".into()),
        roles: vec!["org_admin".into()],
        action: "limits.set".into(),
        subject: "tenants/acme".into(),
        decision: Decision::Allow,
        version: Some(1),
        request_id: None,
        reason: None,
        before: Value::Null,
        after: json!([{"id": "a", "amount": u64::MAX, "share": 0.1}]),
        details: Map::new(),
    }
}

pub(crate) fn acme() -> ChainId {
    "tenant=acme".parse().unwrap()
}

/// The files of a chain in the order of their records, which need not be that of days: clocks differ.
fn files_of(audit: &InMemoryAudit, chain: &ChainId) -> Vec<(String, Vec<u8>)> {
    let folder = format!("/{}/", chain.folder());
    let all = audit.files().into_iter();
    let mut files: Vec<_> = all.filter(|(key, _)| key.contains(&folder)).collect();
    files.sort_by_key(|(key, _)| key.split_once(&folder).map(|(_, name)| name.to_owned()));
    files
}

/// The ids in a chain, which is whole up to its head.
async fn ids(audit: &InMemoryAudit, chain: &ChainId) -> Vec<String> {
    let mut verifier = Verifier::new(chain.clone());
    let mut ids = Vec::new();
    for (key, bytes) in files_of(audit, chain) {
        verifier.segment(&key, &bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let id =
            |line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
        ids.extend(text.lines().map(id));
    }
    let head = audit.head(chain).await.unwrap();
    verifier.finish(Some(&head)).unwrap();
    ids
}

fn named(numbers: impl IntoIterator<Item = i64>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("e-{number}")).collect()
}

#[tokio::test]
async fn entries_come_into_their_chain_once_and_in_order() {
    let audit = InMemoryAudit::default();
    let entries: Vec<Entry> = (0..120).map(entry).collect();
    let appended = append(&audit, &audit, &acme(), &entries, at(200)).await.unwrap();
    assert_eq!(appended.records, 120);
    // Delivered again, out of order, with more.
    let again: Vec<Entry> = (100..130).rev().chain(125..130).map(entry).collect();
    assert_eq!(append(&audit, &audit, &acme(), &again, at(201)).await.unwrap().records, 10);
    let expected = named((0..120).chain((120..130).rev()));
    assert_eq!(ids(&audit, &acme()).await, expected);
    let sizes = files_of(&audit, &acme()).len();
    assert_eq!(sizes, 4, "50, 50, 20, 10");
}

#[tokio::test]
async fn a_death_at_any_step_leaves_no_gap_no_fork_and_nothing_twice() {
    let steps = {
        let audit = InMemoryAudit::default();
        append(&audit, &audit, &acme(), &[entry(1), entry(2)], at(9)).await.unwrap();
        audit.operations()
    };
    assert!(steps >= 5, "{steps}");
    for step in 0..steps {
        for is_late in [false, true] {
            let audit = InMemoryAudit::default();
            append(&audit, &audit, &acme(), &[entry(0)], at(0)).await.unwrap();
            audit.die_after(Some(step), is_late);
            let batch = [entry(1), entry(2)];
            append(&audit, &audit, &acme(), &batch, at(9)).await.unwrap_err();
            audit.die_after(None, false);
            // The next delivery brings others before it brings these again, and it is another day.
            append(&audit, &audit, &acme(), &[entry(3)], at(86_400)).await.unwrap();
            append(&audit, &audit, &acme(), &batch, at(86_401)).await.unwrap();
            let found = ids(&audit, &acme()).await;
            let expected = [named([0, 1, 2, 3]), named([0, 3, 1, 2])];
            assert!(expected.contains(&found), "{step} {is_late}: {found:?}");
            let notes = audit.segments(&acme(), u64::MAX, 99).await.unwrap();
            let mut keys: Vec<String> = notes.iter().map(crate::SegmentNote::key).collect();
            keys.reverse();
            let written: Vec<String> =
                files_of(&audit, &acme()).into_iter().map(|(key, _)| key).collect();
            assert_eq!(keys, written, "every file is noted, and the reverse");
        }
    }
}

#[tokio::test]
async fn what_the_stream_never_brings_is_found_in_the_table() {
    let steps = 60;
    for step in 0..steps {
        for is_late in [false, true] {
            let audit = InMemoryAudit::default();
            for number in 0..7 {
                audit.note(&acme(), entry(number));
                audit.note(&ChainId::Org, entry(number));
            }
            append(&audit, &audit, &acme(), &[entry(2), entry(5)], at(9)).await.unwrap();
            audit.die_after(Some(step), is_late);
            let _ = sweep(&audit, &audit, at(10), || false).await;
            audit.die_after(None, false);
            let swept = sweep(&audit, &audit, at(11), || false).await.unwrap();
            assert_eq!((swept.owners, swept.failed, swept.is_complete), (2, 0, true));
            assert_eq!(ids(&audit, &ChainId::Org).await, named(0..7));
            let mut found = ids(&audit, &acme()).await;
            assert_eq!(found[..2], named([2, 5]));
            found.sort();
            assert_eq!(found, named(0..7));
            let late = at(3_600 + 5);
            assert_eq!(sweep(&audit, &audit, late, || false).await.unwrap().records, 0);
            // What is an hour old is not looked at again; what is younger is.
            let checked = audit.head(&acme()).await.unwrap().checked;
            assert_eq!(checked, Some(entry(4).position()));
        }
    }
}

#[tokio::test]
async fn a_sweep_that_has_no_time_says_so() {
    let audit = InMemoryAudit::default();
    audit.note(&acme(), entry(1));
    let swept = sweep(&audit, &audit, at(9), || true).await.unwrap();
    assert_eq!((swept.owners, swept.is_complete), (0, false));
}

#[tokio::test]
async fn what_stands_in_the_place_of_the_next_segment_is_not_written_over() {
    let audit = InMemoryAudit::default();
    append(&audit, &audit, &acme(), &[entry(0)], at(0)).await.unwrap();
    let key = crate::segment_key(&acme(), day_of(at(0)), 2);
    audit.tamper(&key, Some(b"{}\n".to_vec()));
    let error = append(&audit, &audit, &acme(), &[entry(1)], at(1)).await.unwrap_err();
    assert!(matches!(error, AppendError::Forked { .. }), "{error}");
    assert_eq!(audit.files()[&key], b"{}\n");
    assert_eq!(audit.head(&acme()).await.unwrap().sequence, 1);
}

#[tokio::test]
async fn a_checkpoint_names_every_head_once_a_day_wherever_it_was_cut() {
    for step in 0..20 {
        for is_late in [false, true] {
            let audit = InMemoryAudit::default();
            append(&audit, &audit, &acme(), &[entry(0), entry(1)], at(2)).await.unwrap();
            append(&audit, &audit, &ChainId::Org, &[entry(0)], at(2)).await.unwrap();
            let head = audit.head(&acme()).await.unwrap();
            audit.die_after(Some(step), is_late);
            let _ = checkpoint(&audit, &audit, at(3)).await;
            audit.die_after(None, false);
            append(&audit, &audit, &acme(), &[entry(2)], at(4)).await.unwrap();
            let first = checkpoint(&audit, &audit, at(5)).await.unwrap();
            let second = checkpoint(&audit, &audit, at(6)).await.unwrap();
            assert_eq!(first, second, "the list of a day is written once");
            let list = audit.files()[&first.key].clone();
            assert_eq!((first.chains, &first.sha256), (2, &sha256(&list)));
            let list = String::from_utf8(list).unwrap();
            let now = audit.head(&acme()).await.unwrap();
            let names = |head: &Head| {
                let Head { hash, sequence, .. } = head;
                list.contains(&format!(
                    r#"{{"chain":"tenant=acme","hash":"{hash}","sequence":{sequence}}}"#
                ))
            };
            assert!(names(&head) || names(&now), "{list}");
            let org = ids(&audit, &ChainId::Org).await;
            let days = org.iter().filter(|id| id.starts_with("checkpoint-")).count();
            assert_eq!(days, 1, "{org:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Several deliveries of overlapping batches at once, in any order of their steps, one of which dies.
    #[test]
    fn who_races_whom_does_not_matter(seed: u64, death in 0_u64..40, is_late: bool, second in 0_i64..6) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let audit = InMemoryAudit::default();
            audit.interleave(seed);
            let batches: Vec<Vec<Entry>> = vec![
                (0..4).map(entry).collect(),
                (second..second + 3).map(entry).collect(),
                (2..6).rev().map(entry).collect(),
            ];
            audit.die_after(Some(death), is_late);
            let (chain, days) = (acme(), [0, 86_400, 172_800]);
            let run = batches.iter().zip(days).map(|(batch, day)| {
                append(&audit, &audit, &chain, batch, at(100 + day))
            });
            let _ = futures::future::join_all(run).await;
            audit.die_after(None, false);
            for batch in &batches {
                append(&audit, &audit, &chain, batch, at(999)).await.unwrap();
            }
            let mut found = ids(&audit, &chain).await;
            found.sort();
            let mut expected = named((0..6).chain(second..second + 3));
            expected.sort();
            expected.dedup();
            assert_eq!(found, expected);
        });
    }
}

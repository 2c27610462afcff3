//! A chain that is right is right; one that differs in anything is wrong, and says where first.

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::append::tests::{acme, entry};
use crate::fakes::InMemoryAudit;
use crate::{ChainStore as _, append};

type Files = Vec<(String, Vec<u8>)>;

/// 2026-11-23T12:00:00Z
fn noon() -> Timestamp {
    Timestamp::from_second(1_795_435_200).unwrap()
}

/// A chain of nine records in four files, and its head.
async fn chain() -> (Files, Head) {
    let audit = InMemoryAudit::default();
    for (numbers, day) in [(0..3, 0), (3..4, 0), (4..7, 1), (7..9, 2)] {
        let entries: Vec<_> = numbers.map(entry).collect();
        let now = noon() + jiff::SignedDuration::from_hours(24 * day);
        append(&audit, &audit, &acme(), &entries, now).await.unwrap();
    }
    let head = audit.head(&acme()).await.unwrap();
    (audit.files().into_iter().collect(), head)
}

fn built() -> (Files, Head) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(chain())
}

fn verify(files: &Files, head: Option<&Head>) -> Result<Verified, Fault> {
    let mut verifier = Verifier::new(acme());
    for (key, bytes) in files {
        verifier.segment(key, bytes)?;
    }
    verifier.finish(head)
}

fn lines(bytes: &[u8]) -> Vec<String> {
    std::str::from_utf8(bytes).unwrap().lines().map(|line| format!("{line}\n")).collect()
}

/// A record with another subject, hashed as if it were right.
fn rehashed(line: &str, previous: Option<&str>) -> (String, String) {
    let mut record: Value = serde_json::from_str(line).unwrap();
    match previous {
        None => record["subject"] = "tenants/other".into(),
        Some(previous) => record["previous_hash"] = previous.into(),
    }
    let hash = hash_of(&record).unwrap();
    record["hash"] = hash.clone().into();
    (canonical(&record).unwrap() + "\n", hash)
}

#[track_caller]
fn check(change: impl FnOnce(&mut Files), expected: (FaultKind, u64)) {
    let (mut files, head) = built();
    assert!(verify(&files, Some(&head)).is_ok());
    change(&mut files);
    files.sort();
    let fault = verify(&files, Some(&head)).unwrap_err();
    assert_eq!((fault.kind, fault.sequence), expected, "{fault}");
}

#[test]
fn a_chain_that_nobody_touched_is_whole() {
    let (files, head) = built();
    let verified = verify(&files, Some(&head)).unwrap();
    assert_eq!(
        (verified.first_sequence, verified.last_sequence, &verified.hash),
        (1, 9, &head.hash)
    );
    assert_eq!(files[0].0, "audit/dt=2026-11-23/tenant/acme/00000000000000000001.jsonl");
    let empty = Head::empty(acme());
    assert_eq!(verify(&vec![], Some(&empty)).unwrap().last_sequence, 0);
}

#[test]
fn what_is_wrong_is_named_where_it_is_first() {
    let replace = |from: &'static str, to: &'static str| {
        move |files: &mut Files| {
            let text = String::from_utf8(files[2].1.clone()).unwrap().replacen(from, to, 1);
            files[2].1 = text.into_bytes();
        }
    };
    check(replace("u-1", "u-2"), (FaultKind::Changed, 5));
    check(replace("\"chain\"", " \"chain\""), (FaultKind::Unreadable, 5));
    check(replace("tenants/acme", "tenants\\/acme"), (FaultKind::Unreadable, 5));
    check(|files| drop(files.remove(1)), (FaultKind::Missing, 4));
    check(|files| drop(files.remove(0)), (FaultKind::Missing, 1));
    check(|files| drop(files.pop()), (FaultKind::Truncated, 7));
    check(
        |files| files[3].1 = lines(&files[3].1)[0].clone().into_bytes(),
        (FaultKind::Truncated, 8),
    );
    check(
        |files| files[0].1 = lines(&files[0].1)[1..].concat().into_bytes(),
        (FaultKind::Missing, 1),
    );
    check(
        |files| {
            let lines = lines(&files[2].1);
            files[2].1 =
                [&lines[0], &lines[0], &lines[1], &lines[2]].map(String::as_str).concat().into();
        },
        (FaultKind::Doubled, 6),
    );
    check(
        |files| {
            let lines = lines(&files[2].1);
            files[2].1 = [&lines[1], &lines[0], &lines[2]].map(String::as_str).concat().into();
        },
        (FaultKind::Missing, 5),
    );
    // Rewritten so that its own hash is right: then it is not what the next one follows.
    check(
        |files| {
            let mut lines = lines(&files[2].1);
            lines[1] = rehashed(&lines[1], None).0;
            files[2].1 = lines.concat().into();
        },
        (FaultKind::Unlinked, 7),
    );
    // Rewritten up to the end: a fork, which only the head knows of.
    check(
        |files| {
            let mut previous = None;
            for (_, bytes) in files.iter_mut().skip(2) {
                let mut text = String::new();
                for line in lines(bytes) {
                    let (line, hash) = rehashed(&line, previous.as_deref());
                    text.push_str(&line);
                    previous = Some(hash);
                }
                *bytes = text.into_bytes();
            }
        },
        (FaultKind::Forked, 9),
    );
    check(|files| files[1].0 = files[1].0.replace("acme", "globex"), (FaultKind::Misplaced, 4));
    check(|files| files[1].0 = files[1].0.replace("00004", "4"), (FaultKind::Misplaced, 4));
}

#[test]
fn the_head_of_another_time_is_not_this_ones() {
    let (files, head) = built();
    let before = Head { sequence: 8, ..head.clone() };
    assert_eq!(verify(&files, Some(&before)).unwrap_err().kind, FaultKind::Forked);
    let after = Head { sequence: 10, ..head };
    assert_eq!(verify(&files, Some(&after)).unwrap_err().kind, FaultKind::Truncated);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_byte_can_be_changed(at: proptest::sample::Index, bit in 0_u8..8) {
        let (mut files, head) = built();
        let total: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        let mut at = at.index(total);
        for (_, bytes) in &mut files {
            if at < bytes.len() {
                bytes[at] ^= 1 << bit;
                break;
            }
            at -= bytes.len();
        }
        prop_assert!(verify(&files, Some(&head)).is_err());
    }

    /// Any other set or order of the same records in the same files.
    #[test]
    fn no_record_can_be_taken_away_moved_or_doubled(picks in proptest::collection::vec((0_usize..9, 0_usize..4), 0..12)) {
        let (files, head) = built();
        let all: Vec<String> = files.iter().flat_map(|(_, bytes)| lines(bytes)).collect();
        let mut changed: Files = files.iter().map(|(key, _)| (key.clone(), vec![])).collect();
        for (record, file) in picks {
            changed[file].1.extend(all[record].bytes());
        }
        changed.retain(|(_, bytes)| !bytes.is_empty());
        prop_assume!(changed != files);
        prop_assert!(verify(&changed, Some(&head)).is_err());
    }
}

//! What this crate writes, `tools/verify_audit.py` reads: it passes a good trail, and names the first bad
//! record of a bad one.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use audit::fakes::InMemoryAudit;
use audit::{ChainId, Decision, Entry, append, canonical, checkpoint, sha256};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

type Files = BTreeMap<String, Vec<u8>>;

/// 2026-11-23T12:00:00Z
fn noon(days: i64) -> Timestamp {
    Timestamp::from_second(1_795_435_200).unwrap() + SignedDuration::from_hours(24 * days)
}

fn entry(number: i64, days: i64) -> Entry {
    Entry {
        id: format!("e-{number}"),
        time: noon(days) + SignedDuration::from_millis(number),
        principal_id: Some("u\"1\\\u{7f}\u{2028}é".into()),
        principal_kind: Some("user".into()),
        tenant_id: Some("acme".into()),
        roles: vec!["org_admin".into()],
        action: "limits.set".into(),
        subject: "tenants/acme".into(),
        decision: Decision::Allow,
        version: Some(u64::MAX),
        request_id: None,
        reason: Some("line\n\ttab \u{1f600}".into()),
        before: json!([{"amount": 9_007_199_254_740_993_u64, "share": 0.1, "\u{e000}": -1, "\u{1f600}": i64::MIN}]),
        after: Value::Null,
        details: Map::new(),
    }
}

/// Three chains over three days, each with a checkpoint.
async fn trail() -> Files {
    let audit = InMemoryAudit::default();
    for day in 0..3 {
        for chain in ["org", "lob=retail", "tenant=acme"] {
            let chain: ChainId = chain.parse().unwrap();
            for numbers in [0..2, 2..3] {
                let entries: Vec<Entry> = numbers.map(|number| entry(number, day)).collect();
                append(&audit, &audit, &chain, &entries, noon(day)).await.unwrap();
            }
        }
        checkpoint(&audit, &audit, noon(day)).await.unwrap();
    }
    audit.files()
}

fn built() -> Files {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(trail())
}

/// The exit status of the tool, and what it said.
fn run(files: &Files, arguments: &[&str]) -> (i32, String) {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/verify_audit.py");
    let output =
        Command::new("python3").arg(tool).arg(directory.path()).args(arguments).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), said)
}

const ACME: &str = "audit/dt=2026-11-24/tenant/acme/00000000000000000004.jsonl";
const ACME_LAST: &str = "audit/dt=2026-11-25/tenant/acme/00000000000000000009.jsonl";

fn lines(files: &Files, key: &str) -> Vec<String> {
    let text = String::from_utf8(files[key].clone()).unwrap();
    text.lines().map(|line| format!("{line}\n")).collect()
}

fn rehashed(line: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut record: Value = serde_json::from_str(line).unwrap();
    change(&mut record);
    record.as_object_mut().unwrap().remove("hash");
    let hash = sha256(canonical(&record).unwrap().as_bytes());
    record["hash"] = hash.into();
    canonical(&record).unwrap() + "\n"
}

#[track_caller]
fn check(change: impl FnOnce(&mut Files), expected: &str) {
    let mut files = built();
    change(&mut files);
    let (status, said) = run(&files, &[]);
    assert_eq!(status, 1, "{said}");
    let first = said.lines().find(|line| line.starts_with("FAULT")).unwrap_or_default();
    assert!(first.contains(expected), "{expected}\n{said}");
}

#[test]
fn a_trail_that_nobody_touched_passes() {
    let files = built();
    let (status, said) = run(&files, &[]);
    assert_eq!(status, 0, "{said}");
    let counts: Vec<&str> = said.lines().filter_map(|line| line.split("  ").nth(2)).collect();
    assert_eq!(counts, ["9 records", "12 records", "9 records"]);
    let last: Value = serde_json::from_str(&lines(&files, ACME_LAST)[0]).unwrap();
    let head = format!("9:{}", last["hash"].as_str().unwrap());
    assert!(said.contains(&head), "{said}");
    let chain = ["--chain", "tenant=acme", "--head"];
    assert_eq!(run(&files, &[&chain[..], &[&head]].concat()).0, 0);
    let other = format!("9:{}", "a".repeat(64));
    assert_eq!(run(&files, &[&chain[..], &[&other]].concat()).0, 1);
    assert_eq!(run(&Files::new(), &[]).0, 2);
}

#[test]
fn a_planted_change_is_named() {
    let swap = |files: &mut Files, from: &str, to: &str| {
        let text = String::from_utf8(files[ACME].clone()).unwrap();
        assert!(text.contains(from));
        files.insert(ACME.to_owned(), text.replacen(from, to, 1).into_bytes());
    };
    check(|it| swap(it, "limits.set", "limits.get"), "tenant=acme record 4 in");
    check(|it| swap(it, "9007199254740993", "9007199254740992"), "it was changed");
    check(|it| swap(it, "\"version\"", " \"version\""), "it is not a record in its one form");
    check(|it| swap(it, "\"version\":", "\"version\":0,\"version\":"), "in its one form");
    check(|it| swap(it, "\n", ""), "tenant=acme record 4 in");
    check(
        |it| {
            let mut changed = lines(it, ACME);
            changed[0] = rehashed(&changed[0], |record| record["subject"] = "x".into());
            it.insert(ACME.into(), changed.concat().into_bytes());
        },
        "tenant=acme record 5 in",
    );
}

#[test]
fn a_record_taken_away_doubled_moved_or_slipped_in_is_named() {
    let rewrite = |files: &mut Files, pick: &[usize]| {
        let all = lines(files, ACME);
        let text: String = pick.iter().map(|at| all[*at].as_str()).collect();
        files.insert(ACME.to_owned(), text.into_bytes());
    };
    check(|it| rewrite(it, &[0]), "tenant=acme record 5 in");
    check(|it| rewrite(it, &[0, 0, 1]), "a record is there twice: this is 4");
    check(|it| rewrite(it, &[1, 0]), "records are missing: this is 5");
    check(|it| drop(it.remove(ACME)), "tenant=acme record 4 in");
    check(
        |it| {
            let forged = rehashed(&lines(it, ACME)[1], |record| {
                record["sequence"] = 6.into();
                record["id"] = "forged".into();
            });
            let text = lines(it, ACME).concat() + &forged;
            it.insert(ACME.into(), text.into_bytes());
        },
        "tenant=acme record 6 in",
    );
    check(|it| drop(it.insert("audit/other.jsonl".into(), vec![])), "not the name of a file");
}

#[test]
fn an_end_cut_off_and_a_chain_written_anew_are_known_by_the_checkpoint() {
    check(|it| drop(it.remove(ACME_LAST)), "tenant=acme record 9: records are missing");
    check(|it| it.retain(|key, _| !key.contains("/acme/")), "tenant=acme record 1: records");
    check(
        |it| {
            let line = rehashed(&lines(it, ACME_LAST)[0], |record| record["action"] = "x".into());
            it.insert(ACME_LAST.into(), line.into_bytes());
        },
        "tenant=acme record 9: the chain was written anew",
    );
    let list = "checkpoints/2026-11-24.jsonl";
    check(|it| drop(it.remove(list)), "it is not there");
    check(
        |it| {
            let lines = lines(it, list);
            it.insert(list.into(), lines[1..].concat().into_bytes());
        },
        "the organisation's chain has another hash of it",
    );
}

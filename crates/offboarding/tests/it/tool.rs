//! What this crate writes, `tools/verify_evidence.py` reads: it passes good evidence, and names what is
//! wrong with other.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use lake::ObjectStore as _;
use offboarding::fakes::FakeWorld;

use crate::support::{FOLDER, saga, world};

type Files = BTreeMap<String, Vec<u8>>;

async fn files(world: &FakeWorld) -> Files {
    let mut files = Files::new();
    for key in world.papers.inner.list(FOLDER).await.unwrap() {
        let bytes = world.papers.inner.get(&key).await.unwrap().unwrap();
        files.insert(key[FOLDER.len()..].to_owned(), bytes.to_vec());
    }
    files
}

/// The exit status of the tool, and what it said.
fn verify(files: &Files, arguments: &[&str]) -> (i32, String) {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(directory.path().join(name), bytes).unwrap();
    }
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/verify_evidence.py");
    let mut command = Command::new("python3");
    let output = command.arg(tool).arg(directory.path()).args(arguments).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), said)
}

fn changed(files: &Files, name: &str, from: &str, to: &str) -> Files {
    let mut files = files.clone();
    let text = String::from_utf8(files[name].clone()).unwrap();
    assert!(text.contains(from), "{from} in {name}");
    files.insert(name.to_owned(), text.replacen(from, to, 1).into_bytes());
    files
}

#[tokio::test]
async fn good_evidence_passes_and_whatever_is_changed_is_named() {
    let world = world().await;
    saga(&world, None).await;
    let good = files(&world).await;
    let (status, said) = verify(&good, &[]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("signature  good"), "{said}");
    for (name, from, to, expected) in [
        ("evidence.json", "\"deleted\":", "\"deleted\": ", "not in its one form"),
        ("evidence.json", "FILE#file-1#0", "FILE#file-9#0", "not the signature"),
        (
            "evidence.json",
            "\"action\":\"deleted\"",
            "\"action\":\"retained\"",
            "not what becomes of the class",
        ),
        ("evidence.json", "\"retained\":0", "\"retained\":7", "the counts of the class"),
        ("usage.json", "months", "month", "usage.json is not what was exported"),
    ] {
        let (status, said) = verify(&changed(&good, name, from, to), &[]);
        assert_eq!(status, 1, "{said}");
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let mut missing = good.clone();
    missing.remove("history.jsonl");
    let (status, said) = verify(&missing, &[]);
    assert!(status == 1 && said.contains("history.jsonl was exported and is not"), "{said}");
    // Somebody signs something else by a key of their own.
    let other = crate::support::world().await;
    saga(&other, None).await;
    let other = files(&other).await;
    let mut forged = good.clone();
    forged.insert("evidence.pub.pem".to_owned(), other["evidence.pub.pem"].clone());
    let (status, said) = verify(&forged, &[]);
    assert!(status == 1 && said.contains("is not the key that the evidence names"), "{said}");
    // Whole, but not by the key that is trusted.
    let directory = tempfile::tempdir().unwrap();
    let trusted = directory.path().join("trusted.pem");
    std::fs::write(&trusted, &good["evidence.pub.pem"]).unwrap();
    let trusted = trusted.to_str().unwrap();
    assert_eq!(verify(&good, &["--public-key", trusted]).0, 0);
    let (status, said) = verify(&other, &["--public-key", trusted]);
    assert!(status == 1 && said.contains("is not the key in"), "{said}");
    let (status, said) = verify(&Files::new(), &[]);
    assert!(status == 2 && said.contains("cannot be read"), "{said}");
}

//! Chains of the audit trail, made of the entries that changes of limits leave.

use std::collections::BTreeSet;

use admission::{AuditEntry, LimitStore as _};
use audit::fakes::InMemoryAudit;
use audit::{
    ChainId, ChainStore as _, Entry, EntrySource as _, Filter, Head, append, read, sweep,
    verify_tail,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use store_dynamodb::AuditTable;
use tenancy::{PrincipalKind, Role};

use crate::limits::tables;
use crate::support::{NOON, TENANCY, put};

fn noon() -> Timestamp {
    Timestamp::from_millisecond(NOON.start_ms()).unwrap()
}

fn entry(number: i64, tenant: &str) -> AuditEntry {
    AuditEntry {
        id: format!("e-{number:03}"),
        time: noon() + SignedDuration::from_secs(number),
        action: "limits.set".into(),
        subject: "tenants/acme".into(),
        principal_id: "u-1".to_owned().try_into().unwrap(),
        principal_kind: Some(PrincipalKind::Machine),
        tenant_id: tenant.parse().unwrap(),
        roles: BTreeSet::from([Role::OrgAdmin]),
        is_allowed: false,
        version: None,
        before: json!([{"amount": u64::MAX, "share": 0.25}]),
        after: json!(null),
    }
}

fn acme() -> ChainId {
    "tenant=acme".parse().unwrap()
}

/// As the stream brings it.
fn item(entry: &AuditEntry) -> (ChainId, Entry) {
    let Value::Object(mut item) = json!(entry) else { panic!("an object") };
    item.insert("PK".into(), format!("TENANT#{}", entry.tenant_id).into());
    item.insert("SK".into(), format!("AUDIT#{}", entry.position()).into());
    Entry::of_item(item).unwrap()
}

async fn numbers(table: &AuditTable, files: &InMemoryAudit, chain: &ChainId) -> Vec<String> {
    let page = read(table, files, chain, &Filter::default(), None, 999).await;
    let id = |record: &Value| record.get("id").and_then(Value::as_str).unwrap().to_owned();
    page.unwrap().records.iter().rev().map(id).collect()
}

struct Both<'a> {
    table: &'a AuditTable,
    files: &'a InMemoryAudit,
}

impl Both<'_> {
    async fn verify(&self, chain: &ChainId) -> (u64, u64) {
        let (head, verified) = verify_tail(self.table, self.files, chain, 999).await.unwrap();
        let verified = verified.unwrap();
        assert_eq!((verified.last_sequence, &verified.hash), (head.sequence, &head.hash));
        (verified.first_sequence, verified.last_sequence)
    }
}

#[tokio::test]
async fn what_was_noted_comes_into_its_owners_chain_once() {
    let (client, limits) = tables().await;
    let table = AuditTable::new(client.clone(), TENANCY.to_owned());
    let files = InMemoryAudit::default();
    for number in 0..250 {
        limits.note(&entry(number, "acme")).await.unwrap();
    }
    limits.note(&entry(1, "globex")).await.unwrap();
    let all = ["lob=markets", "lob=retail", "org", "tenant=acme", "tenant=globex", "tenant=zenith"];
    let owners: BTreeSet<String> =
        table.owners().await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(owners, all.map(str::to_owned).into());

    // The stream brought some, twice.
    let some: Vec<Entry> = [3, 4, 3].map(|number| item(&entry(number, "acme")).1).into();
    append(&table, &files, &acme(), &some, noon()).await.unwrap();
    append(&table, &files, &acme(), &some, noon()).await.unwrap();
    let swept = sweep(&table, &files, noon(), || false).await.unwrap();
    assert_eq!((swept.owners, swept.records, swept.failed), (6, 249, 0));
    let found = numbers(&table, &files, &acme()).await;
    assert_eq!(found.len(), 250);
    assert_eq!(found[..3], ["e-003", "e-004", "e-000"]);
    let page = read(&table, &files, &acme(), &Filter::default(), None, 1).await.unwrap();
    let last = page.records.first().unwrap();
    let is = |name: &str, value: Value| assert_eq!(last.get(name), Some(&value));
    is("principal_kind", json!("machine"));
    is("roles", json!(["org_admin"]));
    is("decision", json!("deny"));
    is("before", json!([{"amount": u64::MAX, "share": "0.25"}]));
    is("details", json!({}));
    let both = Both { table: &table, files: &files };
    assert_eq!(both.verify(&acme()).await, (1, 250));
    assert_eq!(both.verify(&"tenant=globex".parse().unwrap()).await, (1, 1));
    assert_eq!(both.verify(&ChainId::Org).await, (1, 0));

    // Later it is known what is in the chain; of somebody who is gone, too.
    let later = noon() + SignedDuration::from_hours(2);
    assert_eq!(sweep(&table, &files, later, || false).await.unwrap().records, 0);
    let checked = table.head(&acme()).await.unwrap().checked.unwrap();
    assert_eq!(checked, entry(249, "acme").position());
    assert_eq!(table.entries(&acme(), Some(&checked)).await.unwrap().entries, vec![]);
    limits.note(&entry(300, "acme")).await.unwrap();
    let page = table.entries(&acme(), Some(&checked)).await.unwrap();
    assert_eq!(page.entries.len(), 1);
    let heads = table.heads().await.unwrap();
    let sequences: Vec<u64> = heads.iter().map(|head| head.sequence).collect();
    assert_eq!(sequences, [250, 1]);
}

#[tokio::test]
async fn an_item_that_is_no_entry_stops_nobody_and_is_looked_at_again() {
    let (client, limits) = tables().await;
    let table = AuditTable::new(client.clone(), TENANCY.to_owned());
    let files = InMemoryAudit::default();
    put(&client, TENANCY, "TENANT#acme", "AUDIT#2026-11-23#x", json!({})).await;
    limits.note(&entry(1, "acme")).await.unwrap();
    let later = noon() + SignedDuration::from_hours(2);
    for records in [1, 0] {
        let swept = sweep(&table, &files, later, || false).await.unwrap();
        assert_eq!((swept.records, swept.failed), (records, 0));
        assert_eq!(table.head(&acme()).await.unwrap().checked, None);
    }
}

#[tokio::test]
async fn the_first_claim_of_a_day_counts_until_the_chain_is_longer() {
    let (client, _) = tables().await;
    let table = AuditTable::new(client, TENANCY.to_owned());
    let files = InMemoryAudit::default();
    let empty = Head::empty(acme());
    let (monday, tuesday) = ("2026-11-23".parse().unwrap(), "2026-11-24".parse().unwrap());
    for today in [monday, tuesday] {
        assert_eq!(table.claim(&empty, today).await.unwrap(), Some(monday));
    }
    append(&table, &files, &acme(), &[item(&entry(1, "acme")).1], noon()).await.unwrap();
    assert_eq!(table.claim(&empty, tuesday).await.unwrap(), None);
    let head = table.head(&acme()).await.unwrap();
    assert_eq!((head.sequence, head.day), (1, None));
    assert_eq!(table.claim(&head, tuesday).await.unwrap(), Some(tuesday));
    // Whoever comes late cannot move the head from where it is no more.
    let note = table.segments(&acme(), u64::MAX, 1).await.unwrap().remove(0);
    assert!(!table.advance(&empty, &note).await.unwrap());
    let other = Head { hash: "0".repeat(64), ..head.clone() };
    assert!(!table.advance(&other, &note).await.unwrap());
    assert_eq!(table.segments(&acme(), 1, 9).await.unwrap(), vec![]);
}

#[tokio::test]
async fn many_at_once_make_one_chain() {
    let (client, _) = tables().await;
    let table = AuditTable::new(client, TENANCY.to_owned());
    let files = InMemoryAudit::default();
    let batches: Vec<Vec<Entry>> = (0..6)
        .map(|batch| (batch..batch + 4).map(|number| item(&entry(number, "acme")).1).collect())
        .collect();
    let chain = acme();
    let run = batches.iter().map(|batch| append(&table, &files, &chain, batch, noon()));
    for outcome in futures::future::join_all(run).await {
        outcome.unwrap();
    }
    let mut found = numbers(&table, &files, &acme()).await;
    found.sort();
    let expected: Vec<String> = (0..9).map(|number| format!("e-{number:03}")).collect();
    assert_eq!(found, expected);
    Both { table: &table, files: &files }.verify(&acme()).await;
}

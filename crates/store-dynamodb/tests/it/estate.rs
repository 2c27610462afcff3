//! What a tenant has in the tables, found and taken away.

use std::collections::{BTreeMap, BTreeSet};

use admission::{AuditEntry, Scope, UsageStore as _};
use aws_sdk_dynamodb::Client;
use content::{ContentKind, ContentStore as _};
use metering::{NanoUsd, RecordId};
use offboarding::{Class, Estate as _, Found, Register as _, Store, Tombstone, Whose, classify};
use serde_json::{Value, json};
use store_dynamodb::{Content, DynamoDirectory, TenantTables};
use tenancy::{Directory as _, PrincipalId, Role, TenantId};

use crate::support::{
    NOON, TABLE, TENANCY, context, create_tenancy, dynamodb, gate, keyed_in, ledger, onboard, put,
    reservation,
};

const CONTENT: &str = "content";

async fn tables() -> (Client, TenantTables) {
    let client = dynamodb().await;
    create_tenancy(&client).await;
    keyed_in(&client, CONTENT).await;
    let names = [TENANCY, TABLE, CONTENT].map(str::to_owned);
    let [tenancy, ledger, content] = names;
    (client.clone(), TenantTables::new(client, tenancy, ledger, content))
}

fn id(text: &str) -> TenantId {
    text.parse().unwrap()
}

fn call(attempt: u32) -> RecordId {
    RecordId { call_id: "0198f0c2a7b37d1e8f00aabbccddeeff".to_owned(), attempt }
}

fn whose(tenant: &str) -> Whose {
    Whose { tenant_id: id(tenant), clients: BTreeSet::new() }
}

fn entry(number: u32) -> AuditEntry {
    AuditEntry {
        id: format!("e{number}"),
        time: format!("2026-11-23T12:00:{number:02}Z").parse().unwrap(),
        action: "tenant.offboarded".to_owned(),
        subject: "tenants/acme".to_owned(),
        principal_id: PrincipalId::try_from("u-1".to_owned()).unwrap(),
        principal_kind: None,
        tenant_id: id("globex"),
        roles: BTreeSet::from([Role::OrgAdmin]),
        is_allowed: true,
        version: None,
        before: Value::Null,
        after: Value::Null,
    }
}

/// All that a tenant has in a table, by kind.
async fn everything(tables: &TenantTables, tenant: &str, store: Store) -> Vec<(String, Found)> {
    let (whose, mut all, mut after) = (whose(tenant), Vec::new(), None);
    loop {
        let page = tables.list(&whose, store, after.as_deref()).await.unwrap();
        for found in page.found {
            if let Some(rule) = classify(&whose, &found).unwrap() {
                all.push((rule.kind.to_owned(), found));
            }
        }
        after = page.next;
        if after.is_none() {
            return all;
        }
    }
}

fn kinds(all: &[(String, Found)]) -> BTreeMap<&str, usize> {
    let mut kinds = BTreeMap::new();
    for (kind, _) in all {
        *kinds.entry(kind.as_str()).or_default() += 1;
    }
    kinds
}

/// What is registered for a tenant, as the adapters write it.
async fn populate(client: &Client, tenant: &str) {
    let own = format!("TENANT#{tenant}");
    let owned = json!({ "tenant_id": tenant });
    for (pk, sk, item) in [
        (own.clone(), "META".to_owned(), json!({ "tenant_id": tenant, "lob_id": "retail" })),
        (own.clone(), "VERSION#000000000001".into(), json!({})),
        (own.clone(), "AUDIT#2026#e".into(), json!({ "tenant_id": "globex" })),
        (format!("CALLERS#{tenant}"), format!("CLIENT#c-{tenant}"), json!({})),
        (
            format!("CLIENT#c-{tenant}"),
            "META".into(),
            json!({ "client_id": format!("c-{tenant}"), "tenant_id": tenant, "role": "machine", "issuer": "https://i.example" }),
        ),
        (format!("AWSROLE#1:{tenant}"), "META".into(), owned.clone()),
        (format!("ISSUER#https://{tenant}.example"), "META".into(), owned),
        ("UNFINISHED".into(), format!("tenants/{tenant}/users/u-1"), json!({})),
    ] {
        put(client, TENANCY, &pk, &sk, item).await;
    }
}

#[tokio::test]
async fn everything_of_a_tenant_is_found_and_nothing_of_one_that_begins_alike() {
    let (client, tables) = tables().await;
    let content = Content::new(client.clone(), CONTENT.to_owned());
    for tenant in ["acme", "acme-2", "acme2"] {
        populate(&client, tenant).await;
        let of = context(tenant, "retail");
        onboard(&client, &of).await;
        let value = vec![7; 800 * 1024].into();
        let name = "resp_1".parse().unwrap();
        content.put(&of, ContentKind::Response, &name, value, i64::MAX).await.unwrap();
        let record = metering::fakes::usage_record(
            (id(tenant), of.lob_id.clone(), of.principal.id.clone()),
            "model-a".parse().unwrap(),
            call(1),
            NanoUsd(5),
        );
        ledger(&client).put_record(&of, &record).await.unwrap();
    }
    let tenancy = everything(&tables, "acme", Store::TenancyTable).await;
    assert_eq!(
        kinds(&tenancy),
        BTreeMap::from(
            [
                "tenant",
                "version",
                "audit_entry",
                "listed_client",
                "client",
                "aws_role",
                "issuer",
                "note"
            ]
            .map(|kind| (kind, 1))
        )
    );
    let ledger = everything(&tables, "acme", Store::LedgerTable).await;
    assert_eq!(kinds(&ledger), BTreeMap::from([("meter", 1), ("usage_record", 1)]));
    let stored = everything(&tables, "acme", Store::ContentTable).await;
    // 800 KiB are three chunks and what says so.
    assert_eq!(kinds(&stored), BTreeMap::from([("response", 4)]));
    assert!(stored.iter().all(|(_, found)| found.expires_at == Some(i64::MAX)));
    for (_, found) in &stored {
        assert!(tables.is_there(found).await.unwrap());
        tables.remove(found).await.unwrap();
        tables.remove(found).await.unwrap();
        assert!(!tables.is_there(found).await.unwrap());
    }
    assert_eq!(everything(&tables, "acme", Store::ContentTable).await, []);
    assert_eq!(everything(&tables, "acme2", Store::ContentTable).await.len(), 4);
    assert_eq!(everything(&tables, "acme-2", Store::TenancyTable).await.len(), 8);
}

#[tokio::test]
async fn a_long_table_is_read_to_its_end_and_what_nobody_knows_is_found() {
    let (client, tables) = tables().await;
    for number in 0..900 {
        put(&client, TENANCY, "TENANT#acme", &format!("VERSION#{number:012}"), json!({})).await;
    }
    let page = tables.list(&whose("acme"), Store::TenancyTable, None).await.unwrap();
    assert_eq!((page.found.len(), page.next), (900, None), "a megabyte is one page");
    put(&client, TENANCY, "NEWKIND#acme", "META", json!({})).await;
    let page = tables.list(&whose("acme"), Store::TenancyTable, None).await.unwrap();
    let unclaimed = page.found.iter().filter_map(|it| classify(&whose("acme"), it).err());
    let places: Vec<_> = unclaimed.map(|it| it.found.place).collect();
    assert_eq!(places, ["NEWKIND#acme"]);
    tables.list(&whose("acme"), Store::UserPool, None).await.unwrap_err();
}

#[tokio::test]
async fn a_parked_client_is_not_let_in_and_comes_back_as_it_was() {
    let (client, tables) = tables().await;
    populate(&client, "acme").await;
    populate(&client, "acme-2").await;
    let directory = DynamoDirectory::new(client.clone(), TENANCY.to_owned());
    let before = directory.client("c-acme").await.unwrap();
    assert!(before.is_some());
    let (acme, other) = (id("acme"), id("acme-2"));
    assert!(!tables.park_client(&other, "c-acme", &entry(1)).await.unwrap(), "it is another's");
    assert!(tables.park_client(&acme, "c-acme", &entry(2)).await.unwrap());
    assert!(!tables.park_client(&acme, "c-acme", &entry(3)).await.unwrap());
    assert_eq!(directory.client("c-acme").await.unwrap(), None);
    let all = everything(&tables, "acme", Store::TenancyTable).await;
    let parked = kinds(&all);
    assert_eq!((parked.get("parked_client"), parked.get("listed_client")), (Some(&1), Some(&1)));
    assert!(!tables.unpark_client(&other, "c-acme", &entry(4)).await.unwrap());
    assert!(tables.unpark_client(&acme, "c-acme", &entry(5)).await.unwrap());
    assert!(!tables.unpark_client(&acme, "c-acme", &entry(6)).await.unwrap());
    assert_eq!(directory.client("c-acme").await.unwrap(), before);
    let all = everything(&tables, "acme", Store::TenancyTable).await;
    // The two that did something.
    assert_eq!(kinds(&all).get("audit_entry"), Some(&3));
}

#[tokio::test]
async fn calls_are_open_in_whichever_meter_they_are() {
    use admission::MeterStore as _;

    let (client, tables) = tables().await;
    let (acme, other) = (context("acme", "retail"), context("acme-2", "retail"));
    onboard(&client, &acme).await;
    onboard(&client, &other).await;
    let open = async || tables.open_calls(&acme.tenant_id, &acme.lob_id).await.unwrap();
    assert_eq!(open().await, 0);
    let ledger = ledger(&client);
    for context in [&acme, &other] {
        for scope in [Scope::Tenant(context.tenant_id.clone()), Scope::Lob(context.lob_id.clone())]
        {
            let wanted = reservation(context, 5, 10, NOON);
            let gate = gate(scope, vec![]);
            // Both share a meter of their line of business, in which an id is one call's.
            let number = if context.tenant_id.as_str() == "acme" { 1 } else { 2 };
            ledger.reserve(context, &gate, &call(number), &wanted).await.unwrap().unwrap();
        }
    }
    assert_eq!(open().await, 2);
}

#[tokio::test]
async fn there_is_one_tombstone_and_it_is_kept() {
    let (client, tables) = tables().await;
    let acme = id("acme");
    assert_eq!(tables.tombstone(&acme).await.unwrap(), None);
    let tombstone = |task: &str, entry: &AuditEntry| Tombstone {
        task_id: task.to_owned(),
        since: entry.time,
        audit_position: entry.position(),
    };
    let first = tombstone("task-1", &entry(1));
    assert_eq!(tables.bury(&acme, &first, &entry(1)).await.unwrap(), first);
    let second = tombstone("task-2", &entry(2));
    assert_eq!(tables.bury(&acme, &second, &entry(2)).await.unwrap(), first);
    assert_eq!(tables.tombstone(&acme).await.unwrap(), Some(first));
    assert_eq!(tables.tombstone(&id("acme-2")).await.unwrap(), None);
    put(&client, TENANCY, "TENANT#acme-2", "TOMBSTONE", json!({})).await;
    let all = everything(&tables, "acme", Store::TenancyTable).await;
    assert_eq!(kinds(&all), BTreeMap::from([("tombstone", 1), ("audit_entry", 1)]));
    let whose = whose("acme");
    for (_, found) in &all {
        let rule = classify(&whose, found).unwrap().unwrap();
        assert_eq!(rule.class, Class::Audit);
    }
}

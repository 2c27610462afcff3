//! The books in DynamoDB keep the contract that the ones in memory do.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use billing::fakes::InMemoryBilling;
use billing::port::{Accounts, BillingStore, Booked, ClosedMonth, Issued, UsageSource as _};
use billing::{
    Account, Begin, Books, EntryKind, LedgerEntry, Month, Plan, Ports, Progress, SETTLING_MS,
    SignedNanoUsd, Span, Statement,
};
use metering::UsageRecord;
use store_dynamodb::BillingBooks;

use crate::support::{TABLE, create_tenancy, dynamodb};

/// 2026-11-01T00:00:00Z
const NOVEMBER_MS: i64 = 1_793_491_200_000;

fn month(text: &str) -> Month {
    text.parse().unwrap()
}

fn november() -> Span {
    let (start_ms, end_ms) = (NOVEMBER_MS, NOVEMBER_MS + 30 * 86_400_000);
    Span { period: month("2026-11"), time_zone: "UTC".to_owned(), start_ms, end_ms }
}

fn acme() -> Account {
    "tenant=acme".parse().unwrap()
}

fn entry(id: &str, period: &str, kind: EntryKind, amount: i64) -> LedgerEntry {
    LedgerEntry {
        id: id.to_owned(),
        period: month(period),
        account: acme(),
        kind,
        amount_nanousd: SignedNanoUsd(amount),
        reason: "Outage".to_owned(),
        booked_by: "u-1".to_owned(),
        booked_ms: 1,
        refers_to: Some("2026-10".to_owned()),
        details: BTreeMap::from([("records".to_owned(), "3".to_owned())]),
    }
}

/// A `tenancy` table as in the template, with two tenants of one line of business.
async fn tenancy(client: &Client) {
    create_tenancy(client).await;
    for (owner, sort) in [
        ("TENANT#globex", "META"),
        ("TENANT#acme", "META"),
        ("LOB#retail", "META"),
        ("ORG", "LOB#retail"),
        ("ORG", "META"),
    ] {
        let put = client.put_item().table_name("tenancy");
        let put = put.item("PK", AttributeValue::S(owner.to_owned()));
        let put = put.item("SK", AttributeValue::S(sort.to_owned()));
        let lob_id = AttributeValue::S("retail".to_owned());
        let put = if owner == "ORG" { put } else { put.item("lob_id", lob_id) };
        put.send().await.unwrap();
    }
}

async fn books() -> (Client, BillingBooks) {
    let client = dynamodb().await;
    tenancy(&client).await;
    let books = BillingBooks::new(client.clone(), TABLE.to_owned(), "tenancy".to_owned());
    (client, books)
}

fn begun(books: &Books, period: &str) -> Books {
    let span = Span { period: month(period), ..november() };
    match books.begin(&span, "u-1", i64::MAX) {
        Ok(Begin::Start(begun)) => begun,
        other => panic!("{other:?}"),
    }
}

/// Steps through the life of a month; what each step came to.
async fn life(store: &impl BillingStore) -> Vec<String> {
    let mut seen = Vec::new();
    let first = entry("goodwill-1", "2026-11", EntryKind::Credit, -5);
    let fee = entry("flat-fee-2026-11", "2026-11", EntryKind::FlatFee, 7);
    let plan = Plan { id: "gold".to_owned(), valid_from: month("2026-11"), ..Plan::at_cost() };
    seen.push(format!("{:?}", store.books().await.unwrap()));
    seen.push(format!("{:?}", store.book(&first).await.unwrap()));
    seen.push(format!("{:?}", store.book(&first).await.unwrap()));
    seen.push(format!("{:?}", store.book(&fee).await.unwrap()));
    seen.push(format!("{:?}", store.put_plan(&acme(), &plan).await.unwrap()));
    seen.push(format!(
        "{:?}",
        store.put_plan(&acme(), &Plan { markup_bp: 9, ..plan.clone() }).await.unwrap()
    ));

    let open = Books::default();
    let closing = begun(&open, "2026-11");
    seen.push(format!("{:?}", store.change_books(&closing, &open).await.unwrap()));
    seen.push(format!("{:?}", store.change_books(&open, &closing).await.unwrap()));
    seen.push(format!("{:?}", store.change_books(&open, &closing).await.unwrap()));
    seen.push(format!(
        "{:?}",
        store.book(&entry("b", "2026-11", EntryKind::Adjustment, 1)).await.unwrap()
    ));
    seen.push(format!(
        "{:?}",
        store.book(&entry("c", "2026-10", EntryKind::Adjustment, 1)).await.unwrap()
    ));
    seen.push(format!("{:?}", store.book(&fee).await.unwrap()));
    seen.push(format!("{:?}", store.put_plan(&acme(), &plan).await.unwrap()));

    let advanced = closing.advanced(&"acme".parse().unwrap());
    seen.push(format!("{:?}", store.change_books(&closing, &advanced).await.unwrap()));
    let closed = advanced.closed();
    seen.push(format!("{:?}", store.change_books(&closing, &closed).await.unwrap()));
    seen.push(format!("{:?}", store.change_books(&advanced, &closed).await.unwrap()));
    seen.push(format!(
        "{:?}",
        store.book(&LedgerEntry { id: "flat-fee-2".to_owned(), ..fee }).await.unwrap()
    ));
    seen.push(format!(
        "{:?}",
        store.book(&entry("goodwill-1", "2026-12", EntryKind::Credit, -5)).await.unwrap()
    ));
    seen.push(format!(
        "{:?}",
        store.book(&entry("d", "2026-12", EntryKind::Correction, 3)).await.unwrap()
    ));
    seen.push(format!("{:?}", store.books().await.unwrap()));
    seen.push(format!(
        "{:?}",
        store.entries(&acme(), month("2026-11")..=month("2026-11")).await.unwrap()
    ));
    seen.push(format!(
        "{:?}",
        store.entries(&acme(), month("2026-11")..=month("2027-01")).await.unwrap()
    ));
    seen.push(format!(
        "{:?}",
        store.entries(&Account::Org, month("2026-11")..=month("2027-01")).await.unwrap()
    ));
    seen.push(format!("{:?}", store.plans(&acme()).await.unwrap()));

    for period in ["2026-11", "2026-12"] {
        let issued = Issued {
            account: acme(),
            period: month(period),
            version: 1,
            digest: "sha256:0".to_owned(),
            records: 3,
            cost_nanousd: SignedNanoUsd(1),
            total_nanousd: SignedNanoUsd(-1),
            issued_ms: 5,
            documents: "statements/x".to_owned(),
        };
        store.put_issued(&issued).await.unwrap();
        let closed = ClosedMonth {
            period: month(period),
            requested_by: "u-1".to_owned(),
            started_ms: 1,
            closed_ms: 2,
            tenants: 3,
            lobs: 4,
            records: 5,
            cost_nanousd: SignedNanoUsd(6),
            total_nanousd: SignedNanoUsd(7),
        };
        store.put_closed(&closed).await.unwrap();
    }
    seen.push(format!("{:?}", store.issued(&acme()).await.unwrap()));
    seen.push(format!("{:?}", store.closed().await.unwrap()));
    for id in ["goodwill-1", "flat-fee-2026-11", "d", "nosuch"] {
        let found = store.entry(&acme(), id).await.unwrap();
        seen.push(format!("{:?}", found.map(|entry| (entry.period, entry.amount_nanousd))));
    }
    seen
}

#[tokio::test]
async fn the_table_decides_as_memory_does() {
    let (_, table) = books().await;
    let (in_table, in_memory) = (life(&table).await, life(&InMemoryBilling::default()).await);
    for (step, (table, memory)) in in_table.iter().zip(&in_memory).enumerate() {
        assert_eq!(table, memory, "step {step}");
    }
    let of_steps = |range: std::ops::Range<usize>| in_memory[range].join(" ");
    assert_eq!(of_steps(1..6), "New Known Refused true true");
    assert_eq!(of_steps(6..13), "false true false Refused Refused New false");
    assert_eq!(of_steps(13..19), "true false true Refused Known New");
    let amounts = ["2026-11", "2026-11", "2026-12"].map(month).into_iter().zip([-5, 7, 3]);
    let amounts = amounts.map(|(period, amount)| Some((period, SignedNanoUsd(amount))));
    let found: Vec<_> = amounts.chain([None]).map(|it| format!("{it:?}")).collect();
    assert_eq!(in_memory[in_memory.len() - 4..], found);
}

#[tokio::test]
async fn of_many_that_book_the_same_one_does() {
    let (_, table) = books().await;
    let bookings = (0..8).map(|number| {
        let table = table.clone();
        let period = if number % 2 == 0 { "2026-11" } else { "2026-12" };
        async move {
            table
                .book(&entry("late-usage-2026-10-1", period, EntryKind::Correction, number + 1))
                .await
        }
    });
    let booked = futures::future::join_all(bookings).await;
    let new = booked.iter().filter(|it| matches!(it, Ok(Booked::New))).count();
    assert_eq!(new, 1, "{booked:?}");
    let entries = table.entries(&acme(), month("2026-01")..=month("2027-01")).await.unwrap();
    assert_eq!(entries.len(), 1);
}

fn record(number: u64, at_ms: i64) -> UsageRecord {
    let text = format!(
        r#"{{"schema":3,"call_id":"{at_ms:012x}7{number:019x}","attempt":1,"tenant_id":"acme","lob_id":"retail","principal_id":"u-1",
            "principal_kind":"user","started_ms":{at_ms},"dialect":"x","requested_model":"nova-lite","model":"nova-lite","provider_model_id":"x",
            "provider":"aws.bedrock","region":"us-east-1","is_streamed":false,"usage":{{"input":1,"output":1}},"is_estimated":false,
            "price_version":"1","cost_nanousd":{},"reserved_nanousd":9,"outcome":"completed","latency_ms":1,"gateway_ms":1}}"#,
        number + 1
    );
    serde_json::from_str(&text).unwrap()
}

async fn put(client: &Client, record: &UsageRecord) {
    let mut item: std::collections::HashMap<String, AttributeValue> =
        serde_dynamo::to_item(record).unwrap();
    let bucket = record.id.call_id.chars().last().unwrap();
    item.insert("PK".to_owned(), AttributeValue::S(format!("TENANT#acme#USAGE#{bucket}")));
    item.insert("SK".to_owned(), AttributeValue::S(format!("USAGE#{}", record.id)));
    client.put_item().table_name(TABLE).set_item(Some(item)).send().await.unwrap();
}

#[tokio::test]
async fn a_month_is_closed_on_the_table() {
    let (client, table) = books().await;
    let ids: Vec<String> = table
        .tenants(&november())
        .await
        .unwrap()
        .into_iter()
        .map(|it| it.tenant_id.to_string())
        .collect();
    assert_eq!(ids, ["acme", "globex"]);
    assert_eq!(table.lobs().await.unwrap().len(), 1);

    let end_ms = november().end_ms;
    for number in 0..40 {
        put(&client, &record(number, NOVEMBER_MS + i64::try_from(number).unwrap() * 3_600_000))
            .await;
    }
    for (number, at_ms) in [(100, NOVEMBER_MS - 1), (101, end_ms)] {
        put(&client, &record(number, at_ms)).await;
    }
    put(&client, &record(40, end_ms - 1)).await;
    let mut read = Vec::new();
    table
        .records(&"acme".parse().unwrap(), &november(), &mut |record| read.push(record))
        .await
        .unwrap();
    assert_eq!(read.len(), 41, "of November alone");

    let world = InMemoryBilling::default();
    let ports = Ports { store: &table, usage: &table, documents: &world, events: &world };
    let closed = ports.close(&november(), "u-1", end_ms + SETTLING_MS, &|| false).await.unwrap();
    let Progress::Done(Some(closed)) = closed else { panic!("{closed:?}") };
    assert_eq!((closed.tenants, closed.lobs, closed.records), (1, 1, 41));
    assert_eq!(closed.cost_nanousd.0, (1..=41).sum::<i64>());
    let json = &world.documents()["statements/2026-11/tenant=acme/statement.json"];
    let statement: Statement = serde_json::from_slice(json).unwrap();
    assert_eq!(table.issued(&acme()).await.unwrap()[0].digest, statement.digest);

    put(&client, &record(41, NOVEMBER_MS)).await;
    for booked in [1, 0] {
        let corrected =
            ports.correct(&november(), month("2026-12"), end_ms, None, &|| false).await.unwrap();
        assert_eq!(corrected, Progress::Done(booked));
    }
    let entries = table.entries(&acme(), month("2026-12")..=month("2026-12")).await.unwrap();
    assert_eq!((entries.len(), entries[0].amount_nanousd), (1, SignedNanoUsd(42)));
}

//! Limits and alerts as administrators and the aggregator change them.

use std::collections::BTreeSet;

use admission::{
    Alert, AlertOutbox as _, AlertStore as _, AuditEntry, Calendar, Cap, Counter, LimitChange,
    LimitOwner, LimitRule, LimitStore as _, MeterLayout, Metric, Minute, ModelSelector, Period,
    RaiseRequest, RequestStatus, Scope, finish_change,
};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::json;
use store_dynamodb::{Ledger, LimitTables};
use tenancy::Role;

use crate::support::{NOON, TABLE, TENANCY, create_tenancy, dynamodb, put};

/// A `tenancy` table like the template's beside the ledger, with two lines of business and three tenants.
pub(crate) async fn tables() -> (Client, LimitTables) {
    let client = dynamodb().await;
    create_tenancy(&client).await;
    for (lob, tenants) in [("retail", &["acme", "zenith"][..]), ("markets", &["globex"])] {
        put(&client, TENANCY, "ORG", &format!("LOB#{lob}"), json!({})).await;
        let level = json!({"lob_id": lob, "status": "active", "entitlement_version": 5});
        put(&client, TENANCY, &format!("LOB#{lob}"), "META", level).await;
        for tenant in tenants {
            let key = format!("TENANT#{tenant}");
            let level = json!({
                "tenant_id": tenant, "lob_id": lob, "status": "active", "entitlement_version": 7, "models": [],
                "projects": {"web-shop": {"name": "Web shop"}},
            });
            put(&client, TENANCY, &key, "META", level).await;
            let meter = json!({"meter_kind": "METER", "status": "active", "entitlement_version": 7, "open": {}});
            put(&client, TABLE, &key, "METER", meter).await;
        }
    }
    let ledger = Ledger::new(client.clone(), TABLE.to_owned(), Calendar::utc());
    (client.clone(), LimitTables::new(client, TENANCY.to_owned(), ledger))
}

async fn version_of(client: &Client, table: &str, pk: &str, sk: &str) -> u64 {
    let get = client.get_item().table_name(table).consistent_read(true);
    let key = get.key("PK", AttributeValue::S(pk.into())).key("SK", AttributeValue::S(sk.into()));
    let item = key.send().await.unwrap().item.unwrap();
    item.get("entitlement_version").unwrap().as_n().unwrap().parse().unwrap()
}

fn owner(text: &str) -> LimitOwner {
    LimitOwner::of_text(text).unwrap()
}

fn rules(amount: u64) -> Vec<LimitRule> {
    let rules = json!([{"id": "budget", "metric": "cost", "period": "month", "amount": amount,
        "models": {"family": "claude"}, "reserved": {"interactive": 30}, "valid_from": "2026-11-01T00:00:00Z"}]);
    serde_json::from_value(rules).unwrap()
}

fn entry(number: u32, subject: &str) -> AuditEntry {
    AuditEntry {
        id: format!("{number:04}"),
        time: jiff::Timestamp::from_millisecond(NOON.start_ms() + i64::from(number)).unwrap(),
        action: "limits.set".into(),
        subject: subject.into(),
        principal_id: "u-1".to_owned().try_into().unwrap(),
        principal_kind: None,
        tenant_id: "acme".parse().unwrap(),
        roles: BTreeSet::from([Role::OrgAdmin]),
        is_allowed: true,
        version: Some(1),
        before: json!(null),
        after: json!([{"amount": 5}]),
    }
}

fn change(version: u64, amount: u64, number: u32, subject: &str) -> LimitChange {
    LimitChange { version, rules: rules(amount), granted: None, entry: entry(number, subject) }
}

#[tokio::test]
async fn a_list_is_changed_once_from_each_version() {
    let (_, tables) = tables().await;
    for (text, version) in [
        ("org", 0),
        ("lobs/retail", 5),
        ("tenants/acme", 7),
        ("tenants/acme/projects/web-shop", 8),
        ("tenants/acme/principals/u-1", 9),
        ("tenants/acme/each-principal", 10),
    ] {
        let owner = owner(text);
        let before = tables.limits(&owner).await.unwrap().unwrap();
        assert_eq!((before.version, before.rules.len()), (version, 0), "{text}");
        // Each entry has an id of its own.
        let number = u32::try_from(version).unwrap() * 2;
        let one = change(version, 1, number, text);
        let other = change(version, 2, number + 1, text);
        let (one, other) = tokio::join!(tables.change(&owner, &one), tables.change(&owner, &other));
        let won = [one.unwrap(), other.unwrap()];
        assert_eq!(won.iter().filter(|is_done| **is_done).count(), 1, "{text} {won:?}");
        let after = tables.limits(&owner).await.unwrap().unwrap();
        assert_eq!(
            (after.version, &after.rules),
            (version + 1, &rules(if won[0] { 1 } else { 2 }))
        );
        assert!(after.is_changing);
        let history = tables.history(&owner, None, 10).await.unwrap();
        assert_eq!(history.len(), 1, "the loser left nothing");
        tables.finish(&owner, version + 1).await.unwrap();
        assert!(!tables.limits(&owner).await.unwrap().unwrap().is_changing);
    }
    let acme = tables.limits(&owner("tenants/acme")).await.unwrap().unwrap();
    assert_eq!((acme.rules_of_level, acme.lob_id.unwrap().as_str()), (4, "retail"));
    let none =
        LimitChange { rules: Vec::new(), ..change(11, 1, 99, "tenants/acme/principals/u-1") };
    assert!(tables.change(&owner("tenants/acme/principals/u-1"), &none).await.unwrap());
    assert_eq!(tables.limits(&owner("tenants/acme")).await.unwrap().unwrap().rules_of_level, 3);
}

#[tokio::test]
async fn what_is_not_there_has_no_limits() {
    let (_, tables) = tables().await;
    for text in [
        "lobs/nosuch",
        "tenants/nosuch",
        "tenants/acme/projects/nosuch",
        "tenants/nosuch/principals/u-1",
    ] {
        assert!(tables.limits(&owner(text)).await.unwrap().is_none(), "{text}");
    }
}

#[tokio::test]
async fn every_tenant_below_learns_of_a_change() {
    let (client, tables) = tables().await;
    let versions = async || {
        let mut versions = Vec::new();
        for tenant in ["acme", "zenith", "globex"] {
            let pk = format!("TENANT#{tenant}");
            versions.push((
                version_of(&client, TENANCY, &pk, "META").await,
                version_of(&client, TABLE, &pk, "METER").await,
            ));
        }
        versions
    };
    let retail = owner("lobs/retail");
    assert!(tables.change(&retail, &change(5, 1, 1, "lobs/retail")).await.unwrap());
    assert_eq!(tables.unfinished().await.unwrap(), [(retail.clone(), 6)]);
    assert_eq!(finish_change(&tables, &retail, 6).await.unwrap(), 2);
    assert_eq!(versions().await, [(8, 8), (8, 8), (7, 7)]);
    assert!(tables.unfinished().await.unwrap().is_empty());

    assert!(tables.change(&LimitOwner::Org, &change(0, 1, 2, "org")).await.unwrap());
    assert_eq!(finish_change(&tables, &LimitOwner::Org, 1).await.unwrap(), 3);
    assert_eq!(versions().await, [(9, 9), (9, 9), (8, 8)]);

    let project = owner("tenants/acme/projects/web-shop");
    assert!(tables.change(&project, &change(9, 1, 3, "x")).await.unwrap());
    finish_change(&tables, &project, 10).await.unwrap();
    assert_eq!(versions().await, [(10, 10), (9, 9), (8, 8)]);
}

#[tokio::test]
async fn an_older_change_does_not_finish_a_newer_one() {
    let (_, tables) = tables().await;
    let acme = owner("tenants/acme");
    assert!(tables.change(&acme, &change(7, 1, 1, "tenants/acme")).await.unwrap());
    assert!(tables.change(&acme, &change(8, 2, 2, "tenants/acme")).await.unwrap());
    tables.finish(&acme, 8).await.unwrap();
    assert_eq!(tables.unfinished().await.unwrap(), [(acme, 9)]);
}

#[tokio::test]
async fn a_meter_never_goes_back_to_an_older_version_and_a_new_tenants_is_made() {
    let (client, tables) = tables().await;
    put(
        &client,
        TABLE,
        "TENANT#acme",
        "METER",
        json!({"status": "suspended", "entitlement_version": 99, "open": {}}),
    )
    .await;
    tables.renew(&"acme".parse().unwrap(), true).await.unwrap();
    assert_eq!(version_of(&client, TABLE, "TENANT#acme", "METER").await, 99);
    let key =
        |request: aws_sdk_dynamodb::operation::delete_item::builders::DeleteItemFluentBuilder| {
            request
                .key("PK", AttributeValue::S("TENANT#zenith".into()))
                .key("SK", AttributeValue::S("METER".into()))
        };
    key(client.delete_item().table_name(TABLE)).send().await.unwrap();
    tables.renew(&"zenith".parse().unwrap(), true).await.unwrap();
    tables.renew(&"nosuch".parse().unwrap(), true).await.unwrap();
    let zenith = version_of(&client, TABLE, "TENANT#zenith", "METER").await;
    assert_eq!(zenith, version_of(&client, TENANCY, "TENANT#zenith", "META").await);
    let scope = Scope::Tenant("nosuch".parse().unwrap());
    let meters =
        tables.meters_of(&scope, &ModelSelector::All, MeterLayout::default()).await.unwrap();
    assert!(meters.is_empty(), "nobody's meter");
}

fn raise(number: u32) -> RaiseRequest {
    let moment = |hours: i64| {
        jiff::Timestamp::from_millisecond(NOON.start_ms() + hours * 3_600_000).unwrap()
    };
    RaiseRequest {
        id: format!("{number:04}"),
        limit_id: "budget".into(),
        amount: 5,
        valid_from: moment(0),
        valid_until: moment(1),
        reason: String::new(),
        requested_by: "u-2".to_owned().try_into().unwrap(),
        requested_by_tenant: "acme".parse().unwrap(),
        requested_at: moment(0),
        status: RequestStatus::Requested,
        decided_by: None,
        decided_at: None,
    }
}

#[tokio::test]
async fn a_request_is_decided_by_one() {
    let (_, tables) = tables().await;
    let acme = owner("tenants/acme");
    let asked = raise(1);
    tables.put_raise(&acme, &asked, &entry(1, "tenants/acme")).await.unwrap();
    let approved = RaiseRequest { status: RequestStatus::Approved, ..asked.clone() };
    let rejected = RaiseRequest { status: RequestStatus::Rejected, ..asked };
    let grant = LimitChange { granted: Some(approved), ..change(7, 1, 2, "tenants/acme") };
    let entry = entry(3, "tenants/acme");
    let (grant, reject) =
        tokio::join!(tables.change(&acme, &grant), tables.reject_raise(&acme, &rejected, &entry));
    let (is_granted, is_rejected) = (grant.unwrap(), reject.unwrap());
    assert_ne!(is_granted, is_rejected);
    let found = tables.raises(&acme).await.unwrap();
    let expected = if is_granted { RequestStatus::Approved } else { RequestStatus::Rejected };
    assert_eq!(found[0].status, expected);
    let version = tables.limits(&acme).await.unwrap().unwrap().version;
    assert_eq!(
        version,
        if is_granted { 8 } else { 7 },
        "limits change with the request or not at all"
    );
    assert_eq!(tables.history(&acme, None, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn requests_are_those_of_one_list_and_the_latest_is_first() {
    let (_, tables) = tables().await;
    let lists = [
        "tenants/acme",
        "tenants/acme/principals/a",
        "tenants/acme/principals/a#b",
        "tenants/acme/principals/ab",
    ];
    for (number, list) in (1..).zip(lists) {
        for number in [number, number + 10] {
            tables.put_raise(&owner(list), &raise(number), &entry(number, list)).await.unwrap();
        }
    }
    for (number, list) in (1..).zip(lists) {
        let found = tables.raises(&owner(list)).await.unwrap();
        let ids: Vec<_> = found.iter().map(|raise| raise.id.clone()).collect();
        assert_eq!(ids, [format!("{:04}", number + 10), format!("{number:04}")], "{list}");
    }
}

#[tokio::test]
async fn the_history_is_read_backwards_in_pages() {
    let (_, tables) = tables().await;
    let acme = owner("tenants/acme");
    for number in 1..=7 {
        // Others' entries in between.
        let subject = if number % 3 == 0 { "tenants/acme/each-principal" } else { "tenants/acme" };
        tables.note(&entry(number, subject)).await.unwrap();
    }
    let ids = |page: &[AuditEntry]| page.iter().map(|entry| entry.id.clone()).collect::<Vec<_>>();
    let first = tables.history(&acme, None, 3).await.unwrap();
    assert_eq!(ids(&first), ["0007", "0005", "0004"]);
    assert_eq!(first[0], entry(7, "tenants/acme"));
    let next = tables.history(&acme, Some(&first[2].position()), 3).await.unwrap();
    assert_eq!(ids(&next), ["0002", "0001"]);
    assert!(tables.history(&acme, Some("x"), 3).await.unwrap().len() == 3, "behind every entry");
}

#[tokio::test]
async fn an_alert_is_noted_once_and_listed_until_it_is_told() {
    let client = dynamodb().await;
    let ledger = Ledger::new(client, TABLE.to_owned(), Calendar::utc());
    let scope = Scope::Principal("acme".parse().unwrap(), "a#b|c".to_owned().try_into().unwrap());
    let counter = Counter::of(Metric::Cost, Period::Month);
    let cap = Cap { limit_id: "budget".into(), counter, allowed: 5, whole: 5, on_exhausted: None };
    let alert = Alert::exhausted(&scope, &cap, 4, &Calendar::utc(), NOON).unwrap();
    let claims = (0..8).map(|number| ledger.claim(&alert, number));
    let claims = futures::future::join_all(claims).await;
    assert_eq!(claims.into_iter().filter(|is_new| *is_new.as_ref().unwrap()).count(), 1);
    let later =
        Alert::exhausted(&scope, &cap, 4, &Calendar::utc(), Minute(NOON.0 + 60 * 24 * 31)).unwrap();
    assert!(ledger.claim(&later, 100).await.unwrap());
    let untold = ledger.untold().await.unwrap();
    assert_eq!(untold.len(), 2);
    assert!(untold.contains(&(later.clone(), 100)));
    ledger.told(&alert).await.unwrap();
    assert_eq!(ledger.untold().await.unwrap(), [(later, 100)]);
    assert!(!ledger.claim(&alert, 200).await.unwrap(), "what was told stays noted");
    assert!(
        admission::SettlementStore::meters(&ledger).await.unwrap().is_empty(),
        "it is no meter"
    );
}

#[tokio::test]
async fn a_meter_is_brought_to_what_was_used_and_never_below_what_it_counted() {
    let (_, tables) = tables().await;
    let scope = Scope::Lob("retail".parse().unwrap());
    let month = Counter::of(Metric::Cost, Period::Month).unwrap();
    for shards in [1, 3] {
        let layout = MeterLayout { epoch: u32::from(shards), shards };
        let seed = async |amount: u64, now: Minute| {
            let mut used = admission::Counters::default();
            used.set(month, amount);
            tables.seed(&scope, &ModelSelector::All, layout, &used, now).await.unwrap();
            let meters = tables.meters_of(&scope, &ModelSelector::All, layout).await.unwrap();
            assert_eq!(meters.len(), usize::from(shards));
            admission::settled(&meters, &Calendar::utc(), now).get(month)
        };
        assert_eq!(seed(100, NOON).await, 100);
        assert_eq!(seed(40, NOON.next()).await, 100);
        assert_eq!(seed(101, NOON.next()).await, 101);
        assert_eq!(seed(7, Minute(NOON.0 + 31 * 24 * 60)).await, 7, "in the next month");
    }
}

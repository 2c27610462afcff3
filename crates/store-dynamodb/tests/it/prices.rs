//! The organisation's own prices as administrators change them, and as calls are then priced.

use std::collections::BTreeSet;

use admission::{AuditEntry, OverridesChange, OverridesWrite, PriceOverrideStore as _};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use inference::CatalogStore as _;
use metering::{ModelPrices, PicoUsd, Price, PriceOverrides};
use serde_json::{Value, json};
use store_dynamodb::{Configuration, PriceOverrideTable};
use tenancy::Role;

use crate::support::{self, NOON, keyed};

const TABLE: &str = "tenancy";

async fn tables() -> (Client, PriceOverrideTable, Configuration) {
    let client = keyed(TABLE).await;
    let table = PriceOverrideTable::new(client.clone(), TABLE.to_owned());
    (client.clone(), table, Configuration::new(client, TABLE.to_owned()))
}

async fn put(client: &Client, sk: &str, item: Value) {
    support::put(client, TABLE, "CATALOG", sk, item).await;
}

async fn audited(client: &Client) -> usize {
    let query = client.query().table_name(TABLE).key_condition_expression("PK = :org");
    let query = query.expression_attribute_values(":org", AttributeValue::S("ORG".into()));
    query.send().await.unwrap().items.unwrap().len()
}

/// One price, and a list of rates with all that can be said.
fn overrides(version: &str, input: u64) -> PriceOverrides {
    let price = json!({"input": input, "output": 8, "cache_read": 0, "image": 40_000_000_000_u64,
        "long_context": [{"above_input_tokens": 9, "input": 30, "output": 40, "cache_write_1h": 50}]});
    let rates = json!([
        {"price": price},
        {"service_tier": "priority", "region": "us-east-1", "profile_scope": "geo", "price": price},
    ]);
    serde_json::from_value(
        json!({"version": version, "valid_from": 5, "valid_until": 9_999_999_999_u64,
        "models": {"model-a": {"input": input, "output": 0}, "vendor.model:0/b": rates}}),
    )
    .unwrap()
}

fn change(number: u32, revision: u64, write: OverridesWrite) -> OverridesChange {
    let entry = AuditEntry {
        id: format!("{number:04}"),
        time: jiff::Timestamp::from_millisecond(NOON.start_ms()).unwrap(),
        action: "prices.set".into(),
        subject: format!("prices/overrides/{}", write.version()),
        principal_id: "u-1".to_owned().try_into().unwrap(),
        principal_kind: None,
        tenant_id: "acme".parse().unwrap(),
        roles: BTreeSet::from([Role::OrgAdmin]),
        is_allowed: true,
        version: Some(revision + 1),
        before: json!(null),
        after: json!({"models": {"model-a": {"input": 1}}}),
    };
    OverridesChange { revision, write, entry }
}

#[tokio::test]
async fn what_is_written_is_what_calls_are_priced_by() {
    let (client, table, configuration) = tables().await;
    assert_eq!(table.agreed_prices().await.unwrap(), metering::AgreedPrices::default());
    let (first, second) = (overrides("ovr-1", 7), overrides("ovr-2", 9));
    let create = |number, revision, it: &PriceOverrides| {
        change(number, revision, OverridesWrite::Create(it.clone()))
    };
    assert!(table.change_prices(&create(1, 0, &first)).await.unwrap());
    assert!(table.change_prices(&create(2, 1, &second)).await.unwrap());
    let agreed = table.agreed_prices().await.unwrap();
    assert_eq!((agreed.revision, &agreed.overrides), (2, &vec![first.clone(), second]));

    let dearer = overrides("ovr-2", 10);
    let replace = change(3, 2, OverridesWrite::Replace(dearer.clone()));
    assert!(table.change_prices(&replace).await.unwrap());
    let priced_by = async || {
        let found = configuration.catalog().await.unwrap().price_overrides;
        found.iter().map(|it| PriceOverrides::clone(it)).collect::<Vec<_>>()
    };
    assert_eq!(priced_by().await, [first, dearer.clone()]);

    let remove = change(4, 3, OverridesWrite::Remove("ovr-1".into()));
    assert!(table.change_prices(&remove).await.unwrap());
    assert_eq!(priced_by().await, [dearer]);
    assert_eq!(table.agreed_prices().await.unwrap().revision, 4);
    assert_eq!(audited(&client).await, 4);
}

#[tokio::test]
async fn prices_are_changed_once_from_each_revision() {
    let (client, table, _) = tables().await;
    // Of different versions, too: whether they may stand beside each other was decided by what was read.
    for revision in 0..3 {
        let numbered = |number: u64| {
            let version = format!("ovr-{revision}-{number}");
            let write = OverridesWrite::Create(overrides(&version, number));
            change(u32::try_from(revision * 10 + number).unwrap(), revision, write)
        };
        let (one, other) = (numbered(1), numbered(2));
        let (one, other) = tokio::join!(table.change_prices(&one), table.change_prices(&other));
        assert_ne!(one.unwrap(), other.unwrap());
        let agreed = table.agreed_prices().await.unwrap();
        assert_eq!(agreed.revision, revision + 1);
        assert_eq!(agreed.overrides.len() as u64, revision + 1);
    }
    assert_eq!(audited(&client).await, 3, "the losers left nothing");
}

#[tokio::test]
async fn what_was_written_past_the_api_is_seen_and_not_overwritten() {
    let (client, table, _) = tables().await;
    put(&client, "PRICE_OVERRIDES#ovr-1", json!(overrides("ovr-1", 7))).await;
    put(&client, "PRICES#1", json!({"version": "1", "valid_from": 0, "models": {}})).await;
    let agreed = table.agreed_prices().await.unwrap();
    assert_eq!((agreed.revision, agreed.overrides.len()), (0, 1));
    let create = change(1, 0, OverridesWrite::Create(overrides("ovr-1", 8)));
    assert!(!table.change_prices(&create).await.unwrap());
    for write in
        [OverridesWrite::Replace(overrides("ovr-2", 8)), OverridesWrite::Remove("ovr-2".into())]
    {
        assert!(!table.change_prices(&change(2, 0, write)).await.unwrap(), "it is not there");
    }
    assert_eq!(table.agreed_prices().await.unwrap(), agreed);
    assert_eq!(audited(&client).await, 0);
}

#[tokio::test]
async fn what_could_not_be_read_is_not_written() {
    let (client, table, configuration) = tables().await;
    let dear = Price::of_tokens(PicoUsd(u64::MAX), PicoUsd(0));
    let mut absurd = overrides("ovr-1", 1);
    absurd.models.insert("model-a".parse().unwrap(), ModelPrices::from(dear));
    let unnamed = PriceOverrides { version: "a#b".into(), ..overrides("ovr-1", 1) };
    let never = PriceOverrides { valid_until: Some(5), ..overrides("ovr-1", 1) };
    for broken in [absurd, unnamed, never] {
        let create = change(1, 0, OverridesWrite::Create(broken));
        table.change_prices(&create).await.unwrap_err();
    }
    assert!(configuration.catalog().await.unwrap().price_overrides.is_empty());
    assert_eq!((audited(&client).await, table.agreed_prices().await.unwrap().revision), (0, 0));
    put(&client, "PRICE_OVERRIDES#ovr-1", json!({"version": "ovr-1"})).await;
    table.agreed_prices().await.unwrap_err();
}

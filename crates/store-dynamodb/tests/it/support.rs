//! A `ledger` table in an embedded DynamoDB, and callers for it.

use std::collections::{BTreeSet, HashMap};

use admission::{
    Calendar, Cap, Counter, Gate, MeterRef, Metric, Minute, Part, Period, Reservation, Scope,
};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement,
    KeyType, Projection, ProjectionType, ScalarAttributeType,
};
use metering::NanoUsd;
use serde_json::Value;
use store_dynamodb::Ledger;
use tenancy::{Principal, PrincipalKind, Role, TenantContext};

pub(crate) const TABLE: &str = "ledger";
pub(crate) const TENANCY: &str = "tenancy";

/// 2026-11-23T12:00:00Z
pub(crate) const NOON: Minute = Minute(29_923_920);

/// Starts an empty DynamoDB.
pub(crate) async fn client() -> Client {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(dynoxide::server::serve_on(listener, dynoxide::Database::memory().unwrap()));
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "test", "test", None, None, "test",
        )))
        .endpoint_url(endpoint)
        .build();
    store_dynamodb::client(&sdk)
}

/// Starts a DynamoDB with a table of that name, with keys and no index, like the template's others.
pub(crate) async fn keyed(table: &str) -> Client {
    let client = client().await;
    create_table(&client, table, None).await;
    client
}

/// A further table with keys and no index.
pub(crate) async fn keyed_in(client: &Client, table: &str) {
    create_table(client, table, None).await;
}

/// Starts a DynamoDB with a `ledger` table like the template's.
pub(crate) async fn dynamodb() -> Client {
    let client = client().await;
    create_table(&client, TABLE, Some(("meters", "meter_kind"))).await;
    client
}

/// The `tenancy` table, like the template's, empty.
pub(crate) async fn create_tenancy(client: &Client) {
    create_table(client, TENANCY, Some(("tenants", "lob_id"))).await;
}

/// A table with keys and, if one is named with its hash key, an index of keys.
async fn create_table(client: &Client, name: &str, index: Option<(&str, &str)>) {
    let attribute = |name: &str| {
        AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S)
            .build()
            .unwrap()
    };
    let element = |name: &str, key_type| {
        KeySchemaElement::builder().attribute_name(name).key_type(key_type).build().unwrap()
    };
    let mut create = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute("PK"))
        .attribute_definitions(attribute("SK"))
        .key_schema(element("PK", KeyType::Hash))
        .key_schema(element("SK", KeyType::Range));
    if let Some((index, hash)) = index {
        let keys = Projection::builder().projection_type(ProjectionType::KeysOnly).build();
        let index = GlobalSecondaryIndex::builder()
            .index_name(index)
            .key_schema(element(hash, KeyType::Hash))
            .key_schema(element("PK", KeyType::Range))
            .projection(keys);
        create = create
            .attribute_definitions(attribute(hash))
            .global_secondary_indexes(index.build().unwrap());
    }
    create.send().await.unwrap();
}

/// Writes an item in the place of what had its key.
pub(crate) async fn put(client: &Client, table: &str, pk: &str, sk: &str, item: Value) {
    let item: HashMap<String, AttributeValue> = serde_dynamo::to_item(item).unwrap();
    let put = client.put_item().table_name(table).set_item(Some(item));
    let put = put.item("PK", AttributeValue::S(pk.into()));
    put.item("SK", AttributeValue::S(sk.into())).send().await.unwrap();
}

/// Onboards the scopes of `context`, as seeding does.
pub(crate) async fn onboard(client: &Client, context: &TenantContext) {
    for key in [format!("TENANT#{}", context.tenant_id), format!("LOB#{}", context.lob_id)] {
        client
            .put_item()
            .table_name(TABLE)
            .item("PK", AttributeValue::S(key))
            .item("SK", AttributeValue::S("METER".into()))
            .item("meter_kind", AttributeValue::S("METER".into()))
            .item("status", AttributeValue::S("active".into()))
            .item("entitlement_version", AttributeValue::N("1".into()))
            .item("open", AttributeValue::M([].into()))
            .send()
            .await
            .unwrap();
    }
}

pub(crate) fn ledger(client: &Client) -> Ledger {
    Ledger::new(client.clone(), TABLE.to_owned(), Calendar::utc())
}

pub(crate) fn context(tenant: &str, lob: &str) -> TenantContext {
    TenantContext {
        tenant_id: tenant.parse().unwrap(),
        lob_id: lob.parse().unwrap(),
        principal: Principal {
            id: "dev-1".to_owned().try_into().unwrap(),
            kind: PrincipalKind::User,
        },
        roles: BTreeSet::from([Role::Developer]),
        scopes: BTreeSet::new(),
    }
}

pub(crate) fn reservation(
    context: &TenantContext,
    amount: u64,
    tokens: u64,
    minute: Minute,
) -> Reservation {
    Reservation {
        tenant_id: context.tenant_id.clone(),
        amount_nanousd: NanoUsd(amount),
        input_tokens: tokens - tokens / 3,
        output_tokens: tokens / 3,
        requests: 1,
        minute,
        deadline_ms: minute.start_ms() + 900_000,
        part: Part::WHOLE,
    }
}

/// A hard limit.
pub(crate) fn cap(metric: Metric, period: Option<Period>, allowed: u64) -> Cap {
    let counter = period.and_then(|period| Counter::of(metric, period));
    Cap { limit_id: "limit".to_owned(), counter, allowed, whole: allowed, on_exhausted: None }
}

/// The one meter of a scope with these limits; a tenant's knows its version.
pub(crate) fn gate(scope: Scope, caps: Vec<Cap>) -> Gate {
    let entitlement_version = matches!(scope, Scope::Tenant(_)).then_some(1);
    Gate { meter: MeterRef::of(scope), caps, entitlement_version }
}

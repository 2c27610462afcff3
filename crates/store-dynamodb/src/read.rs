//! The reads that several adapters make alike, all consistent but of indexes, which cannot be.

use std::error::Error;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::DeserializeOwned;
use tenancy::{LobId, TenantId};

use crate::key::{self, Key};
use crate::limit_writes::{Item, text};

/// Why a read failed, for whoever says what it was for.
pub(crate) type Cause = Box<dyn Error + Send + Sync>;

/// An item as it is now.
pub(crate) async fn item(client: &Client, table: &str, key: Key) -> Result<Option<Item>, Cause> {
    let get = client.get_item().table_name(table).set_key(Some(key)).consistent_read(true);
    Ok(get.send().await?.item)
}

/// What an item says now.
pub(crate) async fn value<T: DeserializeOwned>(
    client: &Client,
    table: &str,
    key: Key,
) -> Result<Option<T>, Cause> {
    Ok(item(client, table, key).await?.map(serde_dynamo::from_item).transpose()?)
}

/// The items of a partition whose sort keys begin with `prefix`, in order; all of them if it is empty.
pub(crate) async fn items(
    client: &Client,
    table: &str,
    pk: &str,
    prefix: &str,
) -> Result<Vec<Item>, Cause> {
    let query = client
        .query()
        .table_name(table)
        .expression_attribute_names("#pk", key::PK)
        .expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()))
        .consistent_read(true);
    let query = if prefix.is_empty() {
        query.key_condition_expression("#pk = :pk")
    } else {
        query
            .key_condition_expression("#pk = :pk AND begins_with(#sk, :prefix)")
            .expression_attribute_names("#sk", key::SK)
            .expression_attribute_values(":prefix", AttributeValue::S(prefix.to_owned()))
    };
    Ok(query.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await?)
}

/// A query of the items of a partition whose sort keys are from `from` to `until`, both included: the
/// latest first.
pub(crate) fn latest(
    client: &Client,
    table: &str,
    pk: String,
    (from, until): (&str, String),
) -> QueryFluentBuilder {
    client
        .query()
        .table_name(table)
        .key_condition_expression("#pk = :pk AND #sk BETWEEN :from AND :until")
        .expression_attribute_names("#pk", key::PK)
        .expression_attribute_names("#sk", key::SK)
        .expression_attribute_values(":pk", AttributeValue::S(pk))
        .expression_attribute_values(":from", AttributeValue::S(from.to_owned()))
        .expression_attribute_values(":until", AttributeValue::S(until))
        .scan_index_forward(false)
}

/// The tenants of a line of business, by the index, which is late.
pub(crate) async fn tenants(
    client: &Client,
    table: &str,
    lob_id: &LobId,
) -> Result<Vec<TenantId>, Cause> {
    let items = client
        .query()
        .table_name(table)
        .index_name(key::TENANTS_INDEX)
        .key_condition_expression("#lob = :lob AND begins_with(#pk, :tenant)")
        .expression_attribute_names("#lob", "lob_id")
        .expression_attribute_names("#pk", key::PK)
        .expression_attribute_values(":lob", AttributeValue::S(lob_id.to_string()))
        .expression_attribute_values(":tenant", AttributeValue::S("TENANT#".to_owned()))
        .into_paginator()
        .items()
        .send()
        .collect::<Result<Vec<_>, _>>()
        .await?;
    let id = |item: Item| text(&item, key::PK)?.strip_prefix("TENANT#")?.parse().ok();
    Ok(items.into_iter().filter_map(id).collect())
}

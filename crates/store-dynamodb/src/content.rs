//! The `content` table: what tenants leave with the gateway for a while.
//!
//! A value stands in its head item (`<KIND>#<id>#0`) or, where an item cannot hold it, in numbered
//! chunks beside it, which are written before the head. The head has the number of chunks and the
//! digest of the whole, so that a value of which a part is missing or another's is not there at all.
//! `expires_at` is the table's TTL attribute; DynamoDB deletes late, so readers look at it too.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use bytes::{Bytes, BytesMut};
use content::{ContentError, ContentId, ContentKind, ContentStore, MAX_BYTES};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use sha2::{Digest as _, Sha256};
use tenancy::TenantContext;

use crate::key;

/// Bytes of a value in one item: 400 KB is DynamoDB's limit, names and keys included.
const CHUNK_BYTES: usize = 350 * 1024;

/// Chunks of one value that are written or deleted at the same time.
const CONCURRENCY: usize = 6;

const EXPIRES_AT: &str = "expires_at";
const CHUNKS: &str = "chunks";
const SHA256: &str = "sha256";
const VALUE: &str = "value";

/// Content of all tenants in one table.
#[derive(Debug)]
pub struct Content {
    client: Client,
    table: String,
}

/// Whose content it is and what it is called: the only source of keys.
#[derive(Debug, Clone, Copy)]
struct Name<'a> {
    context: &'a TenantContext,
    kind: ContentKind,
    id: &'a ContentId,
}

type Item = HashMap<String, AttributeValue>;

/// Something that the SDK can say went wrong.
type Source = Box<dyn Error + Send + Sync>;

impl Name<'_> {
    fn owner(&self) -> String {
        key::tenant(&self.context.tenant_id)
    }

    /// What the sort keys of this content, and of no other, begin with: no id holds a `#`.
    fn prefix(&self) -> String {
        let kind = match self.kind {
            ContentKind::Response => "RESPONSE",
            ContentKind::Cache => "CACHE",
            ContentKind::File => "FILE",
            ContentKind::Socket => "SOCKET",
        };
        format!("{kind}#{}#", self.id)
    }

    fn key(&self, number: usize) -> key::Key {
        key::key(self.owner(), format!("{}{number}", self.prefix()))
    }

    fn number(&self, item: &Item) -> Option<usize> {
        item.get(key::SK)?.as_s().ok()?.strip_prefix(&self.prefix())?.parse().ok()
    }

    fn failed(&self, operation: &'static str, source: impl Into<Source>) -> ContentError {
        let (kind, id) = (self.kind, self.id.clone());
        ContentError::Store { operation, kind, id, source: source.into() }
    }
}

impl Content {
    /// The content in the table of that name.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    async fn write(&self, name: Name<'_>, number: usize, rest: Item) -> Result<(), ContentError> {
        let item = name.key(number).into_iter().chain(rest).collect();
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        put.send().await.map(|_| ()).map_err(|error| name.failed("write", error))
    }

    /// All items of the content by number, or their keys only.
    async fn items(
        &self,
        operation: &'static str,
        name: Name<'_>,
        has_values: bool,
    ) -> Result<BTreeMap<usize, Item>, ContentError> {
        let mut query = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("#pk = :owner AND begins_with(#sk, :prefix)")
            .expression_attribute_names("#pk", key::PK)
            .expression_attribute_names("#sk", key::SK)
            .expression_attribute_values(":owner", AttributeValue::S(name.owner()))
            .expression_attribute_values(":prefix", AttributeValue::S(name.prefix()));
        if !has_values {
            query = query.projection_expression("#sk");
        }
        let items = query.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await;
        let items = items.map_err(|error| name.failed(operation, error))?;
        Ok(items.into_iter().filter_map(|item| Some((name.number(&item)?, item))).collect())
    }

    async fn remove(&self, name: Name<'_>, number: usize) -> Result<Item, ContentError> {
        let answer = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(name.key(number)))
            .return_values(if number == 0 { ReturnValue::AllOld } else { ReturnValue::None })
            .send()
            .await
            .map_err(|error| name.failed("delete", error))?;
        Ok(answer.attributes.unwrap_or_default())
    }
}

fn number(value: &impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn blob(bytes: impl Into<Vec<u8>>) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

fn read_number<T: std::str::FromStr>(item: &Item, name: &str) -> Option<T> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

fn take_blob(item: &mut Item, name: &str) -> Option<Vec<u8>> {
    match item.remove(name)? {
        AttributeValue::B(blob) => Some(blob.into_inner()),
        _ => None,
    }
}

fn is_kept(head: &Item, now: i64) -> bool {
    read_number::<i64>(head, EXPIRES_AT).is_some_and(|expires_at| expires_at > now)
}

/// The value that the items make, if they are all there and each other's.
fn whole(mut items: BTreeMap<usize, Item>, now: i64) -> Option<Bytes> {
    let mut head = items.remove(&0).filter(|head| is_kept(head, now))?;
    let chunks: usize = read_number(&head, CHUNKS)?;
    if chunks == 0 {
        return take_blob(&mut head, VALUE).map(Bytes::from);
    }
    let mut value = BytesMut::new();
    for number in 1..=chunks {
        value.extend_from_slice(&take_blob(items.get_mut(&number)?, VALUE)?);
    }
    let is_intact = Sha256::digest(&value).as_slice() == take_blob(&mut head, SHA256)?;
    is_intact.then(|| value.freeze())
}

impl ContentStore for Content {
    async fn put(
        &self,
        context: &TenantContext,
        kind: ContentKind,
        id: &ContentId,
        value: Bytes,
        expires_at: i64,
    ) -> Result<(), ContentError> {
        if value.len() > MAX_BYTES {
            return Err(ContentError::TooLarge { size: value.len() });
        }
        let name = Name { context, kind, id };
        let expiry = (EXPIRES_AT.to_owned(), number(&expires_at));
        if value.len() <= CHUNK_BYTES {
            let head = [expiry, (CHUNKS.to_owned(), number(&0)), (VALUE.to_owned(), blob(value))];
            return self.write(name, 0, head.into()).await;
        }
        let chunks: Vec<Bytes> =
            value.chunks(CHUNK_BYTES).map(|chunk| value.slice_ref(chunk)).collect();
        let head = [
            expiry.clone(),
            (CHUNKS.to_owned(), number(&chunks.len())),
            (SHA256.to_owned(), blob(Sha256::digest(&value).to_vec())),
        ];
        stream::iter(chunks.into_iter().zip(1..))
            .map(|(chunk, number)| {
                let item = [expiry.clone(), (VALUE.to_owned(), blob(chunk))];
                self.write(name, number, item.into())
            })
            .buffer_unordered(CONCURRENCY)
            .try_collect::<()>()
            .await?;
        self.write(name, 0, head.into()).await
    }

    async fn get(
        &self,
        context: &TenantContext,
        kind: ContentKind,
        id: &ContentId,
        now: i64,
    ) -> Result<Option<Bytes>, ContentError> {
        let name = Name { context, kind, id };
        Ok(whole(self.items("read", name, true).await?, now))
    }

    async fn delete(
        &self,
        context: &TenantContext,
        kind: ContentKind,
        id: &ContentId,
        now: i64,
    ) -> Result<bool, ContentError> {
        let name = Name { context, kind, id };
        let items = self.items("delete", name, false).await?;
        // The head first: without it, the rest is nothing.
        let head = self.remove(name, 0).await?;
        stream::iter(items.into_keys().filter(|number| *number > 0))
            .map(|number| self.remove(name, number))
            .buffer_unordered(CONCURRENCY)
            .try_for_each(|_| std::future::ready(Ok(())))
            .await?;
        Ok(is_kept(&head, now))
    }

    async fn claim(
        &self,
        context: &TenantContext,
        kind: ContentKind,
        id: &ContentId,
        value: Bytes,
        expires_at: i64,
        now: i64,
    ) -> Result<bool, ContentError> {
        if value.len() > CHUNK_BYTES {
            return Err(ContentError::TooLarge { size: value.len() });
        }
        let name = Name { context, kind, id };
        let head = [
            (EXPIRES_AT.to_owned(), number(&expires_at)),
            (CHUNKS.to_owned(), number(&0)),
            (VALUE.to_owned(), blob(value.clone())),
        ];
        let outcome = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(name.key(0).into_iter().chain(head).collect()))
            // The last: a retry of a write whose answer was lost.
            .condition_expression(
                "attribute_not_exists(#pk) OR #expires <= :now OR #value = :value",
            )
            .expression_attribute_names("#pk", key::PK)
            .expression_attribute_names("#expires", EXPIRES_AT)
            .expression_attribute_names("#value", VALUE)
            .expression_attribute_values(":now", number(&now))
            .expression_attribute_values(":value", blob(value))
            .send()
            .await;
        match outcome {
            Ok(_) => Ok(true),
            Err(error) => match error.into_service_error() {
                PutItemError::ConditionalCheckFailedException(_) => Ok(false),
                error => Err(name.failed("claim", error)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use tenancy::{Principal, PrincipalKind};

    use super::*;

    fn context(tenant: &str) -> Option<TenantContext> {
        Some(TenantContext {
            tenant_id: tenant.parse().ok()?,
            lob_id: "retail".parse().ok()?,
            principal: Principal {
                id: "dev-1".to_owned().try_into().ok()?,
                kind: PrincipalKind::User,
            },
            roles: BTreeSet::new(),
            scopes: BTreeSet::new(),
        })
    }

    /// Ids as an attacker would try them: much alike, full of separators.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-c#0-2*/]{1,6}",
            "(RESPONSE|CACHE|TENANT)#[a-c]{1,3}#?[0-2]?",
            "[a-c0-2]{1,4}"
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn no_name_reaches_another_ones_items(
            tenants in ("[a-b][a-b0-1-]{1,3}[a-b]", "[a-b][a-b0-1-]{1,3}[a-b]"),
            ids in (text(), text()), kinds in (0..4usize, 0..4usize), number in 0..30usize,
        ) {
            let (Some(one), Some(other)) = (context(&tenants.0), context(&tenants.1)) else { return Ok(()) };
            let (Ok(id), Ok(other_id)) = (ids.0.parse::<ContentId>(), ids.1.parse::<ContentId>()) else { return Ok(()) };
            let name = Name { context: &one, kind: ContentKind::ALL[kinds.0], id: &id };
            let other = Name { context: &other, kind: ContentKind::ALL[kinds.1], id: &other_id };
            let is_same = (&one.tenant_id, name.kind, name.id) == (&other.context.tenant_id, other.kind, other.id);
            let item = name.key(number);
            let is_reached = item[key::PK].as_s() == Ok(&other.owner()) && other.number(&item).is_some();
            prop_assert_eq!(is_reached, is_same, "{:?}", item);
            prop_assert_eq!(name.number(&item), Some(number));
        }
    }
}

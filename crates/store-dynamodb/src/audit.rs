//! Chains of the audit trail, in the `tenancy` table beside the entries that they are made of.
//!
//! `AUDIT#HEADS` / `<chain>` is a chain's head. In `AUDIT#CHAIN#<chain>` there are `SEGMENT#<first record>`
//! for each of its segments and `ENTRY#<position>` for each entry that is in it. Nobody who writes entries
//! (`TENANT#<id>` / `AUDIT#<position>`) may write these partitions, and their stream is not listened to.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ::audit::{
    AuditError, ChainId, ChainStore, Entry, EntryPage, EntrySource, Head, NOTHING, SegmentNote,
};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, TransactWriteItem, Update};
use futures::future::try_join_all;
use serde::Deserialize;
use serde_json::{Map, Value};
use tenancy::LobId;

use crate::key;
use crate::limit_writes::{AUDIT, Item, number, put_new, text, transact};
use crate::read::{self, Cause};

/// The partition of heads.
const HEADS: &str = "AUDIT#HEADS";
/// Sort key prefix of segments.
const SEGMENT: &str = "SEGMENT#";
/// Sort key prefix of the entries that are in a chain.
const ENTRY: &str = "ENTRY#";
/// Entries of one page.
const PAGE: i32 = 100;

/// The audit trail's chains and entries in one table.
#[derive(Debug, Clone)]
pub struct AuditTable {
    client: Client,
    table: String,
}

/// A head's item.
#[derive(Debug, Deserialize)]
struct HeadItem {
    #[serde(rename = "SK")]
    chain: ChainId,
    #[serde(default)]
    sequence: u64,
    #[serde(default = "nothing")]
    hash: String,
    #[serde(default)]
    day: Option<jiff::civil::Date>,
    #[serde(default)]
    checked: Option<String>,
}

fn nothing() -> String {
    NOTHING.to_owned()
}

impl From<HeadItem> for Head {
    fn from(HeadItem { chain, sequence, hash, day, checked }: HeadItem) -> Self {
        Self { chain, sequence, hash, day, checked }
    }
}

fn error(operation: &'static str, subject: &impl ToString, source: impl Into<Cause>) -> AuditError {
    AuditError { operation, subject: subject.to_string(), source: source.into() }
}

fn head_key(chain: &ChainId) -> key::Key {
    key::key(HEADS.to_owned(), chain.to_string())
}

fn partition(chain: &ChainId) -> String {
    format!("AUDIT#CHAIN#{chain}")
}

/// The partition of the entries of a chain's owner.
fn owner(chain: &ChainId) -> String {
    match chain {
        ChainId::Org => key::ORG.to_owned(),
        ChainId::Lob(id) => key::lob(id),
        ChainId::Tenant(id) => key::tenant(id),
    }
}

fn string(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

impl AuditTable {
    /// The trail in the table of that name.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    async fn get(&self, key: key::Key) -> Result<Option<Item>, Cause> {
        read::item(&self.client, &self.table, key).await
    }

    /// The writes that move a chain's end.
    fn writes(&self, head: &Head, segment: &SegmentNote) -> Result<Vec<TransactWriteItem>, Cause> {
        let condition = if head.sequence == 0 {
            "attribute_not_exists(#sequence)"
        } else {
            "#sequence = :old AND #hash = :old_hash"
        };
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(head_key(&head.chain)))
            .update_expression("SET #sequence = :new, #hash = :new_hash REMOVE #day")
            .condition_expression(condition)
            .expression_attribute_names("#sequence", "sequence")
            .expression_attribute_names("#hash", "hash")
            .expression_attribute_names("#day", "day")
            .expression_attribute_values(":new", number(segment.last))
            .expression_attribute_values(":new_hash", string(&segment.hash));
        let update = if head.sequence == 0 {
            update
        } else {
            update
                .expression_attribute_values(":old", number(head.sequence))
                .expression_attribute_values(":old_hash", string(&head.hash))
        };
        let mut note: Item = serde_dynamo::to_item(segment)?;
        let pk = partition(&segment.chain);
        note.extend(key::key(pk.clone(), format!("{SEGMENT}{:020}", segment.first)));
        let mut items = vec![note];
        for position in &segment.entries {
            items.push(key::key(pk.clone(), format!("{ENTRY}{position}")));
        }
        let mut writes = vec![TransactWriteItem::builder().update(update.build()?).build()];
        for item in items {
            writes.push(put_new(&self.table, item)?);
        }
        Ok(writes)
    }

    /// Everybody who may have entries.
    async fn all_owners(&self) -> Result<Vec<ChainId>, Cause> {
        let lobs = read::items(&self.client, &self.table, key::ORG, "LOB#").await?;
        let lob = |item: Item| text(&item, key::SK)?.strip_prefix("LOB#")?.parse().ok();
        let lobs: Vec<LobId> = lobs.into_iter().filter_map(lob).collect();
        let mut owners = BTreeSet::from([ChainId::Org]);
        for lob_id in lobs {
            owners.extend(
                read::tenants(&self.client, &self.table, &lob_id)
                    .await?
                    .into_iter()
                    .map(ChainId::Tenant),
            );
            owners.insert(ChainId::Lob(lob_id));
        }
        // Who is gone may have left entries.
        owners.extend(self.all_heads().await?.into_iter().map(|head| head.chain));
        Ok(owners.into_iter().collect())
    }

    async fn all_heads(&self) -> Result<Vec<Head>, Cause> {
        let items = read::items(&self.client, &self.table, HEADS, "").await?;
        let head = |item| serde_dynamo::from_item::<_, HeadItem>(item).map(Head::from);
        Ok(items.into_iter().map(head).collect::<Result<_, _>>()?)
    }
}

impl ChainStore for AuditTable {
    async fn head(&self, chain: &ChainId) -> Result<Head, AuditError> {
        let failed = |cause: Cause| error("read the head of", chain, cause);
        let Some(item) = self.get(head_key(chain)).await.map_err(failed)? else {
            return Ok(Head::empty(chain.clone()));
        };
        let head: HeadItem = serde_dynamo::from_item(item).map_err(|cause| failed(cause.into()))?;
        Ok(head.into())
    }

    async fn heads(&self) -> Result<Vec<Head>, AuditError> {
        self.all_heads().await.map_err(|cause| error("list", &"heads", cause))
    }

    async fn chained(
        &self,
        chain: &ChainId,
        positions: &[String],
    ) -> Result<BTreeSet<String>, AuditError> {
        let look = |position: &String| {
            let key = key::key(partition(chain), format!("{ENTRY}{position}"));
            let position = position.clone();
            async move { Ok::<_, Cause>(self.get(key).await?.map(|_| position)) }
        };
        let found = try_join_all(positions.iter().map(look)).await;
        let found = found.map_err(|cause| error("look into", chain, cause))?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn claim(
        &self,
        head: &Head,
        today: jiff::civil::Date,
    ) -> Result<Option<jiff::civil::Date>, AuditError> {
        let failed = |cause: Cause| error("claim a segment of", &head.chain, cause);
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(head_key(&head.chain)))
            .update_expression("SET #day = if_not_exists(#day, :today)")
            .expression_attribute_names("#day", "day")
            .expression_attribute_names("#sequence", "sequence")
            .expression_attribute_values(":today", string(today.to_string()))
            .return_values(ReturnValue::AllNew);
        let update = if head.sequence == 0 {
            update.condition_expression("attribute_not_exists(#sequence)")
        } else {
            update
                .condition_expression("#sequence = :sequence")
                .expression_attribute_values(":sequence", number(head.sequence))
        };
        let answer = match update.send().await {
            Ok(answer) => answer,
            Err(cause) if is_refused(&cause) => return Ok(None),
            Err(cause) => return Err(failed(cause.into())),
        };
        let day = answer.attributes.and_then(|item| text(&item, "day")?.parse().ok());
        day.map(Some).ok_or_else(|| failed("its day is none".into()))
    }

    async fn advance(&self, head: &Head, segment: &SegmentNote) -> Result<bool, AuditError> {
        let writes = self.writes(head, segment);
        let writes = writes.map_err(|cause| error("make longer", &head.chain, cause))?;
        let written = transact(&self.client, "make longer", &head.chain, writes).await;
        written.map_err(|failed| error(failed.operation, &head.chain, failed))
    }

    async fn set_checked(&self, chain: &ChainId, position: &str) -> Result<(), AuditError> {
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(head_key(chain)))
            .update_expression("SET #checked = :position")
            .expression_attribute_names("#checked", "checked")
            .expression_attribute_values(":position", string(position))
            .send()
            .await
            .map(|_| ())
            .map_err(|cause| error("note what was checked of", chain, cause))
    }

    async fn segments(
        &self,
        chain: &ChainId,
        before: u64,
        limit: usize,
    ) -> Result<Vec<SegmentNote>, AuditError> {
        let failed = |cause: Cause| error("list segments of", chain, cause);
        let range = (SEGMENT, format!("{SEGMENT}{:020}", before.saturating_sub(1)));
        let query = read::latest(&self.client, &self.table, partition(chain), range);
        let mut pages = query.consistent_read(true).into_paginator().items().send();
        let mut notes = Vec::new();
        while notes.len() < limit {
            let Some(item) = pages.next().await else { break };
            let item = item.map_err(|cause| failed(cause.into()))?;
            notes.push(serde_dynamo::from_item(item).map_err(|cause| failed(cause.into()))?);
        }
        Ok(notes)
    }
}

impl EntrySource for AuditTable {
    async fn owners(&self) -> Result<Vec<ChainId>, AuditError> {
        self.all_owners().await.map_err(|cause| error("list", &"owners of entries", cause))
    }

    async fn entries(&self, chain: &ChainId, after: Option<&str>) -> Result<EntryPage, AuditError> {
        let failed = |cause: Cause| error("list entries of", chain, cause);
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("#pk = :pk AND #sk BETWEEN :from AND :until")
            .expression_attribute_names("#pk", key::PK)
            .expression_attribute_names("#sk", key::SK)
            .expression_attribute_values(":pk", string(owner(chain)))
            // `!` is the first character that can follow.
            .expression_attribute_values(
                ":from",
                string(after.map_or_else(|| AUDIT.to_owned(), |after| format!("{AUDIT}{after}!"))),
            )
            // `~` is behind every digit.
            .expression_attribute_values(":until", string(format!("{AUDIT}~")))
            .limit(PAGE)
            .consistent_read(true)
            .send()
            .await
            .map_err(|cause| failed(cause.into()))?;
        let last = answer.last_evaluated_key.and_then(|key| text(&key, key::SK));
        let next = last.and_then(|sk| sk.strip_prefix(AUDIT).map(str::to_owned));
        let mut page = EntryPage { next, ..EntryPage::default() };
        for item in answer.items.unwrap_or_default() {
            match entry_of(item) {
                Some(entry) => page.entries.push(entry),
                None => page.unreadable += 1,
            }
        }
        Ok(page)
    }
}

fn entry_of(item: HashMap<String, AttributeValue>) -> Option<Entry> {
    let item: BTreeMap<String, Value> = serde_dynamo::from_item(item).ok()?;
    let item: Map<String, Value> = item.into_iter().collect();
    Entry::of_item(item).ok().map(|(_, entry)| entry)
}

fn is_refused(error: &SdkError<UpdateItemError>) -> bool {
    error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception)
}

//! Rollups as who makes them sees them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use metering::{
    AggregationStore, Delivery, Granularity, Late, Mark, Page, Progress, Rollup, RollupError,
    RollupKey, Rollups as Sums, UsagePeriod, UsageRecord,
};
use tenancy::TenantId;

use super::key::{self, LIVE};
use super::{Rollups, Stored, count, rollup_error, text};
use crate::key::{BUCKETS, Key, PK, SK, bucket, usage_partition};
use crate::read;

/// Days that live rollups stay after their hour: final ones have long taken their place.
const LIVE_DAYS: i64 = 40;

/// Writes that adding to one live rollup may need: another one only after another invocation has added
/// to it meanwhile.
const MAX_TRIES: u32 = 20;

/// Records of one page: a bound of what is in memory.
const PAGE: i32 = 500;

/// A conditional update of one live rollup.
#[derive(Debug, Default)]
struct LiveUpdate {
    adds: Vec<String>,
    sets: Vec<String>,
    conditions: Vec<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl LiveUpdate {
    /// Adds these deliveries, if no later one of their partitions has been added yet.
    fn new(
        hour: UsagePeriod,
        of: &RollupKey,
        deliveries: &[&Delivery],
    ) -> Result<Self, serde_dynamo::Error> {
        let (mut update, mut sums) = (Self::default(), Rollup::default());
        let mut ranges: BTreeMap<char, (String, String)> = BTreeMap::new();
        for delivery in deliveries {
            sums.add(&delivery.record);
            let sequence = ordered(&delivery.sequence);
            let new = || (sequence.clone(), sequence.clone());
            let range = ranges.entry(bucket(&delivery.record.id.call_id)).or_insert_with(new);
            if sequence < range.0 {
                range.0.clone_from(&sequence);
            }
            if sequence > range.1 {
                range.1 = sequence;
            }
        }
        let sums: Key = serde_dynamo::to_item(sums)?;
        for (number, (name, sum)) in sums.into_iter().enumerate() {
            update.adds.push(format!("#a{number} :a{number}"));
            update.names.insert(format!("#a{number}"), name);
            update.values.insert(format!(":a{number}"), sum);
        }
        for (bucket, (first, last)) in ranges {
            let name = format!("#s{bucket}");
            update
                .conditions
                .push(format!("(attribute_not_exists({name}) OR {name} < :f{bucket})"));
            update.sets.push(format!("{name} = :l{bucket}"));
            update.names.insert(name, seen(bucket));
            update.values.insert(format!(":f{bucket}"), AttributeValue::S(first));
            update.values.insert(format!(":l{bucket}"), AttributeValue::S(last));
        }
        let expires_at = hour.end_ms() / 1_000 + LIVE_DAYS * 86_400;
        for (name, attribute, value) in [
            ("key", "rollup_key", serde_dynamo::to_attribute_value(of)?),
            ("expires", "expires_at", AttributeValue::N(expires_at.to_string())),
        ] {
            update.sets.push(format!("#{name} = :{name}"));
            update.names.insert(format!("#{name}"), attribute.to_owned());
            update.values.insert(format!(":{name}"), value);
        }
        Ok(update)
    }

    fn expression(&self) -> String {
        format!("SET {} ADD {}", self.sets.join(", "), self.adds.join(", "))
    }
}

/// The attribute that says what has been seen of a partition of records.
fn seen(bucket: char) -> String {
    format!("seen_{bucket}")
}

/// Decimal numbers of up to 40 digits, as the stream has them, in an order of texts.
fn ordered(sequence: &str) -> String {
    format!("{sequence:0>40}")
}

impl Rollups {
    /// Applies the update; the rollup as it is if some of it has been seen.
    async fn apply_live(
        &self,
        key: Key,
        of: &RollupKey,
        update: LiveUpdate,
    ) -> Result<Result<(), Key>, RollupError> {
        let answer = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key))
            .update_expression(update.expression())
            .condition_expression(update.conditions.join(" AND "))
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(Ok(())),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                    Ok(Err(refused.item.clone().unwrap_or_default()))
                }
                _ => Err(rollup_error("add to the live rollup", &of.tenant_id, error)),
            },
        }
    }

    /// Writes a final rollup unless there is one of more records.
    async fn put_final(
        &self,
        period: UsagePeriod,
        of: &RollupKey,
        rollup: Rollup,
    ) -> Result<(), RollupError> {
        let subject = format!("{} {period}", of.tenant_id);
        let stored = Stored { rollup_key: of.clone(), rollup };
        let mut item: Key = serde_dynamo::to_item(stored)
            .map_err(|error| rollup_error("write the final rollup", &subject, error))?;
        item.extend(key::rollup(key::level(period.granularity()), period, of));
        let answer = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(#pk) OR #attempts <= :attempts")
            .expression_attribute_names("#pk", PK)
            .expression_attribute_names("#attempts", "attempts")
            .expression_attribute_values(
                ":attempts",
                AttributeValue::N(rollup.attempts.to_string()),
            )
            .send()
            .await;
        match answer {
            Err(SdkError::ServiceError(error))
                if error.err().is_conditional_check_failed_exception() =>
            {
                Ok(())
            }
            Err(error) => Err(rollup_error("write the final rollup", &subject, error)),
            Ok(_) => Ok(()),
        }
    }
}

impl AggregationStore for Rollups {
    async fn add_live<'a>(
        &self,
        hour: UsagePeriod,
        of: &RollupKey,
        deliveries: &[&'a Delivery],
    ) -> Result<Vec<&'a Delivery>, RollupError> {
        let key = key::rollup(LIVE, hour, of);
        let mut new = Vec::new();
        let mut known = BTreeSet::new();
        for delivery in deliveries {
            // One batch may itself say something twice.
            if known.insert(&delivery.sequence) {
                new.push(*delivery);
            }
        }
        for _ in 0..MAX_TRIES {
            if new.is_empty() {
                return Ok(new);
            }
            let update = LiveUpdate::new(hour, of, &new)
                .map_err(|error| rollup_error("add to the live rollup", &of.tenant_id, error))?;
            match self.apply_live(key.clone(), of, update).await? {
                Ok(()) => return Ok(new),
                Err(found) => new.retain(|delivery| {
                    let seen = text(&found, &seen(bucket(&delivery.record.id.call_id)));
                    ordered(&delivery.sequence) > seen
                }),
            }
        }
        Err(rollup_error("add to the live rollup", &of.tenant_id, "others kept adding to it"))
    }

    async fn mark_hour(
        &self,
        hour: UsagePeriod,
        tenant_id: &TenantId,
        records: &[&UsageRecord],
    ) -> Result<(), RollupError> {
        let parts = records.iter().map(|record| bucket(&record.id.call_id).to_string());
        let parts: BTreeSet<String> = parts.collect();
        let parts = Some(parts.into_iter().collect());
        self.count_change("mark the hour", key::mark(hour, tenant_id), parts).await
    }

    async fn mark(&self, period: UsagePeriod, tenant_id: &TenantId) -> Result<(), RollupError> {
        self.count_change("mark the period", key::mark(period, tenant_id), None).await
    }

    async fn marks(&self, period: UsagePeriod) -> Result<Vec<Mark>, RollupError> {
        let (partition, prefix) = key::marks(period);
        let items = self
            .range("read the marks", &partition, prefix.to_owned(), format!("{prefix}\u{7f}"))
            .await?;
        let mark = |item: &Key| {
            let parts = item.get("parts").and_then(|parts| parts.as_ss().ok());
            Some(Mark {
                tenant_id: key::parse_mark(&text(item, SK))?,
                changes: count(item, "changes"),
                parts: parts.into_iter().flatten().cloned().collect(),
            })
        };
        Ok(items.iter().filter_map(mark).collect())
    }

    async fn note_late(&self, period: UsagePeriod) -> Result<(), RollupError> {
        self.count_change("note a late change", key::late(period), None).await
    }

    async fn late(&self) -> Result<Vec<Late>, RollupError> {
        let (first, last) = ("0".to_owned(), "9999-99".to_owned());
        let items = self.range("list late changes", key::LATE, first, last).await?;
        let late = |item: &Key| {
            let period = text(item, SK).parse().ok()?;
            Some(Late { period, changes: count(item, "changes") })
        };
        Ok(items.iter().filter_map(late).collect())
    }

    async fn forget_late(&self, late: &Late) -> Result<(), RollupError> {
        let answer = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(key::late(late.period)))
            .condition_expression("#changes = :changes")
            .expression_attribute_names("#changes", "changes")
            .expression_attribute_values(":changes", AttributeValue::N(late.changes.to_string()))
            .send()
            .await;
        match answer {
            Err(SdkError::ServiceError(error))
                if error.err().is_conditional_check_failed_exception() =>
            {
                Ok(())
            }
            Err(error) => Err(rollup_error("forget a late change", &late.period, error)),
            Ok(_) => Ok(()),
        }
    }

    async fn progress(&self, period: UsagePeriod) -> Result<Progress, RollupError> {
        let progress = read::value(&self.client, &self.table, key::progress(period)).await;
        let progress: Option<Progress> =
            progress.map_err(|error| rollup_error("read the progress", &period, error))?;
        Ok(progress.unwrap_or_default())
    }

    async fn set_progress(
        &self,
        period: UsagePeriod,
        progress: &Progress,
    ) -> Result<(), RollupError> {
        let mut item: Key = serde_dynamo::to_item(progress)
            .map_err(|error| rollup_error("note the progress", &period, error))?;
        item.extend(key::progress(period));
        let answer =
            self.client.put_item().table_name(&self.table).set_item(Some(item)).send().await;
        answer.map(|_| ()).map_err(|error| rollup_error("note the progress", &period, error))
    }

    async fn completed_ms(&self) -> Result<Option<i64>, RollupError> {
        let item = read::item(&self.client, &self.table, key::lake()).await;
        let item = item.map_err(|error| rollup_error("read the progress", "the lake", error))?;
        let completed_ms = item.map(|item| count(&item, "completed_ms"));
        Ok(completed_ms.and_then(|completed_ms| completed_ms.try_into().ok()))
    }

    async fn set_completed_ms(&self, now_ms: i64) -> Result<(), RollupError> {
        let mut item = key::lake();
        item.insert("completed_ms".to_owned(), AttributeValue::N(now_ms.to_string()));
        let answer =
            self.client.put_item().table_name(&self.table).set_item(Some(item)).send().await;
        answer.map(|_| ()).map_err(|error| rollup_error("note the progress", "the lake", error))
    }

    fn parts(&self) -> BTreeSet<String> {
        BUCKETS.chars().map(String::from).collect()
    }

    async fn records(
        &self,
        hour: UsagePeriod,
        tenant_id: &TenantId,
        part: &str,
        from: Option<String>,
    ) -> Result<Page, RollupError> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            rollup_error("read records", &format!("{tenant_id} {hour}"), error)
        };
        let partition = usage_partition(tenant_id, part.chars().next().unwrap_or('0'));
        // A call's id begins with its time.
        let bound = |ms: i64| AttributeValue::S(format!("USAGE#{ms:012x}"));
        let start = from.map(|sk| crate::key::key(partition.clone(), sk));
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .limit(PAGE)
            .set_exclusive_start_key(start)
            .key_condition_expression("#pk = :pk AND #sk BETWEEN :first AND :last")
            .expression_attribute_names("#pk", PK)
            .expression_attribute_names("#sk", SK)
            .expression_attribute_values(":pk", AttributeValue::S(partition.clone()))
            .expression_attribute_values(":first", bound(hour.start_ms()))
            .expression_attribute_values(":last", bound(hour.end_ms()))
            .send()
            .await
            .map_err(|error| failed(error.into()))?;
        let next = answer.last_evaluated_key.map(|key| text(&key, SK));
        let items = answer.items.unwrap_or_default();
        let records = serde_dynamo::from_items(items).map_err(|error| failed(error.into()))?;
        Ok(Page { records, next })
    }

    async fn live(&self, hour: UsagePeriod, tenant_id: &TenantId) -> Result<Sums, RollupError> {
        let range = hour.start_ms()..hour.end_ms();
        self.sums(tenant_id, LIVE, Granularity::Hour, &range).await
    }

    async fn finals_within(
        &self,
        period: UsagePeriod,
        granularity: Granularity,
        tenant_id: &TenantId,
    ) -> Result<Sums, RollupError> {
        let range = period.start_ms()..period.end_ms();
        self.sums(tenant_id, key::level(granularity), granularity, &range).await
    }

    async fn put_finals(&self, period: UsagePeriod, rollups: &Sums) -> Result<(), RollupError> {
        for (of, rollup) in &rollups.0 {
            self.put_final(period, of, *rollup).await?;
        }
        Ok(())
    }
}

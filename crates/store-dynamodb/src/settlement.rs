//! The `ledger` table as `metering-aggregator` sees it: settle, sweep.

use std::collections::HashMap;

use admission::{Meter, Minute, Reservation, Scope, SettlementStore, StoreError};
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::AttributeValue;
use metering::{NanoUsd, RecordId, UsageRecord};
use serde::Deserialize;
use tenancy::TenantId;

use crate::expression::Update;
use crate::key;
use crate::ledger::{Applied, Ledger, store_error};

/// Writes that closing one reservation may need; only a window that ends meanwhile asks for another.
const MAX_TRIES: u32 = 5;

/// What closing a reservation needs to see of a meter.
#[derive(Debug, Deserialize)]
struct OpenReservation {
    minute: Minute,
    #[serde(default)]
    open: HashMap<String, Reservation>,
}

impl Ledger {
    /// Takes the reservation `open` off a meter that last counted in `minute`, replaced by `used`
    /// (tokens, nano-USD; `None` if the call was never made); whether it was open.
    pub(crate) async fn close(
        &self,
        operation: &'static str,
        scope: &Scope,
        id: &RecordId,
        mut minute: Minute,
        mut open: Reservation,
        used: Option<(u64, u64)>,
    ) -> Result<bool, StoreError> {
        for _ in 0..MAX_TRIES {
            let since = minute.roll_from(Some(open.minute));
            let update = Update::settle(id, &open, minute, since, used);
            let mut meter = match self.apply(operation, scope, update).await? {
                Applied::Done(_) => return Ok(true),
                Applied::Missing => return Ok(false),
                Applied::Refused(meter) => meter,
            };
            let (Some(still_open), Some(last)) = (meter.open.remove(&id.open_key()), meter.minute)
            else {
                return Ok(false);
            };
            (open, minute) = (still_open, last);
        }
        Err(store_error(operation, scope, "the meter's windows kept changing"))
    }

    /// As [`Self::close`], of a reservation that has to be read first.
    async fn read_and_close(
        &self,
        operation: &'static str,
        scope: &Scope,
        id: &RecordId,
        used: Option<(u64, u64)>,
    ) -> Result<bool, StoreError> {
        let item = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key::meter(scope)))
            .consistent_read(true)
            .projection_expression("#minute, #open.#call")
            .expression_attribute_names("#minute", "minute")
            .expression_attribute_names("#open", "open")
            .expression_attribute_names("#call", id.open_key())
            .send()
            .await
            .map_err(|error| store_error(operation, scope, error))?
            .item;
        let Some(item) = item.filter(|item| item.contains_key("open")) else { return Ok(false) };
        let mut meter: OpenReservation =
            serde_dynamo::from_item(item).map_err(|error| store_error(operation, scope, error))?;
        let Some(open) = meter.open.remove(&id.open_key()) else { return Ok(false) };
        self.close(operation, scope, id, meter.minute, open, used).await
    }

    /// Writes `record` unless one of its id exists; whether it was new.
    pub(crate) async fn put(&self, record: &UsageRecord) -> Result<bool, StoreError> {
        let mut item: HashMap<String, AttributeValue> = serde_dynamo::to_item(record)
            .map_err(|error| store_error("put_record", &record.id, error))?;
        item.extend(key::usage_record(&record.tenant_id, &record.id));
        let answer = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(PK)")
            .send()
            .await;
        match answer {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(error))
                if error.err().is_conditional_check_failed_exception() =>
            {
                Ok(false)
            }
            Err(error) => Err(store_error("put_record", &record.id, error)),
        }
    }
}

impl SettlementStore for Ledger {
    async fn scopes(&self) -> Result<Vec<Scope>, StoreError> {
        let pages = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(key::METERS_INDEX)
            .key_condition_expression("#kind = :meter")
            .expression_attribute_names("#kind", key::METER_KIND)
            .expression_attribute_values(":meter", AttributeValue::S(key::METER.to_owned()))
            .into_paginator()
            .items()
            .send();
        let items = pages.collect::<Result<Vec<_>, _>>().await;
        let items = items.map_err(|error| store_error("list meters", "the ledger", error))?;
        let scope =
            |item: &key::Key| item.get(key::PK)?.as_s().ok().and_then(|pk| key::parse_scope(pk));
        Ok(items.iter().filter_map(scope).collect())
    }

    async fn meter(&self, scope: &Scope) -> Result<Option<Meter>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key::meter(scope)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| store_error("read the meter", scope, error))?;
        answer
            .item
            .map(serde_dynamo::from_item)
            .transpose()
            .map_err(|error| store_error("read the meter", scope, error))
    }

    async fn record(
        &self,
        tenant_id: &TenantId,
        id: &RecordId,
    ) -> Result<Option<UsageRecord>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key::usage_record(tenant_id, id)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| store_error("read the record", id, error))?;
        answer
            .item
            .map(serde_dynamo::from_item)
            .transpose()
            .map_err(|error| store_error("read the record", id, error))
    }

    async fn put_missing_record(&self, record: &UsageRecord) -> Result<bool, StoreError> {
        self.put(record).await
    }

    async fn settle(
        &self,
        scope: &Scope,
        id: &RecordId,
        tokens: u64,
        amount: NanoUsd,
    ) -> Result<bool, StoreError> {
        self.read_and_close("settle", scope, id, Some((tokens, amount.0))).await
    }

    async fn release_orphan(&self, scope: &Scope, id: &RecordId) -> Result<bool, StoreError> {
        self.read_and_close("release", scope, id, None).await
    }
}

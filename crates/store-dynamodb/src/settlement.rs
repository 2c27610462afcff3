//! The `ledger` table as `metering-aggregator` sees it: settle, sweep.

use std::collections::HashMap;

use admission::{
    CallDetail, Meter, MeterRef, Minute, Reservation, SettlementStore, StoreError, Used,
};
use aws_sdk_dynamodb::types::AttributeValue;
use metering::{RecordId, UsageRecord};
use serde::Deserialize;
use tenancy::TenantId;

use crate::expression::Update;
use crate::key;
use crate::ledger::{Applied, DETAIL, Ledger, store_error};
use crate::read;

/// Writes that closing one reservation may need: another one only when the meter begins a new minute
/// meanwhile.
const MAX_TRIES: u32 = 5;

/// What closing a reservation needs to see of a meter.
#[derive(Debug, Deserialize)]
struct OpenReservation {
    minute: Minute,
    #[serde(default)]
    open: HashMap<String, Reservation>,
}

impl Ledger {
    /// Takes the reservation `open` off a meter that last counted in `minute`, replaced by its part of
    /// what was used; whether it was open.
    pub(crate) async fn replace(
        &self,
        operation: &'static str,
        meter: &MeterRef,
        id: &RecordId,
        mut minute: Minute,
        mut open: Reservation,
        used: Used,
    ) -> Result<bool, StoreError> {
        for _ in 0..MAX_TRIES {
            let update = Update::settle(&self.calendar, id, &open, minute, used);
            let mut found = match self.apply(operation, meter, update).await? {
                Applied::Done(_) => return Ok(true),
                Applied::Missing => return Ok(false),
                Applied::Refused(found) => found,
            };
            let (Some(still_open), Some(last)) = (found.open.remove(&id.open_key()), found.minute)
            else {
                return Ok(false);
            };
            (open, minute) = (still_open, last);
        }
        Err(store_error(operation, meter, "the meter's windows kept changing"))
    }

    /// Writes `record` unless one of its id exists; whether it was new.
    pub(crate) async fn put(&self, record: &UsageRecord) -> Result<bool, StoreError> {
        let mut item: HashMap<String, AttributeValue> = serde_dynamo::to_item(record)
            .map_err(|error| store_error("put_record", &record.id, error))?;
        item.extend(key::usage_record(&record.tenant_id, &record.id));
        self.put_new("put_record", &record.id, item).await
    }
}

impl SettlementStore for Ledger {
    async fn meters(&self) -> Result<Vec<MeterRef>, StoreError> {
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
        let text = |item: &key::Key, name: &str| item.get(name)?.as_s().ok().cloned();
        let meter = |item| key::parse_meter(&text(item, key::PK)?, &text(item, key::SK)?);
        Ok(items.iter().filter_map(meter).collect())
    }

    async fn meter(&self, meter: &MeterRef) -> Result<Option<Meter>, StoreError> {
        let found = read::value(&self.client, &self.table, key::meter(meter)).await;
        found.map_err(|error| store_error("read the meter", meter, error))
    }

    async fn record(
        &self,
        tenant_id: &TenantId,
        id: &RecordId,
    ) -> Result<Option<UsageRecord>, StoreError> {
        let found = read::value(&self.client, &self.table, key::usage_record(tenant_id, id)).await;
        found.map_err(|error| store_error("read the record", id, error))
    }

    async fn detail(
        &self,
        tenant_id: &TenantId,
        id: &RecordId,
    ) -> Result<Option<CallDetail>, StoreError> {
        let item = read::item(&self.client, &self.table, key::open_call(tenant_id, id)).await;
        let item = item.map_err(|error| store_error("read what was noted", id, error))?;
        let text = item.as_ref().and_then(|item| item.get(DETAIL)?.as_s().ok());
        text.map(|text| serde_json::from_str(text))
            .transpose()
            .map_err(|error| store_error("read what was noted", id, error))
    }

    async fn put_missing_record(&self, record: &UsageRecord) -> Result<bool, StoreError> {
        self.put(record).await
    }

    async fn settle(
        &self,
        meter: &MeterRef,
        id: &RecordId,
        used: Used,
    ) -> Result<bool, StoreError> {
        let item = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key::meter(meter)))
            .consistent_read(true)
            .projection_expression("#minute, #open.#call")
            .expression_attribute_names("#minute", "minute")
            .expression_attribute_names("#open", "open")
            .expression_attribute_names("#call", id.open_key())
            .send()
            .await
            .map_err(|error| store_error("settle", meter, error))?
            .item;
        let Some(item) = item.filter(|item| item.contains_key("open")) else { return Ok(false) };
        let mut found: OpenReservation =
            serde_dynamo::from_item(item).map_err(|error| store_error("settle", meter, error))?;
        let Some(open) = found.open.remove(&id.open_key()) else { return Ok(false) };
        self.replace("settle", meter, id, found.minute, open, used).await
    }
}

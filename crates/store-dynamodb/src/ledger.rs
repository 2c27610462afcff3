//! The `ledger` table as its callers see it: reserve, release, record.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};

use admission::{
    Calendar, CallDetail, Counter, Denial, Gate, Meter, MeterRef, MeterStore, Minute, Reservation,
    Standing, StoreError, UsageStore, Used,
};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use metering::{RecordId, UsageRecord};
use tenancy::{Status, TenantContext};

use crate::expression::Update;
use crate::key;

/// Conditional writes that one reservation may need: each failure names the windows that the next
/// one must expect, and windows do not change faster than that.
const MAX_TRIES: u32 = 5;

/// The attribute of what is known of an open call: one text, since nobody but the sweep reads it.
pub(crate) const DETAIL: &str = "detail";

/// The attribute by which DynamoDB lets items expire, in Unix seconds.
const EXPIRES_AT: &str = "expires_at";

/// For how long that is kept after the call must have ended: many sweeps.
const DETAIL_RETENTION_S: i64 = 2 * 86_400;

/// Meters whose last minute is remembered at most.
const MAX_REMEMBERED: usize = 10_000;

/// Meters and usage records in one table.
#[derive(Debug)]
pub struct Ledger {
    pub(crate) client: Client,
    pub(crate) table: String,
    /// Where the organisation's days begin.
    pub(crate) calendar: Calendar,
    /// The minute in which each meter was last seen to count: a guess that saves a failed write
    /// whenever a window ends. Wrong guesses cost that write and nothing else.
    last_seen: Mutex<HashMap<MeterRef, Minute>>,
}

impl Ledger {
    /// The ledger in the table of that name, whose windows are those of `calendar`.
    pub fn new(client: Client, table: String, calendar: Calendar) -> Self {
        Self { client, table, calendar, last_seen: Mutex::default() }
    }

    fn last_seen(&self, meter: &MeterRef) -> Option<Minute> {
        self.last_seen.lock().unwrap_or_else(PoisonError::into_inner).get(meter).copied()
    }

    fn remember(&self, meter: &MeterRef, minute: Minute) {
        let mut last_seen = self.last_seen.lock().unwrap_or_else(PoisonError::into_inner);
        if last_seen.len() >= MAX_REMEMBERED {
            last_seen.clear();
        }
        last_seen.insert(meter.clone(), minute);
    }

    /// Makes a meter that has counted nothing and knows the entitlements of that version, unless there is one.
    pub(crate) async fn create(&self, meter: &MeterRef, version: u64) -> Result<(), StoreError> {
        let mut item: key::Key = serde_dynamo::to_item(Meter::new(Status::Active, version))
            .map_err(|error| store_error("create the meter", meter, error))?;
        item.extend(key::meter(meter));
        item.insert(key::METER_KIND.to_owned(), AttributeValue::S(key::METER.to_owned()));
        self.put_new("create the meter", meter, item).await.map(|_| ())
    }

    /// Writes an item unless there is one of its key; whether it was new.
    pub(crate) async fn put_new(
        &self,
        operation: &'static str,
        subject: &impl ToString,
        item: key::Key,
    ) -> Result<bool, StoreError> {
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
            Err(error) => Err(store_error(operation, subject, error)),
        }
    }

    /// Applies `update` to a meter; the meter as it is if the condition does not hold.
    pub(crate) async fn apply(
        &self,
        operation: &'static str,
        meter: &MeterRef,
        update: Update,
    ) -> Result<Applied, StoreError> {
        let answer = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key::meter(meter)))
            .update_expression(update.expression())
            .condition_expression(update.condition())
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .return_values(ReturnValue::UpdatedNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let refused = match answer {
            Ok(output) => return Ok(Applied::Done(output.attributes.unwrap_or_default())),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                    refused.item.clone()
                }
                _ => return Err(store_error(operation, meter, error)),
            },
        };
        match refused {
            None => Ok(Applied::Missing),
            Some(item) => serde_dynamo::from_item(item)
                .map(|meter| Applied::Refused(Box::new(meter)))
                .map_err(|error| store_error(operation, meter, error)),
        }
    }
}

/// What a conditional update of a meter came to.
pub(crate) enum Applied {
    /// Done; the attributes that it changed.
    Done(HashMap<String, AttributeValue>),
    /// The condition does not hold for this meter.
    Refused(Box<Meter>),
    /// There is no meter.
    Missing,
}

pub(crate) fn store_error(
    operation: &'static str,
    subject: &(impl ToString + ?Sized),
    source: impl Into<Box<dyn Error + Send + Sync>>,
) -> StoreError {
    StoreError { operation, subject: subject.to_string(), source: source.into() }
}

impl MeterStore for Ledger {
    async fn reserve(
        &self,
        _context: &TenantContext,
        gate: &Gate,
        id: &RecordId,
        reservation: &Reservation,
    ) -> Result<Result<Standing, Denial>, StoreError> {
        let (mut reservation, asked) = (reservation.clone(), reservation.minute);
        let windows = self.calendar.windows(asked);
        // Without a better guess: the meter has counted in this minute already. Rolling writes no
        // condition on the counters that it resets, so a call that is too large even for them must
        // not roll: it is refused by the one condition that cannot hold.
        let last_seen = self.last_seen(&gate.meter).filter(|_| self.fits_alone(gate, &reservation));
        let mut roll = windows.roll_from(Some(last_seen.unwrap_or(asked)));
        if roll.is_none() {
            reservation.minute = last_seen.unwrap_or(asked);
        }
        for _ in 0..MAX_TRIES {
            let entry = serde_dynamo::to_attribute_value(&reservation)
                .map_err(|error| store_error("reserve", &gate.meter, error))?;
            let update = Update::reserve(gate, id, &reservation, entry, &roll);
            let meter = match self.apply("reserve", &gate.meter, update).await? {
                Applied::Done(attributes) => {
                    self.remember(&gate.meter, reservation.minute);
                    return Ok(Ok(standing(&attributes)));
                }
                Applied::Missing if gate.entitlement_version.is_some() => {
                    return Ok(Err(Denial::Unknown));
                }
                Applied::Missing => {
                    self.create(&gate.meter, 0).await?;
                    (roll, reservation.minute) = (windows.roll_from(None), asked);
                    continue;
                }
                Applied::Refused(meter) => meter,
            };
            if let Some(minute) = meter.minute {
                self.remember(&gate.meter, minute);
            }
            if meter.is_open(id) {
                // An earlier try, whose answer was lost.
                return Ok(Ok(meter.standing(&self.calendar, asked)));
            }
            let wanted = Reservation { minute: asked, ..reservation.clone() };
            roll = match meter.decide(&self.calendar, gate, &wanted) {
                Err(denial) => return Ok(Err(denial)),
                Ok(roll) => roll,
            };
            let is_counted_in = meter.minute.filter(|_| roll.is_none());
            reservation.minute = is_counted_in.unwrap_or(asked);
        }
        Err(store_error("reserve", &gate.meter, "the meter's windows kept changing"))
    }

    async fn put_detail(
        &self,
        context: &TenantContext,
        id: &RecordId,
        detail: &CallDetail,
        deadline_ms: i64,
    ) -> Result<(), StoreError> {
        let text = serde_json::to_string(detail).map_err(|error| store_error("note", id, error))?;
        let expires_at = deadline_ms.div_euclid(1_000).saturating_add(DETAIL_RETENTION_S);
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(key::open_call(&context.tenant_id, id)))
            .item(DETAIL, AttributeValue::S(text))
            .item(EXPIRES_AT, AttributeValue::N(expires_at.to_string()))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| store_error("note", id, error))
    }

    async fn close(
        &self,
        _context: &TenantContext,
        meter: &MeterRef,
        id: &RecordId,
        reservation: &Reservation,
        used: Used,
    ) -> Result<(), StoreError> {
        // A caller may write meters, not read them: this assumes that it is still the minute of the
        // reservation, and a failed condition tells if it is not.
        self.replace("close", meter, id, reservation.minute, reservation.clone(), used)
            .await
            .map(|_| ())
    }
}

impl Ledger {
    fn fits_alone(&self, gate: &Gate, reservation: &Reservation) -> bool {
        let empty = Meter::new(Status::Active, gate.entitlement_version.unwrap_or(0));
        empty.decide(&self.calendar, gate, reservation).is_ok()
    }
}

fn standing(attributes: &HashMap<String, AttributeValue>) -> Standing {
    let mut standing = Standing::default();
    for counter in Counter::ALL {
        let number = attributes.get(counter.attribute()).and_then(|value| value.as_n().ok());
        standing.set(counter, number.and_then(|text| text.parse().ok()).unwrap_or(0));
    }
    standing
}

impl UsageStore for Ledger {
    async fn put_record(
        &self,
        _context: &TenantContext,
        record: &UsageRecord,
    ) -> Result<bool, StoreError> {
        self.put(record).await
    }
}

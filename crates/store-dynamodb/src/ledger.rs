//! The `ledger` table as its callers see it: reserve, release, record.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};

use admission::{
    Denial, LimitedScope, Limits, Meter, MeterStore, Minute, Reservation, Roll, Scope, Standing,
    StoreError, UsageStore,
};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use metering::{RecordId, UsageRecord};
use tenancy::TenantContext;

use crate::expression::Update;
use crate::key;

/// Conditional writes that one reservation may need: each failure names the windows that the next
/// one must expect, and windows do not change faster than that.
const MAX_TRIES: u32 = 5;

/// Scopes whose last minute is remembered at most.
const MAX_REMEMBERED: usize = 10_000;

/// Meters and usage records in one table.
#[derive(Debug)]
pub struct Ledger {
    pub(crate) client: Client,
    pub(crate) table: String,
    /// The minute in which each scope was last seen to count: a guess that saves a failed write
    /// whenever a window ends. Wrong guesses cost that write and nothing else.
    last_seen: Mutex<HashMap<Scope, Minute>>,
}

impl Ledger {
    /// The ledger in the table of that name.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table, last_seen: Mutex::default() }
    }

    fn last_seen(&self, scope: &Scope) -> Option<Minute> {
        self.last_seen.lock().unwrap_or_else(PoisonError::into_inner).get(scope).copied()
    }

    fn remember(&self, scope: &Scope, minute: Minute) {
        let mut last_seen = self.last_seen.lock().unwrap_or_else(PoisonError::into_inner);
        if last_seen.len() >= MAX_REMEMBERED {
            last_seen.clear();
        }
        last_seen.insert(scope.clone(), minute);
    }

    /// Applies `update` to the scope's meter; the meter as it is if the condition does not hold.
    pub(crate) async fn apply(
        &self,
        operation: &'static str,
        scope: &Scope,
        update: Update,
    ) -> Result<Applied, StoreError> {
        let answer = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key::meter(scope)))
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
                _ => return Err(store_error(operation, scope, error)),
            },
        };
        match refused {
            None => Ok(Applied::Missing),
            Some(item) => serde_dynamo::from_item(item)
                .map(|meter| Applied::Refused(Box::new(meter)))
                .map_err(|error| store_error(operation, scope, error)),
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
        scope: &LimitedScope,
        id: &RecordId,
        reservation: &Reservation,
    ) -> Result<Result<Standing, Denial>, StoreError> {
        let mut reservation = reservation.clone();
        let last_seen = self.last_seen(&scope.scope);
        let mut roll =
            last_seen.map_or(Roll::None, |last| reservation.minute.roll_from(Some(last)));
        if roll == Roll::None {
            reservation.minute = last_seen.unwrap_or(reservation.minute);
        }
        if !fits_alone(&scope.limits, &reservation) {
            // Rolling writes no condition on the counters that it resets; this one must be refused.
            roll = Roll::None;
        }
        for _ in 0..MAX_TRIES {
            let entry = serde_dynamo::to_attribute_value(&reservation)
                .map_err(|error| store_error("reserve", &scope.scope, error))?;
            let update = Update::reserve(scope, id, &reservation, entry, roll);
            let meter = match self.apply("reserve", &scope.scope, update).await? {
                Applied::Done(attributes) => {
                    self.remember(&scope.scope, reservation.minute);
                    return Ok(Ok(standing(&attributes)));
                }
                Applied::Missing => return Ok(Err(Denial::Unknown)),
                Applied::Refused(meter) => meter,
            };
            if let Some(minute) = meter.minute {
                self.remember(&scope.scope, minute);
            }
            if meter.is_open(id) {
                // An earlier try, whose answer was lost.
                return Ok(Ok(meter.standing(reservation.minute)));
            }
            roll = match meter.decide(&scope.limits, scope.entitlement_version, &reservation) {
                Err(denial) => return Ok(Err(denial)),
                Ok(roll) => roll,
            };
            if roll == Roll::None {
                reservation.minute = meter.minute.unwrap_or(reservation.minute);
            }
        }
        Err(store_error("reserve", &scope.scope, "the meter's windows kept changing"))
    }

    async fn release(
        &self,
        _context: &TenantContext,
        scope: &Scope,
        id: &RecordId,
        reservation: &Reservation,
    ) -> Result<(), StoreError> {
        // A caller may write meters, not read them: this assumes that it is still the minute of the
        // reservation, and a failed condition tells if it is not.
        self.close("release", scope, id, reservation.minute, reservation.clone(), None)
            .await
            .map(|_| ())
    }
}

fn fits_alone(limits: &Limits, reservation: &Reservation) -> bool {
    Meter::new(tenancy::Status::Active, 0).decide(limits, 0, reservation).is_ok()
}

fn standing(attributes: &HashMap<String, AttributeValue>) -> Standing {
    let number = |name: &str| {
        attributes
            .get(name)
            .and_then(|value| value.as_n().ok())
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    };
    Standing {
        minute_requests: number("minute_requests"),
        minute_tokens: number("minute_tokens"),
        day_tokens: number("day_tokens"),
        committed: metering::NanoUsd(number("committed")),
    }
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

//! Writes that depend on whether a month is open.

use std::error::Error;

use aws_sdk_dynamodb::error::{BuildError, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, Put, TransactWriteItem};
use billing::port::BillingStoreError;
use billing::{Account, Month, MonthState};

use super::{BOOKS, BillingBooks, error, partition};
use crate::key;

/// How often a transaction is tried that meets others.
const MAX_TRIES: u32 = 8;

const FAILED: &str = "ConditionalCheckFailed";

/// What came of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Written,
    /// The month is not in the state that it needs.
    WrongState,
    /// What was to be new is there.
    NotAbsent,
}

pub(super) fn put(put: Put) -> TransactWriteItem {
    TransactWriteItem::builder().put(put).build()
}

/// A write of what must not be there.
pub(super) fn absent(item: Put) -> Result<TransactWriteItem, BuildError> {
    let Put { table_name, item, .. } = item;
    let absent = Put::builder()
        .table_name(table_name)
        .set_item(Some(item))
        .condition_expression("attribute_not_exists(PK)");
    absent.build().map(put)
}

impl BillingBooks {
    /// Writes `puts`, if the month is in that state.
    pub(super) async fn write_in(
        &self,
        operation: &'static str,
        subject: &str,
        period: Month,
        state: MonthState,
        puts: Vec<TransactWriteItem>,
    ) -> Result<Outcome, BillingStoreError> {
        let check = self.check(period, state).map_err(|cause| error(operation, subject, cause))?;
        let items: Vec<_> = std::iter::once(check).chain(puts).collect();
        for attempt in 1.. {
            let write = self.client.transact_write_items().set_transact_items(Some(items.clone()));
            let Err(cause) = write.send().await else { return Ok(Outcome::Written) };
            match outcome(&cause) {
                Some(outcome) => return Ok(outcome),
                None if is_conflict(&cause) && attempt < MAX_TRIES => {}
                None => return Err(error(operation, subject, cause)),
            }
        }
        Ok(Outcome::WrongState)
    }

    /// Holds if the books say that the month is open, or being closed.
    fn check(
        &self,
        period: Month,
        state: MonthState,
    ) -> Result<TransactWriteItem, Box<dyn Error + Send + Sync>> {
        let closing = match state {
            MonthState::Open => "(attribute_not_exists(#closing) OR #closing.#period < :period)",
            MonthState::Closing => "#closing.#period >= :period",
            MonthState::Closed => return Err("a closed month takes no writes".into()),
        };
        let check = ConditionCheck::builder()
            .table_name(&self.ledger)
            .set_key(Some(key::key(partition(&Account::Org), BOOKS.to_owned())))
            .condition_expression(format!(
                "(attribute_not_exists(#closed) OR #closed < :period) AND {closing}"
            ))
            .expression_attribute_names("#closed", "closed_through")
            .expression_attribute_names("#closing", "closing")
            .expression_attribute_names("#period", "period")
            .expression_attribute_values(":period", AttributeValue::S(period.to_string()))
            .build()?;
        Ok(TransactWriteItem::builder().condition_check(check).build())
    }
}

fn codes(error: &SdkError<TransactWriteItemsError>) -> Vec<&str> {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
            let reasons = cancelled.cancellation_reasons().iter();
            reasons.map(|reason| reason.code().unwrap_or_default()).collect()
        }
        _ => Vec::new(),
    }
}

/// Which condition did not hold: of one that is there already, that comes first, since it will be there
/// whatever becomes of its month.
fn outcome(error: &SdkError<TransactWriteItemsError>) -> Option<Outcome> {
    let codes = codes(error);
    let is_there = codes.iter().skip(1).any(|code| *code == FAILED);
    let is_wrong_state = codes.first() == Some(&FAILED);
    if is_there { Some(Outcome::NotAbsent) } else { is_wrong_state.then_some(Outcome::WrongState) }
}

fn is_conflict(error: &SdkError<TransactWriteItemsError>) -> bool {
    codes(error).contains(&"TransactionConflict")
}

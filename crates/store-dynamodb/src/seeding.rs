//! Meters that begin with what was used before they were needed.

use admission::{
    Counter, Counters, Meter, MeterRef, Minute, Part, SettlementStore as _, StoreError,
};
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::AttributeValue;
use tenancy::Status;

use crate::key;
use crate::ledger::{Ledger, store_error};

/// Attempts of one write when calls count in the meter at that moment.
const MAX_TRIES: u32 = 5;

/// Conditions that hold if nobody changed a meter since it was read.
const UNCHANGED: &str = "#open = :open AND #usd = :usd AND #req = :req AND #tok = :tok";

impl Ledger {
    /// Brings the counts of a meter to its part of `used` at least, in the windows of `now`.
    pub(crate) async fn seed(
        &self,
        meter_ref: &MeterRef,
        part: Part,
        used: &Counters,
        now: Minute,
    ) -> Result<(), StoreError> {
        for _ in 0..MAX_TRIES {
            let found = self.meter(meter_ref).await?;
            let standing = found.as_ref().map(|it| it.standing(&self.calendar, now));
            let standing = standing.unwrap_or_default();
            let mut counters = standing;
            for counter in Counter::ALL {
                counters.set(counter, standing.get(counter).max(part.share(used.get(counter))));
            }
            if counters == standing {
                return Ok(());
            }
            let new = found.clone().unwrap_or_else(|| Meter::new(Status::Active, 0));
            // A faster clock may have been here.
            let minute = new.minute.map_or(now, |minute| minute.max(now));
            let seeded = Meter { minute: Some(minute), counters, ..new };
            if self.replace_meter(meter_ref, found.as_ref(), seeded).await? {
                return Ok(());
            }
        }
        Err(store_error("seed", meter_ref, "calls kept counting in the meter"))
    }

    /// Writes a meter in place of `old`, if that is how it still is; whether it was.
    async fn replace_meter(
        &self,
        meter_ref: &MeterRef,
        old: Option<&Meter>,
        new: Meter,
    ) -> Result<bool, StoreError> {
        let failed = |error: serde_dynamo::Error| store_error("seed", meter_ref, error);
        let mut item: key::Key = serde_dynamo::to_item(new).map_err(failed)?;
        item.extend(key::meter(meter_ref));
        item.insert(key::METER_KIND.to_owned(), AttributeValue::S(key::METER.to_owned()));
        let Some(old) = old else { return self.put_new("seed", meter_ref, item).await };
        let seen: key::Key = serde_dynamo::to_item(old).map_err(failed)?;
        let value = |name: &str| seen.get(name).cloned().unwrap_or(AttributeValue::Null(true));
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        let answer = put
            .condition_expression(UNCHANGED)
            .expression_attribute_names("#open", "open")
            .expression_attribute_names("#usd", "usd_total")
            .expression_attribute_names("#req", "req_month")
            .expression_attribute_names("#tok", "tok_month")
            .expression_attribute_values(":open", value("open"))
            .expression_attribute_values(":usd", value("usd_total"))
            .expression_attribute_values(":req", value("req_month"))
            .expression_attribute_values(":tok", value("tok_month"))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(error))
                if error.err().is_conditional_check_failed_exception() =>
            {
                Ok(false)
            }
            Err(error) => Err(store_error("seed", meter_ref, error)),
        }
    }
}

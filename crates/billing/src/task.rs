//! What the job that bills tenants is asked to do.

use events::Event;
use metering::UsagePeriod;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenancy::TenantId;

use crate::{Account, Month};

/// What events on the bus are called that ask for a task. Their detail is the [`Task`].
pub const TASK_REQUESTED: &str = "BillingTaskRequested";

/// A task. Each may be asked for any number of times, and be cut anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Task {
    /// Looks what there is to do, and asks for it. Once a day.
    Daily,
    /// Closes a month, or goes on closing it.
    CloseMonth {
        /// Which month.
        period: Month,
        /// Who wants it closed: a principal, or `schedule`.
        requested_by: String,
    },
    /// Bills what came too late for a closed month in the next.
    Corrections {
        /// Which month is looked at; the last that is closed if none is given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        period: Option<Month>,
        /// Tenants up to this one have been looked at.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<TenantId>,
    },
    /// Makes a statement of an open month as it would be if the month ended now.
    DraftStatement {
        /// Which month.
        period: Month,
        /// Of which tenant or line of business.
        account: Account,
    },
    /// Compares a month with what AWS says, and books what AWS is right about.
    Reconcile {
        /// Which month, in UTC as AWS bills it.
        period: Month,
    },
    /// Writes a month's usage as a FOCUS file.
    FocusExport {
        /// Which month, in UTC as FOCUS has it.
        #[serde(with = "period_text")]
        period: UsagePeriod,
    },
}

impl Task {
    /// The event that asks for it.
    ///
    /// # Errors
    /// None that a task can have: it is plain text and numbers.
    pub fn request(&self, id: String, now_ms: i64) -> Result<Event, serde_json::Error> {
        let detail: Value = serde_json::to_value(self)?;
        Ok(Event { id, kind: TASK_REQUESTED, time_ms: now_ms, detail })
    }
}

/// A period as its text.
mod period_text {
    use metering::UsagePeriod;
    use serde::de::Error;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        period: &UsagePeriod,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(period)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<UsagePeriod, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

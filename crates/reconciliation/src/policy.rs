//! What is tolerated and what is corrected: data.

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};

use crate::amount::Amount;

/// Why ledger and bill differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The ledger holds estimates of calls whose own count never came.
    EstimatedRecords,
    /// The provider served calls of a tenant that the ledger has no record of.
    MissingInLedger,
    /// The ledger has calls that the provider does not bill.
    MissingAtProvider,
    /// The ledger has a call twice.
    Duplicate,
    /// Both have the calls, and count their tokens differently.
    TokenCountDifference,
    /// Both have the quantity, at different prices.
    PriceDifference,
    /// The provider bills it on the next or previous day, or has not billed it yet.
    Timing,
    /// Fractions of nano-USD, and what the last digit of a bill leaves out.
    Rounding,
    /// Somebody else in the account called.
    UnknownCaller,
    /// The bill does not say who called.
    Untagged,
    /// No rule says what the bill's usage type is.
    UnmappedUsageType,
    /// Money back.
    CreditOrRefund,
    /// Money that no usage caused.
    FeeOrTax,
    /// None of these.
    Unexplained,
}

impl Reason {
    /// The name as it stands in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EstimatedRecords => "estimated_records",
            Self::MissingInLedger => "missing_in_ledger",
            Self::MissingAtProvider => "missing_at_provider",
            Self::Duplicate => "duplicate",
            Self::TokenCountDifference => "token_count_difference",
            Self::PriceDifference => "price_difference",
            Self::Timing => "timing",
            Self::Rounding => "rounding",
            Self::UnknownCaller => "unknown_caller",
            Self::Untagged => "untagged",
            Self::UnmappedUsageType => "unmapped_usage_type",
            Self::CreditOrRefund => "credit_or_refund",
            Self::FeeOrTax => "fee_or_tax",
            Self::Unexplained => "unexplained",
        }
    }

    /// Whether it counts against the gate: differences that nobody can explain, and what nobody
    /// could even compare.
    pub fn is_residual(self) -> bool {
        matches!(self, Self::Unexplained | Self::UnmappedUsageType)
    }
}

/// How to compare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// How far from midnight (UTC) a call may be billed on the other day.
    pub boundary_s: u32,
    /// How long after the end of a day its bill is complete. Until then what is not billed is late.
    pub lag_h: u32,
    /// What each line of a bill may be off by for its last digit.
    pub rounding_per_line: Amount,
    /// How much more than its estimate a call may have consumed, in percent of the estimate.
    pub estimate_overrun_percent: u32,
    /// How long a call may run: how far an invocation may be from the estimated record it is paired with.
    pub longest_call_s: u32,
    /// How many hours of records are read at once where invocations are logged: what is in memory until
    /// their log has been read.
    pub window_h: u32,
    /// The share of a tenant's month, in basis points of the bill, that the residual must stay below.
    pub gate_bp: u32,
    /// Where the provider is right, and the ledger gets a correction.
    pub corrected: BTreeSet<Reason>,
    /// Request and record ids that a report names per reason, model and day, to look at.
    pub samples: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            boundary_s: 900,
            lag_h: 48,
            rounding_per_line: Amount(100),
            estimate_overrun_percent: 100,
            longest_call_s: 960,
            window_h: 6,
            gate_bp: 50,
            corrected: BTreeSet::from([
                Reason::EstimatedRecords,
                Reason::MissingInLedger,
                Reason::Duplicate,
                Reason::TokenCountDifference,
                Reason::PriceDifference,
            ]),
            samples: 5,
        }
    }
}

impl Policy {
    /// Whether the bill of `day` is complete at `now`.
    pub fn is_final(&self, day: Date, now: Timestamp) -> bool {
        day.tomorrow()
            .and_then(|end| TimeZone::UTC.to_timestamp(end.at(0, 0, 0, 0)))
            .and_then(|end| end.checked_add(i64::from(self.lag_h).hours()))
            .is_ok_and(|complete| complete <= now)
    }

    /// Whether `at` is so near to the start or the end of its day that the neighbour may have it.
    pub(crate) fn is_near_midnight(&self, at: Timestamp) -> (bool, bool) {
        let second = at.as_second().rem_euclid(86_400);
        let boundary = i64::from(self.boundary_s);
        (second < boundary, second >= 86_400 - boundary)
    }
}

/// The day of `at`, in UTC, as bills have it.
pub fn day_of(at: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(at).date()
}

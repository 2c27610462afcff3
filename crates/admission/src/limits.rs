//! What a scope may use.

use std::fmt;

use metering::NanoUsd;
use serde::{Deserialize, Serialize};

use crate::Period;

/// The hard limits of a scope; an unset one does not limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Calls per minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// Input and output tokens per minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// Input and output tokens per UTC day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u64>,
    /// Money per UTC calendar month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_per_month: Option<NanoUsd>,
}

/// One of the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// Calls per minute.
    RequestsPerMinute,
    /// Tokens per minute.
    TokensPerMinute,
    /// Tokens per day.
    TokensPerDay,
    /// Money per month.
    BudgetPerMonth,
}

impl Limit {
    /// After how long its count starts anew.
    pub fn period(self) -> Period {
        match self {
            Self::RequestsPerMinute | Self::TokensPerMinute => Period::Minute,
            Self::TokensPerDay => Period::Day,
            Self::BudgetPerMonth => Period::Month,
        }
    }

    /// The limit as a person reads it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requests per minute",
            Self::TokensPerMinute => "tokens per minute",
            Self::TokensPerDay => "tokens per day",
            Self::BudgetPerMonth => "budget per month",
        }
    }

    /// An amount of what it counts, as a person reads it: dollars for the budget, else a number.
    pub fn display(self, amount: u64) -> impl fmt::Display {
        match self {
            Self::BudgetPerMonth => NanoUsd(amount).to_string(),
            _ => amount.to_string(),
        }
    }
}

//! Amounts of money.

use std::fmt;
use std::ops::Add;

use serde::{Deserialize, Serialize};

/// An amount in billionths of a US dollar.
///
/// Never negative: what a call costs, what a budget allows. Additions saturate, since an amount
/// beyond 18 billion dollars is a mistake that must not wrap around to a small one.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct NanoUsd(pub u64);

impl NanoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// What is left of `self` after `spent`; nothing if more was spent.
    #[must_use]
    pub fn minus(self, spent: Self) -> Self {
        Self(self.0.saturating_sub(spent.0))
    }
}

impl Add for NanoUsd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl std::iter::Sum for NanoUsd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::add)
    }
}

impl fmt::Display for NanoUsd {
    /// Dollars with as many decimals as the amount needs, two at least: `$1.50`, `$0.000123`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dollars, nanos) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        let decimals = format!("{nanos:09}");
        let shown = decimals.trim_end_matches('0').len().max(2);
        write!(f, "${dollars}.{}", decimals.get(..shown).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(nano: u64, text: &str) {
        assert_eq!(NanoUsd(nano).to_string(), text);
    }

    #[test]
    fn amounts_read_as_dollars() {
        check(0, "$0.00");
        check(1_500_000_000, "$1.50");
        check(123_000, "$0.000123");
        check(25_000_000_001, "$25.000000001");
    }
}

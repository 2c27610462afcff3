//! Amounts that may be negative.

use std::fmt;
use std::ops::Neg;

use metering::NanoUsd;
use serde::{Deserialize, Serialize};

/// An amount in billionths of a US dollar, negative where somebody is owed it.
///
/// Nothing here saturates or wraps: a sum on a bill is right, or there is no bill.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SignedNanoUsd(pub i64);

/// A sum beyond nine billion dollars: no bill's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an amount is beyond what can be billed")]
pub struct Overflow;

impl SignedNanoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The amount that a wider computation came to.
    pub fn try_of(amount: impl TryInto<i64>) -> Result<Self, Overflow> {
        amount.try_into().map(Self).map_err(|_| Overflow)
    }

    /// Both together.
    pub fn plus(self, other: Self) -> Result<Self, Overflow> {
        self.0.checked_add(other.0).map(Self).ok_or(Overflow)
    }

    /// What is left when `other` is taken from it.
    pub fn minus(self, other: Self) -> Result<Self, Overflow> {
        self.0.checked_sub(other.0).map(Self).ok_or(Overflow)
    }

    /// What all of them come to.
    pub fn sum(amounts: impl IntoIterator<Item = Self>) -> Result<Self, Overflow> {
        Self::try_of(amounts.into_iter().map(|amount| i128::from(amount.0)).sum::<i128>())
    }

    /// Dollars and cents for a reader, rounded half to even; sums are never made from these.
    pub fn to_cents(self) -> String {
        let cents = crate::rounding::half_even(i128::from(self.0), 10_000_000);
        let sign = if cents < 0 { "-" } else { "" };
        let (dollars, cents) = (cents.unsigned_abs() / 100, cents.unsigned_abs() % 100);
        format!("{sign}{}.{cents:02}", grouped(dollars))
    }

    /// Dollars with all nine decimals and no sign of currency: what a spreadsheet reads exactly.
    pub fn to_decimal(self) -> String {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        format!("{sign}{}.{:09}", magnitude / 1_000_000_000, magnitude % 1_000_000_000)
    }
}

/// A number with a comma between thousands.
pub(crate) fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl TryFrom<NanoUsd> for SignedNanoUsd {
    type Error = Overflow;

    fn try_from(amount: NanoUsd) -> Result<Self, Overflow> {
        Self::try_of(amount.0)
    }
}

impl Neg for SignedNanoUsd {
    type Output = Self;

    /// The least of all amounts has no opposite; it becomes the greatest.
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl fmt::Display for SignedNanoUsd {
    /// As [`NanoUsd`] does, with a sign: `-$1.50`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}", NanoUsd(self.0.unsigned_abs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(nano: i64, text: &str, cents: &str, decimal: &str) {
        let amount = SignedNanoUsd(nano);
        assert_eq!(
            (amount.to_string(), amount.to_cents(), amount.to_decimal()),
            (text.to_owned(), cents.to_owned(), decimal.to_owned())
        );
    }

    #[test]
    fn amounts_read_as_dollars() {
        check(0, "$0.00", "0.00", "0.000000000");
        check(-1_500_000_000, "-$1.50", "-1.50", "-1.500000000");
        check(
            1_234_567_890_123_456_789,
            "$1234567890.123456789",
            "1,234,567,890.12",
            "1234567890.123456789",
        );
        check(-1, "-$0.000000001", "0.00", "-0.000000001");
        // Half a cent goes to the even neighbour.
        check(5_000_000, "$0.005", "0.00", "0.005000000");
        check(15_000_000, "$0.015", "0.02", "0.015000000");
        check(-15_000_001, "-$0.015000001", "-0.02", "-0.015000001");
        check(i64::MIN, "-$9223372036.854775808", "-9,223,372,036.85", "-9223372036.854775808");
    }

    #[test]
    fn no_sum_wraps_around() {
        let most = SignedNanoUsd(i64::MAX);
        assert_eq!(most.plus(SignedNanoUsd(1)), Err(Overflow));
        assert_eq!(SignedNanoUsd(i64::MIN).minus(SignedNanoUsd(1)), Err(Overflow));
        assert_eq!(SignedNanoUsd::sum([most, most]), Err(Overflow));
        assert_eq!(SignedNanoUsd::sum([most, most, -most]), Ok(most), "its parts may be larger");
        assert_eq!(SignedNanoUsd::try_from(NanoUsd(u64::MAX)), Err(Overflow));
    }
}

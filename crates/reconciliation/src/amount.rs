//! Exact decimals: what a bill says, in trillionths.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Decimals kept: pico-USD, and trillionths of a unit of usage.
const DECIMALS: usize = 12;

/// More digits before the point than anybody's bill has; they would not fit either.
const MAX_INTEGER_DIGITS: usize = 15;

/// A text that is not a plain decimal number.
///
/// `NaN`, infinities, exponents, signs other than one minus, and grouping are refused: a bill that holds
/// one is not what it claims to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a plain decimal number")]
pub struct InvalidAmount(String);

/// A signed amount in trillionths, written as a decimal: `-1.5`, `0.000000000001`.
///
/// Of money these are pico-USD; of usage, trillionths of the unit that the bill counts in.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Amount(pub i128);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The amount of so many nano-USD.
    pub fn from_nano(nano: i128) -> Self {
        Self(nano.saturating_mul(1_000))
    }

    /// In nano-USD, a half rounded away from zero.
    pub fn to_nano(self) -> i128 {
        divide_rounded(self.0, 1_000)
    }

    /// Without its sign.
    #[must_use]
    pub fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }

    /// Times `units`, in whole units, a half rounded away from zero: what a bill's amount of
    /// thousands of tokens is in tokens.
    pub fn times(self, units: u32) -> i128 {
        divide_rounded(self.0.saturating_mul(units.into()), 1_000_000_000_000)
    }
}

/// `number / by`, a half rounded away from zero.
fn divide_rounded(number: i128, by: i128) -> i128 {
    let half = if number < 0 { -(by / 2) } else { by / 2 };
    number.saturating_add(half).checked_div(by).unwrap_or_default()
}

impl FromStr for Amount {
    type Err = InvalidAmount;

    /// Digits beyond a trillionth are rounded: bills are made of binary fractions, which have many.
    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        let invalid = || InvalidAmount(text.chars().take(64).collect());
        let (is_negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (integer, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let are_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let is_plain = !integer.is_empty()
            && integer.len() <= MAX_INTEGER_DIGITS
            && are_digits(integer)
            && are_digits(fraction)
            && !digits.ends_with('.');
        if !is_plain {
            return Err(invalid());
        }
        let kept: String = fraction
            .bytes()
            .chain(std::iter::repeat(b'0'))
            .take(DECIMALS)
            .map(char::from)
            .collect();
        let trillionths: i128 = format!("{integer}{kept}").parse().map_err(|_| invalid())?;
        let is_rounded_up = fraction.as_bytes().get(DECIMALS).is_some_and(|digit| *digit >= b'5');
        let magnitude = trillionths + i128::from(is_rounded_up);
        Ok(Self(if is_negative { -magnitude } else { magnitude }))
    }
}

impl TryFrom<String> for Amount {
    type Error = InvalidAmount;

    fn try_from(text: String) -> Result<Self, InvalidAmount> {
        text.parse()
    }
}

impl From<Amount> for String {
    fn from(amount: Amount) -> Self {
        amount.to_string()
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let (whole, rest) = (magnitude / 1_000_000_000_000, magnitude % 1_000_000_000_000);
        let sign = if self.0 < 0 { "-" } else { "" };
        let decimals = format!("{rest:012}");
        match decimals.trim_end_matches('0') {
            "" => write!(f, "{sign}{whole}"),
            decimals => write!(f, "{sign}{whole}.{decimals}"),
        }
    }
}

impl Add for Amount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Amount {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Neg for Amount {
    type Output = Self;

    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::add)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, trillionths: i128) {
        assert_eq!(text.parse(), Ok(Amount(trillionths)), "{text}");
    }

    #[test]
    fn decimals_are_exact() {
        check("0", 0);
        check("-0.0", 0);
        check("1.789808625", 1_789_808_625_000);
        check("-12.5", -12_500_000_000_000);
        check("0.000000000001", 1);
        check("0.0000000000005", 1);
        check("0.00000000000049", 0);
        check("0.30000000000000004", 300_000_000_000);
        check("999999999999999.999999999999", 999_999_999_999_999_999_999_999_999);
    }

    #[test]
    fn what_is_no_plain_decimal_is_refused() {
        for text in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "+1",
            "--1",
            "1e3",
            "1.0E-7",
            "NaN",
            "nan",
            "inf",
            "-Infinity",
            "1,000",
            "1 ",
            " 1",
            "0x1",
            "1_000",
            "١",
            "1000000000000000",
        ] {
            assert!(text.parse::<Amount>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn thousands_of_tokens_are_tokens() {
        let amount: Amount = "433.893".parse().unwrap();
        assert_eq!(amount.times(1_000), 433_893);
        let binary_noise: Amount = "0.30000000000000004".parse().unwrap();
        assert_eq!(binary_noise.times(1_000), 300);
        assert_eq!(Amount(1_499).to_nano(), 1);
        assert_eq!(Amount(-1_500).to_nano(), -2);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_as_itself(amount in -1_000_000_000_000_000_000_000_000i128..1_000_000_000_000_000_000_000_000) {
            prop_assert_eq!(Amount(amount).to_string().parse(), Ok(Amount(amount)));
        }
    }
}

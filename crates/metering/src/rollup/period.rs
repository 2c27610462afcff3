//! The hours, days and months that usage is summed by.
//!
//! They are those of UTC, as in the bills of AWS, so that both can be compared whatever the
//! organisation's time zone is.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};

use crate::UsageRecord;

/// How long a period is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// An hour of the clock.
    Hour,
    /// A day.
    Day,
    /// A calendar month.
    Month,
}

impl Granularity {
    /// All of them, the shortest first.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Month];

    /// The next shorter one.
    pub fn finer(self) -> Option<Self> {
        match self {
            Self::Hour => None,
            Self::Day => Some(Self::Hour),
            Self::Month => Some(Self::Day),
        }
    }

    /// The next longer one.
    pub fn coarser(self) -> Option<Self> {
        match self {
            Self::Hour => Some(Self::Day),
            Self::Day => Some(Self::Month),
            Self::Month => None,
        }
    }
}

/// One hour, day or month of UTC. Reads as `2026-11-25T14`, `2026-11-25` or `2026-11`, which order like
/// the periods do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UsagePeriod {
    granularity: Granularity,
    start: DateTime,
}

/// A text that names no hour, day or month.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of `2026-11-25T14`, `2026-11-25` and `2026-11`")]
pub struct InvalidPeriod(String);

impl UsagePeriod {
    /// The period that a moment (Unix milliseconds) is in.
    pub fn containing(granularity: Granularity, moment_ms: i64) -> Self {
        let bound = if moment_ms < 0 { Timestamp::MIN } else { Timestamp::MAX };
        let moment = Timestamp::from_millisecond(moment_ms).unwrap_or(bound);
        Self::around(granularity, TimeZone::UTC.to_datetime(moment))
    }

    fn around(granularity: Granularity, moment: DateTime) -> Self {
        let date = match granularity {
            Granularity::Hour | Granularity::Day => moment.date(),
            Granularity::Month => moment.date().first_of_month(),
        };
        let hour = if granularity == Granularity::Hour { moment.hour() } else { 0 };
        Self { granularity, start: date.at(hour, 0, 0, 0) }
    }

    /// How long it is.
    pub fn granularity(self) -> Granularity {
        self.granularity
    }

    /// Its first moment, in Unix milliseconds.
    pub fn start_ms(self) -> i64 {
        let start = TimeZone::UTC.to_timestamp(self.start);
        start.map_or(i64::MIN, Timestamp::as_millisecond)
    }

    /// The first moment after it, in Unix milliseconds.
    pub fn end_ms(self) -> i64 {
        self.next().start_ms()
    }

    /// Its first day.
    pub fn date(self) -> Date {
        self.start.date()
    }

    /// The hour of the day that it begins with.
    pub fn hour(self) -> i8 {
        self.start.hour()
    }

    /// The period after it.
    #[must_use]
    pub fn next(self) -> Self {
        let span = match self.granularity {
            Granularity::Hour => 1.hour(),
            Granularity::Day => 1.day(),
            Granularity::Month => 1.month(),
        };
        Self { start: self.start.saturating_add(span), ..self }
    }

    /// The period before it.
    #[must_use]
    pub fn previous(self) -> Self {
        Self::containing(self.granularity, self.start_ms().saturating_sub(1))
    }

    /// The day of an hour, the month of a day.
    pub fn parent(self) -> Option<Self> {
        Some(Self::around(self.granularity.coarser()?, self.start))
    }

    /// The periods of that granularity that begin in `from_ms..to_ms`.
    pub fn starting_in(
        granularity: Granularity,
        from_ms: i64,
        to_ms: i64,
    ) -> impl Iterator<Item = Self> {
        let first = Self::containing(granularity, from_ms);
        let first = if first.start_ms() < from_ms { first.next() } else { first };
        let is_before = move |period: &Self| period.start_ms() < to_ms;
        // The calendar's last period is followed by itself.
        let after = |period: &Self| Some(period.next()).filter(|next| next != period);
        std::iter::successors(Some(first), after).take_while(is_before)
    }
}

impl fmt::Display for UsagePeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = self.start.date();
        match self.granularity {
            Granularity::Hour => write!(f, "{date}T{:02}", self.start.hour()),
            Granularity::Day => write!(f, "{date}"),
            Granularity::Month => write!(f, "{:04}-{:02}", date.year(), date.month()),
        }
    }
}

impl FromStr for UsagePeriod {
    type Err = InvalidPeriod;

    fn from_str(text: &str) -> Result<Self, InvalidPeriod> {
        let (granularity, whole) = match text.len() {
            7 => (Granularity::Month, format!("{text}-01T00:00:00")),
            10 => (Granularity::Day, format!("{text}T00:00:00")),
            _ => (Granularity::Hour, format!("{text}:00:00")),
        };
        let start = whole.parse().map(|start| Self { granularity, start });
        let invalid = || InvalidPeriod(text.chars().take(32).collect());
        // What does not read back as it was written was written in another way.
        start.ok().filter(|period: &Self| period.to_string() == text).ok_or_else(invalid)
    }
}

impl UsageRecord {
    /// When its call was admitted, in Unix milliseconds: what its call's id says, by which records are
    /// found; of an id that says nothing, what the record says.
    pub fn called_ms(&self) -> i64 {
        called_ms(&self.id.call_id).unwrap_or(self.started_ms)
    }

    /// The hour of its call.
    pub fn hour(&self) -> UsagePeriod {
        UsagePeriod::containing(Granularity::Hour, self.called_ms())
    }
}

/// The time in a `UUIDv7` of 32 hexadecimal digits.
pub(super) fn called_ms(call_id: &str) -> Option<i64> {
    let (time, rest) = call_id.split_at_checked(12)?;
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_v7 = rest.len() == 20 && rest.starts_with('7') && is_hex(time) && is_hex(rest);
    is_v7.then(|| i64::from_str_radix(time, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(moment_ms: i64, hour: &str, day: &str, month: &str) {
        for (granularity, text) in Granularity::ALL.into_iter().zip([hour, day, month]) {
            let period = UsagePeriod::containing(granularity, moment_ms);
            assert_eq!(period.to_string(), text);
            assert_eq!(text.parse(), Ok(period));
        }
    }

    #[test]
    fn periods_are_those_of_utc() {
        check(0, "1970-01-01T00", "1970-01-01", "1970-01");
        check(1_795_435_199_999, "2026-11-23T11", "2026-11-23", "2026-11");
        check(1_795_435_200_000, "2026-11-23T12", "2026-11-23", "2026-11");
        check(1_709_251_199_999, "2024-02-29T23", "2024-02-29", "2024-02");
        check(i64::MAX, "9999-12-30T22", "9999-12-30", "9999-12");
    }

    #[test]
    fn what_is_no_period_is_refused() {
        for text in
            ["", "2026", "2026-13", "2026-11-31", "2026-11-25T24", "2026-11-25T1", "2026-1-1 "]
        {
            assert!(text.parse::<UsagePeriod>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_a_time_ordered_id_has_a_time() {
        assert_eq!(called_ms("0198f0c2a7b37d1e8f00aabbccddeeff"), Some(0x0198_f0c2_a7b3));
        for id in
            ["", "call-1", "0198f0c2a7b34d1e8f00aabbccddeeff", "0198f0c2a7b37d1e8f00aabbccddee"]
        {
            assert_eq!(called_ms(id), None, "{id}");
        }
        assert_eq!(called_ms("é98f0c2a7b37d1e8f00aabbccddeeff"), None);
    }

    proptest! {
        #[test]
        fn periods_follow_each_other_without_gap(moment_ms in 0_i64..4_102_444_800_000) {
            for granularity in Granularity::ALL {
                let period = UsagePeriod::containing(granularity, moment_ms);
                prop_assert!(period.start_ms() <= moment_ms && moment_ms < period.end_ms());
                prop_assert_eq!(period.next().previous(), period);
                prop_assert_eq!(period.next().start_ms(), period.end_ms());
                prop_assert!(period.to_string() < period.next().to_string());
                let (from, to) = (period.start_ms(), period.next().end_ms());
                let found: Vec<_> = UsagePeriod::starting_in(granularity, from, to).collect();
                prop_assert_eq!(found, [period, period.next()]);
                let parent = period.parent().map(|parent| parent.start_ms()..parent.end_ms());
                prop_assert!(parent.is_none_or(|parent| parent.contains(&moment_ms)));
            }
        }
    }
}

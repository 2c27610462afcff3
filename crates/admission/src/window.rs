//! Calendar windows, in UTC.

use serde::{Deserialize, Serialize};
use time::{Date, Month, OffsetDateTime};

/// A minute of Unix time. It names its day and month too, so a meter needs to keep no more than
/// the minute in which it last counted to know which of its windows are over.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Minute(pub i64);

/// How long a window is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Period {
    /// A minute.
    Minute,
    /// A calendar day.
    Day,
    /// A calendar month.
    Month,
}

/// Which windows of a meter are over when it counts again; a longer window that ends takes the shorter with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Roll {
    /// None: the same minute, or one that a faster clock has already begun.
    None,
    /// The minute.
    Minute,
    /// The day, and the minute.
    Day,
    /// The month, the day and the minute.
    Month,
}

impl Minute {
    /// The minute of `now_ms` (Unix milliseconds).
    pub fn of(now_ms: i64) -> Self {
        Self(now_ms.div_euclid(60_000))
    }

    fn date(self) -> Date {
        OffsetDateTime::from_unix_timestamp(self.0.saturating_mul(60))
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
            .date()
    }

    fn at(date: Date) -> Self {
        Self(date.midnight().assume_utc().unix_timestamp().div_euclid(60))
    }

    /// The first minute of the window of `period` that holds this one.
    #[must_use]
    pub fn start_of(self, period: Period) -> Self {
        match period {
            Period::Minute => self,
            Period::Day => Self::at(self.date()),
            Period::Month => Self::at(self.date().replace_day(1).unwrap_or(Date::MIN)),
        }
    }

    /// The first minute after the window of `period` that holds this one: when its count starts anew.
    #[must_use]
    pub fn end_of(self, period: Period) -> Self {
        match period {
            Period::Minute => Self(self.0.saturating_add(1)),
            Period::Day => Self::at(self.date().next_day().unwrap_or(Date::MAX)),
            Period::Month => {
                let date = self.date();
                let (year, month) = match date.month() {
                    Month::December => (date.year().saturating_add(1), Month::January),
                    month => (date.year(), month.next()),
                };
                Self::at(Date::from_calendar_date(year, month, 1).unwrap_or(Date::MAX))
            }
        }
    }

    /// What is over when a meter that last counted in `last` counts again now.
    ///
    /// A `last` in the future is the work of a faster clock; the slower one counts in that minute
    /// rather than bring an old window back.
    pub fn roll_from(self, last: Option<Self>) -> Roll {
        match last {
            Some(last) if last >= self => Roll::None,
            Some(last) if last >= self.start_of(Period::Day) => Roll::Minute,
            Some(last) if last >= self.start_of(Period::Month) => Roll::Day,
            _ => Roll::Month,
        }
    }

    /// The moment at which this minute starts, in Unix milliseconds.
    pub fn start_ms(self) -> i64 {
        self.0.saturating_mul(60_000)
    }

    /// The moment at which this minute starts, as `2026-12-01T00:00:00Z`.
    pub fn to_rfc3339(self) -> String {
        OffsetDateTime::from_unix_timestamp(self.0.saturating_mul(60))
            .ok()
            .and_then(|moment| moment.format(&time::format_description::well_known::Rfc3339).ok())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-12-31T23:59:30Z, in milliseconds.
    const NEW_YEARS_EVE: i64 = 1_798_761_570_000;

    #[test]
    fn a_window_ends_where_the_next_begins() {
        let minute = Minute::of(NEW_YEARS_EVE);
        assert_eq!(minute.to_rfc3339(), "2026-12-31T23:59:00Z");
        for period in [Period::Minute, Period::Day, Period::Month] {
            assert_eq!(minute.end_of(period).to_rfc3339(), "2027-01-01T00:00:00Z", "{period:?}");
        }
        assert_eq!(minute.start_of(Period::Day).to_rfc3339(), "2026-12-31T00:00:00Z");
        assert_eq!(minute.start_of(Period::Month).to_rfc3339(), "2026-12-01T00:00:00Z");
    }

    #[test]
    fn the_longest_window_that_is_over_decides_the_roll() {
        let now = Minute::of(NEW_YEARS_EVE);
        let roll = |last: i64| now.roll_from(Some(Minute(now.0 + last)));
        assert_eq!(now.roll_from(None), Roll::Month);
        assert_eq!(roll(0), Roll::None);
        assert_eq!(roll(1), Roll::None, "a faster clock was here");
        assert_eq!(roll(-1), Roll::Minute);
        assert_eq!(roll(-24 * 60), Roll::Day);
        assert_eq!(roll(-31 * 24 * 60), Roll::Month);
    }
}

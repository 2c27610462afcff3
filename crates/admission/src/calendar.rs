//! Calendar windows, in the organisation's time zone.

use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};

/// A minute of Unix time. It names its hour, day, month and so on too, so a meter needs to keep no
/// more than the minute in which it last counted to know which of its windows are over.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Minute(pub i64);

/// How long a window is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// A minute.
    Minute,
    /// An hour of the clock.
    Hour,
    /// A calendar day.
    Day,
    /// A calendar week, from Monday on (ISO 8601).
    Week,
    /// A calendar month.
    Month,
    /// A calendar quarter: January to March is the first.
    Quarter,
    /// A calendar year.
    Year,
    /// For ever.
    Total,
}

/// The organisation's calendar: where its days begin.
#[derive(Debug, Clone)]
pub struct Calendar {
    zone: Arc<TimeZone>,
}

/// A name that is no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a time zone of the IANA database, such as `Europe/Berlin`")]
pub struct UnknownTimeZone {
    /// What was given.
    pub name: String,
}

/// Where the windows begin that hold a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    minute: Minute,
    starts: [Minute; Period::ALL.len()],
}

/// What is over when a meter counts again.
///
/// It is the same for every last minute in a span ([`Self::from`], [`Self::before`]), which is how a
/// conditional write can name it without having read the meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roll {
    windows: Windows,
    /// The first last minute of the span; none if it reaches back to meters that never counted.
    pub from: Option<Minute>,
    /// The first minute after the span; none if nothing is over: the meter counted in this minute,
    /// or in a later one that a faster clock has begun.
    pub before: Option<Minute>,
}

impl Period {
    /// All periods, shortest first.
    pub const ALL: [Self; 8] = [
        Self::Minute,
        Self::Hour,
        Self::Day,
        Self::Week,
        Self::Month,
        Self::Quarter,
        Self::Year,
        Self::Total,
    ];

    /// The name as a person reads it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
            Self::Total => "total",
        }
    }
}

impl Minute {
    /// The minute of `now_ms` (Unix milliseconds).
    pub fn of(now_ms: i64) -> Self {
        Self(now_ms.div_euclid(60_000))
    }

    /// The moment at which this minute starts, in Unix milliseconds.
    pub fn start_ms(self) -> i64 {
        self.0.saturating_mul(60_000)
    }

    /// The minute after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The moment at which this minute starts, as `2026-12-01T00:00:00Z`.
    pub fn to_rfc3339(self) -> String {
        self.timestamp().to_string()
    }

    fn timestamp(self) -> Timestamp {
        Timestamp::from_second(self.0.saturating_mul(60)).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

impl Calendar {
    /// The calendar of UTC.
    pub fn utc() -> Self {
        Self { zone: Arc::new(TimeZone::UTC) }
    }

    /// The calendar of a zone of the IANA database.
    ///
    /// # Errors
    /// There is no zone of that name.
    pub fn of(name: &str) -> Result<Self, UnknownTimeZone> {
        let zone = TimeZone::get(name).map_err(|_| UnknownTimeZone { name: name.to_owned() })?;
        Ok(Self { zone: Arc::new(zone) })
    }

    /// The zone's name.
    pub fn name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// Where the windows begin that hold `minute`.
    pub fn windows(&self, minute: Minute) -> Windows {
        Windows { minute, starts: Period::ALL.map(|period| self.start_of(minute, period)) }
    }

    /// The first minute of the window of `period` that holds `minute`.
    pub fn start_of(&self, minute: Minute, period: Period) -> Minute {
        match period {
            Period::Minute => minute,
            Period::Hour => {
                // Zones are off by whole minutes today; some by a quarter of an hour.
                let offset = i64::from(self.zone.to_offset(minute.timestamp()).seconds()) / 60;
                Minute((minute.0 + offset).div_euclid(60) * 60 - offset)
            }
            Period::Total => Minute(i64::MIN),
            _ => self.midnight(first_day(self.date(minute), period)),
        }
    }

    /// The first minute after the window of `period` that holds `minute`: when its count starts
    /// anew. None for a total, which never does.
    pub fn end_of(&self, minute: Minute, period: Period) -> Option<Minute> {
        let first = first_day(self.date(minute), period);
        let length = match period {
            Period::Minute => return Some(minute.next()),
            Period::Hour => return Some(Minute(self.start_of(minute, period).0 + 60)),
            Period::Day => 1.day(),
            Period::Week => 7.days(),
            Period::Month => 1.month(),
            Period::Quarter => 3.months(),
            Period::Year => 1.year(),
            Period::Total => return None,
        };
        Some(self.midnight(first.saturating_add(length)))
    }

    fn date(&self, minute: Minute) -> Date {
        self.zone.to_datetime(minute.timestamp()).date()
    }

    /// The first minute of a day; where clocks are set forward at midnight, the first that there is.
    fn midnight(&self, date: Date) -> Minute {
        let start = self.zone.to_timestamp(date.to_datetime(jiff::civil::Time::midnight()));
        start.map_or(Minute::default(), |start| Minute(start.as_second().div_euclid(60)))
    }
}

/// The first day of the window of `period` (a day or longer) that holds `date`.
fn first_day(date: Date, period: Period) -> Date {
    match period {
        Period::Week => {
            let since_monday = date.weekday().to_monday_zero_offset();
            date.saturating_sub(i64::from(since_monday).days())
        }
        Period::Month => date.first_of_month(),
        Period::Quarter => {
            let month = (date.month() - 1) / 3 * 3 + 1;
            Date::new(date.year(), month, 1).unwrap_or(date)
        }
        Period::Year => date.first_of_year(),
        _ => date,
    }
}

impl Windows {
    /// Where the window of `period` begins.
    pub fn start(&self, period: Period) -> Minute {
        self.starts.get(period as usize).copied().unwrap_or(self.minute)
    }

    /// Whether the window of `period` that held `last` is over.
    pub fn has_ended(&self, period: Period, last: Minute) -> bool {
        last < self.start(period)
    }

    /// What is over when a meter that last counted in `last` counts again in this minute.
    ///
    /// A `last` in the future is the work of a faster clock; the slower one counts in that minute
    /// rather than bring an old window back.
    pub fn roll_from(self, last: Option<Minute>) -> Roll {
        let before = match last {
            Some(last) => self.starts.iter().filter(|start| last < **start).min().copied(),
            // What never counted starts all of its windows but the total, which starts nowhere.
            None => self.starts.iter().filter(|start| start.0 > i64::MIN).min().copied(),
        };
        let from = last.and_then(|last| {
            let ended = self.starts.iter().filter(|start| **start <= last && start.0 > i64::MIN);
            ended.max().copied()
        });
        Roll { windows: self, from, before }
    }
}

impl Roll {
    /// Whether nothing is over.
    pub fn is_none(&self) -> bool {
        self.before.is_none()
    }

    /// Whether the window of `period` is over.
    pub fn has_ended(&self, period: Period) -> bool {
        self.before.is_some_and(|before| self.windows.start(period) >= before)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-12-31T23:59:30Z, in milliseconds: a Thursday.
    const NEW_YEARS_EVE: i64 = 1_798_761_570_000;

    #[track_caller]
    fn check(zone: &str, period: Period, start: &str, end: &str) {
        let (calendar, minute) = (Calendar::of(zone).unwrap(), Minute::of(NEW_YEARS_EVE));
        assert_eq!(calendar.start_of(minute, period).to_rfc3339(), start, "{zone} {period:?}");
        assert_eq!(calendar.end_of(minute, period).unwrap().to_rfc3339(), end, "{zone} {period:?}");
    }

    #[test]
    fn windows_begin_and_end_by_the_clock_of_the_organisation() {
        check("UTC", Period::Minute, "2026-12-31T23:59:00Z", "2027-01-01T00:00:00Z");
        check("UTC", Period::Hour, "2026-12-31T23:00:00Z", "2027-01-01T00:00:00Z");
        check("UTC", Period::Day, "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z");
        check("UTC", Period::Week, "2026-12-28T00:00:00Z", "2027-01-04T00:00:00Z");
        check("UTC", Period::Month, "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z");
        check("UTC", Period::Quarter, "2026-10-01T00:00:00Z", "2027-01-01T00:00:00Z");
        check("UTC", Period::Year, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
        // Already the new year there.
        check("Europe/Berlin", Period::Day, "2026-12-31T23:00:00Z", "2027-01-01T23:00:00Z");
        check("Europe/Berlin", Period::Year, "2026-12-31T23:00:00Z", "2027-12-31T23:00:00Z");
        check("Asia/Kolkata", Period::Hour, "2026-12-31T23:30:00Z", "2027-01-01T00:30:00Z");
        check("America/New_York", Period::Month, "2026-12-01T05:00:00Z", "2027-01-01T05:00:00Z");
        assert_eq!(Calendar::utc().end_of(Minute(0), Period::Total), None);
        assert!(Calendar::of("Mars/Olympus").is_err());
    }

    #[test]
    fn a_day_on_which_clocks_change_has_23_or_25_hours() {
        let berlin = Calendar::of("Europe/Berlin").unwrap();
        for (day, hours) in [("2026-03-29T10:00:00Z", 23), ("2026-10-25T10:00:00Z", 25)] {
            let minute = Minute(day.parse::<Timestamp>().unwrap().as_second() / 60);
            let end = berlin.end_of(minute, Period::Day).unwrap();
            assert_eq!(end.0 - berlin.start_of(minute, Period::Day).0, hours * 60, "{day}");
        }
    }

    #[test]
    fn what_is_over_is_said_by_the_last_minute() {
        let windows = Calendar::utc().windows(Minute::of(NEW_YEARS_EVE));
        let ended = |last: i64| {
            let roll = windows.roll_from(Some(Minute(windows.minute.0 + last)));
            Period::ALL.into_iter().filter(|period| roll.has_ended(*period)).collect::<Vec<_>>()
        };
        assert_eq!(ended(0), []);
        assert_eq!(ended(1), [], "a faster clock was here");
        assert_eq!(ended(-1), [Period::Minute]);
        assert_eq!(ended(-24 * 60), [Period::Minute, Period::Hour, Period::Day]);
        // The week of the 21st is over, the month is not.
        assert_eq!(ended(-4 * 24 * 60).last(), Some(&Period::Week));
        assert_eq!(ended(-31 * 24 * 60).last(), Some(&Period::Month));
        assert_eq!(ended(-366 * 24 * 60).last(), Some(&Period::Year));
        assert!(!windows.roll_from(None).has_ended(Period::Total), "it never ends");
        assert!(windows.roll_from(None).has_ended(Period::Year));
    }

    proptest! {
        #[test]
        fn every_last_minute_of_a_span_rolls_the_same(
            now in 29_000_000..30_500_000i64, back in 0..700_000i64, other in 0..700_000i64,
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns"]),
        ) {
            let calendar = Calendar::of(zone).unwrap();
            let windows = calendar.windows(Minute(now));
            let roll = windows.roll_from(Some(Minute(now - back)));
            let other = Minute(now - other);
            let is_in_span = roll.from.is_none_or(|from| other >= from)
                && roll.before.is_none_or(|before| other < before)
                && (!roll.is_none() || other >= Minute(now));
            prop_assert_eq!(is_in_span, windows.roll_from(Some(other)) == roll);
            for period in Period::ALL {
                prop_assert_eq!(roll.has_ended(period), windows.has_ended(period, Minute(now - back)));
                prop_assert!(windows.start(period) <= Minute(now));
                if let Some(end) = calendar.end_of(Minute(now), period) {
                    prop_assert!(end > Minute(now));
                    prop_assert_eq!(calendar.start_of(end, period), end);
                    prop_assert_eq!(calendar.start_of(Minute(end.0 - 1), period), windows.start(period));
                }
            }
        }
    }
}

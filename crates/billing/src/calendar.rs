//! Months of the organisation.

use admission::{Calendar, Minute, Period};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::{Month, Span};

/// Noon of the 15th is in the month wherever one lives.
fn middle(period: Month) -> Minute {
    let day = format!("{period}-15").parse::<Date>().unwrap_or_default();
    let noon = DateTime::from(day).saturating_add(jiff::SignedDuration::from_hours(12));
    let noon = TimeZone::UTC.to_timestamp(noon).unwrap_or_default();
    Minute::of(noon.as_millisecond())
}

/// Where a month begins and ends.
pub fn span(calendar: &Calendar, period: Month) -> Span {
    let middle = middle(period);
    let end = calendar.end_of(middle, Period::Month).unwrap_or(middle);
    Span {
        period,
        time_zone: calendar.name().to_owned(),
        start_ms: calendar.start_of(middle, Period::Month).start_ms(),
        end_ms: end.start_ms(),
    }
}

/// The month that runs, and for how many days it has.
pub fn current(calendar: &Calendar, now_ms: i64) -> (Month, i64) {
    let start_ms = calendar.start_of(Minute::of(now_ms), Period::Month).start_ms();
    // Two weeks after a month began it still runs.
    let within = jiff::Timestamp::from_millisecond(start_ms + 14 * DAY_MS).unwrap_or_default();
    let date = TimeZone::UTC.to_datetime(within).date();
    let month = format!("{:04}-{:02}", date.year(), date.month()).parse().unwrap_or_default();
    (month, (now_ms - start_ms) / DAY_MS)
}

const DAY_MS: i64 = 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_begin_and_end_where_the_organisation_lives() {
        for (zone, start, end) in [
            ("UTC", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"),
            ("Asia/Kolkata", "2026-10-31T18:30:00Z", "2026-11-30T18:30:00Z"),
            ("America/New_York", "2026-11-01T04:00:00Z", "2026-12-01T05:00:00Z"),
            ("Pacific/Kiritimati", "2026-10-31T10:00:00Z", "2026-11-30T10:00:00Z"),
        ] {
            let calendar = Calendar::of(zone).unwrap();
            let span = span(&calendar, "2026-11".parse().unwrap());
            let ms = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
            assert_eq!((span.start_ms, span.end_ms), (ms(start), ms(end)), "{zone}");
            assert_eq!(span.time_zone, zone);
            assert_eq!(current(&calendar, span.start_ms), (span.period, 0));
            assert_eq!(current(&calendar, span.end_ms - 1).0, span.period, "{zone}");
            assert_eq!(current(&calendar, span.end_ms), (span.period.next(), 0));
        }
    }
}

//! Calendar months, and where they begin and end.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A calendar month, written `2026-11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Month {
    year: u16,
    month: u8,
}

/// A text that is no month.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a month such as `2026-11`")]
pub struct InvalidMonth(String);

impl Default for Month {
    /// The first of all months.
    fn default() -> Self {
        Self { year: 1970, month: 1 }
    }
}

impl Month {
    /// The month after this one.
    #[must_use]
    pub fn next(self) -> Self {
        if self.month < 12 {
            Self { month: self.month + 1, ..self }
        } else {
            Self { year: self.year.saturating_add(1), month: 1 }
        }
    }

    /// The month before this one.
    #[must_use]
    pub fn previous(self) -> Self {
        if self.month > 1 {
            Self { month: self.month - 1, ..self }
        } else {
            Self { year: self.year.saturating_sub(1), month: 12 }
        }
    }

    /// The month as a reader knows it: `November 2026`.
    pub fn title(self) -> String {
        const NAMES: [&str; 12] = [
            "January",
            "February",
            "March",
            "April",
            "May",
            "June",
            "July",
            "August",
            "September",
            "October",
            "November",
            "December",
        ];
        let name = NAMES.get(usize::from(self.month).wrapping_sub(1)).copied().unwrap_or_default();
        format!("{name} {}", self.year)
    }
}

impl FromStr for Month {
    type Err = InvalidMonth;

    fn from_str(text: &str) -> Result<Self, InvalidMonth> {
        let invalid = || InvalidMonth(text.chars().take(16).collect());
        let (year, month) = text.split_once('-').ok_or_else(invalid)?;
        let is_plain = year.len() == 4
            && month.len() == 2
            && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let (year, month) =
            (year.parse().map_err(|_| invalid())?, month.parse().map_err(|_| invalid())?);
        let is_month = is_plain && (1..=12).contains(&month) && (1970..=9998).contains(&year);
        if is_month { Ok(Self { year, month }) } else { Err(invalid()) }
    }
}

impl TryFrom<String> for Month {
    type Error = InvalidMonth;

    fn try_from(text: String) -> Result<Self, InvalidMonth> {
        text.parse()
    }
}

impl From<Month> for String {
    fn from(month: Month) -> Self {
        month.to_string()
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

/// A month in the organisation's time zone.
///
/// It need not begin with an hour of UTC, so what is summed by such hours can stand in for records
/// only between the first and the last whole one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Which month.
    pub period: Month,
    /// Whose midnights these are (IANA).
    pub time_zone: String,
    /// Its first millisecond (Unix).
    pub start_ms: i64,
    /// The first millisecond after it.
    pub end_ms: i64,
}

impl Span {
    /// Whether a moment is in it.
    pub fn has(&self, moment_ms: i64) -> bool {
        (self.start_ms..self.end_ms).contains(&moment_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_follow_each_other() {
        let month: Month = "2026-12".parse().unwrap();
        assert_eq!(month.next().to_string(), "2027-01");
        assert_eq!(month.next().previous(), month);
        assert_eq!(month.title(), "December 2026");
        assert!(month < month.next());
    }

    #[test]
    fn what_is_no_month_is_refused() {
        for text in [
            "",
            "2026",
            "2026-0",
            "2026-00",
            "2026-13",
            "26-11",
            "2026-1a",
            "+026-11",
            "2026-+1",
            "2026-11-01",
            "9999-01",
        ] {
            assert!(text.parse::<Month>().is_err(), "{text:?}");
        }
    }
}

//! Which months are open, and what closes the next one.

use serde::{Deserialize, Serialize};
use tenancy::TenantId;

use crate::{Month, Span};

/// How long after its end a month cannot be closed yet: calls that it began may still be running, or
/// wait for the sweep.
pub const SETTLING_MS: i64 = 3_600_000;

/// The organisation's books: every month up to one is closed, the next may be about to be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Books {
    /// The last month that is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_through: Option<Month>,
    /// The month after it, if it is being closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing: Option<Closing>,
}

/// How far the closing of a month has come. Who takes it up again goes on from there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// Which month.
    pub period: Month,
    /// Who wanted it.
    pub requested_by: String,
    /// When, in Unix milliseconds.
    pub started_ms: i64,
    /// Tenants up to this one have their statements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_through: Option<TenantId>,
}

/// Whether a month can still change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MonthState {
    /// Entries can be booked.
    Open,
    /// No more entries; statements are being made.
    Closing,
    /// Never again.
    Closed,
}

/// What closing a month begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// The books are to become these.
    Start(Books),
    /// Somebody has begun; go on.
    Resume(Closing),
    /// There is nothing to do.
    AlreadyClosed,
}

/// Why a month cannot be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloseRefused {
    /// It still runs, or has only just ended.
    #[error("{period} can be closed from {from_ms} (Unix milliseconds) on")]
    NotOver {
        /// Which month.
        period: Month,
        /// From when on it can be.
        from_ms: i64,
    },
    /// Another month comes first.
    #[error("{next} is to be closed before {period}")]
    OutOfOrder {
        /// Which month.
        period: Month,
        /// Which one first.
        next: Month,
    },
}

impl Books {
    /// Whether a month can still change.
    pub fn state_of(&self, period: Month) -> MonthState {
        if self.closed_through.is_some_and(|closed| period <= closed) {
            MonthState::Closed
        } else if self.closing.as_ref().is_some_and(|closing| period <= closing.period) {
            MonthState::Closing
        } else {
            MonthState::Open
        }
    }

    /// The month that an entry is booked into now: the first open one, `current` if none was ever closed.
    pub fn first_open(&self, current: Month) -> Month {
        let busy = self.closing.as_ref().map(|closing| closing.period).or(self.closed_through);
        busy.map_or(current, Month::next)
    }

    /// What to do to close a month at `now_ms`. Months are closed in order; the first that is ever closed
    /// begins the books.
    pub fn begin(
        &self,
        span: &Span,
        requested_by: &str,
        now_ms: i64,
    ) -> Result<Begin, CloseRefused> {
        let period = span.period;
        if self.closed_through.is_some_and(|closed| period <= closed) {
            return Ok(Begin::AlreadyClosed);
        }
        if let Some(closing) = &self.closing {
            return if closing.period == period {
                Ok(Begin::Resume(closing.clone()))
            } else {
                Err(CloseRefused::OutOfOrder { period, next: closing.period })
            };
        }
        if let Some(next) = self.closed_through.map(Month::next).filter(|next| *next != period) {
            return Err(CloseRefused::OutOfOrder { period, next });
        }
        let from_ms = span.end_ms.saturating_add(SETTLING_MS);
        if now_ms < from_ms {
            return Err(CloseRefused::NotOver { period, from_ms });
        }
        let closing = Closing {
            period,
            requested_by: requested_by.to_owned(),
            started_ms: now_ms,
            done_through: None,
        };
        Ok(Begin::Start(Self { closing: Some(closing), ..self.clone() }))
    }

    /// The books when tenants up to `tenant_id` have their statements.
    #[must_use]
    pub fn advanced(&self, tenant_id: &TenantId) -> Self {
        let closing = self.closing.clone().map(|closing| Closing {
            done_through: closing.done_through.max(Some(tenant_id.clone())),
            ..closing
        });
        Self { closing, ..self.clone() }
    }

    /// The books when all statements of the month that is being closed are made.
    #[must_use]
    pub fn closed(&self) -> Self {
        let closed_through = self.closing.as_ref().map(|closing| closing.period);
        Self { closed_through: closed_through.or(self.closed_through), closing: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END_MS: i64 = 10_000_000;

    fn month(text: &str) -> Month {
        text.parse().unwrap()
    }

    fn span(period: &str) -> Span {
        Span { period: month(period), time_zone: "UTC".to_owned(), start_ms: 0, end_ms: END_MS }
    }

    fn begin(books: &Books, period: &str, now_ms: i64) -> Result<Begin, CloseRefused> {
        books.begin(&span(period), "u-1", now_ms)
    }

    #[test]
    fn months_are_closed_once_and_in_order() {
        let open = Books::default();
        let refused = begin(&open, "2026-11", END_MS + SETTLING_MS - 1);
        assert!(matches!(refused, Err(CloseRefused::NotOver { .. })));
        let over_ms = END_MS + SETTLING_MS;
        let Ok(Begin::Start(closing)) = begin(&open, "2026-11", over_ms) else { panic!() };
        assert_eq!(closing.state_of(month("2026-11")), MonthState::Closing);
        assert_eq!(closing.state_of(month("2026-10")), MonthState::Closing, "before the books");
        assert_eq!(closing.state_of(month("2026-12")), MonthState::Open);
        assert!(matches!(begin(&closing, "2026-11", over_ms), Ok(Begin::Resume(_))));
        let refused = begin(&closing, "2026-12", over_ms);
        assert!(matches!(refused, Err(CloseRefused::OutOfOrder { .. })));
        let closed = closing.closed();
        assert_eq!(begin(&closed, "2026-11", 0), Ok(Begin::AlreadyClosed));
        assert_eq!(begin(&closed, "2026-09", 0), Ok(Begin::AlreadyClosed));
        let refused = begin(&closed, "2027-01", over_ms);
        let next = month("2026-12");
        assert_eq!(refused, Err(CloseRefused::OutOfOrder { period: month("2027-01"), next }));
        assert!(matches!(begin(&closed, "2026-12", over_ms), Ok(Begin::Start(_))));
    }

    #[test]
    fn entries_go_into_the_first_open_month() {
        let current = month("2027-02");
        let mut books = Books::default();
        assert_eq!(books.first_open(current), current);
        books.closed_through = Some(month("2026-11"));
        assert_eq!(books.first_open(current), month("2026-12"));
        let Ok(Begin::Start(closing)) = begin(&books, "2026-12", i64::MAX) else { panic!() };
        assert_eq!(closing.first_open(current), month("2027-01"));
        assert_eq!(closing.closed().first_open(current), month("2027-01"));
    }

    #[test]
    fn a_slow_closer_does_not_set_a_fast_one_back() {
        let Ok(Begin::Start(books)) = begin(&Books::default(), "2026-11", i64::MAX) else {
            panic!()
        };
        let fast = books.advanced(&"globex".parse().unwrap());
        assert_eq!(fast.advanced(&"acme".parse().unwrap()), fast);
    }
}

//! The meter of a scope, and what may be done to it.

use std::collections::BTreeMap;

use metering::{NanoUsd, RecordId};
use serde::{Deserialize, Serialize};
use tenancy::Status;

use crate::{Limit, Limits, Minute, Period, Reservation, Roll};

/// What a scope has used in its current windows, and what is reserved and not settled yet.
///
/// `committed = settled + Σ open` of the current month can be checked on any read of the one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meter {
    /// Whether the scope is served.
    pub status: Status,
    /// The state of the scope's entitlements.
    pub entitlement_version: u64,
    /// The minute in which the meter last counted; none before the first call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minute: Option<Minute>,
    /// Calls in that minute.
    #[serde(default)]
    pub minute_requests: u64,
    /// Tokens in that minute, reserved or settled.
    #[serde(default)]
    pub minute_tokens: u64,
    /// Tokens in that minute's day.
    #[serde(default)]
    pub day_tokens: u64,
    /// Money of that minute's month, reserved or settled.
    #[serde(default)]
    pub committed: NanoUsd,
    /// Money of that minute's month that is settled.
    #[serde(default)]
    pub settled: NanoUsd,
    /// Reservations that are not settled yet, by [`RecordId::open_key`].
    #[serde(default)]
    pub open: BTreeMap<String, Reservation>,
}

/// Why a call may not proceed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// The scope has no meter: it was never onboarded.
    Unknown,
    /// The scope is suspended.
    Suspended,
    /// The entitlements changed since they were read: read them again.
    Stale,
    /// A limit would be passed.
    Exceeded {
        /// Which one.
        limit: Limit,
        /// What it allows.
        allowed: u64,
        /// What is used of it.
        used: u64,
        /// What the call may use.
        requested: u64,
        /// The minute in which the count starts anew.
        resets: Minute,
    },
}

/// How much of a scope's limits is used, once a call is admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Calls in the current minute.
    pub minute_requests: u64,
    /// Tokens in the current minute.
    pub minute_tokens: u64,
    /// Tokens in the current day.
    pub day_tokens: u64,
    /// Money committed in the current month.
    pub committed: NanoUsd,
}

impl Meter {
    /// The meter of a newly onboarded scope.
    pub fn new(status: Status, entitlement_version: u64) -> Self {
        Self {
            status,
            entitlement_version,
            minute: None,
            minute_requests: 0,
            minute_tokens: 0,
            day_tokens: 0,
            committed: NanoUsd::ZERO,
            settled: NanoUsd::ZERO,
            open: BTreeMap::new(),
        }
    }

    /// Whether there is a reservation for this provider call that is not settled yet.
    pub fn is_open(&self, id: &RecordId) -> bool {
        self.open.contains_key(&id.open_key())
    }

    /// What is used once the windows that are over at `now` are counted as empty.
    pub fn standing(&self, now: Minute) -> Standing {
        let roll = now.roll_from(self.minute);
        let unless = |over: Roll, count: u64| if roll >= over { 0 } else { count };
        Standing {
            minute_requests: unless(Roll::Minute, self.minute_requests),
            minute_tokens: unless(Roll::Minute, self.minute_tokens),
            day_tokens: unless(Roll::Day, self.day_tokens),
            committed: NanoUsd(unless(Roll::Month, self.committed.0)),
        }
    }

    /// Whether `reservation` fits into `limits`, and which windows roll if it is taken in its minute.
    ///
    /// # Errors
    /// The first reason against it, in order: status, entitlements, requests, tokens, money.
    pub fn decide(
        &self,
        limits: &Limits,
        entitlement_version: u64,
        reservation: &Reservation,
    ) -> Result<Roll, Denial> {
        if self.status == Status::Suspended {
            return Err(Denial::Suspended);
        }
        if self.entitlement_version != entitlement_version {
            return Err(Denial::Stale);
        }
        let roll = reservation.minute.roll_from(self.minute);
        // A slower clock counts in the minute that a faster one has begun.
        let counted_in = if roll == Roll::None {
            self.minute.unwrap_or(reservation.minute)
        } else {
            reservation.minute
        };
        self.standing(reservation.minute).check(limits, reservation, counted_in)?;
        Ok(roll)
    }

    /// Takes `reservation`, after [`Self::decide`] answered `roll`.
    pub fn reserve(&mut self, roll: Roll, id: &RecordId, mut reservation: Reservation) {
        if roll >= Roll::Minute {
            self.minute = Some(reservation.minute);
            (self.minute_requests, self.minute_tokens) = (0, 0);
        }
        if roll >= Roll::Day {
            self.day_tokens = 0;
        }
        if roll >= Roll::Month {
            (self.committed, self.settled) = (NanoUsd::ZERO, NanoUsd::ZERO);
        }
        reservation.minute = self.minute.unwrap_or(reservation.minute);
        self.minute_requests = self.minute_requests.saturating_add(u64::from(reservation.requests));
        self.minute_tokens = self.minute_tokens.saturating_add(reservation.tokens);
        self.day_tokens = self.day_tokens.saturating_add(reservation.tokens);
        self.committed = self.committed + reservation.amount_nanousd;
        self.open.insert(id.open_key(), reservation);
    }

    /// Replaces a reservation by what the provider call really used; nothing if it is not open (any more).
    ///
    /// Windows that have ended since are left alone.
    pub fn settle(&mut self, id: &RecordId, tokens: u64, amount: NanoUsd) {
        let Some(reservation) = self.open.remove(&id.open_key()) else { return };
        let since = self.rolled_since(&reservation);
        let replace =
            |count: u64, by: u64| count.saturating_sub(reservation.tokens).saturating_add(by);
        if since < Roll::Minute {
            self.minute_tokens = replace(self.minute_tokens, tokens);
        }
        if since < Roll::Day {
            self.day_tokens = replace(self.day_tokens, tokens);
        }
        if since < Roll::Month {
            self.committed = self.committed.minus(reservation.amount_nanousd) + amount;
            self.settled = self.settled + amount;
        }
    }

    /// Gives back a reservation whose call was never made.
    pub fn release(&mut self, id: &RecordId) {
        let Some(open) = self.open.get(&id.open_key()) else { return };
        if self.rolled_since(open) < Roll::Minute {
            self.minute_requests = self.minute_requests.saturating_sub(u64::from(open.requests));
        }
        self.settle(id, 0, NanoUsd::ZERO);
    }

    /// Which windows have ended since `reservation` was taken.
    pub fn rolled_since(&self, reservation: &Reservation) -> Roll {
        self.minute.map_or(Roll::None, |minute| minute.roll_from(Some(reservation.minute)))
    }

    /// Money reserved in the current month and not settled yet.
    pub fn reserved(&self) -> NanoUsd {
        self.open
            .values()
            .filter(|open| self.rolled_since(open) < Roll::Month)
            .map(|open| open.amount_nanousd)
            .sum()
    }
}

impl Standing {
    /// Whether `reservation` fits on top of what is used, in windows that hold `counted_in`.
    fn check(
        &self,
        limits: &Limits,
        reservation: &Reservation,
        counted_in: Minute,
    ) -> Result<(), Denial> {
        let (requests, tokens) = (u64::from(reservation.requests), reservation.tokens);
        let checks = [
            (Limit::RequestsPerMinute, limits.requests_per_minute, self.minute_requests, requests),
            (Limit::TokensPerMinute, limits.tokens_per_minute, self.minute_tokens, tokens),
            (Limit::TokensPerDay, limits.tokens_per_day, self.day_tokens, tokens),
            (
                Limit::BudgetPerMonth,
                limits.budget_per_month.map(|budget| budget.0),
                self.committed.0,
                reservation.amount_nanousd.0,
            ),
        ];
        for (limit, allowed, used, requested) in checks {
            // What takes nothing of a limit fits, even where the limit was lowered below what is used.
            let Some(allowed) = allowed.filter(|_| requested > 0) else { continue };
            if used.checked_add(requested).is_none_or(|sum| sum > allowed) {
                let resets = counted_in.end_of(limit.period());
                return Err(Denial::Exceeded { limit, allowed, used, requested, resets });
            }
        }
        Ok(())
    }
}

impl Denial {
    /// Whether the call could never fit, however long its caller waits.
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Exceeded { allowed, requested, .. } if requested > allowed)
    }

    /// Milliseconds from `now_ms` until it is worth trying again; `None` if waiting does not help.
    pub fn retry_after_ms(&self, now_ms: i64) -> Option<u64> {
        match self {
            Self::Exceeded { resets, .. } if !self.is_permanent() => {
                Some(u64::try_from(resets.start_ms().saturating_sub(now_ms)).unwrap_or(0))
            }
            _ => None,
        }
    }

    /// Whether the refused limit is one of a minute: worth a client's own retry.
    pub fn is_momentary(&self) -> bool {
        matches!(self, Self::Exceeded { limit, .. } if limit.period() == Period::Minute)
            && !self.is_permanent()
    }
}

#[cfg(test)]
#[path = "meter_tests.rs"]
mod tests;

//! The meter of a scope, and what may be done to it.

use std::collections::BTreeMap;

use metering::RecordId;
use serde::{Deserialize, Serialize};
use tenancy::Status;

use crate::{Calendar, Cap, Counter, Counters, Gate, Minute, Period, Reservation, Roll, Used};

/// What a scope has used in its current windows, and what is reserved and not settled yet.
///
/// A count is what was settled in its window and what is open in it, so that
/// `committed = settled + Σ open ≤ limit` can be checked on any read of the one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meter {
    /// Whether the scope is served.
    pub status: Status,
    /// The state of the tenant's entitlements; 0 in meters that are not a tenant's own.
    #[serde(default)]
    pub entitlement_version: u64,
    /// The minute in which the meter last counted; none before the first call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minute: Option<Minute>,
    /// What is used in the windows of that minute, reserved or settled.
    #[serde(flatten)]
    pub counters: Counters,
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
        cap: Cap,
        /// What is used of it.
        used: u64,
        /// What the call may use.
        requested: u64,
        /// The minute in which the count starts anew; none of a total and of concurrency.
        resets: Option<Minute>,
    },
}

/// How much of a scope's limits is used, once a call is admitted.
pub type Standing = Counters;

impl Meter {
    /// The meter of a newly onboarded scope.
    pub fn new(status: Status, entitlement_version: u64) -> Self {
        Self {
            status,
            entitlement_version,
            minute: None,
            counters: Counters::default(),
            open: BTreeMap::new(),
        }
    }

    /// Whether there is a reservation for this provider call that is not settled yet.
    pub fn is_open(&self, id: &RecordId) -> bool {
        self.open.contains_key(&id.open_key())
    }

    /// What is used once the windows that are over at `now` are counted as empty.
    pub fn standing(&self, calendar: &Calendar, now: Minute) -> Standing {
        let roll = calendar.windows(now).roll_from(self.minute);
        let mut standing = self.counters;
        for counter in Counter::ALL {
            if roll.has_ended(counter.period) {
                standing.set(counter, 0);
            }
        }
        standing
    }

    /// What is used of a cap at `now`.
    pub fn used_of(&self, cap: &Cap, calendar: &Calendar, now: Minute) -> u64 {
        match cap.counter {
            Some(counter) => self.standing(calendar, now).get(counter),
            None => self.calls(),
        }
    }

    /// Calls that are open now.
    fn calls(&self) -> u64 {
        u64::try_from(self.open.len()).unwrap_or(u64::MAX)
    }

    /// Whether `reservation` may be taken through `gate`, and which windows are over if it is taken in
    /// its minute.
    ///
    /// # Errors
    /// The first reason against it, in order: status, entitlements, then the caps as they come.
    pub fn decide(
        &self,
        calendar: &Calendar,
        gate: &Gate,
        reservation: &Reservation,
    ) -> Result<Roll, Denial> {
        if let Some(version) = gate.entitlement_version {
            if self.entitlement_version > version {
                return Err(Denial::Stale);
            }
            // Newer entitlements than the meter's have been read as active: their reader says so here.
            if self.entitlement_version == version && self.status == Status::Suspended {
                return Err(Denial::Suspended);
            }
        }
        let roll = calendar.windows(reservation.minute).roll_from(self.minute);
        // A slower clock counts in the minute that a faster one has begun.
        let counted_in = self.minute.unwrap_or_default().max(reservation.minute);
        let standing = self.standing(calendar, reservation.minute);
        for cap in &gate.caps {
            let requested = reservation.takes(cap.metric());
            let used = cap.counter.map_or_else(|| self.calls(), |counter| standing.get(counter));
            // What takes nothing of a limit fits, even where the limit was lowered below what is used.
            if requested > 0 && used.checked_add(requested).is_none_or(|sum| sum > cap.allowed) {
                let period = cap.counter.map(|counter| counter.period);
                let resets = period.and_then(|period| calendar.end_of(counted_in, period));
                return Err(Denial::Exceeded { cap: cap.clone(), used, requested, resets });
            }
        }
        Ok(roll)
    }

    /// Takes `reservation`, after [`Self::decide`] answered `roll`.
    pub fn reserve(
        &mut self,
        gate: &Gate,
        roll: Roll,
        id: &RecordId,
        mut reservation: Reservation,
    ) {
        if let Some(version) = gate.entitlement_version {
            (self.entitlement_version, self.status) = (version, Status::Active);
        }
        if !roll.is_none() {
            self.minute = Some(reservation.minute);
        }
        reservation.minute = self.minute.unwrap_or(reservation.minute);
        for counter in Counter::ALL {
            let used = if roll.has_ended(counter.period) { 0 } else { self.counters.get(counter) };
            self.counters.set(counter, used.saturating_add(reservation.takes(counter.metric)));
        }
        self.open.insert(id.open_key(), reservation);
    }

    /// Replaces a reservation by what the provider call really used; nothing if it is not open (any more).
    ///
    /// Windows that have ended since are left alone.
    pub fn settle(&mut self, calendar: &Calendar, id: &RecordId, used: Used) {
        let Some(reservation) = self.open.remove(&id.open_key()) else { return };
        let used = used.part(reservation.part);
        for counter in Counter::ALL {
            if !self.has_ended_since(calendar, counter.period, &reservation) {
                let rest =
                    self.counters.get(counter).saturating_sub(reservation.takes(counter.metric));
                self.counters.set(counter, rest.saturating_add(used.of_metric(counter.metric)));
            }
        }
    }

    /// Whether the window of `period` is over that `reservation` was taken in.
    pub fn has_ended_since(
        &self,
        calendar: &Calendar,
        period: Period,
        reservation: &Reservation,
    ) -> bool {
        self.minute.is_some_and(|now| calendar.windows(now).has_ended(period, reservation.minute))
    }

    /// What is reserved in the current window of a counter and not settled yet: its count less this is
    /// what was settled.
    pub fn reserved(&self, calendar: &Calendar, counter: Counter) -> u64 {
        self.open
            .values()
            .filter(|open| !self.has_ended_since(calendar, counter.period, open))
            .map(|open| open.takes(counter.metric))
            .sum()
    }
}

impl Denial {
    /// Whether the call could never fit, however long its caller waits.
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Exceeded { cap, requested, .. } if *requested > cap.whole)
    }

    /// Milliseconds from `now_ms` until it is worth trying again; `None` if waiting does not help.
    pub fn retry_after_ms(&self, now_ms: i64) -> Option<u64> {
        match self {
            Self::Exceeded { cap, .. } if cap.counter.is_none() && !self.is_permanent() => {
                Some(1_000)
            }
            Self::Exceeded { resets: Some(resets), .. } if !self.is_permanent() => {
                Some(u64::try_from(resets.start_ms().saturating_sub(now_ms)).unwrap_or(0))
            }
            _ => None,
        }
    }

    /// Whether the refused limit is one of a minute, or of calls that run at the same time: worth a
    /// client's own retry.
    pub fn is_momentary(&self) -> bool {
        let is_short = |cap: &Cap| cap.counter.is_none_or(|it| it.period == Period::Minute);
        matches!(self, Self::Exceeded { cap, .. } if is_short(cap)) && !self.is_permanent()
    }
}

#[cfg(test)]
#[path = "meter_tests.rs"]
mod tests;

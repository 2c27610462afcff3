//! The job's ports on those of billing.

use std::collections::BTreeSet;

use billing::port::{Accounts, BillingStore, Booked, Documents, UsageSource};
use billing::{Account, Month, Span};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use metering::UsageRecord;
use tenancy::TenantId;

use crate::correction::Correction;
use crate::port::{Bookings, Records, Reports, StoreError};

/// What billing has, for a run at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Books<'a, S, U, D> {
    /// Entries, months and accounts.
    pub store: &'a S,
    /// Usage records.
    pub usage: &'a U,
    /// Statements, beside which reports are kept.
    pub documents: &'a D,
    /// The month that runs.
    pub current: Month,
    /// When the run is.
    pub now: Timestamp,
}

impl<S: Accounts, U: UsageSource, D: Sync> Records for Books<'_, S, U, D> {
    async fn within(
        &self,
        from: Timestamp,
        until: Timestamp,
        take: &mut (dyn FnMut(UsageRecord) + Send),
    ) -> Result<(), StoreError> {
        let span = Span {
            period: self.current,
            time_zone: "UTC".to_owned(),
            start_ms: from.as_millisecond(),
            end_ms: until.as_millisecond(),
        };
        for tenant in self.store.tenants(&span).await? {
            self.usage.records(&tenant.tenant_id, &span, take).await?;
        }
        Ok(())
    }
}

impl<S: BillingStore + Accounts, U: Sync, D: Sync> Bookings for Books<'_, S, U, D> {
    async fn corrections(
        &self,
        period: &str,
        tenants: &BTreeSet<TenantId>,
    ) -> Result<Vec<Correction>, StoreError> {
        let reconciled: Month = period.parse()?;
        let last = self.store.books().await?.first_open(self.current).max(self.current);
        // Whoever called in the month, off-boarded or not.
        let first = format!("{reconciled}-01").parse::<Date>()?;
        let start = TimeZone::UTC.to_timestamp(first.into())?;
        let end = TimeZone::UTC.to_timestamp(first.saturating_add(1.month()).into())?;
        let span = Span {
            period: reconciled,
            time_zone: "UTC".to_owned(),
            start_ms: start.as_millisecond(),
            end_ms: end.as_millisecond(),
        };
        let known = self.store.tenants(&span).await?.into_iter().map(|tenant| tenant.tenant_id);
        let tenants: BTreeSet<_> = tenants.iter().cloned().chain(known).collect();
        let mut found = Vec::new();
        for tenant_id in tenants {
            let entries =
                self.store.entries(&Account::Tenant(tenant_id), reconciled..=last).await?;
            let corrections = entries.iter().filter_map(Correction::of_entry);
            found.extend(corrections.filter(|correction| correction.period == period));
        }
        Ok(found)
    }

    async fn book(&self, correction: &Correction) -> Result<bool, StoreError> {
        let open = self.store.books().await?.first_open(self.current);
        let booked = self.store.book(&correction.to_entry(open, self.now)).await?;
        // A month that was closed just now refuses it; the next attempt finds the next one.
        Ok(booked == Booked::New)
    }
}

impl<S: Sync, U: Sync, D: Documents> Reports for Books<'_, S, U, D> {
    async fn write(&self, key: &str, content_type: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        Ok(self.documents.put(key, bytes, content_type).await?)
    }
}

#[cfg(test)]
#[path = "books_tests.rs"]
mod tests;

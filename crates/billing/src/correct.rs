//! Corrections: what a closed month should have said, billed in the next open one.

use std::collections::BTreeMap;

use events::EventSink;
use tenancy::TenantId;

use crate::job::{CloseError, Ports, Progress, documents_of, failed};
use crate::port::{
    Accounts, BillingEvent, BillingStore, Booked, Documents, TenantAccount, UsageSource,
};
use crate::{
    Account, Books, EntryKind, LedgerEntry, Month, MonthState, Plan, PlanInForce, SignedNanoUsd,
    Span, Statement,
};

/// How an entry's id begins that makes good for records which came after their month was closed.
const LATE: &str = "late-usage";

/// How often booking starts again because another run booked meanwhile, or a month was closed.
const ATTEMPTS: u32 = 5;

impl<S: BillingStore + Accounts, U: UsageSource, D: Documents, E: EventSink> Ports<'_, S, U, D, E> {
    /// Computes a closed month again, tenant by tenant after `after`, under the plan that it was closed
    /// with, and books what differs into the first open month. `current` is the month that runs.
    ///
    /// What was corrected before is taken into account, so running it again books nothing. Answers with
    /// the number of entries.
    pub async fn correct(
        &self,
        span: &Span,
        current: Month,
        now_ms: i64,
        after: Option<TenantId>,
        is_time_up: &(dyn Fn() -> bool + Sync),
    ) -> Result<Progress<u64>, CloseError> {
        if self.store.books().await?.state_of(span.period) != MonthState::Closed {
            return Ok(Progress::Done(0));
        }
        let defaults = self.store.plans(&Account::Org).await?;
        let (mut booked, mut done_through) = (0, after);
        for tenant in self.store.tenants(span).await? {
            if done_through.as_ref().is_some_and(|done| tenant.tenant_id <= *done) {
                continue;
            }
            if is_time_up() {
                return Ok(Progress::Continue(done_through));
            }
            booked +=
                u64::from(self.correct_tenant(&tenant, span, current, &defaults, now_ms).await?);
            done_through = Some(tenant.tenant_id);
        }
        Ok(Progress::Done(booked))
    }

    async fn correct_tenant(
        &self,
        tenant: &TenantAccount,
        span: &Span,
        current: Month,
        defaults: &[Plan],
        now_ms: i64,
    ) -> Result<bool, CloseError> {
        let account = Account::Tenant(tenant.tenant_id.clone());
        let lines = self.lines(&tenant.tenant_id, span).await?;
        let issued = self.statement_at(&documents_of(&account, span)).await?;
        let Some(lob_id) = issued
            .as_ref()
            .map(|it| it.lob_id.clone())
            .or_else(|| tenant.lob_id.clone().or_else(|| lines.last_lob().cloned()))
        else {
            return Ok(false);
        };
        let plan = match &issued {
            Some(issued) => PlanInForce { plan: issued.plan.clone(), of: issued.plan_of.clone() },
            None => self.plan(&tenant.tenant_id, &lob_id, span, defaults).await?,
        };
        let made = Statement::new(tenant.tenant_id.clone(), lob_id, plan, lines, Vec::new(), 1);
        let should_be = made.map_err(|source| failed(&account, source))?;
        for _ in 0..ATTEMPTS {
            let books = self.store.books().await?;
            let into = books.first_open(current);
            let before =
                self.store.entries(&account, span.period.next()..=into.max(current)).await?;
            let entry = correction(&books, span, current, &should_be, issued.as_ref(), &before);
            let Some(entry) = entry.map_err(|overflow| failed(&account, overflow.into()))? else {
                return Ok(false);
            };
            let entry = LedgerEntry { booked_ms: now_ms, ..entry };
            if self.store.book(&entry).await? == Booked::New {
                self.tell(&BillingEvent::CorrectionBooked(entry)).await?;
                return Ok(true);
            }
        }
        Err(CloseError::Contended)
    }
}

/// The entry that is still to be booked so that a month's statement and its corrections come to what
/// `should_be` says.
///
/// Its id counts the month's corrections: of two runs that saw the same ones, one alone can book the next.
fn correction(
    books: &Books,
    span: &Span,
    current: Month,
    should_be: &Statement,
    issued: Option<&Statement>,
    before: &[LedgerEntry],
) -> Result<Option<LedgerEntry>, crate::Overflow> {
    let prefix = format!("{LATE}-{}-", span.period);
    let before: Vec<&LedgerEntry> = before.iter().filter(|it| it.id.starts_with(&prefix)).collect();
    let corrected = SignedNanoUsd::sum(before.iter().map(|entry| entry.amount_nanousd))?;
    let billed = issued.map_or(Ok(SignedNanoUsd::ZERO), Statement::usage_charge)?;
    let amount = should_be.usage_charge()?.minus(billed)?.minus(corrected)?;
    if amount == SignedNanoUsd::ZERO {
        return Ok(None);
    }
    let records = |it: &Statement| it.totals.sum.records;
    let (now, then) = (records(should_be), issued.map_or(0, records));
    Ok(Some(LedgerEntry {
        id: format!("{prefix}{}", before.len() + 1),
        period: books.first_open(current),
        account: Account::Tenant(should_be.tenant_id.clone()),
        kind: EntryKind::Correction,
        amount_nanousd: amount,
        reason: format!("Usage of {} recorded after it was closed", span.period.title()),
        booked_by: "billing".to_owned(),
        booked_ms: 0,
        refers_to: Some(span.period.to_string()),
        details: BTreeMap::from([
            ("records_now".to_owned(), now.to_string()),
            ("records_then".to_owned(), then.to_string()),
        ]),
    }))
}

//! Closing a month: a statement for each tenant and line of business, once.

use std::collections::BTreeMap;

use events::EventSink;
use futures::future::try_join_all;
use tenancy::{LobId, TenantId};

use crate::books::{Begin, Books, Closing};
use crate::job::{CloseError, Ports, Progress, documents_of, failed};
use crate::port::{
    Accounts, BillingEvent, BillingStore, Booked, ClosedMonth, Documents, Issued, TenantAccount,
    UsageSource,
};
use crate::{
    Account, EntryKind, LedgerEntry, LobStatement, LobStatementBuilder, Overflow, Plan,
    SignedNanoUsd, Span, Statement, Totals,
};

/// Tenants whose records are read at the same time.
const CONCURRENCY: usize = 8;

impl<S: BillingStore + Accounts, U: UsageSource, D: Documents, E: EventSink> Ports<'_, S, U, D, E> {
    /// Closes a month, or goes on closing it, until `is_time_up`. Whoever else does so at the same time,
    /// and however often it was cut, each account gets one statement: the first that was written.
    pub async fn close(
        &self,
        span: &Span,
        requested_by: &str,
        now_ms: i64,
        is_time_up: &(dyn Fn() -> bool + Sync),
    ) -> Result<Progress<Option<ClosedMonth>>, CloseError> {
        let Some(closing) = self.begin(span, requested_by, now_ms).await? else {
            return Ok(Progress::Done(None));
        };
        let mut done_through = closing.done_through.clone();
        let tenants = self.store.tenants(span).await?;
        let defaults = self.store.plans(&Account::Org).await?;
        let rest: Vec<&TenantAccount> = tenants
            .iter()
            .filter(|it| done_through.as_ref().is_none_or(|done| it.tenant_id > *done))
            .collect();
        for chunk in rest.chunks(CONCURRENCY) {
            if is_time_up() {
                return Ok(Progress::Continue(done_through));
            }
            try_join_all(chunk.iter().map(|it| self.close_tenant(it, span, &defaults, now_ms)))
                .await?;
            if let Some(last) = chunk.last() {
                done_through = Some(last.tenant_id.clone());
                if !self.advance(span, &last.tenant_id).await? {
                    return Ok(Progress::Done(None));
                }
            }
        }
        if is_time_up() {
            return Ok(Progress::Continue(done_through));
        }
        self.finish(span, &closing, &tenants, now_ms).await.map(Progress::Done)
    }

    /// What is being closed; none if it is closed already.
    async fn begin(
        &self,
        span: &Span,
        requested_by: &str,
        now_ms: i64,
    ) -> Result<Option<Closing>, CloseError> {
        for _ in 0..CONCURRENCY {
            let books = self.store.books().await?;
            match books.begin(span, requested_by, now_ms)? {
                Begin::AlreadyClosed => return Ok(None),
                Begin::Resume(closing) => return Ok(Some(closing)),
                Begin::Start(begun) => {
                    if self.store.change_books(&books, &begun).await? {
                        return Ok(begun.closing);
                    }
                }
            }
        }
        Err(CloseError::Contended)
    }

    /// Notes that tenants up to this one are done; `false` if somebody else has closed the month.
    async fn advance(&self, span: &Span, tenant_id: &TenantId) -> Result<bool, CloseError> {
        self.change(span, |books| books.advanced(tenant_id)).await
    }

    async fn change(
        &self,
        span: &Span,
        change: impl Fn(&Books) -> Books + Send + Sync,
    ) -> Result<bool, CloseError> {
        for _ in 0..CONCURRENCY {
            let books = self.store.books().await?;
            if books.closing.as_ref().is_none_or(|closing| closing.period != span.period) {
                return Ok(false);
            }
            let changed = change(&books);
            if changed == books || self.store.change_books(&books, &changed).await? {
                return Ok(true);
            }
        }
        Err(CloseError::Contended)
    }

    /// Makes a tenant's statement, unless it has nothing to be billed.
    async fn close_tenant(
        &self,
        tenant: &TenantAccount,
        span: &Span,
        defaults: &[Plan],
        now_ms: i64,
    ) -> Result<(), CloseError> {
        let account = Account::Tenant(tenant.tenant_id.clone());
        let documents = documents_of(&account, span);
        let statement = if let Some(kept) = self.statement_at(&documents).await? {
            kept
        } else {
            let made = self.make(tenant, span, defaults, now_ms, Issue::Final).await?;
            let Some(statement) = made else { return Ok(()) };
            self.keep(&documents, statement).await?
        };
        self.put_all(&account, &documents, statement.copies()).await?;
        let Statement { totals, digest, version, .. } = &statement;
        self.issue(account, span, totals, digest, *version, documents, now_ms).await
    }

    /// Keeps a statement, or finds the one that somebody else has kept meanwhile.
    async fn keep(&self, documents: &str, statement: Statement) -> Result<Statement, CloseError> {
        let account = Account::Tenant(statement.tenant_id.clone());
        let json = statement.to_json().map_err(|source| failed(&account, source))?;
        let key = format!("{documents}.json");
        if self.documents.create(&key, json, "application/json").await? {
            return Ok(statement);
        }
        Ok(self.statement_at(documents).await?.unwrap_or(statement))
    }

    /// Computes a tenant's statement; none if nothing was called, booked or agreed.
    pub(crate) async fn make(
        &self,
        tenant: &TenantAccount,
        span: &Span,
        defaults: &[Plan],
        now_ms: i64,
        issue: Issue,
    ) -> Result<Option<Statement>, CloseError> {
        let account = Account::Tenant(tenant.tenant_id.clone());
        let lines = self.lines(&tenant.tenant_id, span).await?;
        let lob_id = tenant.lob_id.clone().or_else(|| lines.last_lob().cloned());
        // Somebody who was off-boarded and did not call in this month.
        let Some(lob_id) = lob_id else { return Ok(None) };
        let plan = self.plan(&tenant.tenant_id, &lob_id, span, defaults).await?;
        let is_due = plan.of == account || !lines.is_empty();
        let due = if is_due { fee(&account, &plan.plan, span, now_ms)? } else { None };
        if let (Some(fee), Issue::Final) = (&due, issue) {
            // Refused if somebody else has closed the month by now: with the fee in it.
            let (Booked::New | Booked::Known | Booked::Refused) = self.store.book(fee).await?;
        }
        let mut entries = self.store.entries(&account, span.period..=span.period).await?;
        if issue == Issue::Draft {
            let is_booked = |fee: &LedgerEntry| entries.iter().any(|entry| entry.id == fee.id);
            entries.extend(due.filter(|fee| !is_booked(fee)));
        }
        if lines.is_empty() && entries.is_empty() {
            return Ok(None);
        }
        Statement::new(tenant.tenant_id.clone(), lob_id, plan, lines, entries, issue.version())
            .map(Some)
            .map_err(|source| failed(&account, source))
    }

    /// Tells of a statement, then notes it: who dies in between tells again.
    #[expect(clippy::too_many_arguments, reason = "what both kinds of statement have in common")]
    async fn issue(
        &self,
        account: Account,
        span: &Span,
        totals: &Totals,
        digest: &str,
        version: u32,
        documents: String,
        now_ms: i64,
    ) -> Result<(), CloseError> {
        let cost = SignedNanoUsd::try_from(totals.sum.cost_nanousd);
        let issued = Issued {
            period: span.period,
            version,
            digest: digest.to_owned(),
            records: totals.sum.records,
            cost_nanousd: cost.map_err(|overflow| failed(&account, overflow.into()))?,
            total_nanousd: totals.total_nanousd,
            issued_ms: now_ms,
            documents,
            account,
        };
        self.tell(&BillingEvent::StatementIssued(issued.clone())).await?;
        Ok(self.store.put_issued(&issued).await?)
    }

    /// Makes the statements of lines of business out of their tenants', and closes the month.
    async fn finish(
        &self,
        span: &Span,
        closing: &Closing,
        tenants: &[TenantAccount],
        now_ms: i64,
    ) -> Result<Option<ClosedMonth>, CloseError> {
        let mut lobs: BTreeMap<LobId, LobStatementBuilder> = self
            .store
            .lobs()
            .await?
            .into_iter()
            .map(|lob_id| (lob_id.clone(), LobStatementBuilder::new(lob_id, span.clone())))
            .collect();
        let mut month = ClosedMonth {
            period: span.period,
            requested_by: closing.requested_by.clone(),
            started_ms: closing.started_ms,
            closed_ms: now_ms,
            tenants: 0,
            lobs: 0,
            records: 0,
            cost_nanousd: SignedNanoUsd::ZERO,
            total_nanousd: SignedNanoUsd::ZERO,
        };
        for chunk in tenants.chunks(CONCURRENCY) {
            let documents = chunk
                .iter()
                .map(|tenant| documents_of(&Account::Tenant(tenant.tenant_id.clone()), span));
            let documents: Vec<String> = documents.collect();
            let read = try_join_all(documents.iter().map(|it| self.statement_at(it))).await?;
            for statement in read.into_iter().flatten() {
                month.tenants += 1;
                let lob_id = statement.lob_id.clone();
                let new = || LobStatementBuilder::new(lob_id.clone(), span.clone());
                let lob = lobs.entry(lob_id.clone()).or_insert_with(new);
                let added = lob.add(&statement);
                added.map_err(|overflow| failed(&Account::Lob(lob_id), overflow.into()))?;
            }
        }
        for (lob_id, builder) in lobs {
            let account = Account::Lob(lob_id);
            let Some(statement) = self.close_lob(&account, builder, span, now_ms).await? else {
                continue;
            };
            let added = month.add(&statement.totals);
            added.map_err(|overflow| failed(&account, overflow.into()))?;
        }
        self.store.put_closed(&month).await?;
        self.tell(&BillingEvent::MonthClosed(month.clone())).await?;
        self.change(span, Books::closed).await?;
        Ok(Some(month))
    }

    async fn close_lob(
        &self,
        account: &Account,
        builder: LobStatementBuilder,
        span: &Span,
        now_ms: i64,
    ) -> Result<Option<LobStatement>, CloseError> {
        let entries = self.store.entries(account, span.period..=span.period).await?;
        let made = builder.finish(entries, 1);
        let statement = made.map_err(|source| failed(account, source))?;
        if statement.tenants.is_empty() && statement.entries.is_empty() {
            return Ok(None);
        }
        let documents = documents_of(account, span);
        // Of what is kept already, so the same bytes whoever writes them.
        self.put_all(account, &documents, statement.forms()).await?;
        let LobStatement { totals, digest, version, .. } = &statement;
        self.issue(account.clone(), span, totals, digest, *version, documents, now_ms).await?;
        Ok(Some(statement))
    }
}

/// The plan's fee as an entry, if it has one.
fn fee(
    account: &Account,
    plan: &Plan,
    span: &Span,
    now_ms: i64,
) -> Result<Option<LedgerEntry>, CloseError> {
    let fee = SignedNanoUsd::try_from(plan.flat_fee_nanousd)
        .map_err(|overflow| failed(account, overflow.into()))?;
    Ok((fee != SignedNanoUsd::ZERO).then(|| LedgerEntry {
        id: format!("flat-fee-{}", span.period),
        period: span.period,
        account: account.clone(),
        kind: EntryKind::FlatFee,
        amount_nanousd: fee,
        reason: format!("Plan {}, {}", plan.id, span.period.title()),
        booked_by: "billing".to_owned(),
        booked_ms: now_ms,
        refers_to: Some(plan.id.clone()),
        details: BTreeMap::new(),
    }))
}

/// What a statement is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Issue {
    /// To look at while the month is open: nothing is booked.
    Draft,
    /// To be the bill.
    Final,
}

impl Issue {
    fn version(self) -> u32 {
        match self {
            Self::Draft => 0,
            Self::Final => 1,
        }
    }
}

impl ClosedMonth {
    fn add(&mut self, totals: &Totals) -> Result<(), Overflow> {
        self.lobs += 1;
        self.records += totals.sum.records;
        self.cost_nanousd = self.cost_nanousd.plus(totals.sum.cost_nanousd.try_into()?)?;
        self.total_nanousd = self.total_nanousd.plus(totals.total_nanousd)?;
        Ok(())
    }
}

//! Drafts: what the statement of an open month would be if the month ended now.

use events::EventSink;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::close::Issue;
use crate::job::{CloseError, Ports, draft_of, failed};
use crate::port::{Accounts, BillingStore, Documents, TenantAccount, UsageSource};
use crate::{Account, LobStatementBuilder, MonthState, Plan, Span, Statement};

/// Tenants of a line of business whose records are read at the same time.
const CONCURRENCY: usize = 8;

impl<S: BillingStore + Accounts, U: UsageSource, D: Documents, E: EventSink> Ports<'_, S, U, D, E> {
    /// Makes the draft of an account's statement, in the place of the one before. Books nothing.
    ///
    /// Answers with where it is, without extension; none if there is nothing to be billed, or the month is
    /// not open: then its statement stands, or soon will.
    pub async fn draft(
        &self,
        account: &Account,
        span: &Span,
        now_ms: i64,
    ) -> Result<Option<String>, CloseError> {
        if self.store.books().await?.state_of(span.period) != MonthState::Open {
            return Ok(None);
        }
        let tenants = self.store.tenants(span).await?;
        let defaults = self.store.plans(&Account::Org).await?;
        let forms = match account {
            Account::Org => return Ok(None),
            Account::Tenant(tenant_id) => {
                let Some(tenant) = tenants.iter().find(|it| it.tenant_id == *tenant_id) else {
                    return Ok(None);
                };
                let made = self.make(tenant, span, &defaults, now_ms, Issue::Draft).await?;
                made.map(|statement| statement.forms())
            }
            Account::Lob(lob_id) => {
                let of_lob = |it: &&TenantAccount| it.lob_id.as_ref().is_none_or(|id| id == lob_id);
                let drafts = self.drafts(tenants.iter().filter(of_lob), span, &defaults, now_ms);
                let mut lob = LobStatementBuilder::new(lob_id.clone(), span.clone());
                for statement in drafts.await?.iter().filter(|it| it.lob_id == *lob_id) {
                    lob.add(statement).map_err(|overflow| failed(account, overflow.into()))?;
                }
                let entries = self.store.entries(account, span.period..=span.period).await?;
                let made = lob.finish(entries, 0).map_err(|source| failed(account, source))?;
                let is_empty = made.tenants.is_empty() && made.entries.is_empty();
                (!is_empty).then(|| made.forms())
            }
        };
        let Some(forms) = forms else { return Ok(None) };
        let documents = draft_of(account, span.period);
        self.put_all(account, &documents, forms).await?;
        Ok(Some(documents))
    }

    async fn drafts(
        &self,
        tenants: impl Iterator<Item = &TenantAccount>,
        span: &Span,
        defaults: &[Plan],
        now_ms: i64,
    ) -> Result<Vec<Statement>, CloseError> {
        let made = tenants.map(|it| self.make(it, span, defaults, now_ms, Issue::Draft));
        let made: Vec<Option<Statement>> =
            stream::iter(made).buffer_unordered(CONCURRENCY).try_collect().await?;
        Ok(made.into_iter().flatten().collect())
    }
}

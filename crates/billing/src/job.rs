//! What the jobs of billing have in common.

use events::{Event, EventSink};
use tenancy::{LobId, TenantId};

use crate::books::CloseRefused;
use crate::port::{BillingEvent, BillingStore, BillingStoreError, Documents, UsageSource};
use crate::render::Rendered;
use crate::{Account, Month, Plan, PlanInForce, Span, Statement, StatementError, UsageLines};

/// What jobs of billing work on.
#[derive(Debug)]
pub struct Ports<'a, S, U, D, E> {
    /// Plans, entries, months, and who is to be billed.
    pub store: &'a S,
    /// Usage records.
    pub usage: &'a U,
    /// Where statements go.
    pub documents: &'a D,
    /// Who is told.
    pub events: &'a E,
}

/// How far a job came before its time was up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress<T> {
    /// It is done.
    Done(T),
    /// It is to be started again, and goes on after this tenant.
    Continue(Option<TenantId>),
}

/// Why a job could not be done. Trying again is safe, unless it was refused.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    /// It cannot be now.
    #[error(transparent)]
    Refused(#[from] CloseRefused),
    /// Somebody changes the books all the time.
    #[error("the books are changed by others")]
    Contended,
    /// A store failed.
    #[error(transparent)]
    Store(#[from] BillingStoreError),
    /// A statement cannot be made.
    #[error("failed to make the statement of `{account}`")]
    Statement {
        /// Whose.
        account: Account,
        /// Why.
        source: StatementError,
    },
    /// A document that is kept is no statement.
    #[error("`{key}` is not a statement")]
    Document {
        /// Which.
        key: String,
        /// Why not.
        source: serde_json::Error,
    },
}

/// Where the documents of an account's month are, without their extensions.
pub fn documents_of(account: &Account, span: &Span) -> String {
    format!("statements/{}/{account}/statement", span.period)
}

/// Where the draft of an account's month is, without its extension.
pub fn draft_of(account: &Account, period: Month) -> String {
    format!("drafts/{period}/{account}/statement")
}

impl<S: BillingStore, U: UsageSource, D: Documents, E: Sync> Ports<'_, S, U, D, E> {
    /// The statement that was kept, if one was.
    pub(crate) async fn statement_at(
        &self,
        documents: &str,
    ) -> Result<Option<Statement>, CloseError> {
        let key = format!("{documents}.json");
        let Some(bytes) = self.documents.get(&key).await? else { return Ok(None) };
        let read = serde_json::from_slice(&bytes);
        read.map(Some).map_err(|source| CloseError::Document { key, source })
    }

    /// Writes forms of a statement in the place of what was there.
    pub(crate) async fn put_all(
        &self,
        account: &Account,
        documents: &str,
        forms: Vec<Rendered>,
    ) -> Result<(), CloseError> {
        for Rendered { extension, content_type, bytes } in forms {
            let bytes = bytes.map_err(|source| failed(account, source))?;
            self.documents.put(&format!("{documents}.{extension}"), bytes, content_type).await?;
        }
        Ok(())
    }

    /// A tenant's usage of a month.
    pub(crate) async fn lines(
        &self,
        tenant_id: &TenantId,
        span: &Span,
    ) -> Result<UsageLines, BillingStoreError> {
        let mut lines = UsageLines::new(tenant_id.clone(), span.clone());
        self.usage.records(tenant_id, span, &mut |record| lines.add(&record)).await?;
        Ok(lines)
    }

    /// The plan of a tenant: its own, its line of business', the organisation's, or none.
    pub(crate) async fn plan(
        &self,
        tenant_id: &TenantId,
        lob_id: &LobId,
        span: &Span,
        defaults: &[Plan],
    ) -> Result<PlanInForce, BillingStoreError> {
        for account in [Account::Tenant(tenant_id.clone()), Account::Lob(lob_id.clone())] {
            let plans = self.store.plans(&account).await?;
            if let Some(plan) = Plan::in_force(&plans, span.period) {
                return Ok(PlanInForce { plan: plan.clone(), of: account });
            }
        }
        let plan = Plan::in_force(defaults, span.period).cloned().unwrap_or_else(Plan::at_cost);
        Ok(PlanInForce { plan, of: Account::Org })
    }
}

impl<S: Sync, U: Sync, D: Sync, E: EventSink> Ports<'_, S, U, D, E> {
    /// Tells of something that happened.
    pub(crate) async fn tell(&self, event: &BillingEvent) -> Result<(), BillingStoreError> {
        let failed = |source| BillingStoreError {
            operation: "tell of",
            subject: format!("{event:?}").chars().take(80).collect(),
            source,
        };
        let event = Event::try_from(event).map_err(|error| failed(error.into()))?;
        let outcomes = self.events.publish(&[event]).await;
        outcomes.into_iter().collect::<Result<(), _>>().map_err(|error| failed(error.into()))
    }
}

pub(crate) fn failed(account: &Account, source: StatementError) -> CloseError {
    CloseError::Statement { account: account.clone(), source }
}

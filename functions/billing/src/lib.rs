//! Bills tenants: closes months, corrects closed ones in the next, exports usage for finance.
//!
//! Every task is an event: of the schedule, or of the bus, where the function also asks itself to go on
//! when its time is nearly up.

mod documents;
mod environment;
mod focus;
mod reconcile;
#[cfg(test)]
mod tests;

use admission::Calendar;
use billing::port::{Accounts, BillingStore, UsageSource};
use billing::{Account, CloseError, Month, Ports, Progress, Task, calendar};
use events::EventSink;
use inference::CatalogStore;
use lake::ObjectStore;
use lake::focus::Issuer;
use lambda_runtime::{Error, LambdaEvent};
use metering::RollupStore;
use reconciliation::port::SourceFiles;
use serde_json::{Value, json};

pub use documents::Objects;
pub use environment::StartError;
pub use reconcile::Reconciler;

/// How long before its end an invocation takes up nothing new: what was begun has to end, too.
const RESERVE_MS: i64 = 120_000;

/// What one execution environment keeps between invocations.
#[derive(Debug)]
pub struct State<S, R, O, E, B, C> {
    /// Plans, entries, months, accounts, usage records.
    pub books: S,
    /// Usage in sums.
    pub rollups: R,
    /// The bucket of statements.
    pub documents: Objects<O>,
    /// Who is told.
    pub events: E,
    /// What AWS says; none where no data export is set up.
    pub reconciler: Option<Reconciler<B, C>>,
    /// Where the organisation's months begin.
    pub calendar: Calendar,
    /// The day of the month on which the one before it is closed; 0 if people do that.
    pub closing_day: i64,
    /// Who bills, for FOCUS.
    pub issuer: Issuer,
    /// The clock, in Unix milliseconds.
    pub now_ms: fn() -> i64,
}

/// Does a task, and says what came of it.
///
/// # Errors
/// It is no task, or could not be done; Lambda tries an asynchronous one again.
pub async fn handle<S, R, O, E, B, C>(
    state: &State<S, R, O, E, B, C>,
    event: LambdaEvent<Value>,
) -> Result<Value, Error>
where
    S: BillingStore + Accounts + UsageSource,
    R: RollupStore,
    O: ObjectStore,
    E: EventSink,
    B: SourceFiles,
    C: CatalogStore,
{
    let task: Task = serde_json::from_value(event.payload)?;
    let deadline_ms = i64::try_from(event.context.deadline).unwrap_or(i64::MAX);
    let run = Run { state, deadline_ms, request_id: event.context.request_id };
    let answer = Box::pin(run.task(&task)).await.inspect_err(|error| {
        tracing::error!(error = chain(error.as_ref()), task = ?task, "a task of billing failed");
    })?;
    tracing::info!(task = ?task, answer = %answer, "a task of billing is done");
    Ok(answer)
}

/// An error and what caused it.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// One invocation.
struct Run<'a, S, R, O, E, B, C> {
    state: &'a State<S, R, O, E, B, C>,
    deadline_ms: i64,
    request_id: String,
}

impl<S, R, O, E, B, C> Run<'_, S, R, O, E, B, C>
where
    S: BillingStore + Accounts + UsageSource,
    R: RollupStore,
    O: ObjectStore,
    E: EventSink,
    B: SourceFiles,
    C: CatalogStore,
{
    async fn task(&self, task: &Task) -> Result<Value, Error> {
        match task {
            Task::Daily => self.daily().await,
            Task::CloseMonth { period, requested_by } => self.close(*period, requested_by).await,
            Task::Corrections { period, after } => self.correct(*period, after.clone()).await,
            Task::DraftStatement { period, account } => self.draft(*period, account).await,
            Task::Reconcile { period } => self.reconcile(*period).await,
            Task::FocusExport { period } => {
                let State { books, rollups, documents, issuer, .. } = self.state;
                let (key, rows) =
                    focus::export(books, rollups, &documents.0, issuer, *period).await?;
                Ok(json!({ "key": key, "rows": rows }))
            }
        }
    }

    /// Asks for what is due, each for an invocation of its own.
    async fn daily(&self) -> Result<Value, Error> {
        let books = self.state.books.books().await?;
        let (current, days) = calendar::current(&self.state.calendar, (self.state.now_ms)());
        let mut due = Vec::new();
        let is_day = self.state.closing_day > 0 && days + 1 >= self.state.closing_day;
        if let Some(closing) = books.closing {
            // Somebody began and was cut.
            due.push(Task::CloseMonth {
                period: closing.period,
                requested_by: closing.requested_by,
            });
        } else {
            let next = books.closed_through.map_or(current.previous(), Month::next);
            if is_day && next < current {
                due.push(Task::CloseMonth { period: next, requested_by: "schedule".to_owned() });
            }
        }
        if books.closed_through.is_some() {
            due.push(Task::Corrections { period: books.closed_through, after: None });
        }
        for task in &due {
            self.request(task).await?;
        }
        Ok(json!({ "requested": due }))
    }

    async fn close(&self, period: Month, requested_by: &str) -> Result<Value, Error> {
        let span = calendar::span(&self.state.calendar, period);
        let now_ms = (self.state.now_ms)();
        let progress = self.ports().close(&span, requested_by, now_ms, &|| self.is_time_up()).await;
        match progress {
            // Asking again would change nothing.
            Err(CloseError::Refused(refused)) => {
                tracing::warn!(%period, reason = %refused, "month `{period}` is not closed");
                Ok(json!({ "refused": refused.to_string() }))
            }
            Err(error) => Err(error.into()),
            Ok(Progress::Done(closed)) => {
                Ok(json!({ "closed": period, "already": closed.is_none(), "month": closed }))
            }
            Ok(Progress::Continue(after)) => {
                let requested_by = requested_by.to_owned();
                self.request(&Task::CloseMonth { period, requested_by }).await?;
                Ok(json!({ "continues_after": after }))
            }
        }
    }

    async fn correct(
        &self,
        period: Option<Month>,
        after: Option<tenancy::TenantId>,
    ) -> Result<Value, Error> {
        let period = match period {
            None => self.state.books.books().await?.closed_through,
            given => given,
        };
        let Some(period) = period else { return Ok(json!({ "booked": 0 })) };
        let span = calendar::span(&self.state.calendar, period);
        let now_ms = (self.state.now_ms)();
        let (current, _) = calendar::current(&self.state.calendar, now_ms);
        let is_time_up = || self.is_time_up();
        match self.ports().correct(&span, current, now_ms, after, &is_time_up).await? {
            Progress::Done(booked) => Ok(json!({ "booked": booked })),
            Progress::Continue(after) => {
                let task = Task::Corrections { period: Some(period), after: after.clone() };
                self.request(&task).await?;
                Ok(json!({ "continues_after": after }))
            }
        }
    }

    async fn draft(&self, period: Month, account: &Account) -> Result<Value, Error> {
        let span = calendar::span(&self.state.calendar, period);
        let now_ms = (self.state.now_ms)();
        let documents = self.ports().draft(account, &span, now_ms).await?;
        Ok(json!({ "draft": documents }))
    }

    async fn reconcile(&self, period: Month) -> Result<Value, Error> {
        let State { books, documents, reconciler, calendar, .. } = self.state;
        let Some(reconciler) = reconciler else {
            return Ok(
                json!({ "refused": "no data export is set up: deploy with CurBucketName and CurPrefix" }),
            );
        };
        let now_ms = (self.state.now_ms)();
        let (current, _) = calendar::current(calendar, now_ms);
        reconciler.run(books, documents, current, period, now_ms).await
    }

    fn ports(&self) -> Ports<'_, S, S, Objects<O>, E> {
        let State { books, documents, events, .. } = self.state;
        Ports { store: books, usage: books, documents, events }
    }

    fn is_time_up(&self) -> bool {
        (self.state.now_ms)() > self.deadline_ms.saturating_sub(RESERVE_MS)
    }

    /// Asks for a task on the bus.
    async fn request(&self, task: &Task) -> Result<(), Error> {
        let name = serde_json::to_string(task)?;
        let id = format!("task:{}:{name}", self.request_id);
        let event = task.request(id, (self.state.now_ms)())?;
        for outcome in self.state.events.publish(&[event]).await {
            outcome?;
        }
        Ok(())
    }
}

//! What sagas of tenants reach, and what several of them do there.

use administration::{
    AdministrationStore, Task as Note, TenantChange, TenantState, Unfinished, UserPool, finish,
};
use admission::AuditEntry;
use events::{Event, EventSink};
use jiff::Timestamp;
use serde_json::Value;

use crate::saga::StepError;
use crate::task::Task;

/// Where tenants are made and moved.
#[derive(Debug)]
pub struct Ports<'a, S, P, E> {
    /// Tenants, limits, registrations.
    pub store: &'a S,
    /// People and clients.
    pub pool: &'a P,
    /// Who is told.
    pub events: &'a E,
    /// The clock.
    pub now: fn() -> Timestamp,
    /// A new id; later ones are greater.
    pub new_id: fn() -> String,
}

impl<S, P, E> Ports<'_, S, P, E>
where
    S: AdministrationStore,
    P: UserPool,
    E: EventSink,
{
    /// An entry of what a task is about to do to its tenant, or to what is `below` it.
    pub(crate) fn entry(&self, task: &Task, action: &str, below: &str, after: Value) -> AuditEntry {
        let subject = format!("tenants/{}{below}", task.tenant_id);
        let entry = task.requested_by.entry((self.new_id)(), (self.now)(), action, subject);
        AuditEntry { after, ..entry }
    }

    /// A note of a task, which is the same however often it is written.
    pub(crate) fn note(&self, task: &Task, note: Note) -> Unfinished {
        Unfinished { id: task.task_id.clone(), since: (self.now)(), task: note }
    }

    /// Does what a note says, and takes it away.
    pub(crate) async fn finish(&self, note: &Unfinished) -> Result<(), StepError> {
        Ok(finish(self.store, self.pool, note).await?)
    }

    /// Lets the meter of the task's tenant know which version there is.
    pub(crate) async fn renew(&self, task: &Task) -> Result<(), StepError> {
        self.finish(&self.renewal(task)).await
    }

    fn renewal(&self, task: &Task) -> Unfinished {
        self.note(task, Note::RenewTenant { tenant_id: task.tenant_id.clone() })
    }

    /// Makes the task's tenant be `after`, as its next version, and lets its meter know.
    pub(crate) async fn change(
        &self,
        task: &Task,
        before: Option<TenantState>,
        after: TenantState,
        entry: AuditEntry,
    ) -> Result<(), StepError> {
        let version = before.as_ref().map_or(0, |state| state.version).saturating_add(1);
        let TenantState { document, status, suspension, .. } = after;
        let change = TenantChange {
            tenant_id: task.tenant_id.clone(),
            before,
            document,
            status,
            suspension,
            granted: None,
            unfinished: self.renewal(task),
            entry: AuditEntry { version: Some(version), ..entry },
        };
        if !self.store.change_tenant(&change).await? {
            return Err(StepError::transient("the tenant was changed at the same moment"));
        }
        self.finish(&change.unfinished).await
    }

    /// Tells of what a task did; `name` and the task name the event, so that it can be told apart.
    pub(crate) async fn tell(
        &self,
        task: &Task,
        (name, kind): (&str, &'static str),
        detail: Value,
    ) -> Result<(), StepError> {
        let id = format!("{name}:{}", task.task_id);
        let event = Event { id, kind, time_ms: (self.now)().as_millisecond(), detail };
        for taken in self.events.publish(&[event]).await {
            taken.map_err(StepError::transient)?;
        }
        Ok(())
    }
}

//! What sagas need beside the ports of [`administration`].

use std::error::Error;

use admission::{AuditEntry, LimitRule, StoreError};
use tenancy::{LobId, TenantId};

use crate::task::Task;

/// What came of the attempt to begin a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// It is there now.
    New,
    /// It was there already: this one.
    Existing(Box<Task>),
    /// The tenant has another one that is not over: the id of it.
    Busy(String),
}

/// Where tasks are kept.
pub trait TaskStore: Send + Sync {
    /// Keeps a new task with its audit entry, and locks its tenant, in one write.
    fn create(
        &self,
        task: &Task,
        entry: &AuditEntry,
    ) -> impl Future<Output = Result<Created, StoreError>> + Send;

    /// A task; `None` if there is none.
    fn task(&self, task_id: &str) -> impl Future<Output = Result<Option<Task>, StoreError>> + Send;

    /// Writes a task as its next version, if nobody wrote that before; whether that was so. One that is
    /// over gives its tenant's lock back, in the same write, with its audit entry.
    fn save(
        &self,
        task: &Task,
        entry: Option<&AuditEntry>,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The tasks that are not over.
    fn open(&self) -> impl Future<Output = Result<Vec<Task>, StoreError>> + Send;

    /// The tasks of a line of business, latest first: `limit` of them that stand before the
    /// [position](Task::position) `before`.
    fn tasks_of(
        &self,
        lob_id: &LobId,
        before: Option<&str>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Task>, StoreError>> + Send;
}

/// A tenant's own list of limits.
pub trait TenantLimits: Send + Sync {
    /// Makes `rules` the tenant's limits, and lets its meters know. Doing it again changes nothing.
    fn set_limits(
        &self,
        tenant_id: &TenantId,
        rules: &[LimitRule],
        entry: &AuditEntry,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Takes away a tenant that was never served.
pub trait TenantRemoval: Send + Sync {
    /// Removes a tenant that is suspended for `reason`, with its versions, limits and meters; one of another
    /// reason, or none, is left as it is. Its audit entries stay.
    fn remove_tenant(
        &self,
        tenant_id: &TenantId,
        reason: &str,
        entry: &AuditEntry,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Tasks could not be set going; trying again is safe.
#[derive(Debug, thiserror::Error)]
#[error("failed to start task `{task_id}`")]
pub struct WorkflowError {
    /// Which.
    pub task_id: String,
    /// What the service said.
    pub source: Box<dyn Error + Send + Sync>,
}

/// Calls the function that does steps until a task is over.
pub trait Workflow: Send + Sync {
    /// Sets a task going that is at this version. One that was set going from there is not again.
    fn start(
        &self,
        task_id: &str,
        version: u64,
    ) -> impl Future<Output = Result<(), WorkflowError>> + Send;
}

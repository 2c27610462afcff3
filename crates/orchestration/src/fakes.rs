//! In-memory doubles of the ports.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use admission::{AuditEntry, StoreError};
use tenancy::TenantId;

use crate::store::{Created, TaskStore};
use crate::task::Task;

/// What the table holds of tasks.
#[derive(Debug, Default)]
pub struct Tasks {
    /// By id.
    pub tasks: BTreeMap<String, Task>,
    /// The task that is not over, of each tenant.
    pub locks: BTreeMap<TenantId, String>,
    /// In the order that they were written in.
    pub audit: Vec<AuditEntry>,
}

/// Tasks in memory.
#[derive(Debug, Default)]
pub struct InMemoryTasks(Mutex<Tasks>);

impl InMemoryTasks {
    /// What it holds.
    pub fn data(&self) -> MutexGuard<'_, Tasks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TaskStore for InMemoryTasks {
    async fn create(&self, task: &Task, entry: &AuditEntry) -> Result<Created, StoreError> {
        let mut data = self.data();
        if let Some(found) = data.tasks.get(&task.task_id) {
            return Ok(Created::Existing(Box::new(found.clone())));
        }
        if let Some(other) = data.locks.get(&task.tenant_id) {
            return Ok(Created::Busy(other.clone()));
        }
        data.locks.insert(task.tenant_id.clone(), task.task_id.clone());
        data.tasks.insert(task.task_id.clone(), task.clone());
        data.audit.push(entry.clone());
        Ok(Created::New)
    }

    async fn task(&self, task_id: &str) -> Result<Option<Task>, StoreError> {
        Ok(self.data().tasks.get(task_id).cloned())
    }

    async fn save(&self, task: &Task, entry: Option<&AuditEntry>) -> Result<bool, StoreError> {
        let mut data = self.data();
        let found = data.tasks.get(&task.task_id).map(|found| found.version.saturating_add(1));
        if found != Some(task.version) {
            return Ok(false);
        }
        if task.is_over() {
            data.locks.retain(|_, id| *id != task.task_id);
        }
        data.tasks.insert(task.task_id.clone(), task.clone());
        data.audit.extend(entry.cloned());
        Ok(true)
    }

    async fn open(&self) -> Result<Vec<Task>, StoreError> {
        Ok(self.data().tasks.values().filter(|task| !task.is_over()).cloned().collect())
    }
}

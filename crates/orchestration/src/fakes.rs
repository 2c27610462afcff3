//! In-memory doubles of the ports, and what makes their calls go wrong.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use administration::fakes::FakeTable;
use admission::{AuditEntry, LimitRule, StoreError};
use offboarding::fakes::{Faulty, store_error};
use tenancy::{LobId, TenantId};

use crate::store::{Created, TaskStore, TenantLimits, TenantRemoval, Workflow, WorkflowError};
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

    async fn tasks_of(
        &self,
        lob_id: &LobId,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError> {
        let data = self.data();
        let mut found: Vec<_> = data.tasks.values().filter(|it| it.lob_id == *lob_id).collect();
        found.sort_by_key(|task| std::cmp::Reverse(task.position()));
        let later = |task: &&Task| before.is_none_or(|before| task.position().as_str() < before);
        Ok(found.into_iter().filter(later).take(limit).cloned().collect())
    }
}

impl TaskStore for Faulty<InMemoryTasks> {
    async fn create(&self, task: &Task, entry: &AuditEntry) -> Result<Created, StoreError> {
        self.faults.call("create", self.inner.create(task, entry), store_error).await
    }

    async fn task(&self, task_id: &str) -> Result<Option<Task>, StoreError> {
        self.faults.call("task", self.inner.task(task_id), store_error).await
    }

    async fn save(&self, task: &Task, entry: Option<&AuditEntry>) -> Result<bool, StoreError> {
        self.faults.call("save", self.inner.save(task, entry), store_error).await
    }

    async fn open(&self) -> Result<Vec<Task>, StoreError> {
        self.faults.call("open", self.inner.open(), store_error).await
    }

    async fn tasks_of(
        &self,
        lob_id: &LobId,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError> {
        self.faults.call("tasks_of", self.inner.tasks_of(lob_id, before, limit), store_error).await
    }
}

impl TenantLimits for FakeTable {
    async fn set_limits(
        &self,
        tenant_id: &TenantId,
        rules: &[LimitRule],
        _entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let mut data = self.data();
        let before = data.limits.insert(tenant_id.clone(), rules.to_vec());
        let tenant = data.tenants.get_mut(tenant_id).ok_or_else(|| store_error("set_limits"))?;
        if before.as_deref() != Some(rules) {
            tenant.version = tenant.version.saturating_add(1);
        }
        Ok(())
    }
}

impl TenantLimits for Faulty<FakeTable> {
    async fn set_limits(
        &self,
        tenant_id: &TenantId,
        rules: &[LimitRule],
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let work = self.inner.set_limits(tenant_id, rules, entry);
        self.faults.call("set_limits", work, store_error).await
    }
}

impl TenantRemoval for FakeTable {
    async fn remove_tenant(
        &self,
        tenant_id: &TenantId,
        reason: &str,
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let mut data = self.data();
        let found = data.tenants.get(tenant_id).and_then(|state| state.suspension.as_ref());
        if found.is_some_and(|suspension| suspension.reason == reason) {
            data.tenants.remove(tenant_id);
            data.versions.retain(|(id, _), _| id != tenant_id);
            data.known.remove(tenant_id);
            data.limits.remove(tenant_id);
            data.audit.push((tenant_id.to_string(), entry.clone()));
        }
        Ok(())
    }
}

impl TenantRemoval for Faulty<FakeTable> {
    async fn remove_tenant(
        &self,
        tenant_id: &TenantId,
        reason: &str,
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let work = self.inner.remove_tenant(tenant_id, reason, entry);
        self.faults.call("remove_tenant", work, store_error).await
    }
}

/// Remembers what was set going.
#[derive(Debug, Default)]
pub struct InMemoryWorkflow {
    /// Each task, with the version that it was at.
    pub started: Mutex<Vec<(String, u64)>>,
    /// Whether it cannot be reached.
    pub is_down: AtomicBool,
}

impl Workflow for InMemoryWorkflow {
    async fn start(&self, task_id: &str, version: u64) -> Result<(), WorkflowError> {
        if self.is_down.load(Ordering::Relaxed) {
            return Err(WorkflowError { task_id: task_id.to_owned(), source: "it is down".into() });
        }
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        if !started.contains(&(task_id.to_owned(), version)) {
            started.push((task_id.to_owned(), version));
        }
        Ok(())
    }
}

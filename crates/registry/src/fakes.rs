//! An in-memory double of the port.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use admission::{AuditEntry, StoreError};
use tenancy::ModelId;

use crate::{Change, RegistryStore, Versioned};

/// What the table holds.
#[derive(Debug, Default)]
pub struct Data {
    /// Entries as they are.
    pub models: BTreeMap<ModelId, Versioned>,
    /// And as they were.
    pub versions: BTreeMap<(ModelId, u64), Versioned>,
    /// Audit entries, oldest first.
    pub audit: Vec<AuditEntry>,
}

/// A registry in memory.
#[derive(Debug, Default)]
pub struct InMemoryRegistry(Mutex<Data>);

impl InMemoryRegistry {
    /// What it holds.
    pub fn data(&self) -> MutexGuard<'_, Data> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RegistryStore for InMemoryRegistry {
    async fn models(&self) -> Result<Vec<Versioned>, StoreError> {
        Ok(self.data().models.values().cloned().collect())
    }

    async fn model(&self, id: &ModelId) -> Result<Option<Versioned>, StoreError> {
        Ok(self.data().models.get(id).cloned())
    }

    async fn versions(
        &self,
        id: &ModelId,
        before: u64,
        limit: usize,
    ) -> Result<Vec<Versioned>, StoreError> {
        let data = self.data();
        let found = data.versions.range((id.clone(), 0)..(id.clone(), before)).rev();
        Ok(found.map(|(_, version)| version.clone()).take(limit).collect())
    }

    async fn change(&self, change: &Change) -> Result<bool, StoreError> {
        let mut data = self.data();
        let id = change.after.entry.model.id.clone();
        let version = |it: &Versioned| it.version;
        if data.models.get(&id).map(version) != change.before.as_ref().map(version) {
            return Ok(false);
        }
        for version in change.before.iter().chain([&change.after]) {
            data.versions.insert((id.clone(), version.version), version.clone());
        }
        data.models.insert(id, change.after.clone());
        data.audit.push(change.audit.clone());
        Ok(true)
    }
}

//! In-memory doubles of the ports.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use admission::{AuditEntry, StoreError};
use serde_json::{Value, json};
use tenancy::ModelId;

use crate::{
    Change, Entry, FoundationModel, Kind, ListError, ModelList, RegistryStore, Removal, Told,
    Versioned,
};

/// What the table holds, as documents.
#[derive(Debug, Default)]
pub struct Data {
    /// Entries as they are.
    pub entries: BTreeMap<(Kind, ModelId), Value>,
    /// And as they were.
    pub versions: BTreeMap<(Kind, ModelId, u64), Value>,
    /// What was told of models' ends.
    pub told: BTreeMap<ModelId, Told>,
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

fn read<E: Entry>(document: &Value) -> Result<Versioned<E>, StoreError> {
    serde_json::from_value(document.clone()).map_err(|error| StoreError {
        operation: "read",
        subject: document.to_string(),
        source: error.into(),
    })
}

/// Whether an entry is in this version; `None`: that there is none.
fn is_still(found: Option<&Value>, version: Option<u64>) -> bool {
    found.map(|found| found["version"].as_u64().unwrap_or(0)) == version
}

impl RegistryStore for InMemoryRegistry {
    async fn entries<E: Entry>(&self) -> Result<Vec<Versioned<E>>, StoreError> {
        let data = self.data();
        let of_kind = data.entries.iter().filter(|((kind, _), _)| *kind == E::KIND);
        of_kind.map(|(_, document)| read(document)).collect()
    }

    async fn entry<E: Entry>(&self, id: &ModelId) -> Result<Option<Versioned<E>>, StoreError> {
        self.data().entries.get(&(E::KIND, id.clone())).map(read).transpose()
    }

    async fn versions<E: Entry>(
        &self,
        id: &ModelId,
        before: u64,
        limit: usize,
    ) -> Result<Vec<Versioned<E>>, StoreError> {
        let data = self.data();
        let (from, until) = ((E::KIND, id.clone(), 0), (E::KIND, id.clone(), before));
        data.versions.range(from..until).rev().take(limit).map(|(_, it)| read(it)).collect()
    }

    async fn change<E: Entry>(&self, change: &Change<E>) -> Result<bool, StoreError> {
        let mut data = self.data();
        let key = (E::KIND, change.after.entry.id().clone());
        let before = change.before.as_ref().map(|before| before.version);
        if !is_still(data.entries.get(&key), before) {
            return Ok(false);
        }
        for version in change.before.iter().chain([&change.after]) {
            data.versions.insert((key.0, key.1.clone(), version.version), json!(version));
        }
        data.entries.insert(key, json!(change.after));
        data.audit.push(change.audit.clone());
        Ok(true)
    }

    async fn remove<E: Entry>(&self, removal: &Removal<E>) -> Result<bool, StoreError> {
        let mut data = self.data();
        let key = (E::KIND, removal.before.entry.id().clone());
        if !is_still(data.entries.get(&key), Some(removal.before.version)) {
            return Ok(false);
        }
        data.versions.insert((key.0, key.1.clone(), removal.before.version), json!(removal.before));
        data.entries.remove(&key);
        data.audit.push(removal.audit.clone());
        Ok(true)
    }

    async fn told(&self, id: &ModelId) -> Result<Option<Told>, StoreError> {
        Ok(self.data().told.get(id).cloned())
    }

    async fn put_told(&self, id: &ModelId, told: Option<&Told>) -> Result<(), StoreError> {
        let mut data = self.data();
        match told {
            Some(told) => data.told.insert(id.clone(), told.clone()),
            None => data.told.remove(id),
        };
        Ok(())
    }
}

/// Models that Bedrock lists; it is away until it is told which.
#[derive(Debug, Default)]
pub struct FakeModels(Mutex<Option<Vec<FoundationModel>>>);

impl FakeModels {
    /// Lists these from now on.
    pub fn set(&self, models: Vec<FoundationModel>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(models);
    }
}

impl ModelList for FakeModels {
    async fn foundation_models(&self) -> Result<Vec<FoundationModel>, ListError> {
        let models = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        models.ok_or_else(|| ListError { source: "Bedrock is away".into() })
    }
}

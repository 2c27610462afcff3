//! Objects in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::{ObjectError, ObjectStore, Version};

/// Objects in memory, which can be made to fail.
#[derive(Debug, Default)]
pub struct InMemoryObjects {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, (Bytes, u64)>,
    writes: u64,
    failing: Vec<&'static str>,
}

impl InMemoryObjects {
    /// Makes every later `operation` fail.
    pub fn fail(&self, operation: &'static str) {
        self.lock().failing.push(operation);
    }

    /// Lets every operation succeed again.
    pub fn heal(&self) {
        self.lock().failing.clear();
    }

    /// Everything that is kept.
    pub fn all(&self) -> BTreeMap<String, Bytes> {
        let objects = &self.lock().objects;
        objects.iter().map(|(key, (bytes, _))| (key.clone(), bytes.clone())).collect()
    }

    /// How many objects were written, those that others replaced included.
    pub fn writes(&self) -> u64 {
        self.lock().writes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(
        &self,
        operation: &'static str,
        key: &str,
    ) -> Result<MutexGuard<'_, State>, ObjectError> {
        let state = self.lock();
        if state.failing.contains(&operation) {
            let source = "made to fail".into();
            return Err(ObjectError { operation, key: key.to_owned(), source });
        }
        Ok(state)
    }
}

impl State {
    fn version(&self, key: &str) -> Option<Version> {
        self.objects.get(key).map(|(_, version)| Version(version.to_string()))
    }

    fn put(&mut self, key: &str, bytes: Bytes) {
        self.writes += 1;
        self.objects.insert(key.to_owned(), (bytes, self.writes));
    }
}

impl ObjectStore for InMemoryObjects {
    async fn put(&self, key: &str, bytes: Bytes, _content_type: &str) -> Result<(), ObjectError> {
        self.begin("put", key)?.put(key, bytes);
        Ok(())
    }

    async fn replace(
        &self,
        key: &str,
        bytes: Bytes,
        _content_type: &str,
        expected: Option<&Version>,
    ) -> Result<bool, ObjectError> {
        let mut state = self.begin("replace", key)?;
        let is_expected = state.version(key).as_ref() == expected;
        if is_expected {
            state.put(key, bytes);
        }
        Ok(is_expected)
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, ObjectError> {
        Ok(self.begin("get", key)?.objects.get(key).map(|(bytes, _)| bytes.clone()))
    }

    async fn version(&self, key: &str) -> Result<Option<Version>, ObjectError> {
        Ok(self.begin("look at", key)?.version(key))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, ObjectError> {
        let state = self.begin("list", prefix)?;
        Ok(state.objects.keys().filter(|key| key.starts_with(prefix)).cloned().collect())
    }

    async fn delete(&self, key: &str) -> Result<(), ObjectError> {
        self.begin("delete", key)?.objects.remove(key);
        Ok(())
    }
}

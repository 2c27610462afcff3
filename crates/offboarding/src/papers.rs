//! What a job writes down: what it needs to go on after it was killed, and what it leaves.
//!
//! `exports/tenant=<id>/task=<id>/` has the exports and the evidence; `working/` in it goes when the
//! evidence is signed.

use bytes::Bytes;
use lake::ObjectStore;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tenancy::TenantId;

use crate::error::OffboardError;
use crate::job::Job;

const JSON: &str = "application/json";

/// Where everything of a task stands, with a slash at its end.
///
/// # Errors
/// The task's id would bend the key.
pub fn folder(tenant_id: &TenantId, task_id: &str) -> Result<String, OffboardError> {
    let is_valid = (1..=64).contains(&task_id.len())
        && task_id.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_".contains(&it));
    if !is_valid {
        return Err(OffboardError::TaskId);
    }
    Ok(format!("exports/tenant={tenant_id}/task={task_id}/"))
}

/// Where the evidence of a task is.
///
/// # Errors
/// The task's id would bend the key.
pub fn evidence_key(tenant_id: &TenantId, task_id: &str) -> Result<String, OffboardError> {
    Ok(format!("{}evidence.json", folder(tenant_id, task_id)?))
}

/// The papers of one job.
pub(crate) struct Papers<'a, O> {
    objects: &'a O,
    folder: String,
}

impl<'a, O: ObjectStore> Papers<'a, O> {
    pub(crate) fn of(objects: &'a O, job: &Job) -> Result<Self, OffboardError> {
        Ok(Self { objects, folder: folder(&job.tenant_id, &job.task_id)? })
    }

    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.folder)
    }

    pub(crate) async fn bytes(&self, name: &str) -> Result<Option<Bytes>, OffboardError> {
        Ok(self.objects.get(&self.key(name)).await?)
    }

    /// What a paper says; none if it is not written.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<T>, OffboardError> {
        let Some(bytes) = self.bytes(name).await? else { return Ok(None) };
        let read = serde_json::from_slice(&bytes);
        read.map(Some).map_err(|source| self.unreadable(name, source))
    }

    /// What a paper says that an earlier step has written.
    pub(crate) async fn need<T: DeserializeOwned>(&self, name: &str) -> Result<T, OffboardError> {
        let found = self.read(name).await?;
        found.ok_or_else(|| self.unreadable(name, "it is missing"))
    }

    fn unreadable(
        &self,
        name: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> OffboardError {
        OffboardError::Unreadable { key: self.key(name), source: source.into() }
    }

    /// Writes a paper in the place of the one before.
    pub(crate) async fn write(
        &self,
        name: &str,
        value: &impl Serialize,
    ) -> Result<(), OffboardError> {
        let bytes = serde_json::to_vec(value).map_err(|source| self.unreadable(name, source))?;
        Ok(self.objects.put(&self.key(name), bytes.into(), JSON).await?)
    }

    pub(crate) async fn put(
        &self,
        name: &str,
        bytes: Bytes,
        content_type: &str,
    ) -> Result<(), OffboardError> {
        Ok(self.objects.put(&self.key(name), bytes, content_type).await?)
    }

    /// Writes a paper unless somebody did; what stands there afterwards.
    pub(crate) async fn once(
        &self,
        name: &str,
        bytes: Bytes,
        content_type: &str,
    ) -> Result<Bytes, OffboardError> {
        if self.objects.replace(&self.key(name), bytes.clone(), content_type, None).await? {
            return Ok(bytes);
        }
        let found = self.bytes(name).await?;
        found.ok_or_else(|| self.unreadable(name, "it is there and is not"))
    }

    /// As [`Self::once`], of a value.
    pub(crate) async fn decide<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        value: &T,
    ) -> Result<T, OffboardError> {
        let bytes = serde_json::to_vec(value).map_err(|source| self.unreadable(name, source))?;
        let stands = self.once(name, bytes.into(), JSON).await?;
        serde_json::from_slice(&stands).map_err(|source| self.unreadable(name, source))
    }

    pub(crate) async fn forget(&self, name: &str) -> Result<(), OffboardError> {
        Ok(self.objects.delete(&self.key(name)).await?)
    }

    /// Forgets every paper whose name begins like this.
    pub(crate) async fn forget_all(&self, prefix: &str) -> Result<(), OffboardError> {
        for key in self.objects.list(&self.key(prefix)).await? {
            self.objects.delete(&key).await?;
        }
        Ok(())
    }
}

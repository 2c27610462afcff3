//! What tenants have in buckets. Keys have the tenant as one of their first folders, `tenant=<id>/` or
//! `tenant/<id>/`: each folder above is listed, whatever it is called.

use lake::{ObjectError, ObjectStore as _};
use offboarding::{Estate, EstateError, Found, Page, Store, Whose};

use crate::{Bucket, object_error};

/// The buckets that hold things of tenants.
#[derive(Debug)]
pub struct TenantObjects {
    /// Uploaded files.
    pub uploads: Bucket,
    /// Statements, drafts, exports.
    pub statements: Bucket,
    /// The audit trail.
    pub audit: Bucket,
}

impl Bucket {
    /// The folders in a folder, with all of their keys.
    async fn folders(&self, prefix: &str) -> Result<Vec<String>, ObjectError> {
        let request =
            self.client.list_objects_v2().bucket(&self.name).prefix(prefix).delimiter("/");
        let mut pages = request.into_paginator().send();
        let mut folders = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| object_error("list", prefix, error))?;
            let found = page.common_prefixes.unwrap_or_default();
            folders.extend(found.into_iter().filter_map(|it| it.prefix));
        }
        Ok(folders)
    }

    /// The keys that have one of `marks` as their first, second or third folder.
    async fn keys_of(&self, marks: &[String]) -> Result<Vec<String>, ObjectError> {
        let mut above = vec![String::new()];
        let firsts = self.folders("").await?;
        for first in &firsts {
            // Tenants' own folders, of which there may be many, have nothing of another in them.
            let seconds = self.folders(first).await?;
            let is_tenants = |it: &str| {
                it.strip_prefix(first.as_str()).is_some_and(|it| it.starts_with("tenant="))
            };
            above.extend(seconds.into_iter().filter(|it| !is_tenants(it)));
        }
        above.extend(firsts);
        let mut keys = Vec::new();
        for folder in above {
            for mark in marks {
                keys.extend(self.list(&format!("{folder}{mark}")).await?);
            }
        }
        keys.sort();
        keys.dedup();
        Ok(keys)
    }
}

impl TenantObjects {
    fn bucket(&self, store: Store) -> Result<&Bucket, EstateError> {
        match store {
            Store::UploadsBucket => Ok(&self.uploads),
            Store::StatementsBucket => Ok(&self.statements),
            Store::AuditBucket => Ok(&self.audit),
            _ => Err(EstateError { operation: "find", store, source: "it is no bucket".into() }),
        }
    }
}

fn failed(operation: &'static str, store: Store) -> impl FnOnce(ObjectError) -> EstateError {
    move |source| EstateError { operation, store, source: source.into() }
}

impl Estate for TenantObjects {
    async fn list(
        &self,
        whose: &Whose,
        store: Store,
        _: Option<&str>,
    ) -> Result<Page, EstateError> {
        let id = &whose.tenant_id;
        let bucket = self.bucket(store)?;
        let keys = if store == Store::UploadsBucket {
            // As many folders as tenants, and nothing above them.
            bucket.list(&format!("tenant={id}/")).await
        } else {
            Box::pin(bucket.keys_of(&[format!("tenant={id}/"), format!("tenant/{id}/")])).await
        };
        let keys = keys.map_err(failed("list", store))?;
        let found =
            |name| Found { store, place: String::new(), name, owner: None, expires_at: None };
        Ok(Page { found: keys.into_iter().map(found).collect(), next: None })
    }

    async fn remove(&self, found: &Found) -> Result<(), EstateError> {
        let deleted = self.bucket(found.store)?.delete(&found.name).await;
        deleted.map_err(failed("delete from", found.store))
    }

    async fn is_there(&self, found: &Found) -> Result<bool, EstateError> {
        // Whoever looks whether something is gone need not be able to read it.
        let keys = self.bucket(found.store)?.list(&found.name).await;
        Ok(keys.map_err(failed("look into", found.store))?.contains(&found.name))
    }
}

//! Buckets that AWS leaves bills and logs in, read in pieces.

use bytes::Bytes;
use reconciliation::port::{SourceFile, SourceFiles, StoreError};

use crate::{Bucket, object_error};

impl SourceFiles for Bucket {
    async fn list(&self, prefix: &str) -> Result<Vec<SourceFile>, StoreError> {
        let request = self.client.list_objects_v2().bucket(&self.name).prefix(prefix);
        let mut pages = request.into_paginator().send();
        let mut files = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| object_error("list", prefix, error))?;
            files.extend(page.contents.unwrap_or_default().into_iter().filter_map(|object| {
                let size = object.size.and_then(|size| u64::try_from(size).ok())?;
                Some(SourceFile { key: object.key?, version: object.e_tag?, size })
            }));
        }
        Ok(files)
    }

    async fn read(&self, file: &SourceFile, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        let last = offset.saturating_add(length).saturating_sub(1);
        let request = self
            .client
            .get_object()
            .bucket(&self.name)
            .key(&file.key)
            .range(format!("bytes={offset}-{last}"))
            .if_match(&file.version);
        let answer = request.send().await.map_err(|error| object_error("get", &file.key, error))?;
        let body = answer.body.collect().await;
        Ok(body.map_err(|error| object_error("get", &file.key, error))?.into_bytes())
    }
}

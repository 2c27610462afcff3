//! Tenants' uploads in S3.
//!
//! A file is at `tenant=<tenant id>/<file id>`, written and read under a session of its tenant that
//! reaches nothing else.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::Request;
use inference::{ProviderError, ProviderErrorKind as Kind, ProviderResponse};
use tenancy::TenantContext;

use crate::aws::{Aws, Service, Signer, path_segment};
use crate::error::{Meaning, Refusal, unbuildable};

/// What is left of a session that reads at least.
const READING: Duration = Duration::from_secs(30);

/// An upload that a client may make by itself: one `PUT` of `url`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presigned {
    /// Where to put it. Who knows it may write the file, until it expires.
    pub url: String,
    /// The headers that the request must have as they are here.
    pub headers: Vec<(String, String)>,
    /// When S3 takes it no longer.
    pub expires_at: SystemTime,
}

/// A file as it was uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadedFile {
    /// Its content type, as the client said it.
    pub content_type: Option<String>,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Uploads of all tenants, each reached for its tenant only.
#[derive(Debug, Clone)]
pub struct Uploads {
    aws: Arc<Aws>,
    bucket: String,
}

impl Uploads {
    /// The uploads in `bucket`.
    pub fn new(aws: Arc<Aws>, bucket: String) -> Self {
        Self { aws, bucket }
    }

    /// Where they are, all tenants' together.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The file's address for models that read from S3 by themselves.
    pub fn s3_uri(&self, context: &TenantContext, file_id: &str) -> String {
        format!("s3://{}/tenant={}/{file_id}", self.bucket, context.tenant_id)
    }

    /// Lets a client put a file of exactly this type and length, until `expires_in` from now.
    pub async fn presign_put(
        &self,
        context: &TenantContext,
        file_id: &str,
        content_type: &str,
        content_length: u64,
        expires_in: Duration,
    ) -> Result<Presigned, ProviderError> {
        let session = self.aws.uploads_session(context, &self.bucket, expires_in).await?;
        let headers = [
            ("content-type".to_owned(), content_type.to_owned()),
            ("content-length".to_owned(), content_length.to_string()),
        ];
        let request = headers
            .iter()
            .fold(Request::put(self.url(context, file_id)), |request, (name, value)| {
                request.header(name, value)
            })
            .body(())
            .map_err(unbuildable)?;
        let now = self.aws.connection().now();
        let signer = Signer {
            service: Service::S3,
            region: self.aws.own_region(),
            credentials: session.credentials,
            now,
        };
        let request = signer.presigned(request, expires_in).map_err(unbuildable)?;
        Ok(Presigned {
            url: request.uri().to_string(),
            headers: headers.to_vec(),
            expires_at: now + expires_in,
        })
    }

    /// The file, if the tenant has it and it is no longer than `max_bytes`.
    ///
    /// [`InvalidRequest`](Kind::InvalidRequest) for one that is not there or too long, with a message
    /// for the client.
    pub async fn get(
        &self,
        context: &TenantContext,
        file_id: &str,
        max_bytes: usize,
    ) -> Result<UploadedFile, ProviderError> {
        let request = Request::get(self.url(context, file_id)).body(Bytes::new());
        let sent = self.send(context, request.map_err(unbuildable)?).await;
        let mut answer = sent.map_err(|refusal| match refusal.status {
            // S3 does not say whether there is a file to a session that may not list them.
            Some(403 | 404) if !refusal.is_rejected_session() => {
                Meaning::refused(Kind::InvalidRequest).error(format!(
                    "there is no file `{file_id}`: upload it first, and use it before it expires"
                ))
            }
            _ => ProviderError { may_have_run: false, ..refusal.error },
        })?;
        let mut bytes = BytesMut::new();
        while let Some(piece) = answer.body.next().await {
            let piece = piece.map_err(|error| ProviderError { may_have_run: false, ..error })?;
            if bytes.len() + piece.len() > max_bytes {
                return Err(Meaning::refused(Kind::InvalidRequest)
                    .error(format!("the file `{file_id}` has more than {max_bytes} bytes")));
            }
            bytes.extend_from_slice(&piece);
        }
        let content_type =
            answer.headers.into_iter().find(|(name, _)| name == "content-type").map(|(_, it)| it);
        Ok(UploadedFile { content_type, bytes: bytes.freeze() })
    }

    /// Deletes the file, if the tenant has it.
    pub async fn delete(
        &self,
        context: &TenantContext,
        file_id: &str,
    ) -> Result<(), ProviderError> {
        let request = Request::delete(self.url(context, file_id)).body(Bytes::new());
        let sent = self.send(context, request.map_err(unbuildable)?).await;
        sent.map_err(|refusal| ProviderError { may_have_run: false, ..refusal.error })?;
        Ok(())
    }

    /// Sends `request` as the tenant.
    async fn send(
        &self,
        context: &TenantContext,
        request: Request<Bytes>,
    ) -> Result<ProviderResponse, Refusal> {
        let session = self.aws.uploads_session(context, &self.bucket, READING).await;
        let session = session.map_err(ProviderError::from)?;
        let signer = Signer {
            service: Service::S3,
            region: self.aws.own_region(),
            credentials: session.credentials.clone(),
            now: self.aws.connection().now(),
        };
        let request = signer.signed(request).map_err(unbuildable)?;
        self.aws.connection().send(request).await.inspect_err(|refusal| {
            if refusal.is_rejected_session() {
                self.aws.forget(&session);
            }
        })
    }

    /// The file's URL; the bucket stands in the path where its name cannot be part of a host's.
    fn url(&self, context: &TenantContext, file_id: &str) -> String {
        let key = format!(
            "{}/{}",
            path_segment(&format!("tenant={}", context.tenant_id)),
            path_segment(file_id)
        );
        let endpoint = self.aws.endpoint(Service::S3, self.aws.own_region());
        match endpoint.strip_prefix("https://") {
            Some(host)
                if self.aws.override_of(Service::S3).is_none() && !self.bucket.contains('.') =>
            {
                format!("https://{}.{host}/{key}", self.bucket)
            }
            _ => format!("{endpoint}/{}/{key}", self.bucket),
        }
    }
}

#[cfg(test)]
#[path = "upload_tests.rs"]
mod tests;

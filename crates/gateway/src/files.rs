//! Files that are too large for a request: uploaded past the gateway, referred to by id.

use std::time::Duration;

use bytes::Bytes;
use content::{ContentId, ContentKind, ContentStore as _};
use futures::future::try_join_all;
use http_api::ApiError;
use inference::{Fault, FaultKind, ProviderError, Upload};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenancy::TenantContext;

use crate::remember::{delete, find};
use crate::state::{Ports, State};

/// Bytes of a file at most: more than any provider takes of one picture or document.
const MAX_FILE: u64 = 32 * 1024 * 1024;

/// How long an upload may begin after it was asked for.
const UPLOAD_TIME: Duration = Duration::from_mins(15);

/// How long a file can be referred to, in seconds.
const FILE_TTL_S: i64 = 24 * 3_600;

/// Where files are kept, each tenant's out of the others' reach.
pub trait ObjectStore: Send + Sync {
    /// A URL by which exactly `length` bytes of `media_type` can be put as the tenant's file, and the
    /// headers that the request must carry.
    fn presign_put(
        &self,
        context: &TenantContext,
        file_id: &str,
        media_type: &str,
        length: u64,
        expires_in: Duration,
    ) -> impl Future<Output = Result<(String, Vec<(String, String)>), ProviderError>> + Send;

    /// The file's bytes. [`InvalidRequest`](inference::ProviderErrorKind::InvalidRequest), with a
    /// message for the client, if nothing was put there or if it has more than `max_bytes`.
    fn get(
        &self,
        context: &TenantContext,
        file_id: &str,
        max_bytes: usize,
    ) -> impl Future<Output = Result<Bytes, ProviderError>> + Send;

    /// Where they are, all tenants' together.
    fn bucket(&self) -> &str;

    /// `s3://bucket/key`, for models that read from there by themselves.
    fn uri(&self, context: &TenantContext, file_id: &str) -> String;
}

/// A file, as the gateway knows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct File {
    id: String,
    filename: String,
    media_type: String,
    bytes: u64,
    purpose: String,
    created_at: i64,
    expires_at: i64,
}

/// What a client says of a file that it wants to upload.
#[derive(Debug, Deserialize)]
struct NewFile {
    #[serde(default)]
    filename: Option<String>,
    media_type: String,
    bytes: u64,
    #[serde(default)]
    purpose: Option<String>,
}

impl File {
    /// The file as clients see it. `s3_uri` is how requests of Bedrock's own API refer to it.
    fn to_json(&self, s3_uri: &str) -> Value {
        json!({
            "id": self.id, "object": "file", "filename": self.filename, "media_type": self.media_type,
            "bytes": self.bytes, "purpose": self.purpose, "created_at": self.created_at,
            "expires_at": self.expires_at, "s3_uri": s3_uri,
        })
    }
}

/// Answers `POST /v1/files`: where to put the file, and by which id to refer to it.
///
/// # Errors
/// 400 for what is no file, 413 for one that is too large.
pub(crate) async fn create_file<P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    body: &[u8],
) -> Result<Value, ApiError> {
    let new: NewFile = serde_json::from_slice(body).map_err(|error| {
        let message = format!(
            "Send JSON with `media_type` and `bytes` (and `filename`, `purpose`): {error}. The file itself is then sent to the URL in the answer."
        );
        ApiError::new(FaultKind::InvalidRequest, "invalid_value", message)
    })?;
    if new.bytes == 0 || new.bytes > MAX_FILE {
        let message =
            format!("`bytes` must be 1 to {MAX_FILE}: no provider takes a larger file at once.");
        let kind = if new.bytes == 0 { FaultKind::InvalidRequest } else { FaultKind::TooLarge };
        return Err(Fault::new(kind, "invalid_value", message).about("bytes").into());
    }
    if !is_media_type(&new.media_type) {
        let message = "`media_type` must be like `image/png` or `application/pdf`.";
        let fault = Fault::new(FaultKind::InvalidRequest, "invalid_value", message);
        return Err(fault.about("media_type").into());
    }
    let created_at = (state.now_ms)().div_euclid(1_000);
    let shown = |text: Option<String>, default: &str| {
        text.unwrap_or_else(|| default.to_owned()).chars().take(200).collect::<String>()
    };
    let file = File {
        id: format!("file-{}", uuid::Uuid::now_v7().simple()),
        filename: shown(new.filename, "file"),
        media_type: new.media_type,
        bytes: new.bytes,
        purpose: shown(new.purpose, "user_data"),
        created_at,
        expires_at: created_at + FILE_TTL_S,
    };
    let (media_type, length) = (file.media_type.as_str(), file.bytes);
    let put = state.objects.presign_put(context, &file.id, media_type, length, UPLOAD_TIME);
    let (url, headers) = put.await.map_err(|error| ApiError::internal(&error))?;
    let bytes = serde_json::to_vec(&file).map_err(|error| ApiError::internal(&error))?;
    let id: ContentId = file.id.parse().map_err(|error| ApiError::internal(&error))?;
    let stored = state.content.put(context, ContentKind::File, &id, bytes.into(), file.expires_at);
    stored.await.map_err(|error| ApiError::unavailable(&error))?;
    let mut answer = file.to_json(&state.objects.uri(context, &file.id));
    let headers: serde_json::Map<_, _> =
        headers.into_iter().map(|(name, value)| (name, Value::from(value))).collect();
    let expires_at = created_at + i64::try_from(UPLOAD_TIME.as_secs()).unwrap_or(i64::MAX);
    if let Some(answer) = answer.as_object_mut() {
        let upload =
            json!({"method": "PUT", "url": url, "headers": headers, "expires_at": expires_at});
        answer.insert("upload".to_owned(), upload);
    }
    Ok(answer)
}

fn is_media_type(text: &str) -> bool {
    let is_token = |part: &str| {
        (1..=100).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+-_".contains(&byte))
    };
    text.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

async fn stored_file<P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    id: &str,
) -> Result<File, ApiError> {
    let bytes = find(state, context, ContentKind::File, id).await?;
    serde_json::from_slice(&bytes).map_err(|error| ApiError::internal(&error))
}

/// Answers `GET /v1/files/{id}`.
///
/// # Errors
/// 404 if there is none of that id for this tenant.
pub(crate) async fn file<P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    id: &str,
) -> Result<Value, ApiError> {
    let file = stored_file(state, context, id).await?;
    Ok(file.to_json(&state.objects.uri(context, &file.id)))
}

/// Answers `DELETE /v1/files/{id}`: it can be referred to no longer; its bytes go with the bucket's
/// next cleaning.
///
/// # Errors
/// 404 if there is none of that id for this tenant.
pub(crate) async fn delete_file<P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    id: &str,
) -> Result<Value, ApiError> {
    delete(state, context, ContentKind::File, id).await?;
    Ok(json!({"id": id, "object": "file", "deleted": true}))
}

/// The files that a request refers to, with their bytes.
///
/// # Errors
/// 404 for one that is not the tenant's, 400 for one that was never uploaded.
pub(crate) async fn uploads<P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    ids: &[String],
) -> Result<Vec<(String, Upload)>, ApiError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    try_join_all(ids.iter().map(async |id| {
        let file = stored_file(state, context, id).await?;
        let length = usize::try_from(file.bytes).unwrap_or(usize::MAX);
        let bytes = state.objects.get(context, &file.id, length).await;
        let bytes = bytes.map_err(|error| ApiError::from(&error))?;
        let s3_uri = state.objects.uri(context, &file.id);
        Ok((id.clone(), Upload { media_type: file.media_type, bytes, s3_uri }))
    }))
    .await
}

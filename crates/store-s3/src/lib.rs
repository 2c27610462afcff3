//! Objects in one bucket of S3: the only code that knows its SDK.

#[cfg(feature = "audit")]
mod audit;
#[cfg(feature = "offboarding")]
mod estate;
#[cfg(feature = "reconciliation")]
mod source;

use std::error::Error;

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use lake::{ObjectError, ObjectStore, Version};

#[cfg(feature = "offboarding")]
pub use estate::TenantObjects;

/// A bucket, as the function's own role sees it.
#[derive(Debug, Clone)]
pub struct Bucket {
    client: Client,
    name: String,
}

impl Bucket {
    /// The bucket of that name.
    pub fn new(sdk: &SdkConfig, name: String) -> Self {
        let mut config = aws_sdk_s3::config::Builder::from(sdk);
        // A bucket's name in the host's needs DNS for every bucket, which a local endpoint has not.
        config.set_force_path_style(Some(sdk.endpoint_url().is_some()));
        Self { client: Client::from_conf(config.build()), name }
    }

    async fn write(
        &self,
        operation: &'static str,
        key: &str,
        bytes: Bytes,
        content_type: &str,
        condition: Condition<'_>,
    ) -> Result<bool, ObjectError> {
        let request = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(key)
            .content_type(content_type)
            .body(ByteStream::from(bytes));
        let request = match condition {
            Condition::Always => request,
            Condition::Absent => request.if_none_match("*"),
            Condition::Still(version) => request.if_match(&version.0),
        };
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error) if condition.is_refused(error.code()) => Ok(false),
            Err(error) => Err(object_error(operation, key, error)),
        }
    }
}

/// When an object may be written.
#[derive(Debug, Clone, Copy)]
enum Condition<'a> {
    Always,
    Absent,
    Still(&'a Version),
}

impl Condition<'_> {
    /// Whether S3's answer says that the condition does not hold, or just stopped to.
    fn is_refused(self, code: Option<&str>) -> bool {
        let is_conditional = !matches!(self, Self::Always);
        let refusals = ["PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"];
        is_conditional && code.is_some_and(|code| refusals.contains(&code))
    }
}

fn object_error(
    operation: &'static str,
    key: &str,
    source: impl Into<Box<dyn Error + Send + Sync>>,
) -> ObjectError {
    ObjectError { operation, key: key.to_owned(), source: source.into() }
}

fn is_missing<E>(error: &SdkError<E>) -> bool {
    error.raw_response().is_some_and(|response| response.status().as_u16() == 404)
}

impl ObjectStore for Bucket {
    async fn put(&self, key: &str, bytes: Bytes, content_type: &str) -> Result<(), ObjectError> {
        self.write("put", key, bytes, content_type, Condition::Always).await.map(|_| ())
    }

    async fn replace(
        &self,
        key: &str,
        bytes: Bytes,
        content_type: &str,
        expected: Option<&Version>,
    ) -> Result<bool, ObjectError> {
        let condition = expected.map_or(Condition::Absent, Condition::Still);
        self.write("replace", key, bytes, content_type, condition).await
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, ObjectError> {
        let answer = match self.client.get_object().bucket(&self.name).key(key).send().await {
            Ok(answer) => answer,
            Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => {
                return Ok(None);
            }
            Err(error) => return Err(object_error("get", key, error)),
        };
        let body = answer.body.collect().await.map_err(|error| object_error("get", key, error))?;
        Ok(Some(body.into_bytes()))
    }

    async fn version(&self, key: &str) -> Result<Option<Version>, ObjectError> {
        match self.client.head_object().bucket(&self.name).key(key).send().await {
            Ok(answer) => Ok(answer.e_tag.map(Version)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(object_error("look at", key, error)),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, ObjectError> {
        let request = self.client.list_objects_v2().bucket(&self.name).prefix(prefix);
        let mut pages = request.into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| object_error("list", prefix, error))?;
            keys.extend(page.contents.unwrap_or_default().into_iter().filter_map(|it| it.key));
        }
        Ok(keys)
    }

    async fn delete(&self, key: &str) -> Result<(), ObjectError> {
        let answer = self.client.delete_object().bucket(&self.name).key(key).send().await;
        answer.map(|_| ()).map_err(|error| object_error("delete", key, error))
    }
}

//! A double of the ports that most tests have nothing to do with.

use std::time::Duration;

use bytes::Bytes;
use inference::{ProviderError, ProviderErrorKind};
use routing::{HealthStore, HealthStoreError};
use tenancy::{ModelId, TenantContext};

use crate::files::ObjectStore;
use crate::generate::provider_error;
use crate::shadow::{HandOverError, Shadows};

/// No files, no news of providers, and nobody who makes calls once more.
#[derive(Debug)]
pub struct Nothing;

fn no_files() -> ProviderError {
    provider_error(ProviderErrorKind::Internal, "there are no files")
}

impl ObjectStore for Nothing {
    async fn presign_put(
        &self,
        _: &TenantContext,
        _: &str,
        _: &str,
        _: u64,
        _: Duration,
    ) -> Result<(String, Vec<(String, String)>), ProviderError> {
        Err(no_files())
    }

    async fn get(&self, _: &TenantContext, _: &str, _: usize) -> Result<Bytes, ProviderError> {
        Err(no_files())
    }

    fn bucket(&self) -> &'static str {
        "uploads"
    }

    fn uri(&self, _: &TenantContext, file_id: &str) -> String {
        file_id.to_owned()
    }
}

impl HealthStore for Nothing {
    async fn open_targets(&self) -> Result<Vec<(ModelId, i64)>, HealthStoreError> {
        Ok(Vec::new())
    }

    async fn trip(&self, _: &ModelId, _: i64) -> Result<(), HealthStoreError> {
        Ok(())
    }
}

impl Shadows for Nothing {
    async fn hand_over(&self, _: Bytes) -> Result<(), HandOverError> {
        Err(HandOverError("nobody takes it".to_owned()))
    }
}

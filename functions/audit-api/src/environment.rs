//! The edge to the machine: environment, clock, AWS.

use store_dynamodb::{AuditTable, DynamoDirectory};
use store_s3::Bucket;

use crate::State;

/// The function cannot start.
#[derive(Debug, thiserror::Error)]
#[error("environment variable `{name}` is not set")]
pub struct StartError {
    /// Its name.
    name: &'static str,
    /// What is wrong with it.
    source: std::env::VarError,
}

impl State<AuditTable, Bucket, DynamoDirectory> {
    /// Connects to the `TENANCY_TABLE` and the `AUDIT_BUCKET`.
    ///
    /// # Errors
    /// One of them is not set.
    pub async fn from_env() -> Result<Self, StartError> {
        let (table, bucket) = (variable("TENANCY_TABLE")?, variable("AUDIT_BUCKET")?);
        let sdk = aws_config::load_from_env().await;
        let client = store_dynamodb::client(&sdk);
        Ok(Self {
            chains: AuditTable::new(client.clone(), table.clone()),
            files: Bucket::new(&sdk, bucket),
            directory: DynamoDirectory::new(client, table),
            new_id,
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn variable(name: &'static str) -> Result<String, StartError> {
    std::env::var(name).map_err(|source| StartError { name, source })
}

fn new_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

//! The edge to the machine: environment, clock, AWS.

use machine::{NotSet, new_id, variable};
use store_dynamodb::{AuditTable, DynamoDirectory};
use store_s3::Bucket;

use crate::State;

impl State<AuditTable, Bucket, DynamoDirectory> {
    /// Connects to the `TENANCY_TABLE` and the `AUDIT_BUCKET`.
    ///
    /// # Errors
    /// One of them is not set.
    pub async fn from_env() -> Result<Self, NotSet> {
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

//! The edge to the machine: environment, clock, AWS.

use machine::{NotSet, now, variable};
use store_dynamodb::AuditTable;
use store_s3::Bucket;

use crate::State;

impl State<AuditTable, Bucket> {
    /// Connects to the `TENANCY_TABLE` and the `AUDIT_BUCKET`.
    ///
    /// # Errors
    /// One of them is not set.
    pub async fn from_env() -> Result<Self, NotSet> {
        let (table, bucket) = (variable("TENANCY_TABLE")?, variable("AUDIT_BUCKET")?);
        let sdk = aws_config::load_from_env().await;
        let table = AuditTable::new(store_dynamodb::client(&sdk), table);
        Ok(Self { table, files: Bucket::new(&sdk, bucket), now })
    }
}

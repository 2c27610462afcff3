//! The edge to the machine: environment, clock, table, user pool.

use identity_cognito::CognitoPool;
use machine::{NotSet, new_id, now, variable};
use store_dynamodb::Members;

use crate::State;

impl State<Members, CognitoPool> {
    /// Connects to `TENANCY_TABLE` and the user pool `USER_POOL_ID`.
    ///
    /// # Errors
    /// One of them is not set.
    pub async fn from_env() -> Result<Self, NotSet> {
        let tenancy = variable("TENANCY_TABLE")?;
        let (pool_id, region) = (variable("USER_POOL_ID")?, variable("AWS_REGION")?);
        let sdk = aws_config::load_from_env().await;
        let store = Members::new(store_dynamodb::client(&sdk), tenancy);
        let pool = CognitoPool::new(&sdk, pool_id, &region);
        Ok(Self { store, pool, now, new_id })
    }
}

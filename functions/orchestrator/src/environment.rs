//! The edge to the machine: environment, clock, tables, user pool, state machine.

use admission::{Calendar, UnknownTimeZone};
use identity_cognito::CognitoPool;
use machine::{NotSet, new_id, now, variable};
use store_dynamodb::{Administration, Ledger, Tasks};
use store_s3::Bucket;
use workflow_stepfunctions::StateMachine;

use crate::State;

/// The function cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A variable of the environment is missing.
    #[error(transparent)]
    Environment(#[from] NotSet),
    /// The organisation's time zone is none.
    #[error(transparent)]
    TimeZone(#[from] UnknownTimeZone),
}

impl State<Administration, Tasks, CognitoPool, StateMachine, Bucket> {
    /// Connects to `TENANCY_TABLE`, `LEDGER_TABLE`, the user pool `USER_POOL_ID`, the state machine
    /// `STATE_MACHINE_ARN` and the `STATEMENTS_BUCKET`; days begin where they do in `TIME_ZONE`.
    ///
    /// # Errors
    /// One of them is not set, or no such zone exists.
    pub async fn from_env() -> Result<Self, StartError> {
        let (tenancy, ledger) = (variable("TENANCY_TABLE")?, variable("LEDGER_TABLE")?);
        let (pool_id, region) = (variable("USER_POOL_ID")?, variable("AWS_REGION")?);
        let calendar = Calendar::of(&variable("TIME_ZONE")?)?;
        let machine = variable("STATE_MACHINE_ARN")?;
        let papers = variable("STATEMENTS_BUCKET")?;
        let sdk = aws_config::load_from_env().await;
        let client = store_dynamodb::client(&sdk);
        let ledger = Ledger::new(client.clone(), ledger, calendar);
        Ok(Self {
            tasks: Tasks::new(client.clone(), tenancy.clone()),
            store: Administration::new(client, tenancy, ledger),
            pool: CognitoPool::new(&sdk, pool_id, &region),
            workflow: StateMachine::new(&sdk, machine),
            papers: Bucket::new(&sdk, papers),
            now,
            new_id,
        })
    }
}

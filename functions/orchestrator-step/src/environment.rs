//! The edge to the machine: environment, clock, AWS.

use std::sync::atomic::AtomicI64;

use admission::{Calendar, UnknownTimeZone};
use events_eventbridge::EventBus;
use identity_cognito::CognitoPool;
use machine::{NotSet, new_id, now, variable};
use offboarding::{Places, Store};
use signing_kms::KmsKey;
use store_dynamodb::{
    Administration, AuditTable, BillingBooks, Ledger, Rollups, Tasks, TenantTables,
};
use store_s3::{Bucket, TenantObjects};

use crate::State;
use crate::world::{Stores, World};

/// Who its events say that they come from.
const SOURCE: &str = "weir.tenants";

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

impl State<Tasks, World> {
    /// Connects to the tables `TENANCY_TABLE`, `LEDGER_TABLE` and `CONTENT_TABLE`, the buckets
    /// `UPLOADS_BUCKET`, `STATEMENTS_BUCKET` and `AUDIT_BUCKET`, the user pool `USER_POOL_ID`, the bus
    /// `EVENT_BUS_NAME` and the key `EVIDENCE_KEY_ARN`; days begin where they do in `TIME_ZONE`.
    ///
    /// # Errors
    /// One of them is not set, or no such zone exists.
    pub async fn from_env() -> Result<Self, StartError> {
        let (tenancy, ledger) = (variable("TENANCY_TABLE")?, variable("LEDGER_TABLE")?);
        let (content, uploads) = (variable("CONTENT_TABLE")?, variable("UPLOADS_BUCKET")?);
        let (statements, audit) = (variable("STATEMENTS_BUCKET")?, variable("AUDIT_BUCKET")?);
        let (pool_id, region) = (variable("USER_POOL_ID")?, variable("AWS_REGION")?);
        let (bus, signing_key) = (variable("EVENT_BUS_NAME")?, variable("EVIDENCE_KEY_ARN")?);
        let calendar = Calendar::of(&variable("TIME_ZONE")?)?;
        let places = [
            (Store::TenancyTable, &tenancy),
            (Store::LedgerTable, &ledger),
            (Store::ContentTable, &content),
            (Store::UploadsBucket, &uploads),
            (Store::StatementsBucket, &statements),
            (Store::AuditBucket, &audit),
            (Store::UserPool, &pool_id),
        ];
        let places = places.map(|(store, name)| (store.as_str().to_owned(), name.clone()));
        let places = Places { stores: places.into(), signing_key: signing_key.clone() };
        let sdk = aws_config::load_from_env().await;
        let client = store_dynamodb::client(&sdk);
        let meters = Ledger::new(client.clone(), ledger.clone(), calendar.clone());
        let stores = Stores {
            tables: TenantTables::new(client.clone(), tenancy.clone(), ledger.clone(), content),
            objects: TenantObjects {
                uploads: Bucket::new(&sdk, uploads),
                statements: Bucket::new(&sdk, statements.clone()),
                audit: Bucket::new(&sdk, audit),
            },
            pool: CognitoPool::new(&sdk, pool_id, &region),
        };
        let world = World {
            administration: Administration::new(client.clone(), tenancy.clone(), meters),
            stores,
            papers: Bucket::new(&sdk, statements),
            books: BillingBooks::new(client.clone(), ledger.clone(), tenancy.clone()),
            events: EventBus::new(&sdk, bus, SOURCE),
            chains: AuditTable::new(client.clone(), tenancy.clone()),
            rollups: Rollups::new(client.clone(), ledger),
            signer: KmsKey::new(&sdk, signing_key),
            places,
            calendar,
            deadline_ms: AtomicI64::new(0),
            now,
            new_id,
        };
        Ok(Self { tasks: Tasks::new(client, tenancy), world, now, new_id })
    }
}

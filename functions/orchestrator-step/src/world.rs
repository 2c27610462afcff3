//! All that steps reach: the stack's tables, buckets, user pool, bus and key.

use std::sync::atomic::{AtomicI64, Ordering};

use admission::Calendar;
use events_eventbridge::EventBus;
use identity_cognito::CognitoPool;
use jiff::Timestamp;
use offboarding::{Estate, EstateError, Found, Outside, Page, Places, Store, Whose};
use signing_kms::KmsKey;
use store_dynamodb::{Administration, AuditTable, BillingBooks, Rollups, TenantTables};
use store_s3::{Bucket, TenantObjects};

use crate::Timed;

/// How long before its end an invocation takes up no other page.
const RESERVE_MS: i64 = 30_000;

/// The stack.
#[derive(Debug)]
pub struct World {
    pub(crate) administration: Administration,
    pub(crate) stores: Stores,
    pub(crate) papers: Bucket,
    pub(crate) books: BillingBooks,
    pub(crate) events: EventBus,
    pub(crate) chains: AuditTable,
    pub(crate) rollups: Rollups,
    pub(crate) signer: KmsKey,
    pub(crate) places: Places,
    pub(crate) calendar: Calendar,
    pub(crate) deadline_ms: AtomicI64,
    pub(crate) now: fn() -> Timestamp,
    pub(crate) new_id: fn() -> String,
}

/// Where tenants have things.
#[derive(Debug)]
pub struct Stores {
    pub(crate) tables: TenantTables,
    pub(crate) objects: TenantObjects,
    pub(crate) pool: CognitoPool,
}

/// Asks whoever has a store.
macro_rules! ask {
    ($stores:expr, $store:expr, $method:ident($($argument:expr),*)) => {
        match $store {
            Store::TenancyTable | Store::LedgerTable | Store::ContentTable => {
                $stores.tables.$method($($argument),*).await
            }
            Store::UploadsBucket | Store::StatementsBucket | Store::AuditBucket => {
                $stores.objects.$method($($argument),*).await
            }
            Store::UserPool => $stores.pool.$method($($argument),*).await,
        }
    };
}

impl Estate for Stores {
    async fn list(
        &self,
        whose: &Whose,
        store: Store,
        after: Option<&str>,
    ) -> Result<Page, EstateError> {
        ask!(self, store, list(whose, store, after))
    }

    async fn remove(&self, found: &Found) -> Result<(), EstateError> {
        ask!(self, found.store, remove(found))
    }

    async fn is_there(&self, found: &Found) -> Result<bool, EstateError> {
        ask!(self, found.store, is_there(found))
    }
}

impl Timed for World {
    fn run_until(&self, deadline_ms: i64) {
        self.deadline_ms.store(deadline_ms, Ordering::Relaxed);
    }
}

impl Outside for World {
    type Administration = Administration;
    type Pool = CognitoPool;
    type Register = TenantTables;
    type Estate = Stores;
    type Papers = Bucket;
    type Books = BillingBooks;
    type Events = EventBus;
    type Chains = AuditTable;
    type Rollups = Rollups;
    type Signer = KmsKey;

    fn administration(&self) -> &Administration {
        &self.administration
    }

    fn pool(&self) -> &CognitoPool {
        &self.stores.pool
    }

    fn register(&self) -> &TenantTables {
        &self.stores.tables
    }

    fn estate(&self) -> &Stores {
        &self.stores
    }

    fn papers(&self) -> &Bucket {
        &self.papers
    }

    fn books(&self) -> &BillingBooks {
        &self.books
    }

    fn events(&self) -> &EventBus {
        &self.events
    }

    fn chains(&self) -> &AuditTable {
        &self.chains
    }

    fn rollups(&self) -> &Rollups {
        &self.rollups
    }

    fn signer(&self) -> &KmsKey {
        &self.signer
    }

    fn places(&self) -> Places {
        self.places.clone()
    }

    fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    fn now(&self) -> Timestamp {
        (self.now)()
    }

    fn new_id(&self) -> String {
        (self.new_id)()
    }

    fn has_time(&self) -> bool {
        let end = self.deadline_ms.load(Ordering::Relaxed).saturating_sub(RESERVE_MS);
        self.now().as_millisecond() < end
    }
}

//! A world in memory in which anything may go wrong.

mod estate;
mod faults;
mod faulty;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use administration::fakes::{FakePool, FakeTable};
use admission::Calendar;
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use billing::fakes::InMemoryBilling;
use bytes::Bytes;
use events::fakes::InMemorySink;
use jiff::Timestamp;
use lake::ObjectStore as _;
use lake::fakes::InMemoryObjects;
use metering::fakes::InMemoryUsage;

pub use self::estate::{Beside, FakeEstate, found};
pub use self::faults::{Fault, Faults};
pub use self::faulty::{Faulty, store_error};
use crate::port::{Outside, Places, SignError, Signer, Store};

/// 2026-11-23T12:00:00Z
const NOON_MS: i64 = 1_795_435_200_000;

/// A key in memory.
#[derive(Debug)]
pub struct FakeSigner {
    key: EcdsaKeyPair,
    faults: Arc<Faults>,
}

fn sign_error(operation: &'static str) -> SignError {
    SignError { operation, source: "made to fail".into() }
}

impl Signer for FakeSigner {
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let sign = async {
            let signature = self.key.sign(&SystemRandom::new(), message);
            signature.map(|it| it.as_ref().to_vec()).map_err(|_| sign_error("sign"))
        };
        self.faults.call("sign", sign, sign_error).await
    }

    async fn public_key(&self) -> Result<Vec<u8>, SignError> {
        let read = async {
            let der: Result<PublicKeyX509Der<'_>, _> = self.key.public_key().as_der();
            der.map(|it| it.as_ref().to_vec()).map_err(|_| sign_error("public_key"))
        };
        self.faults.call("public_key", read, sign_error).await
    }
}

/// Everything that off-boarding reaches.
#[derive(Debug)]
pub struct FakeWorld {
    /// What goes wrong.
    pub faults: Arc<Faults>,
    /// Tenants and their callers.
    pub table: Faulty<FakeTable>,
    /// People and clients.
    pub pool: Faulty<FakePool>,
    /// All that there is.
    pub estate: FakeEstate,
    /// The bucket of statements.
    pub papers: Faulty<InMemoryObjects>,
    /// What was billed.
    pub books: InMemoryBilling,
    /// What was asked for.
    pub sink: Faulty<InMemorySink>,
    /// What was used.
    pub usage: Faulty<InMemoryUsage>,
    signer: FakeSigner,
    calendar: Calendar,
    now_ms: AtomicI64,
    ids: AtomicU64,
    /// Whether every second question for time is answered with no.
    pub is_short_of_time: bool,
    asked: AtomicU64,
}

impl FakeWorld {
    /// An empty world.
    ///
    /// # Errors
    /// There is no randomness for a key.
    pub fn new() -> Result<Self, SignError> {
        let faults = Arc::new(Faults::default());
        let table = Faulty::of(FakeTable::default(), &faults);
        let pool = Faulty::of(FakePool::default(), &faults);
        let papers = Faulty::of(InMemoryObjects::default(), &faults);
        let estate = FakeEstate {
            table: Arc::clone(&table.inner),
            pool: Arc::clone(&pool.inner),
            objects: Arc::clone(&papers.inner),
            faults: Arc::clone(&faults),
            beside: std::sync::Mutex::default(),
        };
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING);
        let key = key.map_err(|_| sign_error("make a key"))?;
        Ok(Self {
            table,
            pool,
            estate,
            papers,
            books: InMemoryBilling::default(),
            sink: Faulty::of(InMemorySink::default(), &faults),
            usage: Faulty::of(InMemoryUsage::default(), &faults),
            signer: FakeSigner { key, faults: Arc::clone(&faults) },
            faults,
            calendar: Calendar::utc(),
            now_ms: AtomicI64::new(NOON_MS),
            ids: AtomicU64::new(0),
            is_short_of_time: false,
            asked: AtomicU64::new(0),
        })
    }

    /// Lets time pass, in which others do their work: drafts are made, calls are settled, entries come
    /// into their chains.
    pub async fn pass(&self, seconds: u32) {
        self.now_ms.fetch_add(i64::from(seconds.max(1)) * 1_000, Ordering::Relaxed);
        for event in self.sink.inner.taken() {
            let account = event.detail.get("account").and_then(|it| it.as_str().map(str::to_owned));
            let period = event.detail.get("period").and_then(|it| it.as_str().map(str::to_owned));
            if let (Some(account), Some(period)) = (account, period) {
                let key = format!("drafts/{period}/{account}/statement.json");
                let is_there = matches!(self.papers.inner.get(&key).await, Ok(Some(_)));
                if !is_there {
                    let draft = Bytes::from_static(b"{}");
                    let _ = self.papers.inner.put(&key, draft, "application/json").await;
                }
            }
        }
        let positions: Vec<String> =
            self.table.inner.data().audit.iter().map(|(_, entry)| entry.position()).collect();
        let mut beside = self.estate.beside();
        beside.chained.extend(positions);
        for open in beside.open.values_mut() {
            *open = open.saturating_sub(1);
        }
    }
}

impl Outside for FakeWorld {
    type Administration = Faulty<FakeTable>;
    type Pool = Faulty<FakePool>;
    type Register = FakeEstate;
    type Estate = FakeEstate;
    type Papers = Faulty<InMemoryObjects>;
    type Books = InMemoryBilling;
    type Events = Faulty<InMemorySink>;
    type Chains = FakeEstate;
    type Rollups = Faulty<InMemoryUsage>;
    type Signer = FakeSigner;

    fn administration(&self) -> &Self::Administration {
        &self.table
    }
    fn pool(&self) -> &Self::Pool {
        &self.pool
    }
    fn register(&self) -> &Self::Register {
        &self.estate
    }
    fn estate(&self) -> &Self::Estate {
        &self.estate
    }
    fn papers(&self) -> &Self::Papers {
        &self.papers
    }
    fn books(&self) -> &Self::Books {
        &self.books
    }
    fn events(&self) -> &Self::Events {
        &self.sink
    }
    fn chains(&self) -> &Self::Chains {
        &self.estate
    }
    fn rollups(&self) -> &Self::Rollups {
        &self.usage
    }
    fn signer(&self) -> &Self::Signer {
        &self.signer
    }
    fn places(&self) -> Places {
        let stores = Store::ALL.map(|it| (it.as_str().to_owned(), format!("fake-{}", it.as_str())));
        Places { stores: stores.into(), signing_key: "fake-key".to_owned() }
    }
    fn calendar(&self) -> &Calendar {
        &self.calendar
    }
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.now_ms.load(Ordering::Relaxed)).unwrap_or_default()
    }
    fn new_id(&self) -> String {
        format!("id-{:06}", self.ids.fetch_add(1, Ordering::Relaxed))
    }
    fn has_time(&self) -> bool {
        !self.is_short_of_time || self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(2)
    }
}

//! A ledger of files, and a bucket that is a folder.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::PathBuf;

use billing::port::{BillingStoreError, Documents, UsageSource};
use billing::{Account, PlanInForce, Span, Statement, UsageLines, documents_of};
use metering::UsageRecord;
use serde::de::DeserializeOwned;
use tenancy::TenantId;

use crate::Failure;
use crate::month::{Catalogue, Dice, TENANTS, tenant};

/// Usage records, a file of JSON lines for each tenant.
pub(crate) struct Ledger(PathBuf);

/// What was put into the ledger.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Made {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) cost: i128,
}

impl Made {
    pub(crate) fn plus(&mut self, other: &Self) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.cost += other.cost;
    }
}

impl Ledger {
    pub(crate) fn new(folder: PathBuf) -> Result<Self, Failure> {
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    /// Adds so many records, numbered from `first` on.
    pub(crate) fn generate(&self, records: u64, first: u64) -> Result<Made, Failure> {
        let catalogue = Catalogue::new()?;
        let mut files = HashMap::new();
        for number in 0..TENANTS {
            let file =
                OpenOptions::new().create(true).append(true).open(self.file(&tenant(number)?))?;
            files.insert(tenant(number)?, BufWriter::new(file));
        }
        let mut made = Made::default();
        let mut dice = Dice(first + 1);
        for number in first..first + records {
            let record = catalogue.record(&mut dice, number)?;
            let json = serde_json::to_vec(&record)?;
            let file = files.get_mut(&record.tenant_id).ok_or("nobody's record")?;
            file.write_all(&json)?;
            file.write_all(b"\n")?;
            made.plus(&Made {
                records: 1,
                bytes: u64::try_from(json.len())? + 1,
                cost: record.cost_nanousd.0.into(),
            });
        }
        for file in files.values_mut() {
            file.flush()?;
        }
        Ok(made)
    }

    /// What all records of a month that are there now are to be charged, under the plans of its statements.
    pub(crate) fn due(&self, files: &Files, span: &Span) -> Result<i128, Failure> {
        let mut due = 0;
        for number in 0..TENANTS {
            let kept: Statement = files.read(&Account::Tenant(tenant(number)?), span)?;
            let mut lines = UsageLines::new(tenant(number)?, span.clone());
            self.read(&tenant(number)?, &mut |record| lines.add(&record))?;
            let plan = PlanInForce { plan: kept.plan, of: kept.plan_of };
            let whole = Statement::new(kept.tenant_id, kept.lob_id, plan, lines, Vec::new(), 0)?;
            due += i128::from(whole.totals.charge_nanousd.0);
        }
        Ok(due)
    }

    fn read(
        &self,
        tenant_id: &TenantId,
        take: &mut (dyn FnMut(UsageRecord) + Send),
    ) -> Result<(), Failure> {
        let mut file = BufReader::new(File::open(self.file(tenant_id))?);
        let mut line = String::new();
        while file.read_line(&mut line)? > 0 {
            take(serde_json::from_str(&line)?);
            line.clear();
        }
        Ok(())
    }

    fn file(&self, tenant_id: &TenantId) -> PathBuf {
        self.0.join(format!("{tenant_id}.jsonl"))
    }
}

impl UsageSource for Ledger {
    async fn records(
        &self,
        tenant_id: &TenantId,
        _span: &Span,
        take: &mut (dyn FnMut(UsageRecord) + Send),
    ) -> Result<(), BillingStoreError> {
        self.read(tenant_id, take).map_err(|source| BillingStoreError {
            operation: "read records of",
            subject: tenant_id.to_string(),
            source,
        })
    }
}

/// A folder that stands for the bucket.
pub(crate) struct Files(pub(crate) PathBuf);

impl Files {
    pub(crate) fn read<T: DeserializeOwned>(
        &self,
        account: &Account,
        span: &Span,
    ) -> Result<T, Failure> {
        let key = format!("{}.json", documents_of(account, span));
        Ok(serde_json::from_slice(&fs::read(self.0.join(key))?)?)
    }

    fn write(&self, key: &str, bytes: &[u8]) -> Result<(), BillingStoreError> {
        let path = self.0.join(key);
        let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
        folder.and_then(|()| fs::write(&path, bytes)).map_err(|error| failed("write", key, error))
    }
}

fn failed(operation: &'static str, key: &str, error: std::io::Error) -> BillingStoreError {
    BillingStoreError { operation, subject: key.to_owned(), source: error.into() }
}

impl Documents for Files {
    async fn create(&self, key: &str, bytes: Vec<u8>, _: &str) -> Result<bool, BillingStoreError> {
        let is_new = !self.0.join(key).exists();
        if is_new {
            self.write(key, &bytes)?;
        }
        Ok(is_new)
    }

    async fn put(&self, key: &str, bytes: Vec<u8>, _: &str) -> Result<(), BillingStoreError> {
        self.write(key, &bytes)
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, BillingStoreError> {
        match fs::read(self.0.join(key)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", key, error)),
        }
    }
}

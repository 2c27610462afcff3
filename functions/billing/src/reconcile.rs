//! The ledger against what AWS says of a month.

use billing::Month;
use billing::port::{Accounts, BillingStore, Documents, UsageSource};
use inference::CatalogStore;
use jiff::Timestamp;
use lambda_runtime::Error;
use reconciliation::port::SourceFiles;
use reconciliation::{Books, Job, Stores};
use serde_json::{Value, json};

/// Where AWS's side of the comparison is.
#[derive(Debug)]
pub struct Reconciler<B, C> {
    /// What is compared, and how.
    pub job: Job,
    /// The bucket of the data export.
    pub bills: B,
    /// The bucket of the log of model invocations; the job names no prefix in it where there is none.
    pub logs: B,
    /// The catalogue, for prices.
    pub catalog: C,
}

impl<B: SourceFiles, C: CatalogStore> Reconciler<B, C> {
    /// Compares a month, keeps the report, and books what AWS is right about.
    pub(crate) async fn run<S, D>(
        &self,
        books: &S,
        documents: &D,
        current: Month,
        period: Month,
        now_ms: i64,
    ) -> Result<Value, Error>
    where
        S: BillingStore + Accounts + UsageSource,
        D: Documents,
    {
        let now = Timestamp::from_millisecond(now_ms)?;
        let catalog = self.catalog.catalog().await?;
        let books = Books { store: books, usage: books, documents, current, now };
        let stores = Stores {
            bills: &self.bills,
            logs: &self.logs,
            records: &books,
            bookings: &books,
            reports: &books,
        };
        let run =
            Box::pin(self.job.run(&stores, &catalog.prices(), &period.to_string(), now)).await?;
        Ok(json!({ "period": period, "report": run.report_key, "booked": run.booked }))
    }
}

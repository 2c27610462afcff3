//! A month's usage as a FOCUS file, from its rollups.

use billing::port::{Accounts, BillingStoreError};
use billing::{Month, Span};
use bytes::Bytes;
use lake::focus::{Issuer, to_csv};
use lake::{ObjectError, ObjectStore, focus_key};
use metering::{Granularity, RollupError, RollupStore, UsagePeriod};

/// Why there is no file. Trying again is safe.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FocusError {
    #[error("`{0}` is not a month")]
    NotAMonth(UsagePeriod),
    #[error(transparent)]
    Accounts(#[from] BillingStoreError),
    #[error(transparent)]
    Rollups(#[from] RollupError),
    #[error("failed to write the file")]
    Write(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error(transparent)]
    Object(#[from] ObjectError),
}

/// Writes the file in the place of the month's earlier one; answers with its key and rows.
pub(crate) async fn export(
    accounts: &impl Accounts,
    rollups: &impl RollupStore,
    objects: &impl ObjectStore,
    issuer: &Issuer,
    period: UsagePeriod,
) -> Result<(String, usize), FocusError> {
    if period.granularity() != Granularity::Month {
        return Err(FocusError::NotAMonth(period));
    }
    // FOCUS has months of UTC.
    let month: Month = period.to_string().parse().map_err(|_| FocusError::NotAMonth(period))?;
    let (start_ms, end_ms) = (period.start_ms(), period.end_ms());
    let span = Span { period: month, time_zone: "UTC".to_owned(), start_ms, end_ms };
    let mut rows = Vec::new();
    for tenant in accounts.tenants(&span).await? {
        let of_tenant = rollups.rollups(&tenant.tenant_id, Granularity::Month, start_ms, end_ms);
        rows.extend(of_tenant.await?);
    }
    let csv = to_csv(issuer, &rows).map_err(|error| FocusError::Write(error.into()))?;
    let key = focus_key(period);
    objects.put(&key, Bytes::from(csv), "text/csv").await?;
    Ok((key, rows.len()))
}

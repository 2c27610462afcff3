//! An organisation's own prices as administrators see and change them.

use metering::{AgreedPrices, PriceOverrides};

use crate::{AuditEntry, StoreError};

/// What is to become of overrides.
#[derive(Debug, Clone, PartialEq)]
pub enum OverridesWrite {
    /// They are new.
    Create(PriceOverrides),
    /// They take the place of those of their version.
    Replace(PriceOverrides),
    /// Those of this version are taken away.
    Remove(String),
}

/// A change of what an organisation has agreed for itself.
#[derive(Debug, Clone, PartialEq)]
pub struct OverridesChange {
    /// The revision that it was made from; the change is refused if there is a newer one.
    pub revision: u64,
    /// What is changed.
    pub write: OverridesWrite,
    /// Who changes it, and what.
    pub entry: AuditEntry,
}

/// Reads and changes the overrides of prices, which are the organisation's: for callers that were found to
/// be permitted to.
pub trait PriceOverrideStore: Send + Sync {
    /// The overrides of all times, as they are now.
    fn agreed_prices(&self) -> impl Future<Output = Result<AgreedPrices, StoreError>> + Send;

    /// Makes the change and its audit entry in one write; whether the revision was still the one that it
    /// was made from.
    fn change_prices(
        &self,
        change: &OverridesChange,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

impl OverridesWrite {
    /// The version that it is about.
    pub fn version(&self) -> &str {
        match self {
            Self::Create(overrides) | Self::Replace(overrides) => &overrides.version,
            Self::Remove(version) => version,
        }
    }
}

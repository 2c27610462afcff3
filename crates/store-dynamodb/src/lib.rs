//! Tenants, catalog, ledger and content in DynamoDB: the only code that knows table keys.

mod administration;
mod alerts;
mod audit;
mod billing;
mod client;
mod configuration;
mod content;
mod directory;
#[cfg(feature = "offboarding")]
mod estate;
mod expression;
mod health;
mod key;
mod ledger;
mod level;
mod limit_writes;
mod limits;
mod price_overrides;
mod read;
#[cfg(feature = "registry")]
mod registry;
mod rollup;
#[cfg(feature = "scim")]
mod scim;
mod seeding;
mod settlement;
#[cfg(feature = "orchestration")]
mod tasks;

pub use crate::administration::Administration;
pub use crate::audit::AuditTable;
pub use crate::billing::BillingBooks;
pub use crate::content::Content;
#[cfg(feature = "registry")]
pub use crate::registry::Registry;
#[cfg(feature = "scim")]
pub use crate::scim::Members;
pub use client::client;
pub use configuration::Configuration;
pub use directory::DynamoDirectory;
#[cfg(feature = "offboarding")]
pub use estate::TenantTables;
pub use health::TargetHealth;
pub use ledger::Ledger;
pub use limits::LimitTables;
pub use price_overrides::PriceOverrideTable;
pub use rollup::Rollups;
#[cfg(feature = "orchestration")]
pub use tasks::Tasks;

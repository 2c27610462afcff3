//! What calls consumed and what that costs, in integers.

mod money;
mod price;
mod record;
mod tier;
mod usage;

pub use money::NanoUsd;
pub use price::{PicoUsd, Price, PriceBook};
pub use record::{ModelChoice, Outcome, RecordId, UsageRecord};
pub use tier::{ProfileScope, ServiceTier};
pub use usage::TokenUsage;

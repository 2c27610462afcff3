//! What calls consumed and what that costs, in integers.

mod money;
mod price;
mod record;
mod rollup;
mod tier;
mod usage;

pub use money::NanoUsd;
pub use price::{
    AgreedPrices, Currency, InvalidPrices, LongContext, ModelInForce, ModelPrices,
    OverridesRefused, PicoUsd, Price, PriceBook, PriceOverrides, PriceTerms, Prices, Quote, Rate,
    TokenPrices,
};
pub use record::{ModelChoice, Outcome, RecordId, UsageRecord};
#[cfg(feature = "fakes")]
pub use rollup::fakes;
pub use rollup::{
    AggregationStore, Delivery, Granularity, Late, Mark, Page, Progress, Rollup, RollupError,
    RollupKey, RollupRow, RollupStore, Rollups, UsagePeriod,
};
pub use tier::{ProfileScope, ServiceTier};
pub use usage::TokenUsage;

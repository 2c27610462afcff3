//! What is known about usage, as files for analysts: Parquet in a lake, and FOCUS for finance.

mod columns;
#[cfg(feature = "fakes")]
pub mod fakes;
pub mod focus;
mod layout;
mod store;
mod usage;

pub use columns::{COLUMNS, Column, Kind};
pub use layout::{USAGE, focus_key, group, group_of_key, hour_prefix, usage_key};
pub use store::{ObjectError, ObjectStore, Version};
pub use usage::{UsageFileError, UsageWriter, read_usage};

//! What is known about usage, as files for analysts: Parquet in a lake, and FOCUS for finance.

#[cfg(feature = "fakes")]
pub mod fakes;
mod store;

pub use store::{ObjectError, ObjectStore, Version};

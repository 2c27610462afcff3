//! Reconciliation of files in AWS's shapes.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may panic; clippy.toml says so of `#[test]` functions only"
)]

mod planted;
mod properties;
mod world;

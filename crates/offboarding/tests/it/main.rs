//! Off-boarding in memory: whatever goes wrong, whatever stands beside it, whoever checks it afterwards.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::panic, reason = "a test stops at the first surprise")]
#![expect(clippy::indexing_slicing, reason = "a test stops at the first surprise")]

mod faults;
mod neighbours;
mod rules;
mod support;
mod tool;

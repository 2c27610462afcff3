//! The adapters on an embedded DynamoDB.

#![expect(clippy::panic, reason = "a test stops at the first surprise")]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod administration;
mod audit;
mod billing;
mod configuration;
mod content;
mod directory;
mod estate;
mod health;
mod ledger;
mod limits;
mod prices;
mod registry;
mod rollups;
mod scim;
mod support;
mod tasks;

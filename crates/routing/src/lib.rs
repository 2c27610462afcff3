//! Which target is asked, and what follows when it fails. Everything here decides and nothing calls:
//! time, chance and health come from outside.
//!
//! 1. [`candidates`] orders an alias' targets for one call.
//! 2. [`next()`] says after each failure whether to try again, where and when.
//! 3. [`Breakers`] remembers which targets keep failing, so that later calls try others first.

mod candidates;
mod decision;
mod health;

pub use candidates::candidates;
pub use decision::{Decision, Failure, next};
pub use health::{Breakers, Health, HealthStore, HealthStoreError, State};

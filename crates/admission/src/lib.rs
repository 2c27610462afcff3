//! May this call proceed: limits, the meters that count against them, reservations.
//!
//! [`Meter`] holds the pure decisions; a store applies each of them as one conditional write, and
//! decides again with what it then sees if the condition fails. The clock is always an argument.

mod admit;
mod entitlements;
#[cfg(feature = "fakes")]
pub mod fakes;
mod limits;
mod meter;
mod reservation;
mod scope;
mod store;
mod sweep;
mod window;

pub use admit::{Admitted, Refusal, admit};
pub use entitlements::{EntitlementStore, Entitlements};
pub use limits::{Limit, Limits};
pub use meter::{Denial, Meter, Standing};
pub use reservation::{CallDetail, Reservation};
pub use scope::{LimitedScope, Scope};
pub use store::{MeterStore, SettlementStore, StoreError, UsageStore};
pub use sweep::{SweepOutcome, sweep};
pub use window::{Minute, Period, Roll};

//! May this call proceed: limits, the meters that count against them, reservations.
//!
//! [`LimitRule`]s are what administrators write; [`Entitlements::scopes_of`] says which meters one
//! call must be admitted by, and the [`Cap`]s that it finds there. [`Meter`] holds the pure decisions;
//! a store applies each of them as one conditional write, and decides again with what it then sees if
//! the condition fails. The clock is always an argument.

mod administration;
mod admit;
mod alert;
mod calendar;
mod counter;
mod entitlements;
#[cfg(feature = "fakes")]
pub mod fakes;
mod limits;
mod meter;
mod prices;
mod reservation;
mod rule_reading;
mod rule_validation;
mod scope;
mod settle;
mod store;
mod sweep;

pub use administration::{
    AuditEntry, LimitChange, LimitOwner, LimitSet, LimitStore, RaiseRequest, RequestStatus,
    finish_change, settled, used_of,
};
pub use admit::{Admitted, Refusal, admit};
pub use alert::{Alert, AlertEvent, AlertOutbox, AlertOwner, AlertStore};
pub use calendar::{Calendar, Minute, Period, Roll, UnknownTimeZone, Windows};
pub use counter::{Counter, Counters, Metric};
pub use entitlements::{EntitlementStore, Entitlements, ScopeLimits, TenantLimits, UnknownProject};
pub use limits::{Cap, Enforcement, LimitRule, LimitedCall, ModelSelector, OnExhausted, Raise};
pub use meter::{Denial, Meter, Standing};
pub use prices::{OverridesChange, OverridesWrite, PriceOverrideStore};
pub use reservation::{CallDetail, Reservation, Used};
pub use rule_reading::{MAX_RULES, read_rules, timestamp, whole};
pub use rule_validation::{InvalidRule, MAX_RAISES, check_rules, max_amount, with_raise};
pub use scope::{
    Gate, Held, InvalidMeterRef, LimitedScope, MeterLayout, MeterRef, Part, Scope, Shard,
};
pub use settle::{held_by, settle};
pub use store::{MeterStore, SettlementStore, StoreError, UsageStore};
pub use sweep::{SweepOutcome, sweep};

//! A tenant's whole life as tasks: many steps in many places, that end complete or leave nothing behind.
//!
//! A [`Task`] says where it stands and is written before and after each step, so whoever finds it goes on
//! from there: [`advance`] does one step, or takes one back. A step may be cut anywhere and is run again,
//! so each does only what is not done yet.

#[cfg(feature = "fakes")]
pub mod fakes;
mod move_lob;
mod offboard;
mod onboard;
mod ports;
mod request;
mod runner;
mod saga;
mod store;
mod task;

pub use move_lob::{Move, Way};
pub use offboard::Offboard;
pub use offboarding::{Progress, Requester};
pub use onboard::{Onboard, Onboarding, Person, Program, marker};
pub use ports::Ports;
pub use request::Request;
pub use runner::{Next, RunError, advance, give_up};
pub use saga::{Saga, StepDef, StepError};
pub use store::{Created, TaskStore, TenantLimits, TenantRemoval, Workflow, WorkflowError};
pub use task::{Kind, State, Step, StepState, Task, TaskError};

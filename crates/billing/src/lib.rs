//! What tenants are billed for their usage: plans, entries of the ledger, statements, months.

mod amount;
mod books;
pub mod calendar;
mod charge;
mod close;
mod correct;
mod draft;
mod entry;
#[cfg(feature = "fakes")]
pub mod fakes;
mod job;
mod line;
mod lob;
mod month;
mod plan;
pub mod port;
pub mod render;
mod rounding;
mod statement;
mod task;

pub use amount::{Overflow, SignedNanoUsd};
pub use books::{Begin, Books, CloseRefused, Closing, MonthState, SETTLING_MS};
pub use charge::IncludedUse;
pub use entry::{Account, EntryKind, InvalidEntry, LedgerEntry, is_reserved};
pub use job::{CloseError, Ports, Progress, documents_of, draft_of};
pub use line::{Line, LineKey, LinesError, UsageLines, UsageSum};
pub use lob::{LobStatement, LobStatementBuilder, ModelSubtotal, TenantSubtotal};
pub use month::{InvalidMonth, Month, Span};
pub use plan::{Allowance, InvalidPlan, Plan, Rate, Volume};
pub use statement::{PlanInForce, Statement, StatementError, Totals};
pub use task::{TASK_REQUESTED, Task};

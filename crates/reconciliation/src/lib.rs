//! Whether the ledger agrees with what AWS says: its bills and its logs of invocations.

mod amount;
mod caller;
mod class;
mod cur;
mod invocation;
mod stream;
mod usage_type;

pub use amount::{Amount, InvalidAmount};
pub use caller::{Caller, Gateway, InvalidRole};
pub use class::{Terms, TokenClass, base_model, quantities};
pub use cur::{CsvBill, LineItem, LineKind, RowError};
pub use invocation::{Invocation, LogReader, LoggedTokens};
pub use stream::{Consume, Gunzip, ReadError};
pub use usage_type::{Usage, UsageTypes};

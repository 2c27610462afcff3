//! Whether the ledger agrees with what AWS says: its bills and its logs of invocations.
//!
//! ```ignore
//! sides.ledger.add(&record, &prices, &policy);                    // each usage record of the month
//! sides.provider.add(&line_item, &usage_types, &gateway);         // each line of the bill
//! matcher.add_record(&record); matcher.add_invocation(logged);    // where invocations are logged
//! sides.matches = matcher.finish();
//! let report = Report::new(subject, &sides, policy);              // what differs, and why
//! let entries = corrections(&report, &Posted::sum(&booked));      // what is still to be booked
//! ```
//!
//! Amounts are exact: a difference is the sum of its explained and unexplained parts to the pico-USD.

mod amount;
mod booking;
mod books;
mod caller;
mod class;
mod compare;
mod correction;
mod cur;
#[cfg(any(test, feature = "fakes"))]
pub mod fakes;
mod invocation;
mod job;
mod ledger;
mod matching;
mod parquet_bill;
mod policy;
pub mod port;
mod prices;
mod provider;
mod report;
mod stream;
mod usage_type;

pub use amount::{Amount, InvalidAmount};
pub use books::Books;
pub use caller::{Caller, Gateway, InvalidRole};
pub use class::{Terms, TokenClass, base_model, quantities};
pub use compare::Sides;
pub use correction::{Correction, CorrectionKey, Posted, corrections};
pub use cur::{CsvBill, LineItem, LineKind, RowError};
pub use invocation::{Invocation, LogReader, LoggedTokens};
pub use job::{Job, JobError, REPORTS, Run, Stores, report_of};
pub use ledger::{CellKey, LedgerAmount, LedgerSide, UnitPrices};
pub use matching::{Fact, FactKey, Matcher, Matches};
pub use parquet_bill::read_parquet;
pub use policy::{Policy, Reason, day_of};
pub use provider::{BilledAmount, ProviderSide};
pub use report::{Evidence, Part, Report, Row, Subject, Total};
pub use stream::{Consume, Gunzip, ReadError};
pub use usage_type::{Usage, UsageTypes};

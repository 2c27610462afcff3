//! The audit trail: who did, or tried, what, in chains of records of which none can be changed, taken
//! away or slipped in unnoticed.
//!
//! The organisation, each line of business and each tenant have a chain of their own (`docs/audit.md`).

mod append;
mod canonical;
mod chain;
mod checkpoint;
mod entry;
#[cfg(feature = "fakes")]
pub mod fakes;
mod head;
mod port;
mod read;
mod record;
mod segment;
mod sweep;
mod verify;

pub use append::{AppendError, Appended, MAX_RECORDS, append};
pub use canonical::{canonical, exact, sha256};
pub use chain::{ChainId, InvalidChain};
pub use checkpoint::{CHECKPOINTS, Checkpoint, checkpoint, checkpoint_key};
pub use entry::{Entry, InvalidEntry};
pub use head::{Head, NOTHING};
pub use port::{AuditError, ChainStore, EntryPage, EntrySource, SegmentStore};
pub use read::{Filter, MAX_SEGMENTS, Page, read, verify_tail};
pub use record::{Decision, Record, SCHEMA_VERSION};
pub use segment::{AUDIT, Segment, SegmentNote, segment_key};
pub use sweep::{Swept, sweep};
pub use verify::{Fault, FaultKind, Verified, Verifier};

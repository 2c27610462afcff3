//! Models as administrators see and change them: entries in versions, their stages, and what was made
//! from what.
//!
//! An entry that is written is one that the hot path takes: it is checked by the same code, and read from
//! the same item. A tenant calls what is approved here *and* on its own list, so an entry gives nobody a
//! right.

mod change;
mod entry;
#[cfg(feature = "fakes")]
pub mod fakes;
mod lineage;
mod port;
mod stage;

pub use change::{Change, Versioned};
pub use entry::{ModelEntry, Origin, Provenance, read_model, restored};
pub use lineage::{Relation, Relative, lineage};
pub use port::RegistryStore;
pub use stage::{Approval, StageProblem, moved};

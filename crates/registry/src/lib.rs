//! Models and their aliases as administrators see and change them: entries in versions, the stages of
//! models, what was made from what, what an alias is pointed at, and who is told of a model's end.
//!
//! An entry that is written is one that the hot path takes: it is checked by the same code, and read from
//! the same item. A tenant calls what is approved here *and* on its own list, so an entry gives nobody a
//! right.

mod alias;
mod change;
mod entry;
#[cfg(any(test, feature = "fakes"))]
pub mod fakes;
mod import;
mod kept;
mod lineage;
mod notice;
mod port;
mod stage;
mod telling;

pub use alias::{WHOLE, deployed};
pub use change::{Change, Removal, Versioned};
pub use entry::{ModelEntry, Origin, Provenance};
pub use import::{FoundationModel, Import, ListError, Modality, ModelList, Skipped, import};
pub use kept::{Entry, Kind};
pub use lineage::{Relation, Relative, lineage};
pub use notice::{Affected, Notice, Told};
pub use port::RegistryStore;
pub use stage::{Approval, StageProblem, moved};
pub use telling::{TellError, tell};

//! The stages of a model: from a draft to its end.

use inference::Stage;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenancy::PrincipalId;

use crate::ModelEntry;

/// Who let a model be called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who.
    pub by: PrincipalId,
    /// When.
    pub at: Timestamp,
}

/// Why a model does not get into a stage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StageProblem {
    /// There is no way from the one to the other.
    #[error("A model that is {} does not become {}.", from.as_str(), to.as_str())]
    NoWay {
        /// Where it is.
        from: Stage,
        /// Where it was to be.
        to: Stage,
    },
    /// It would be called on the word of one person.
    #[error("You wrote this entry last, so somebody else has to let the model be called.")]
    OwnEntry,
}

/// `entry` as `by` brings it into the stage `to`.
///
/// Nothing becomes a draft again: somebody may have called it. What is retired comes back as deprecated, since
/// whoever left it should not be drawn back. Whatever nobody calls is let be called by somebody else than
/// who wrote it, on whichever way it gets there.
///
/// # Errors
/// Why not.
pub fn moved(
    entry: &ModelEntry,
    to: Stage,
    by: &PrincipalId,
    now: Timestamp,
) -> Result<ModelEntry, StageProblem> {
    let from = entry.model.stage;
    let is_way = match from {
        Stage::Draft => matches!(to, Stage::Approved | Stage::Retired),
        Stage::Approved => matches!(to, Stage::Deprecated | Stage::Retired),
        Stage::Deprecated => matches!(to, Stage::Approved | Stage::Retired),
        Stage::Retired => to == Stage::Deprecated,
    };
    if !is_way {
        return Err(StageProblem::NoWay { from, to });
    }
    let mut entry = entry.clone();
    entry.model.stage = to;
    if to.is_callable() && !from.is_callable() {
        if entry.written_by.as_ref() == Some(by) {
            return Err(StageProblem::OwnEntry);
        }
        entry.approval = Some(Approval { by: by.clone(), at: now });
    }
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use inference::{Protocol, fixtures};
    use proptest::prelude::*;

    use super::*;

    fn person(name: &str) -> PrincipalId {
        name.to_owned().try_into().unwrap()
    }

    fn entry(stage: Stage) -> ModelEntry {
        let mut model = fixtures::model("tuned", Protocol::Converse);
        model.stage = stage;
        ModelEntry { written_by: Some(person("ada")), ..ModelEntry::of(model) }
    }

    fn bring(entry: &ModelEntry, to: Stage, by: &str) -> Result<ModelEntry, StageProblem> {
        moved(entry, to, &person(by), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn stages_have_ways() {
        let row = |from: Stage| {
            let can = |to: Stage| if bring(&entry(from), to, "bob").is_ok() { 'x' } else { '-' };
            Stage::ALL.map(can).iter().collect::<String>()
        };
        // Draft, approved, deprecated, retired.
        assert_eq!(Stage::ALL.map(row), ["-x-x", "--xx", "-x-x", "--x-"]);
    }

    #[test]
    fn somebody_else_approves_and_is_named() {
        let draft = entry(Stage::Draft);
        assert_eq!(bring(&draft, Stage::Approved, "ada"), Err(StageProblem::OwnEntry));
        let approved = bring(&draft, Stage::Approved, "bob").unwrap();
        let approval = Approval { by: person("bob"), at: Timestamp::UNIX_EPOCH };
        assert_eq!(approved.approval, Some(approval.clone()));
        // Whoever wrote it may have it left.
        let deprecated = bring(&approved, Stage::Deprecated, "ada").unwrap();
        assert_eq!(deprecated.approval, Some(approval));
    }

    proptest! {
        /// However stages follow on each other and whoever asks: nobody gets their own entry called.
        #[test]
        fn no_way_goes_round_the_approval(
            steps in prop::collection::vec((0..Stage::ALL.len(), any::<bool>()), 0..12),
        ) {
            let mut found = entry(Stage::Draft);
            for (to, is_ada) in steps {
                let by = if is_ada { "ada" } else { "bob" };
                found = bring(&found, Stage::ALL[to], by).unwrap_or(found);
            }
            let is_by_other = found.approval.as_ref().is_some_and(|it| it.by == person("bob"));
            prop_assert!(is_by_other || !found.model.stage.is_callable());
            prop_assert!(found.approval.is_none() || is_by_other);
        }
    }
}
